package tlspsk

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// Content types of records (RFC 5246 section 6.2.1).
const (
	recordChangeCipherSpec uint8 = 20
	recordAlert            uint8 = 21
	recordHandshake        uint8 = 22
	recordApplication      uint8 = 23
)

// Sizes of records (RFC 5246 section 6.2).
const (
	headerLen    = 5
	maxPlaintext = 1 << 14
	maxProtected = maxPlaintext + 2048
)

// Sizes of pooled buffers. A connection holds one only while it holds bytes of an
// unfinished record or data not yet read, so an idle one costs none.
const (
	smallBuffer = 4096
	largeBuffer = headerLen + maxProtected
)

// sealOverhead is the most that seal and header add to a payload: header,
// explicit IV, MAC, padding.
const sealOverhead = headerLen + 16 + macLen + 16

// buffer is a pooled byte array.
type buffer struct{ b []byte }

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, largeBuffer)} }}
)

// getBuffer gives a buffer of n bytes or more, n at most largeBuffer.
func getBuffer(n int) *buffer {
	if n <= smallBuffer {
		return smallBuffers.Get().(*buffer)
	}
	return largeBuffers.Get().(*buffer)
}

// putBuffer takes a buffer back, emptied of what it held.
func putBuffer(b *buffer, used int) {
	clear(b.b[:used])
	if len(b.b) == smallBuffer {
		smallBuffers.Put(b)
		return
	}
	largeBuffers.Put(b)
}

// recordReader cuts a stream into records. It reads a header into five bytes of
// its own, and only then takes a buffer for the body and whatever came with it.
// An error loses nothing: the next call goes on where the last one stopped.
type recordReader struct {
	conn net.Conn
	head [headerLen]byte
	have int     // bytes of head that are there
	buf  *buffer // nil when nothing is held
	r, w int     // buf.b[r:w] came and is not yet used
	dirt int     // most bytes of buf that were ever used
}

// maxEmptyReads is how often a stream may return neither bytes nor an error.
const maxEmptyReads = 100

// read is conn.Read that neither spins nor returns bytes with an error.
func (rr *recordReader) read(b []byte) (int, error) {
	for range maxEmptyReads {
		n, err := rr.conn.Read(b)
		if n > 0 {
			return n, nil
		}
		if err == io.EOF {
			return 0, io.ErrUnexpectedEOF // close_notify is the only good end
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// header completes the header and returns it.
func (rr *recordReader) header() (typ uint8, version uint16, length int, err error) {
	rr.settle()
	for rr.have < headerLen {
		n, err := rr.read(rr.head[rr.have:])
		if err != nil {
			return 0, 0, 0, err
		}
		rr.have += n
	}
	return rr.head[0], binary.BigEndian.Uint16(rr.head[1:]), int(binary.BigEndian.Uint16(rr.head[3:])), nil
}

// body completes the body, of the length that header returned, at most
// maxProtected. It is valid until the next call of settle or header.
func (rr *recordReader) body(length int) ([]byte, error) {
	if length == 0 {
		rr.have = 0
		return nil, nil
	}
	rr.reserve(length)
	for rr.w-rr.r < length {
		n, err := rr.read(rr.buf.b[rr.w:])
		if err != nil {
			return nil, err
		}
		rr.w += n
		rr.dirt = max(rr.dirt, rr.w)
	}
	b := rr.buf.b[rr.r : rr.r+length : rr.r+length]
	rr.r += length
	rr.have = 0
	return b, nil
}

// reserve makes room for length bytes from r on.
func (rr *recordReader) reserve(length int) {
	if rr.buf != nil && rr.r+length <= len(rr.buf.b) {
		return
	}
	old, r, w, dirt := rr.buf, rr.r, rr.w, rr.dirt
	if old != nil && length <= len(old.b) {
		rr.r, rr.w = 0, copy(old.b, old.b[r:w])
		return
	}
	rr.buf = getBuffer(length)
	rr.r, rr.w = 0, 0
	if old != nil {
		rr.w = copy(rr.buf.b, old.b[r:w])
		putBuffer(old, dirt)
	}
	rr.dirt = rr.w
}

// settle moves what it can of the next header out of the buffer, and gives an
// emptied buffer back. Earlier bodies are no longer valid.
func (rr *recordReader) settle() {
	if rr.buf == nil {
		return
	}
	n := copy(rr.head[rr.have:], rr.buf.b[rr.r:rr.w])
	rr.have += n
	rr.r += n
	if rr.r == rr.w {
		rr.drop()
	}
}

// drop gives the buffer back whatever it holds.
func (rr *recordReader) drop() {
	if rr.buf != nil {
		putBuffer(rr.buf, rr.dirt)
	}
	rr.buf, rr.r, rr.w, rr.dirt = nil, 0, 0, 0
}

// appendRecord appends a record of at most maxPlaintext bytes, sealed by p
// unless that is nil.
func appendRecord(dst []byte, p *protection, typ uint8, version uint16, payload []byte, rand io.Reader) ([]byte, error) {
	start := len(dst)
	dst = append(dst, typ, byte(version>>8), byte(version), 0, 0)
	if p == nil {
		dst = append(dst, payload...)
	} else {
		var err error
		if dst, err = p.seal(dst, typ, payload, rand); err != nil {
			return nil, err
		}
	}
	binary.BigEndian.PutUint16(dst[start+3:], uint16(len(dst)-start-headerLen))
	return dst, nil
}
