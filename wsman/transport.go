package wsman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// try is what the transport must know of the call under way; it travels in the
// request's context.
type try struct {
	ctx    context.Context // of the call, for Dial
	name   string
	repeat repeat
	body   []byte // the envelope to send
	answer []byte // the body of the last HTTP answer, whole
	// sent says that bytes of the current attempt reached a connection and that
	// the device has not said that it did not execute them.
	sent bool
	// mute says that the device closed the last attempt's connection without a
	// byte of an answer.
	mute bool
}

type tryKey struct{}

// dialError is an error of Config.Dial.
type dialError struct {
	err       error
	temporary bool
}

func (e *dialError) Error() string { return "connecting: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// newTransport speaks HTTP/1.1 over what Config.Dial returns, one connection at a
// time. GetBody is never set on its requests and no idempotency header either,
// so net/http repeats nothing by itself: what was sent is known here.
func (c *Client) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            c.dial,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxConnsPerHost:        1,
		MaxIdleConnsPerHost:    1,
		MaxIdleConns:           1,
		MaxResponseHeaderBytes: 32 << 10,
		IdleConnTimeout:        5 * time.Minute,
	}
}

// dial calls Config.Dial with the context of the call: net/http detaches the one
// it passes from cancellation.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if t, ok := ctx.Value(tryKey{}).(*try); ok {
		ctx = t.ctx
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	conn, err := c.cfg.Dial(ctx)
	if err != nil {
		_, network := errors.AsType[*net.OpError](err)
		return nil, &dialError{err: err, temporary: network || isTimeout(err)}
	}
	c.connections.Add(1)
	if c.cfg.Hooks.Connection != nil {
		c.cfg.Hooks.Connection()
	}
	return c.keep(conn)
}

// keep counts a connection and remembers it for Close.
func (c *Client) keep(conn net.Conn) (net.Conn, error) {
	counted := &countedConn{Conn: conn, c: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	c.open[counted] = struct{}{}
	return counted, nil
}

// isTimeout looks through all of err's chain: *url.Error looks one level deep.
func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Timeout()
}

// countedConn counts the bytes of HTTP. Bytes out are counted before they are
// written, so that a write under way counts as sent; those that the connection
// did not take are counted off again.
type countedConn struct {
	net.Conn
	c *Client
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.c.in.Add(int64(n))
	if err != nil {
		c.c.ioFailed.Store(true)
	}
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.c.out.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	if n < len(p) {
		c.c.out.Add(int64(n - len(p)))
	}
	if err != nil {
		c.c.ioFailed.Store(true)
	}
	return n, err
}

// Close closes the connection and forgets it.
func (c *countedConn) Close() error {
	c.c.mu.Lock()
	delete(c.c.open, c)
	c.c.mu.Unlock()
	return c.Conn.Close()
}

// loginTransport is the RoundTripper below the retries: it logs in, answers
// challenges, and reads the whole answer, so that every attempt has its own
// nonce count and an answer cut short is an error of the attempt.
type loginTransport struct{ c *Client }

// CloseIdleConnections lets http.Client reach the real transport.
func (l *loginTransport) CloseIdleConnections() { l.c.base.CloseIdleConnections() }

// RoundTrip makes one attempt, which is at most three requests: one without
// credentials if there is no nonce yet, and two with. The second with credentials
// is sent only if the first carried a nonce from before this attempt, which may
// have been forgotten, or if the device calls the nonce stale; any other 401 is
// ErrUnauthorized.
func (l *loginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close() // it is t.body
	t, ok := req.Context().Value(tryKey{}).(*try)
	if !ok {
		return nil, fmt.Errorf("%w: a request without a call", ErrArgument)
	}
	ctx, cancel := context.WithTimeout(req.Context(), l.c.cfg.Timeout)
	defer cancel()
	t.sent, t.mute = false, false
	old := l.c.login.nonce != ""
	logins := 0
	for {
		auth, err := l.c.login.header(req.Method, req.URL.Path, l.c.cfg.Rand)
		if err != nil {
			return nil, err
		}
		if auth != "" {
			logins++
		}
		resp, err := l.c.send(ctx, req, t, auth)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusServiceUnavailable {
			t.sent = false // it says that the call was not executed
		}
		if resp.StatusCode != http.StatusUnauthorized {
			return resp, nil
		}
		stale, err := l.c.challenged(resp.Header)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnexpectedReply, err)
		}
		if logins > 1 || logins == 1 && !old && !stale {
			return nil, ErrUnauthorized
		}
	}
}

