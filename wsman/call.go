package wsman

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/hashicorp/go-retryablehttp"
)

// call sends q when its turn comes and has read take the checked reply.
func (c *Client) call(ctx context.Context, q *request, read func(*reply) error) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: waiting for its turn: %w", q.name, ctx.Err())
	case <-c.life.Done():
		return fmt.Errorf("%s: %w", q.name, ErrClosed)
	}
	defer func() { <-c.turn }()
	start := c.cfg.Now()
	r, err := c.exchange(ctx, q)
	if err == nil {
		err = q.wrap(read(r))
	}
	c.lastUse = c.cfg.Now()
	if c.cfg.Log.Enabled(ctx, slog.LevelDebug) {
		c.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "wsman call", slog.String("call", q.name),
			slog.Duration("took", c.lastUse.Sub(start)), slog.String("outcome", outcome(err)))
	}
	return err
}

// exchange is call without the turn and the log.
func (c *Client) exchange(ctx context.Context, q *request) (*reply, error) {
	if c.life.Err() != nil {
		return nil, fmt.Errorf("%s: %w", q.name, ErrClosed)
	}
	c.takeCredentials()
	if c.rejected {
		return nil, fmt.Errorf("%s: not sent: %w", q.name, ErrUnauthorized)
	}
	id := c.messageID()
	body, err := q.encode(id)
	if err != nil {
		return nil, err
	}
	if q.repeat == once && c.cfg.Now().Sub(c.lastUse) > c.cfg.IdleLimit {
		c.base.CloseIdleConnections()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.life, func() { cancel(ErrClosed) })()
	t := &try{ctx: ctx, name: q.name, repeat: q.repeat, body: body}
	resp, err := c.post(context.WithValue(ctx, tryKey{}, t), body)
	if err != nil {
		return nil, c.failed(ctx, q, t, err)
	}
	return c.judge(q, id, resp.StatusCode, t.answer)
}

// takeCredentials puts those of SetCredentials in force.
func (c *Client) takeCredentials() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh != nil {
		c.login.set(c.fresh.user, c.fresh.password)
		c.fresh, c.rejected = nil, false
	}
}

// messageID draws the next id: unique to this client and message, so that an
// answer to another message is noticed. DSP0226 R5.4.2 wants the uuid: form.
func (c *Client) messageID() string {
	c.lastID++
	var b [16]byte
	copy(b[:], c.prefx[:])
	binary.BigEndian.PutUint32(b[12:], c.lastID)
	return fmt.Sprintf("uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// post sends the envelope through the retries.
func (c *Client) post(ctx context.Context, body []byte) (*http.Response, error) {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, c.url, body)
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // nothing below the retries may send it again
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "amtscs")
	return c.retry.Do(req)
}

// endpoint is the URL of WS-Man at an address. Its scheme says http because TLS
// lies below Config.Dial.
func endpoint(address string) string {
	u := url.URL{Scheme: "http", Host: address, Path: path}
	return u.String()
}

// failed turns the error of a call that got no HTTP answer into the package's.
func (c *Client) failed(ctx context.Context, q *request, t *try, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	unauthorized := errors.Is(err, ErrUnauthorized)
	if unauthorized {
		c.rejected, c.login.nonce = true, ""
	}
	switch {
	case q.repeat == once && t.sent:
		return fmt.Errorf("%s: %w: %w", q.name, ErrLost, err)
	case errors.Is(context.Cause(ctx), ErrClosed):
		return fmt.Errorf("%s: %w", q.name, ErrClosed)
	case unauthorized, ctx.Err() != nil, errors.Is(err, ErrUnexpectedReply):
		return fmt.Errorf("%s: %w", q.name, err)
	case t.mute && !c.spoke:
		return fmt.Errorf("%s: %w: it closes the connection without an answer: %w", q.name, ErrNoWSMan, err)
	}
	return fmt.Errorf("%s: %w: %w", q.name, ErrUnreachable, err)
}

// judge reads an HTTP answer.
func (c *Client) judge(q *request, id string, status int, body []byte) (*reply, error) {
	switch {
	case status == http.StatusServiceUnavailable:
		return nil, fmt.Errorf("%s: %w", q.name, ErrBusy)
	case status == http.StatusNotFound && !c.spoke:
		return nil, fmt.Errorf("%s: %w: HTTP 404 at %s", q.name, ErrNoWSMan, path)
	}
	r, err := parseReply(body)
	if err != nil {
		return nil, q.wrap(fmt.Errorf("%s: HTTP %d: %w", q.name, status, err))
	}
	c.spoke = true
	if err := r.check(q, id, status); err != nil {
		return nil, q.wrap(err)
	}
	return r, nil
}

// wrap adds ErrLost to an unusable answer to a call that must not be repeated.
func (q *request) wrap(err error) error {
	if q.repeat == once && errors.Is(err, ErrUnexpectedReply) && !errors.Is(err, ErrLost) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// outcome is what a log line says of a call: never a device's text.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if s, ok := errors.AsType[*StatusError](err); ok {
		return "return value " + s.Status.String()
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return fmt.Sprintf("fault on HTTP %d, %s", f.Status, f.PTStatus)
	}
	for _, e := range []error{ErrLost, ErrUnauthorized, ErrUnexpectedReply, ErrNoWSMan, ErrUnreachable, ErrBusy, ErrClosed, ErrArgument, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return "failed"
}
