package amtsim

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// accept serves the connections of ln until it is closed. clearText says that it
// is the port for HTTP without TLS.
func (d *Device) accept(ctx context.Context, ln net.Listener, clearText bool) {
	for {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if !sleep(ctx, 50*time.Millisecond) { // out of descriptors: try again
				return
			}
			continue
		}
		if !d.add(c) {
			refuseConn(c)
			continue
		}
		d.spawn(func() {
			defer d.remove(c)
			d.serve(ctx, c, clearText)
		})
	}
}

// add notes a connection, unless the device takes none now.
func (d *Device) add(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := d.opt.Limits.Connections
	switch {
	case d.main == nil, d.flash.Phase == amt.Factory, d.flash.Phase == amt.InSetup && d.windowOver():
		return false
	case limit > 0 && len(d.conns) >= limit:
		return false
	}
	d.conns[c] = struct{}{}
	return true
}

func (d *Device) remove(c net.Conn) {
	_ = c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// refuseConn closes a connection with a reset, as a closed port would.
func refuseConn(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// serve speaks TLS if it is due and then HTTP.
func (d *Device) serve(ctx context.Context, c net.Conn, clearText bool) {
	d.mu.Lock()
	tarpit := d.opt.Trouble.Tarpit
	inSetup := d.flash.Phase == amt.InSetup
	d.mu.Unlock()
	if tarpit {
		d.event(EventTrouble, nil, "tarpit for %v", c.RemoteAddr())
		_, _ = io.Copy(io.Discard, c) // until the peer or stop closes it
		return
	}
	inner := c
	if !clearText && (!inSetup || !d.opt.PlainSetup) {
		secure, err := d.secure(ctx, c, inSetup)
		if err != nil {
			d.event(EventHandshake, nil, "from %v: %v", c.RemoteAddr(), err)
			return
		}
		inner = secure
	}
	d.serveHTTP(ctx, c, inner)
}

// serveHTTP answers requests on inner, which is raw or TLS over it, one after the
// other.
func (d *Device) serveHTTP(ctx context.Context, raw, inner net.Conn) {
	br, _ := readers.Get().(*bufio.Reader)
	lim := &bounded{conn: inner}
	br.Reset(lim)
	defer func() {
		br.Reset(nil)
		readers.Put(br)
	}()
	for ctx.Err() == nil {
		_ = inner.SetReadDeadline(time.Now().Add(idleTimeout))
		req, err := readRequest(br, lim)
		if err != nil {
			if errors.Is(err, errBadRequest) || errors.Is(err, errTooLarge) {
				d.page(inner, map[bool]int{false: 400, true: 413}[errors.Is(err, errTooLarge)], "", "The request cannot be read.")
			}
			return
		}
		if !d.respond(ctx, raw, inner, req) {
			break
		}
	}
	_ = inner.Close() // with close_notify when it is TLS
}

// page sends an answer that is not SOAP.
func (d *Device) page(c net.Conn, code int, challenge, text string) {
	b := getBuffer()
	defer putBuffer(b)
	*b = appendPage(*b, code, d.opt.Generation.server(), challenge, text)
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = c.Write(*b)
}

// respond answers one request and reports whether the connection goes on.
func (d *Device) respond(ctx context.Context, raw, c net.Conn, req *httpRequest) bool {
	who, result := d.authenticate(req.authorization, req.method, req.uri)
	if result != loginGood {
		d.challenge(c, req, result)
		return false
	}
	switch {
	case !d.opt.Generation.WSMan || req.uri != httpPath:
		d.page(c, 404, "", "There is no such page.")
		return false
	case req.method != "POST":
		d.page(c, 405, "", "Only POST is taken here.")
		return false
	case !soapType(req.contentType):
		d.page(c, 415, "", "The content type is not SOAP.")
		return false
	}
	x := &exchange{conn: raw, user: who}
	r, f, v := d.answer(ctx, x, req.body)
	d.tell(x, f, v)
	if x.closing { // a commit or an unprovision, however it is answered
		d.event(EventPhase, nil, "%v", d.Phase())
	}
	if v == dropped {
		refuseConn(raw)
		return false
	}
	return d.send(ctx, c, x, r, f) && !x.closing && !req.close
}

// challenge answers 401 and closes, as devices do.
func (d *Device) challenge(c net.Conn, req *httpRequest, result loginResult) {
	d.mu.Lock()
	stale := "false"
	if result == loginStale && !d.opt.Trouble.StaleFalse {
		stale = "true"
	}
	value := `Digest realm="` + d.flash.Realm + `", nonce="` + d.ram.nonces.issue() + `",stale="` + stale + `",qop="auth"`
	d.mu.Unlock()
	if result == loginBad {
		d.event(EventLogin, nil, "from %v", c.RemoteAddr())
	}
	d.page(c, 401, value, "Log on failed.")
}

// send writes a reply or a fault; false ends the connection.
func (d *Device) send(ctx context.Context, c net.Conn, x *exchange, r *reply, f *fault) bool {
	d.mu.Lock()
	d.ram.messageID++
	id, now, t := d.ram.messageID, d.now(), d.opt.Trouble
	d.mu.Unlock()
	body, out := getBuffer(), getBuffer()
	defer putBuffer(body)
	defer putBuffer(out)
	code := 200
	if f != nil {
		code = f.http()
		*body = f.appendTo(*body, x.env.messageID, id)
	} else {
		*body = r.appendTo(*body, x.env.messageID, id)
		putBuffer(r.body)
	}
	if t.Garbage {
		*body = append((*body)[:0], "\x16\x03<<<this is no SOAP message&&&"...)
	}
	*out = appendSOAPHeader(*out, code, d.opt.Generation.server(), now)
	first := firstChunk
	if f != nil {
		first = len(*body) // recorded faults come in one
	}
	*out = appendChunks(*out, *body, first)
	if !t.Endless {
		*out = append(*out, lastChunk...)
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.Write(*out); err != nil {
		return false
	}
	if t.Endless {
		d.endless(ctx, c)
		return false
	}
	return true
}

// endless writes chunks until the peer has had enough.
func (d *Device) endless(ctx context.Context, c net.Conn) {
	d.event(EventTrouble, nil, "endless answer to %v", c.RemoteAddr())
	filler := make([]byte, 16<<10)
	for i := range filler {
		filler[i] = ' '
	}
	chunk := appendChunks(nil, filler, len(filler))
	for sleep(ctx, time.Millisecond) {
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// call is the entry of the log.
func (d *Device) call(x *exchange, f *fault, v verdict) Call {
	call := Call{At: d.opt.Now(), Class: x.className(), Op: x.op, Status: x.status}
	if x.op == "" { // refused before it was understood
		call.Class, call.Op = lastPart(x.env.resource), lastPart(x.env.action)
	}
	if f != nil {
		call.Fault = f.subcode
		call.Status = orDefault(call.Status, f.status)
	}
	if v == dropped {
		call.Fault = "dropped"
	}
	return call
}

// lastPart is what follows the last slash of a URI, cut to a readable length.
func lastPart(uri string) string {
	s := uri[strings.LastIndexByte(uri, '/')+1:]
	return s[:min(len(s), 64)]
}

// printable quotes s if it holds anything but printing ASCII.
func printable(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return strconv.Quote(s)
		}
	}
	return s
}

// tell reports the call as an event.
func (d *Device) tell(x *exchange, f *fault, v verdict) {
	if d.opt.OnEvent == nil {
		return
	}
	call, why := d.call(x, f, v), ""
	if f != nil {
		why = f.why
	}
	fields := map[string]any{"call": call.Name(), "status": uint32(call.Status)}
	text := printable(call.Name())
	if f == nil || f.status != Success {
		text += " " + call.Status.String()
	}
	if call.Fault != "" {
		fields["fault"] = call.Fault
		text += " " + call.Fault
	}
	if why != "" {
		fields["why"] = why
		text += " (" + why + ")"
	}
	d.event(EventCall, fields, "%s", text)
}