// send makes one HTTP request and reads its whole answer.
func (c *Client) send(ctx context.Context, req *http.Request, t *try, auth string) (*http.Response, error) {
	out := req.Clone(ctx)
	out.Body, out.GetBody = io.NopCloser(bytes.NewReader(t.body)), nil
	out.ContentLength = int64(len(t.body))
	if auth != "" {
		out.Header.Set("Authorization", auth)
	}
	start, in, written := c.cfg.Now(), c.in.Load(), c.out.Load()
	c.ioFailed.Store(false)
	resp, err := c.base.RoundTrip(out)
	if err == nil {
		t.answer, err = c.readBody(resp)
	}
	t.sent = err == nil || c.out.Load() > written
	if err != nil {
		err = c.classify(ctx, t, err, c.in.Load() > in)
		resp = nil
	}
	c.count(t.name, c.cfg.Now().Sub(start), c.in.Load()-in, c.out.Load()-written, resp, err)
	return resp, err
}

// classify tells an answer that is no HTTP from a connection that failed: the
// first shows in no read or write error.
func (c *Client) classify(ctx context.Context, t *try, err error, answered bool) error {
	if _, ok := errors.AsType[*dialError](err); ok || ctx.Err() != nil {
		return err
	}
	if answered && !c.ioFailed.Load() && !errors.Is(err, ErrUnexpectedReply) {
		return fmt.Errorf("%w: not HTTP: %w", ErrUnexpectedReply, err)
	}
	t.mute = t.sent && !answered && !isTimeout(err)
	return err
}

// maxKept is the largest buffer that is kept for the next reply; most are below
// 2 KiB.
const maxKept = 16 << 10

// readBody reads the body, at most MaxReply, and replaces it by its bytes, which
// are good until the next request.
func (c *Client) readBody(resp *http.Response) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	if c.reply.Cap() > maxKept {
		c.reply = bytes.Buffer{}
	}
	c.reply.Reset()
	if _, err := c.reply.ReadFrom(io.LimitReader(resp.Body, c.cfg.MaxReply+1)); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(c.reply.Len()) > c.cfg.MaxReply {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrUnexpectedReply, c.cfg.MaxReply)
	}
	resp.Body = io.NopCloser(bytes.NewReader(c.reply.Bytes()))
	return c.reply.Bytes(), nil
}

// count keeps the statistics and calls the hooks.
func (c *Client) count(name string, took time.Duration, in, out int64, resp *http.Response, err error) {
	h := c.cfg.Hooks
	if h.Bytes != nil {
		h.Bytes(in, out)
	}
	if resp != nil {
		c.mu.Lock()
		c.server = shorten(printable(resp.Header.Get("Server")))
		c.mu.Unlock()
		if resp.StatusCode == http.StatusUnauthorized {
			c.challenges.Add(1)
			if h.Challenge != nil {
				h.Challenge()
			}
			return
		}
	}
	c.requests.Add(1)
	if h.Request != nil {
		h.Request(name, took, err)
	}
}

// challenged takes the challenge of a 401 over.
func (c *Client) challenged(h http.Header) (stale bool, err error) {
	stale, err = c.login.take(h)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.realm = c.login.realm
	return stale, nil
}

// checkRetry is the policy of repetition: HTTP 503, a refused connection, and a
// connection that failed under a call that may be repeated or of which nothing
// was sent. Never an answer, a refused login, a time-out, or a done context.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err == nil {
		return resp.StatusCode == http.StatusServiceUnavailable, nil
	}
	if errors.Is(err, ErrUnexpectedReply) || errors.Is(err, ErrUnauthorized) || isTimeout(err) {
		return false, nil
	}
	if d, ok := errors.AsType[*dialError](err); ok {
		return d.temporary, nil
	}
	t, ok := ctx.Value(tryKey{}).(*try)
	return ok && (t.repeat == again || !t.sent), nil
}

// backoff doubles from RetryWaitMin and honours Retry-After, both up to
// RetryWaitMax.
func backoff(low, high time.Duration, n int, resp *http.Response) time.Duration {
	return min(retryablehttp.DefaultBackoff(low, high, n, resp), high)
}
