package tlspsk

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the sending of an alert behind which nothing is written. On a socket
// it takes no time unless the peer has stopped reading.
const (
	closeTime = 5 * time.Second // close_notify
	faultTime = time.Second     // a fatal alert, which Read may have to send
)

// maxRequests bounds the HelloRequests that a connection answers, in all.
const maxRequests = 4

// maxUseless bounds consecutive records that bring nothing: empty application
// data (which TLS 1.0 peers send before each write) and ignorable alerts.
const maxUseless = 32

// State is what a handshake agreed on.
type State struct {
	// Complete is false until the handshake succeeded; all else is then zero.
	Complete    bool
	Version     uint16
	CipherSuite uint16
	// Identity is the client's; on a server it passed GetKey.
	Identity []byte
	// Hint is the server's, nil for none.
	Hint []byte
	// Certificates is the server's chain of an RSA_PSK suite, on a client.
	Certificates []*x509.Certificate
}

// Conn is one end of a TLS-PSK connection. It is a net.Conn: one Read and one
// Write may run at the same time, and Close at any.
type Conn struct {
	conn     net.Conn
	config   *Config
	isClient bool

	handshakeMu  sync.Mutex // guards tried, handshakeErr and all of a handshake
	tried        bool
	handshakeErr error
	done         atomic.Bool // the handshake succeeded; state and version are fixed
	state        State
	version      uint16 // of records; 0 until agreed

	in struct {
		sync.Mutex // guards what follows
		records    recordReader
		protection *protection
		plain      []byte // data not yet read, within the buffer of records
		hand       []byte // handshake bytes not yet read
		useless    int    // consecutive records that brought nothing
		requests   int    // HelloRequests, in all
		err        error  // what every later Read returns
	}
	out struct {
		sync.Mutex // guards what follows
		protection *protection
		err        error // what every later Write returns
	}

	closed   atomic.Bool
	close    sync.Once
	closeErr error
}

var _ net.Conn = (*Conn)(nil)

// Client is the client end over conn; nothing is sent before the handshake.
func Client(conn net.Conn, c *Config) *Conn { return newConn(conn, c, true) }

// Server is the server end over conn.
func Server(conn net.Conn, c *Config) *Conn { return newConn(conn, c, false) }

func newConn(conn net.Conn, config *Config, isClient bool) *Conn {
	c := &Conn{conn: conn, config: config, isClient: isClient}
	c.in.records.conn = conn
	return c
}

// Handshake is HandshakeContext without a context.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext runs the handshake unless it was run before; Read and Write
// do so themselves. When ctx ends first the underlying connection is closed and
// the error wraps ctx.Err. Any error is final: the connection is of no use then
// and remains the caller's to close.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.done.Load() {
		return nil
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.conn.Close()
		close(interrupted)
	})
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if !c.tried {
		c.tried = true
		c.handshakeErr = c.handshake()
	}
	if !stop() {
		<-interrupted
		c.handshakeErr = fmt.Errorf("TLS-PSK handshake: %w", ctx.Err())
	}
	c.done.Store(c.handshakeErr == nil)
	return c.handshakeErr
}

// ConnectionState is what the handshake agreed on. It waits for one that runs.
func (c *Conn) ConnectionState() State {
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if !c.done.Load() {
		return State{}
	}
	s := c.state
	s.Identity, s.Hint = slices.Clone(s.Identity), slices.Clone(s.Hint)
	s.Certificates = slices.Clone(s.Certificates)
	return s
}

// NetConn is the connection underneath.
func (c *Conn) NetConn() net.Conn { return c.conn }

// Read reads application data. io.EOF means that the peer sent close_notify; a
// stream that ends without it is io.ErrUnexpectedEOF. After a time-out it can be
// called again and loses nothing.
func (c *Conn) Read(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.in.Lock()
	defer c.in.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	for len(b) > 0 && len(c.in.plain) == 0 {
		if c.in.err != nil {
			return 0, c.in.err
		}
		if err := c.readMore(); err != nil {
			return 0, c.readFailed(err)
		}
	}
	n := copy(b, c.in.plain)
	c.in.plain = c.in.plain[n:]
	if len(c.in.plain) == 0 {
		c.in.plain = nil
		c.in.records.settle()
	}
	return n, nil
}

