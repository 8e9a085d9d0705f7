package wsman

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/amtscs/amtscs/amt"
)

// Config says how to reach and log in to one device. Address and Dial are
// required; the zero value of the rest is useful.
type Config struct {
	// Address is the host:port of the Host header.
	Address string
	// Dial returns a connection on which HTTP can be spoken at once: TLS, if any,
	// is done. It is called again whenever the device has closed the last one, and
	// must return when ctx is done. Its errors are wrapped; a *net.OpError, such as
	// a refused connection, is retried.
	Dial func(ctx context.Context) (net.Conn, error)
	// User and Password log in by HTTP digest; User defaults to amt.AdminUser.
	User     string
	Password amt.Secret
	// Realm, if set, is the only one whose challenges are answered: nothing made of
	// the password goes to a stranger that names another. The error for others is
	// ErrUnexpectedReply.
	Realm string

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

	// Log gets call name, duration and outcome at debug level, never a body. Nil
	// logs nothing.
	Log *slog.Logger
	// Hooks are called as things happen.
	Hooks Hooks
	// Rand draws cnonces and message ids; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock of durations and IdleLimit; nil means time.Now.
	Now func() time.Time
}

// Hooks count what a client does. Nil functions are skipped. They are called on
// the goroutine of a call and must not call the client.
type Hooks struct {
	// Request is called for each HTTP request that is not answered by 401, with
	// the call's name, its duration and its transport error.
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

// Defaults of Config.
const (
	defaultRetryMax     = 3
	defaultRetryWaitMin = 500 * time.Millisecond
	defaultRetryWaitMax = 5 * time.Second
	defaultTimeout      = 90 * time.Second
	defaultIdleLimit    = 10 * time.Second
	defaultMaxReply     = 1 << 20
)

// Client speaks to one device over one connection at a time. Its methods may be
// called from several goroutines; calls are done one after the other, and wait
// for their turn no longer than their context. Close it after use.
type Client struct {
	cfg   Config
	url   string // of every request
	base  *http.Transport
	retry *retryablehttp.Client
	turn  chan struct{} // holds one token; whoever has it is the call under way
	life  context.Context
	end   context.CancelCauseFunc
	prefx [12]byte // of message ids

	// Used only by the call that has the turn.
	login    login
	lastID   uint32
	rejected bool      // credentials were refused: send nothing
	spoke    bool      // an envelope came from this device
	lastUse  time.Time // end of the last call
	reply    bytes.Buffer

	mu     sync.Mutex // Protects realm, server, fresh, open and closed.
	realm  string
	server string
	fresh  *credentials              // set by SetCredentials, taken by the next call
	open   map[*countedConn]struct{} // connections not closed yet
	closed bool

	ioFailed atomic.Bool // a read or write of a connection failed since the request began

	requests, challenges, connections, in, out atomic.Int64
}

type credentials struct {
	user     string
	password amt.Secret
}

// New checks c and returns a client. It does not dial.
func New(c Config) (*Client, error) {
	if c.Dial == nil || c.Address == "" {
		return nil, fmt.Errorf("%w: Config needs Address and Dial", ErrArgument)
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return nil, fmt.Errorf("%w: address: %w", ErrArgument, err)
	}
	if _, err := url.Parse(endpoint(c.Address)); err != nil {
		return nil, fmt.Errorf("%w: address: %w", ErrArgument, err)
	}
	if c.PSKForm > PSKPlain {
		return nil, fmt.Errorf("%w: PSKForm %d", ErrArgument, c.PSKForm)
	}
	c = c.withDefaults()
	cl := &Client{
		cfg: c, url: endpoint(c.Address), turn: make(chan struct{}, 1), open: map[*countedConn]struct{}{},
		login: login{user: c.User, password: c.Password, only: c.Realm},
	}
	if _, err := io.ReadFull(c.Rand, cl.prefx[:]); err != nil {
		return nil, fmt.Errorf("drawing message ids: %w", err)
	}
	cl.life, cl.end = context.WithCancelCause(context.Background())
	cl.base = cl.newTransport()
	cl.retry = &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     &loginTransport{c: cl},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     c.RetryMax,
		RetryWaitMin: c.RetryWaitMin,
		RetryWaitMax: c.RetryWaitMax,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return cl, nil
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if c.User == "" {
		c.User = amt.AdminUser
	}
	switch {
	case c.RetryMax == 0:
		c.RetryMax = defaultRetryMax
	case c.RetryMax < 0:
		c.RetryMax = 0
	}
	def(&c.RetryWaitMin, defaultRetryWaitMin)
	def(&c.RetryWaitMax, defaultRetryWaitMax)
	def(&c.Timeout, defaultTimeout)
	def(&c.IdleLimit, defaultIdleLimit)
	if c.MaxReply <= 0 {
		c.MaxReply = defaultMaxReply
	}
	if c.PSKForm == 0 {
		c.PSKForm = PSKBase64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// SetCredentials replaces the login for the calls that follow. The nonce at hand
// is kept, so that the next call carries the new credentials and proves them;
// after ErrUnauthorized it also allows calls again.
func (c *Client) SetCredentials(user string, password amt.Secret) {
	if user == "" {
		user = amt.AdminUser
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = &credentials{user, password}
}

// Realm is the digest realm of the device's last challenge, "" before the first.
func (c *Client) Realm() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.realm
}

// Server is the Server header of the device's last answer, such as
// "Intel(R) Active Management Technology 11.8.50.3425".
func (c *Client) Server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	return Stats{c.requests.Load(), c.challenges.Load(), c.connections.Load(), c.in.Load(), c.out.Load()}
}

// String names the device, so that a client may stand in a log line.
func (c *Client) String() string { return "wsman client of " + c.cfg.Address }

// GoString is String: a client holds secrets.
func (c *Client) GoString() string { return c.String() }

// Close ends the calls under way with ErrClosed, waits for them, and closes every
// connection. It may be called twice.
func (c *Client) Close() error {
	c.end(ErrClosed)
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.base.CloseIdleConnections()
	c.mu.Lock()
	c.closed = true // what is still being dialled is closed on arrival
	var open []*countedConn
	for conn := range c.open {
		open = append(open, conn)
	}
	c.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
	return nil
}
