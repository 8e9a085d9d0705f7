package setupbin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Errors of consuming.
var (
	// ErrUsedUp is returned when every record was consumed.
	ErrUsedUp = errors.New("every record was consumed")
	// ErrNotValid is returned when the next record is no valid one though the
	// header does not count it as consumed: firmware would not go on either.
	ErrNotValid = errors.New("the next record is not valid")
)

// Medium is what Consume works on; an *os.File is one. When it also has a Sync
// method, Consume calls it.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// Consume takes the next record as firmware does at power-on: it reads the
// header and the record behind the consumed ones, and, unless the file says to
// keep its records, marks the record, counts it and makes both durable before
// returning it. Only the record's flags and the header's count are written, four
// bytes each (HP 8100 white paper p. 38: first invalidate, then apply).
//
// A record whose flags or count could not be written is not returned, and may
// have been marked. versions, if any, are those that the firmware reads: a file
// of another is refused with ErrVersion and left alone. Chunk counts other than 1
// are refused, as firmware passes over such files.
func Consume(m Medium, versions ...Version) (*Record, error) {
	h, err := readHeader(m, versions)
	if err != nil {
		return nil, err
	}
	at := h.Consumed // stays 0 where records are kept
	if at >= h.Records {
		return nil, fmt.Errorf("%w: %d of %d", ErrUsedUp, at, h.Records)
	}
	offset := h.Offset(at)
	b := make([]byte, ChunkLen)
	if n, err := m.ReadAt(b, offset); n < len(b) {
		return nil, shortRead(err, offset+int64(n), "the file should not end within the next record", ErrFormat)
	}
	flags := binary.LittleEndian.Uint32(b[4:])
	r, err := parseRecord(b, offset)
	if err == nil && !r.Valid() {
		err = fmt.Errorf("%w: offset %d (0x%x): record %d of %d", ErrNotValid, offset, offset, at+1, h.Records)
	}
	if err != nil {
		return nil, err
	}
	if !h.Consumable() {
		return r, nil
	}
	if err := mark(m, offset, flags&^FlagValid, at+1); err != nil {
		return nil, fmt.Errorf("marking record %d as consumed: %w", at+1, err)
	}
	return r, nil
}

// readHeader reads the header as strictly as firmware does.
func readHeader(m io.ReaderAt, versions []Version) (*Header, error) {
	r, err := NewReader(io.NewSectionReader(m, 0, ChunkLen*maxChunks))
	if err != nil {
		return nil, err
	}
	h := r.Header()
	switch {
	case len(versions) > 0 && !slices.Contains(versions, h.Version):
		return nil, fmt.Errorf("%w: the firmware does not read version %v", ErrVersion, h.Version)
	case h.Chunks != 1:
		return nil, formatError(offChunks, ErrFormat, fmt.Sprintf("the header should have 1 chunk, not %d", h.Chunks))
	case h.RecordChunks != 1:
		return nil, formatError(offRecordChunks, ErrFormat, fmt.Sprintf("a record should have 1 chunk, not %d", h.RecordChunks))
	}
	return h, nil
}

func mark(m Medium, offset int64, flags, consumed uint32) error {
	le := binary.LittleEndian
	if _, err := m.WriteAt(le.AppendUint32(nil, flags), offset+4); err != nil {
		return err
	}
	if _, err := m.WriteAt(le.AppendUint32(nil, consumed), offConsumed); err != nil {
		return err
	}
	if s, ok := m.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// ConsumeFile is Consume on a file, which must be writable. Other callers of
// ConsumeFile, in this or another process, wait meanwhile where the system has
// file locks (all but Windows, Solaris and AIX).
func ConsumeFile(name string, versions ...Version) (r *Record, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("consuming a record: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			r, err = nil, fmt.Errorf("consuming a record: %w", cerr)
		}
	}()
	if err := Lock(f); err != nil {
		return nil, fmt.Errorf("consuming a record: locking %s: %w", name, err)
	}
	r, err = Consume(f, versions...)
	if err != nil {
		return nil, fmt.Errorf("consuming a record of %s: %w", name, err)
	}
	return r, nil
}
