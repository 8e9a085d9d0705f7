package media

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/amtscs/amtscs/setupbin"
)

// File is a setup.bin: a file by itself, or the one in a disk image or on a disk.
// It reads and writes within the bounds of the setup.bin alone.
type File struct {
	*io.SectionReader
	f     *os.File
	disk  bool // no file in a folder
	start int64
	found *Found
}

// Open opens the setup.bin that name is or holds; to be written to as well if
// write is true. A disk that is mounted cannot be opened for writing. What is
// neither a setup.bin nor an image is given as it is: the reader will tell what
// is wrong with it.
func Open(name string, write bool) (*File, error) {
	fi, err := os.Stat(name) // before opening it: a pipe would wait
	if err != nil {
		return nil, err
	}
	disk := fi.Mode().Type() == os.ModeDevice
	if !disk && fi.Mode().Type() != 0 {
		return nil, fmt.Errorf("%s: it is neither a file nor a disk", name)
	}
	mode := os.O_RDONLY
	if write {
		mode = os.O_RDWR
	}
	if write && disk {
		mode |= os.O_EXCL
	}
	f, err := os.OpenFile(name, mode, 0)
	if write && disk && errors.Is(err, syscall.EBUSY) {
		return nil, fmt.Errorf("%s: %w: unmount it first", name, ErrInUse)
	}
	if err != nil {
		return nil, err
	}
	file := &File{f: f, disk: disk}
	size, err := f.Seek(0, io.SeekEnd) // Stat does not know a disk's
	if err == nil {
		err = file.locate(size, write)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// locate decides what the file is.
func (f *File) locate(size int64, write bool) error {
	b := make([]byte, 16)
	n, err := f.f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !setupbin.Is(b[:n]) {
		find := Find
		if write {
			find = findOwn
		}
		f.found, err = find(f.f, size)
	} else {
		err = ErrNoImage
	}
	switch {
	case errors.Is(err, ErrNoImage):
		f.SectionReader = io.NewSectionReader(f.f, 0, size)
		return nil
	case err != nil:
		return err
	}
	f.start = f.found.Offset
	f.SectionReader = io.NewSectionReader(f.f, f.start, f.found.Size)
	return nil
}

// Found tells where in its image the setup.bin is; nil for a file by itself.
func (f *File) Found() *Found { return f.found }

// Alone reports whether the setup.bin is a file by itself, which can be cut and
// removed.
func (f *File) Alone() bool { return f.found == nil && !f.disk }

// WriteAt writes within the setup.bin, which never grows.
func (f *File) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > f.Size() {
		return 0, fmt.Errorf("writing to a setup.bin: %d bytes at offset %d are beyond its end", len(b), at)
	}
	return f.f.WriteAt(b, f.start+at)
}

// Sync makes what was written durable.
func (f *File) Sync() error { return f.f.Sync() }

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Content gives a reader of the setup.bin in an image, or of f as it is when it
// is no regular file, no image, or at another place than its begin.
func Content(f *os.File) (io.Reader, error) {
	fi, err := f.Stat()
	if err != nil || fi.Mode().Type() != 0 {
		return f, err
	}
	b := make([]byte, 16)
	if n, err := f.ReadAt(b, 0); n < len(b) || err != nil || setupbin.Is(b) {
		return f, nil
	}
	found, err := Find(f, fi.Size())
	switch {
	case errors.Is(err, ErrNoImage):
		return f, nil
	case err != nil:
		return nil, err
	}
	return io.NewSectionReader(f, found.Offset, found.Size), nil
}

// Consume is setupbin.Consume on the setup.bin that name is or holds. Other
// callers, in this or another process, wait meanwhile where the system has file
// locks.
func Consume(name string, versions ...setupbin.Version) (r *setupbin.Record, err error) {
	f, err := Open(name, true)
	if err != nil {
		return nil, fmt.Errorf("consuming a record: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			r, err = nil, fmt.Errorf("consuming a record: %w", cerr)
		}
	}()
	if err := setupbin.Lock(f.f); err != nil {
		return nil, fmt.Errorf("consuming a record: locking %s: %w", name, err)
	}
	r, err = setupbin.Consume(f, versions...)
	if err != nil {
		return nil, fmt.Errorf("consuming a record of %s: %w", name, err)
	}
	return r, nil
}

// Wipe overwrites the records and all that follows with zeros, makes that
// durable, and then turns the header into that of a file without records; a file
// by itself is cut to that. It returns how many records the header counted.
// Flash media keep old copies of what was overwritten: nothing here reaches them.
func (f *File) Wipe() (records uint32, err error) {
	if err := setupbin.Lock(f.f); err != nil {
		return 0, fmt.Errorf("locking the setup.bin: %w", err)
	}
	rd, err := setupbin.NewReader(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		return 0, err
	}
	h := *rd.Header()
	zeros := make([]byte, 1<<20)
	for at := min(h.Len(), f.Size()); at < f.Size(); {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), f.Size()-at)], at)
		if err != nil {
			return 0, fmt.Errorf("wiping a setup.bin: %w", err)
		}
		at += int64(n)
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("wiping a setup.bin: %w", err)
	}
	return h.Records, f.empty(h)
}

// empty writes a header without records.
func (f *File) empty(h setupbin.Header) error {
	h.Records, h.Consumed, h.Rest = 0, 0, nil
	b, err := h.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("wiping a setup.bin: %w", err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return fmt.Errorf("wiping a setup.bin: %w", err)
	}
	if f.Alone() && f.Size() > h.Len() {
		if err := f.f.Truncate(h.Len()); err != nil {
			return fmt.Errorf("wiping a setup.bin: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("wiping a setup.bin: %w", err)
	}
	return nil
}

// Findings are what vendors advise against in an image; none for a file by
// itself.
func (f *File) Findings() []setupbin.Finding {
	v := f.found
	if v == nil {
		return nil
	}
	var list []setupbin.Finding
	warn := func(rule, text string, args ...any) {
		list = append(list, setupbin.Finding{
			Offset: v.Start, Rule: rule, Severity: setupbin.Warning, Text: fmt.Sprintf(text, args...), Cure: "make an image with scsctl usb image",
		})
	}
	if v.Before > 0 {
		warn("media-first", "setup.bin should be the first file of the root folder: %d are before it", v.Before)
	} else if v.Others > 0 {
		warn("media-only", "setup.bin should be the only file: there are %d more", v.Others)
	}
	if v.FAT == FAT32 {
		warn("media-fat32", "the file system is FAT32: firmware before AMT 6.0 may want FAT16")
	}
	if v.Volume < MinSize-partitionStart*sector || v.Volume > MaxSize {
		warn("media-size", "the file system has %d MiB: vendors want more than 16 and at most %d", v.Volume>>20, MaxSize>>20)
	}
	if v.Volume > EasySize && v.Volume <= MaxSize {
		warn("media-large", "the file system has %d MiB: some vendors advise at most %d", v.Volume>>20, EasySize>>20)
	}
	return list
}