// readMore takes one record after the handshake.
func (c *Conn) readMore() error {
	typ, payload, err := c.readRecord()
	if err != nil {
		return err
	}
	switch typ {
	case recordApplication:
		c.in.plain = payload
		if len(payload) == 0 {
			return c.useless()
		}
		c.in.useless = 0
		return nil
	case recordAlert:
		return c.receiveAlert(payload)
	case recordHandshake:
		return c.refuseHandshake(payload)
	}
	return failf(AlertUnexpectedMessage, "ChangeCipherSpec after the handshake")
}

// readFailed decides what an error of reading means for the connection: a
// time-out nothing, a close_notify the end of reading, all else the end of both.
func (c *Conn) readFailed(err error) error {
	if isTimeout(err) {
		return err
	}
	c.in.records.drop()
	if c.closed.Load() {
		err = net.ErrClosed
	}
	c.in.err = err
	if alert := (*AlertError)(nil); errors.As(err, &alert) {
		c.endWriting(err)
	}
	return err
}

// isTimeout reports whether reading may be tried again.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// Write writes application data. After an error, time-outs included, the
// connection takes no more.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	if c.out.err != nil {
		return 0, c.out.err
	}
	buf := getBuffer(min(len(b), maxPlaintext) + 2*sealOverhead)
	used, written := 0, 0
	defer func() { putBuffer(buf, used) }()
	for len(b) > 0 {
		n := min(len(b), maxPlaintext)
		flight, err := c.sealData(buf.b[:0], b[:n])
		used = max(used, len(flight))
		if err == nil {
			_, err = c.conn.Write(flight)
		} else {
			used = len(buf.b) // whatever was put there
		}
		if err != nil {
			if c.closed.Load() {
				err = net.ErrClosed
			}
			c.out.err = err
			return written, err
		}
		written += n
		b = b[n:]
	}
	return written, nil
}

// sealData appends the records of up to maxPlaintext bytes. Under TLS 1.0 and CBC
// the first byte goes alone, so that the rest is encrypted behind a block that no
// one could foresee (1/n-1 splitting against BEAST).
func (c *Conn) sealData(dst, data []byte) ([]byte, error) {
	p := c.out.protection
	if len(data) > 1 && p.cbc != nil && p.prefix == 0 && !c.config.NoRecordSplitting {
		var err error
		if dst, err = appendRecord(dst, p, recordApplication, c.version, data[:1], c.config.rand()); err != nil {
			return nil, err
		}
		data = data[1:]
	}
	return appendRecord(dst, p, recordApplication, c.version, data, c.config.rand())
}

// CloseWrite sends close_notify and leaves reading open. The handshake must be
// done. A second call does nothing.
func (c *Conn) CloseWrite() error {
	if !c.done.Load() {
		return errors.New("CloseWrite before the handshake")
	}
	c.out.Lock()
	defer c.out.Unlock()
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case errors.Is(c.out.err, ErrCloseWrite):
		return nil
	case c.out.err != nil:
		return c.out.err
	}
	err := c.sendCloseNotify()
	c.out.err = ErrCloseWrite
	return err
}

// Close sends close_notify if it can at once, and closes the connection
// underneath, which ends a Read or Write that waits. Further calls do nothing and
// return what the first returned.
func (c *Conn) Close() error {
	c.close.Do(func() {
		c.closed.Store(true)
		// A Write that holds the lock is cut short, and its peer sees a truncation.
		if c.done.Load() && c.out.TryLock() {
			if c.out.err == nil {
				_ = c.sendCloseNotify()
				c.out.err = net.ErrClosed
			}
			c.out.Unlock()
		}
		c.closeErr = c.conn.Close()
		// Give the buffer back; a Read that is under way does so itself.
		if c.done.Load() && c.in.TryLock() {
			c.in.records.drop()
			c.in.plain = nil
			c.in.Unlock()
		}
	})
	return c.closeErr
}

// LocalAddr is that of the connection underneath.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr is that of the connection underneath.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline sets both deadlines; they hold for the handshake too.
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline sets the deadline of reading.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// useless counts a record that brought nothing.
func (c *Conn) useless() error {
	c.in.useless++
	if c.in.useless > maxUseless {
		return failf(AlertUnexpectedMessage, "more than %d records without content", maxUseless)
	}
	return nil
}
