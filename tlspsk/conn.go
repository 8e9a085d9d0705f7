package tlspsk

import (
	"context"
	"crypto"
	"crypto/x509"
	"net"
	"time"
)

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
	conn net.Conn
}

var _ net.Conn = (*Conn)(nil)

// Client is the client end over conn; nothing is sent before the handshake.
func Client(conn net.Conn, c *Config) *Conn { panic("not yet") }

// Server is the server end over conn.
func Server(conn net.Conn, c *Config) *Conn { panic("not yet") }

// Handshake is HandshakeContext without a context.
func (c *Conn) Handshake() error { return c.HandshakeContext(context.Background()) }

// HandshakeContext runs the handshake unless it was run before; Read and Write
// do so themselves. When ctx ends first the underlying connection is closed and
// the error wraps ctx.Err. Any error is final: the connection is of no use then
// and remains the caller's to close.
func (c *Conn) HandshakeContext(ctx context.Context) error { panic("not yet") }

// ConnectionState is what the handshake agreed on.
func (c *Conn) ConnectionState() State { panic("not yet") }

// NetConn is the connection underneath.
func (c *Conn) NetConn() net.Conn { return c.conn }

// Read reads application data. io.EOF means that the peer sent close_notify; a
// stream that ends without it is io.ErrUnexpectedEOF. After a time-out it can be
// called again and loses nothing.
func (c *Conn) Read(b []byte) (int, error) { panic("not yet") }

// Write writes application data. After an error, time-outs included, the
// connection takes no more.
func (c *Conn) Write(b []byte) (int, error) { panic("not yet") }

// CloseWrite sends close_notify and leaves reading open.
func (c *Conn) CloseWrite() error { panic("not yet") }

// Close sends close_notify if it can at once, and closes the connection
// underneath. Further calls do nothing and return what the first returned.
func (c *Conn) Close() error { panic("not yet") }

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

func (c *Config) decrypter() (crypto.Decrypter, error) { panic("not yet") }
