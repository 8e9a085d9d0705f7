package tlspsk

import (
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// recordVersion is the version written into records: TLS 1.0 until one is agreed,
// which every peer reads.
func (c *Conn) recordVersion() uint16 {
	if c.version == 0 {
		return tls.VersionTLS10
	}
	return c.version
}

// readRecord reads one record and opens it. The payload is valid until the next
// call. The caller holds c.in, or runs the handshake.
func (c *Conn) readRecord() (uint8, []byte, error) {
	typ, version, length, err := c.in.records.header()
	if err != nil {
		return 0, nil, err
	}
	if err := c.checkHeader(typ, version, length); err != nil {
		return 0, nil, err
	}
	body, err := c.in.records.body(length)
	if err != nil {
		return 0, nil, err
	}
	p := c.in.protection
	if p == nil {
		return typ, body, nil
	}
	payload, err := p.open(typ, body)
	switch {
	case errors.Is(err, ErrRecord):
		return 0, nil, fail(AlertBadRecordMAC, err)
	case err != nil:
		return 0, nil, err
	case len(payload) > maxPlaintext:
		return 0, nil, failf(AlertRecordOverflow, "a record of %d bytes", len(payload))
	}
	return typ, payload, nil
}

// checkHeader refuses what cannot be a record of this connection before its body
// is read.
func (c *Conn) checkHeader(typ uint8, version uint16, length int) error {
	limit := maxPlaintext
	if c.in.protection != nil {
		limit = maxProtected
	}
	known := typ >= recordChangeCipherSpec && typ <= recordApplication
	// A peer that refuses a hello may not have taken up the version in it.
	early := typ == recordAlert && c.in.protection == nil && version>>8 == 3
	switch {
	case c.version == 0 && (!known || version>>8 != 3):
		return fmt.Errorf("%w: its first bytes are % x", ErrNotTLS, c.in.records.head)
	case !known:
		return failf(AlertUnexpectedMessage, "a record of type %d", typ)
	case c.version != 0 && version != c.version && !early:
		return failf(AlertProtocolVersion, "a record of version %#04x under %s", version, VersionName(c.version))
	case length > limit:
		return failf(AlertRecordOverflow, "a record of %d bytes", length)
	}
	return nil
}

// handshake is the state of a handshake that runs; it is dropped at its end.
type handshake struct {
	c          *Conn
	transcript transcript
	step       string // what is awaited or made, for errors
	keyed      bool   // a client's Finished was sent, or is awaited by a server

	suite                      *suite
	clientVersion              uint16 // the version of the ClientHello
	clientRandom, serverRandom [randomLen]byte
	master                     []byte
	next                       struct{ in, out *protection }
	flight                     []byte // records not yet written
}

// handshake runs either end and tells the peer of a failure.
func (c *Conn) handshake() error {
	if err := Usable(); err != nil {
		return err
	}
	if err := c.config.check(c.isClient); err != nil {
		return fmt.Errorf("TLS-PSK: %w", err)
	}
	h := &handshake{c: c}
	defer func() { clear(h.master) }()
	run := h.server
	if c.isClient {
		run = h.client
	}
	err := run()
	c.in.hand = nil
	c.in.records.settle()
	if err == nil {
		return nil
	}
	c.in.records.drop()
	c.endWriting(err)
	return fmt.Errorf("TLS-PSK handshake: %s: %w", h.step, h.explain(err))
}

// explain adds to err what it means at this point of the handshake.
func (h *handshake) explain(err error) error {
	var alert *AlertError
	meaning := error(nil)
	switch {
	case errors.As(err, &alert) && alert.FromPeer:
		meaning = h.meaning(alert.Alert)
	case h.keyed && errors.Is(err, ErrRecord):
		meaning = ErrKeyMismatch
	case h.keyed && h.c.isClient && isGone(err):
		meaning = ErrRefused
	}
	if meaning == nil {
		return err
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// meaning is what an alert of the peer says, nil if no more than its name.
func (h *handshake) meaning(a Alert) error {
	switch {
	case a == AlertUnknownPSKIdentity:
		return ErrUnknownIdentity
	case a == AlertProtocolVersion:
		return ErrNoSharedVersion
	case h.keyed && (a == AlertBadRecordMAC || a == AlertDecryptError || a == AlertDecryptionFailed):
		return ErrKeyMismatch
	case h.keyed && h.c.isClient:
		return ErrRefused
	case h.suite == nil && (a == AlertHandshakeFailure || a == AlertInsufficientSecurity):
		return ErrNoSharedSuite
	}
	return nil
}

// isGone reports whether err says that the peer ended the connection.
func isGone(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return false
	}
	var ne net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &ne) && !ne.Timeout()
}

// readContent reads the next record, which must be of the wanted type and not
// empty; harmless alerts are passed over. The content is valid until the next call.
func (h *handshake) readContent(want uint8) ([]byte, error) {
	for {
		typ, payload, err := h.c.readRecord()
		switch {
		case err != nil:
			return nil, err
		case typ == recordAlert:
			err := h.c.receiveAlert(payload)
			if errors.Is(err, io.EOF) {
				return nil, &AlertError{Alert: AlertCloseNotify, FromPeer: true}
			}
			if err != nil {
				return nil, err
			}
		case typ != want:
			return nil, failf(AlertUnexpectedMessage, "a record of type %d", typ)
		case len(payload) == 0:
			return nil, failf(AlertUnexpectedMessage, "an empty record of type %d", typ)
		default:
			h.c.in.useless = 0
			return payload, nil
		}
	}
}

// readMessage reads the next handshake message, whole, and adds all but a
// Finished to the transcript, whose sum must be taken before it.
func (h *handshake) readMessage() (typ uint8, body []byte, err error) {
	hand := &h.c.in.hand
	for {
		if len(*hand) >= 4 {
			head := *hand
			n := int(head[1])<<16 | int(binary.BigEndian.Uint16(head[2:]))
			if n > maxMessage {
				return 0, nil, failf(AlertIllegalParameter, "a %s of %d bytes", messageName(head[0]), n)
			}
			if len(head) >= 4+n {
				*hand = head[4+n:]
				if head[0] != typeFinished {
					h.transcript.write(head[:4+n])
				}
				return head[0], head[4 : 4+n : 4+n], nil
			}
		}
		payload, err := h.readContent(recordHandshake)
		if err != nil {
			return 0, nil, err
		}
		*hand = append(*hand, payload...)
	}
}

// expect is readMessage of one type.
func (h *handshake) expect(want uint8) ([]byte, error) {
	h.step = "reading the peer's " + messageName(want)
	typ, body, err := h.readMessage()
	if err != nil {
		return nil, err
	}
	if typ != want {
		return nil, unexpected(typ)
	}
	return body, nil
}

func unexpected(typ uint8) error {
	return failf(AlertUnexpectedMessage, "an unexpected %s (%d)", messageName(typ), typ)
}

// queue puts a handshake message into the flight and the transcript.
func (h *handshake) queue(message []byte) error {
	h.transcript.write(message)
	return h.queueRecord(recordHandshake, message)
}

// queueRecord puts one content into the flight, in as many records as it needs.
func (h *handshake) queueRecord(typ uint8, content []byte) error {
	for len(content) > 0 {
		n := min(len(content), maxPlaintext)
		flight, err := appendRecord(h.flight, h.c.out.protection, typ, h.c.recordVersion(), content[:n], h.c.config.rand())
		if err != nil {
			return err
		}
		h.flight, content = flight, content[n:]
	}
	return nil
}

// send writes the flight.
func (h *handshake) send() error {
	flight := h.flight
	h.flight = nil
	_, err := h.c.conn.Write(flight)
	return err
}

// random draws the 32 bytes of a hello: the clock in four, then randomness.
func (h *handshake) random() ([randomLen]byte, error) {
	var r [randomLen]byte
	binary.BigEndian.PutUint32(r[:], uint32(h.c.config.now().Unix()))
	return r, draw(h.c.config.rand(), r[4:])
}

// deriveKeys makes the master secret and both protections.
func (h *handshake) deriveKeys(pms []byte) error {
	v := h.c.version
	h.master = masterSecret(v, pms, h.clientRandom, h.serverRandom)
	k := deriveKeys(v, h.suite, h.master, h.clientRandom, h.serverRandom)
	defer clear(k.block)
	client, err := newProtection(v, h.suite, k.clientMAC, k.clientKey, k.clientIV, h.c.isClient)
	if err != nil {
		return err
	}
	server, err := newProtection(v, h.suite, k.serverMAC, k.serverKey, k.serverIV, !h.c.isClient)
	if err != nil {
		return err
	}
	h.next.in, h.next.out = client, server
	if h.c.isClient {
		h.next.in, h.next.out = server, client
	}
	return nil
}

// sendFinished switches writing to the new keys: ChangeCipherSpec, then Finished.
// It goes out with what was queued before.
func (h *handshake) sendFinished(label string) error {
	if err := h.queueRecord(recordChangeCipherSpec, []byte{1}); err != nil {
		return err
	}
	h.c.out.protection = h.next.out
	if err := h.queue(appendMessage(nil, typeFinished, h.transcript.finished(h.master, label))); err != nil {
		return err
	}
	return h.send()
}

// readFinished switches reading to the new keys and checks the peer's Finished,
// in this order alone: no message may stand across the switch.
func (h *handshake) readFinished(label string) error {
	h.step = "reading the peer's ChangeCipherSpec"
	if len(h.c.in.hand) != 0 {
		return failf(AlertUnexpectedMessage, "a handshake message across ChangeCipherSpec")
	}
	payload, err := h.readContent(recordChangeCipherSpec)
	if err != nil {
		return err
	}
	if len(payload) != 1 || payload[0] != 1 {
		return failf(AlertDecodeError, "malformed ChangeCipherSpec")
	}
	h.c.in.protection = h.next.in
	body, err := h.expect(typeFinished)
	if err != nil {
		return err
	}
	want := h.transcript.finished(h.master, label)
	if subtle.ConstantTimeCompare(body, want) != 1 {
		return failf(AlertDecryptError, "its Finished does not match what was said")
	}
	if len(h.c.in.hand) != 0 {
		return failf(AlertUnexpectedMessage, "a handshake message behind Finished")
	}
	h.transcript.write(appendMessage(nil, typeFinished, body))
	return nil
}

// refuseHandshake answers a handshake record after the handshake. A HelloRequest
// gets no_renegotiation and the connection goes on; all else ends it.
func (c *Conn) refuseHandshake(payload []byte) error {
	switch {
	case c.isClient && string(payload) == "\x00\x00\x00\x00":
		c.in.requests++
		if c.in.requests > maxRequests {
			return failf(AlertUnexpectedMessage, "more than %d HelloRequests", maxRequests)
		}
		// While a Write is busy the request is passed over, as it may be
		// (RFC 5246 section 7.4.1.1): Read must not wait for Write.
		if !c.out.TryLock() {
			return nil
		}
		defer c.out.Unlock()
		if c.out.err != nil {
			return nil
		}
		err := c.sendAlert(alertWarning, AlertNoRenegotiation)
		if err != nil {
			c.out.err = err
		}
		return nil
	case !c.isClient && len(payload) > 0 && payload[0] == typeClientHello:
		return fail(AlertNoRenegotiation, ErrRenegotiation)
	}
	return failf(AlertUnexpectedMessage, "a handshake message after the handshake")
}
