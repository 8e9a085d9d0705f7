package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrVerify is returned when a disk does not give back what was written.
var ErrVerify = errors.New("the disk gives back something else than was written")

// Burn overwrites the begin of a disk with an image and compares what it reads
// then. content is read twice. The system is asked for the disk alone, always: it
// is ErrInUse when anything works on it. What was opened is compared with what was
// inspected (ErrChanged), and asked Allow again. The end of the disk, where a GPT
// has its copy, is zeroed.
func (d *Disk) Burn(i *Image, content io.ReadSeeker, force bool) (err error) {
	f, err := d.system.orReal().open(d.Path, os.O_RDWR|os.O_EXCL, 0)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s: %w: something took it since it was looked at", d.Path, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("opening the disk: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("writing %s: %w", d.Path, cerr)
		}
	}()
	now, err := d.opened(f)
	if err != nil {
		return err
	}
	if err := now.Allow(i.Size(), force); err != nil {
		return err
	}
	return now.write(f, i, content)
}

// opened inspects what was opened, while nobody else can take it, and wants it to
// be the disk that d is.
func (d *Disk) opened(f *os.File) (*Disk, error) {
	s := d.system.orReal()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	now, dir, err := s.identify(d.Path, fi)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.uses(now, dir), now.scan(f)); err != nil {
		return nil, err
	}
	if err := now.same(d); err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	if size != d.Size {
		return nil, fmt.Errorf("%s: %w: its size was %d and is %d", d.Path, ErrChanged, d.Size, size)
	}
	if n := sequence(f); n != 0 && d.Sequence != 0 && n != d.Sequence {
		return nil, fmt.Errorf("%s: %w: its sequence number was %d and is %d", d.Path, ErrChanged, d.Sequence, n)
	}
	return now, nil
}

// write does what Burn says, on the open disk.
func (d *Disk) write(f *os.File, i *Image, content io.ReadSeeker) error {
	const gpt = 34 * sector
	if end := d.Size - gpt; end >= i.Size() {
		if _, err := f.WriteAt(make([]byte, gpt), end); err != nil {
			return fmt.Errorf("writing %s: %w", d.Path, err)
		}
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 1<<20)
	if err := i.Write(w, content); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return fmt.Errorf("writing %s: %w", d.Path, err)
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	forget(f)
	c := &comparer{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, i.Size()), 1<<20)}
	if err := i.Write(c, content); err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	reread(f)
	return nil
}

// comparer takes what should be there and compares it with what is.
type comparer struct {
	r  io.Reader
	at int64
}

func (c *comparer) Write(b []byte) (int, error) {
	have := make([]byte, len(b))
	if _, err := io.ReadFull(c.r, have); err != nil {
		return 0, err
	}
	if !bytes.Equal(have, b) {
		return 0, fmt.Errorf("%w, from offset %d on: use another one", ErrVerify, c.at)
	}
	c.at += int64(len(b))
	return len(b), nil
}
