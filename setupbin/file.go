package setupbin

import (
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

// Parse reads a whole file: every byte is kept, so that AppendBinary gives b
// again. Errors are *FormatError, the first one found.
func Parse(b []byte) (*File, error) { panic("not yet") }

// AppendBinary appends the file. It checks nothing but the room in each record.
func (f *File) AppendBinary(b []byte) ([]byte, error) { panic("not yet") }

// New gives a file with these records, numbered from 1, its modules listed, and
// checked as by a Writer.
func New(v Version, flags FileFlags, records ...*Record) (*File, error) { panic("not yet") }

// Reader reads a file record by record, in the memory of one.
type Reader struct{}

// NewReader reads the header. It returns a *FormatError for what is no
// setup.bin.
func NewReader(r io.Reader) (*Reader, error) { panic("not yet") }

// Header is the file's header. The caller must not change it.
func (r *Reader) Header() *Header { panic("not yet") }

// Offset is where the record that Next gave last begins.
func (r *Reader) Offset() int64 { panic("not yet") }

// Next returns the next record, io.EOF behind the last. A *FormatError of a
// damaged record comes with what could be read of it, and Next goes on behind
// it; any other error ends the reading.
func (r *Reader) Next() (*Record, error) { panic("not yet") }

// Writer writes a file record by record.
type Writer struct{}

// NewWriter writes the header of a file with exactly count records. Modules are
// those the records will use, {1, 2} if none are given.
func NewWriter(w io.Writer, v Version, flags FileFlags, count uint32, modules ...uint16) (*Writer, error) {
	panic("not yet")
}

// Write checks a record against the version, numbers it and writes it.
func (w *Writer) Write(r *Record) error { panic("not yet") }

// Close flushes what was written. It fails when there were fewer records than
// the header says; it does not close the underlying writer.
func (w *Writer) Close() error { panic("not yet") }

// Errors of consuming.
var (
	// ErrUsedUp is returned when every record was consumed.
	ErrUsedUp = errors.New("every record was consumed")
	// ErrNotValid is returned when the next record is marked as consumed though
	// the header does not count it: firmware would not go on either.
	ErrNotValid = errors.New("the next record is not valid")
)

// Medium is what Consume works on; an *os.File is one. When it also has a Sync
// method, Consume calls it.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// Consume takes the next record as firmware does at power-on: it reads the
// header and the record that follows the consumed ones, and, unless the file
// says to keep its records, marks the record and counts it before returning it.
// Only the record's flags and the header's count are written, four bytes each,
// and made durable.
//
// versions, if any, are those the firmware can read: a file of another version
// is refused with ErrVersion and left alone.
func Consume(m Medium, versions ...Version) (*Record, error) { panic("not yet") }

// ConsumeFile is Consume on a file. Other callers of ConsumeFile, in this or
// another process, wait meanwhile where the system has file locks.
func ConsumeFile(name string, versions ...Version) (*Record, error) {
	return nil, fmt.Errorf("consuming a record of %s: %w", name, errors.ErrUnsupported)
}
