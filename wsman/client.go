package wsman

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// Config says how to reach and log in to one device. Address and Dial are
// required; the zero value of the rest is useful.
type Config struct {
	// Address is the host:port of the Host header.
	Address string
	// Dial returns a connection on which HTTP can be spoken at once: TLS, if any,
	// is done. It is called again whenever the device has closed the last one.
	Dial func(ctx context.Context) (net.Conn, error)
	// User and Password log in by HTTP digest; User defaults to amt.AdminUser.
	User     string
	Password amt.Secret

	// RetryMax bounds the repetitions of one call; 0 means 3, negative none.
	RetryMax int
	// RetryWaitMin and RetryWaitMax bound the waits between them; 0 means 500 ms
	// and 5 s.
	RetryWaitMin, RetryWaitMax time.Duration
	// Timeout bounds one try of one call: dialling, both legs of a challenge and
	// the whole answer. 0 means 90 s (key generation is slow).
	Timeout time.Duration
	// IdleLimit is how long a connection may have been idle and still carry a call
	// that must not be repeated; an older one is replaced first. 0 means 10 s.
	IdleLimit time.Duration
	// MaxReply bounds a reply's body; 0 means 1 MiB.
	MaxReply int64
	// PSKForm is how SetTLSPSK writes PID and PPS; 0 means PSKBase64. Unverified.
	PSKForm PSKForm

	// Log gets call name, duration and outcome at debug level, never a body.
	Log *slog.Logger
	// Hooks are called as things happen.
	Hooks Hooks
	// Rand draws cnonces and message ids; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock of log lines and IdleLimit; nil means time.Now.
	Now func() time.Time
}

// Hooks count what a client does. Nil functions are skipped. They are called on
// the goroutine of the call and must not call the client.
type Hooks struct {
	// Request is called for each HTTP request that is not answered by 401, with
	// the call's name, its duration and its error.
	Request func(call string, took time.Duration, err error)
	// Challenge is called for each 401.
	Challenge func()
	// Connection is called for each connection that Dial returned.
	Connection func()
	// Bytes is called with the bytes above TLS, after each request.
	Bytes func(in, out int64)
}

// Stats are a client's counts since New.
type Stats struct {
	Requests    int64 // HTTP requests that were not answered by 401
	Challenges  int64 // 401 answers
	Connections int64 // connections dialled
	BytesIn     int64 // above TLS
	BytesOut    int64
}

// PSKForm is the form of PID and PPS in SetTLSPSK.
type PSKForm uint8

// The forms; unverified, see Config.PSKForm.
const (
	PSKBase64 PSKForm = 1 // base64 of the ASCII octets (octet string parameters)
	PSKPlain  PSKForm = 2 // the characters as text
)

// Client speaks to one device over one connection at a time. Its methods may be
// called from several goroutines; calls are done one after the other.
type Client struct{ cfg Config }

// New checks c and returns a client. It does not dial.
func New(c Config) (*Client, error) { panic("not yet") }

// SetCredentials replaces the login for the calls that follow. The nonce at
// hand is kept, so that the next call carries the new credentials and proves
// them; after ErrUnauthorized it also allows calls again.
func (c *Client) SetCredentials(user string, password amt.Secret) { panic("not yet") }

// Realm is the digest realm of the device's last challenge, "" before the first.
func (c *Client) Realm() string { panic("not yet") }

// Server is the Server header of the device's last answer, such as
// "Intel(R) Active Management Technology 11.8.50.3425".
func (c *Client) Server() string { panic("not yet") }

// Stats returns the counts so far.
func (c *Client) Stats() Stats { panic("not yet") }

// Close ends the connection and the calls under way. It may be called twice.
func (c *Client) Close() error { panic("not yet") }
