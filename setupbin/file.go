package setupbin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// File is a whole setup.bin in memory. For large ones see Reader and Writer.
type File struct {
	Header   Header
	Records  []*Record
	Trailing Raw // bytes behind the last record
}

// Format implements fmt.Formatter for every verb: the header's line.
func (f File) Format(s fmt.State, _ rune) { fmt.Fprint(s, f.Header.String()) }

// Parse reads a whole file. Every byte is kept: AppendBinary gives b again.
// Errors are *FormatError, the first one found.
func Parse(b []byte) (*File, error) {
	src := bytes.NewReader(b)
	r, err := NewReader(src)
	if err != nil {
		return nil, err
	}
	f := &File{Header: *r.Header()}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		f.Records = append(f.Records, rec)
	}
	if n := int64(len(b)) - f.Header.Offset(f.Header.Records); n > 0 {
		f.Trailing = append(Raw{}, b[int64(len(b))-n:]...)
	}
	return f, nil
}

// AppendBinary appends the file. It checks the room in each record and that the
// header counts the records, nothing else.
func (f *File) AppendBinary(b []byte) ([]byte, error) {
	if int64(len(f.Records)) != int64(f.Header.Records) {
		return b, fmt.Errorf("writing a setup.bin: %w: the header counts %d records, there are %d", ErrFormat, f.Header.Records, len(f.Records))
	}
	b, err := f.Header.AppendBinary(b)
	for _, r := range f.Records {
		if err != nil {
			return b, err
		}
		b, err = r.AppendBinary(b, f.Header.RecordLen())
	}
	return append(b, f.Trailing...), err
}

// New gives a file with these records, which it numbers from 1; its module list
// is in the order in which modules first appear. Records are checked as by a
// Writer.
func New(v Version, flags FileFlags, records ...*Record) (*File, error) {
	if err := checkHeader(v, flags); err != nil {
		return nil, err
	}
	var modules []uint16
	for i, r := range records {
		if err := r.Check(v); err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		r.Number = uint32(i + 1)
		for _, e := range r.Entries {
			if !listed(modules, e.Module) {
				modules = append(modules, e.Module)
			}
		}
	}
	return &File{Header: newHeader(v, flags, uint32(len(records)), modules), Records: records}, nil
}

func checkHeader(v Version, flags FileFlags) error {
	if !v.known() {
		return fmt.Errorf("%w %d.%d", ErrVersion, v.Major(), v.Minor())
	}
	if flags&^KeepRecords != 0 {
		return fmt.Errorf("%w: unknown file flags 0x%x", ErrFormat, uint16(flags))
	}
	if v == V1 && flags&KeepRecords != 0 {
		return fmt.Errorf("keeping records: %w: file version 1 does not have it; version 2 is the first", ErrVariable)
	}
	return nil
}

func listed(modules []uint16, m uint16) bool {
	for _, have := range modules {
		if have == m {
			return true
		}
	}
	return false
}
