package setupbin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// streamBuffer is the buffer of Reader and Writer, in bytes.
const streamBuffer = 64 << 10

// Reader reads a file record by record, in the memory of one.
type Reader struct {
	r      *bufio.Reader
	header Header
	next   uint32 // the index of the record that Next gives
	over   bool
	buf    []byte
}

// NewReader reads the header. It returns a *FormatError for what is no
// setup.bin.
func NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{r: bufio.NewReaderSize(r, streamBuffer), buf: make([]byte, ChunkLen)}
	if n, err := io.ReadFull(rd.r, rd.buf); err != nil {
		rule, kind := cutHeader(rd.buf[:n])
		return nil, shortRead(err, int64(n), rule, kind)
	}
	h, err := parseHeader(rd.buf, func(n int) ([]byte, error) {
		more := make([]byte, n)
		got, err := io.ReadFull(rd.r, more)
		return more, shortRead(err, ChunkLen+int64(got), "the header should not end here", ErrFormat)
	})
	if err != nil {
		return nil, err
	}
	rd.header, rd.buf = h, make([]byte, h.RecordLen())
	return rd, nil
}

// cutHeader tells a setup.bin that ends in its header from something else.
func cutHeader(b []byte) (rule string, err error) {
	if Is(b) {
		return "the file should not end here: the header has 512 bytes", ErrFormat
	}
	return "the file should begin with a header of 512 bytes", ErrNotSetupBin
}

// shortRead makes a *FormatError of an early end, and passes other errors on.
func shortRead(err error, offset int64, rule string, kind error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return formatError(offset, kind, rule)
	}
	if err != nil {
		return fmt.Errorf("reading a setup.bin: %w", err)
	}
	return nil
}

// Header is the file's header. The caller must not change it.
func (r *Reader) Header() *Header { return &r.header }

// Offset is where the record that Next gave last begins.
func (r *Reader) Offset() int64 { return r.header.Offset(max(r.next, 1) - 1) }

// Next returns the next record, io.EOF behind the last. A *FormatError of a
// damaged record comes with what could be read of it, and Next goes on behind
// it; with any other error, or without a record, the reading is over.
func (r *Reader) Next() (*Record, error) {
	if r.over || r.next >= r.header.Records {
		return nil, io.EOF
	}
	offset := r.header.Offset(r.next)
	if n, err := io.ReadFull(r.r, r.buf); err != nil {
		rule := fmt.Sprintf("the file should not end here: the header counts %d records, this would be number %d", r.header.Records, r.next+1)
		r.over = true
		return nil, shortRead(err, offset+int64(n), rule, ErrFormat)
	}
	r.next++
	return parseRecord(r.buf, offset)
}

// Writer writes a file record by record.
type Writer struct {
	w      *bufio.Writer
	header Header
	n      uint32
	buf    []byte
	err    error // of an earlier write
}

// NewWriter writes the header of a file with exactly count records. Modules are
// those that the records will use, 1 and 2 if none are given.
func NewWriter(w io.Writer, v Version, flags FileFlags, count uint32, modules ...uint16) (*Writer, error) {
	if err := checkHeader(v, flags); err != nil {
		return nil, fmt.Errorf("writing a setup.bin: %w", err)
	}
	if len(modules) == 0 {
		modules = []uint16{ModuleME, ModuleAMT}
	}
	wr := &Writer{w: bufio.NewWriterSize(w, streamBuffer), header: newHeader(v, flags, count, modules)}
	b, err := wr.header.AppendBinary(make([]byte, 0, ChunkLen))
	if err != nil {
		return nil, err
	}
	if _, err := wr.w.Write(b); err != nil {
		return nil, fmt.Errorf("writing a setup.bin: %w", err)
	}
	wr.buf = b
	return wr, nil
}

// Write checks a record against the file's version, gives it the next number and
// writes it. A record that is refused is not counted: another may follow.
func (w *Writer) Write(r *Record) error {
	if w.err != nil {
		return w.err
	}
	if w.n >= w.header.Records {
		return fmt.Errorf("record %d: %w: the header counts %d records", w.n+1, ErrFormat, w.header.Records)
	}
	if err := r.Check(w.header.Version); err != nil {
		return fmt.Errorf("record %d: %w", w.n+1, err)
	}
	for _, e := range r.Entries {
		if !listed(w.header.Modules, e.Module) {
			return fmt.Errorf("record %d: variable %s: %w: the header does not list module %d", w.n+1, e.Describe(), ErrVariable, e.Module)
		}
	}
	r.Number = w.n + 1
	b, err := r.AppendBinary(w.buf[:0], w.header.RecordLen())
	if err != nil {
		return err
	}
	w.buf = b
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("writing record %d: %w", r.Number, err)
		return w.err
	}
	w.n++
	return nil
}

// Close writes what is buffered. It fails when there were fewer records than the
// header says; it does not close the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing a setup.bin: %w", err)
	}
	if w.n != w.header.Records {
		return fmt.Errorf("writing a setup.bin: %w: the header counts %d records, %d were written", ErrFormat, w.header.Records, w.n)
	}
	return nil
}
