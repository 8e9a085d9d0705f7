package tlspsk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// attack is a peer that does not keep to the protocol. Its script plays the other
// end with the pieces of the real one; then the victim's alert is read.
type attack struct {
	name   string
	script func(h *handshake) error
	want   error // of the victim
	alert  Alert // that the victim sends
}

// noAlert stands for a victim that sends none.
const noAlert Alert = 255

// errPeerAlert, as want, stands for any AlertError that came from the attacker.
var errPeerAlert = errors.New("an alert of the peer")

// raw sends one record as it is, empty ones too.
func (h *handshake) raw(typ uint8, content string) error {
	record, err := appendRecord(nil, h.c.out.protection, typ, h.c.recordVersion(), []byte(content), h.c.config.rand())
	if err != nil {
		return err
	}
	_, err = h.c.conn.Write(record)
	return err
}

// bare sends bytes.
func (h *handshake) bare(b string) error {
	_, err := h.c.conn.Write([]byte(b))
	return err
}

// steps runs functions until one fails.
func steps(list ...func() error) error {
	for _, f := range list {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// times repeats f.
func times(n int, f func() error) func() error {
	return func() error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}

// sawAlert reads until the victim's alert.
func (h *handshake) sawAlert() (Alert, error) {
	for range 100 {
		typ, payload, err := h.c.readRecord()
		if err != nil {
			return noAlert, err
		}
		if typ == recordAlert && len(payload) == 2 && Alert(payload[1]) != AlertCloseNotify {
			return Alert(payload[1]), nil
		}
	}
	return noAlert, errors.New("no alert in 100 records")
}

// run lets the attack meet a victim that shakes hands and reads to the end.
func (a *attack) run(t *testing.T, victimIsClient bool) {
	t.Helper()
	client, server := configs(t)
	c, v := connPair(t, client, server)
	victim, enemy := c, v
	if !victimIsClient {
		victim, enemy = v, c
	}
	type verdict struct {
		alert Alert
		err   error
	}
	done := make(chan verdict, 1)
	go func() {
		h := &handshake{c: enemy}
		if err := a.script(h); err != nil {
			done <- verdict{noAlert, fmt.Errorf("script: %w", err)}
			return
		}
		alert, err := h.sawAlert()
		done <- verdict{alert, err}
	}()
	got, err := io.ReadAll(victim)
	_ = victim.Close()
	if len(got) != 0 && string(got) != "data" {
		t.Errorf("the victim read %q", got)
	}
	var alert *AlertError
	if a.want == errPeerAlert && errors.As(err, &alert) && alert.FromPeer {
		err = errPeerAlert
	}
	if !errors.Is(err, a.want) {
		t.Errorf("the victim says %v, want %v", err, a.want)
	}
	if d := <-done; d.alert != a.alert {
		t.Errorf("the victim sent %v, want %v (%v)", d.alert, a.alert, d.err)
	}
}

func runAttacks(t *testing.T, victimIsClient bool, list []attack) {
	t.Helper()
	for _, a := range list {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			a.run(t, victimIsClient)
		})
	}
}

// afterHello plays a server up to and including ServerHello, not yet flushed.
func (h *handshake) afterHello() error { return h.readClientHello() }

// flushed writes what is queued.
func (h *handshake) flushed(message []byte) func() error {
	return func() error {
		if message != nil {
			if err := h.queue(message); err != nil {
				return err
			}
		}
		return h.send()
	}
}

// hello answers a ClientHello with a changed ServerHello.
func hello(change func(m *serverHello)) func(h *handshake) error {
	return func(h *handshake) error {
		if err := h.readClientHello(); err != nil {
			return err
		}
		h.flight = nil
		m := serverHello{version: h.c.version, suite: h.suite.id}
		change(&m)
		return h.flushed(m.append(nil))()
	}
}

// behindHello answers with a good ServerHello and then this message.
func behindHello(message []byte) func(h *handshake) error {
	return func(h *handshake) error {
		return steps(h.afterHello, h.flushed(message))
	}
}

// atFinished plays a server up to its ChangeCipherSpec and then the tail.
func atFinished(tail func(h *handshake) error) func(h *handshake) error {
	return func(h *handshake) error {
		return steps(h.readClientHello, h.sendServerFlight, h.readClientKey,
			func() error { return h.readFinished(labelClientFinished) },
			func() error { return tail(h) })
	}
}

// afterHandshake plays a whole server and then the tail.
func afterHandshake(tail func(h *handshake) error) func(h *handshake) error {
	return func(h *handshake) error { return steps(h.server, func() error { return tail(h) }) }
}

// changed sends ChangeCipherSpec and switches.
func (h *handshake) changed() error {
	if err := h.raw(recordChangeCipherSpec, "\x01"); err != nil {
		return err
	}
	h.c.out.protection = h.next.out
	return nil
}

// raws is a script that sends records of one type.
func raws(typ uint8, contents ...string) func(h *handshake) error {
	return func(h *handshake) error {
		for _, c := range contents {
			if err := h.raw(typ, c); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestHostileServerHello(t *testing.T) {
	t.Parallel()
	ri := extension{extRenegotiationInfo, []byte{0}}
	runAttacks(t, true, []attack{
		{"not offered suite", hello(func(m *serverHello) { m.suite = 0x002F }), ErrNoPSK, AlertIllegalParameter},
		{"weak suite that is off", hello(func(m *serverHello) { m.suite = SuiteRC4 }), ErrNoPSK, AlertIllegalParameter},
		{"the SCSV as suite", hello(func(m *serverHello) { m.suite = scsvRenegotiation }), ErrNoPSK, AlertIllegalParameter},
		{"SSL 3.0", hello(func(m *serverHello) { m.version = 0x0300 }), ErrNoSharedVersion, AlertProtocolVersion},
		{"TLS 1.3", hello(func(m *serverHello) { m.version = 0x0304 }), ErrNoSharedVersion, AlertProtocolVersion},
		{"compression", hello(func(m *serverHello) { m.compression = 1 }), ErrProtocol, AlertIllegalParameter},
		{"extension not asked for", hello(func(m *serverHello) { m.extensions = []extension{{23, nil}} }), ErrProtocol, AlertUnsupportedExtension},
		{"renegotiation data", hello(func(m *serverHello) { m.extensions = []extension{{extRenegotiationInfo, []byte{1, 2}}} }), ErrProtocol, AlertHandshakeFailure},
		{"renegotiation_info twice", hello(func(m *serverHello) { m.extensions = []extension{ri, ri} }), ErrProtocol, AlertDecodeError},
		{"record of another version behind it", func(h *handshake) error {
			return steps(h.afterHello, h.flushed(nil), func() error { return h.bare("\x16\x03\x01\x00\x04\x0e\x00\x00\x00") })
		}, ErrProtocol, AlertProtocolVersion},
	})
}

func TestHostileServerFlight(t *testing.T) {
	t.Parallel()
	done := appendMessage(nil, typeServerHelloDone, nil)
	ske := appendServerKeyExchange(nil, []byte("hint"))
	runAttacks(t, true, []attack{
		{"ServerHello twice", behindHello((&serverHello{}).append(nil)), ErrProtocol, AlertUnexpectedMessage},
		{"ServerKeyExchange twice", behindHello(bytes.Repeat(ske, 2)), ErrProtocol, AlertUnexpectedMessage},
		{"certificate for plain PSK", behindHello(appendCertificate(nil, nil)), ErrNoPSK, AlertUnexpectedMessage},
		{"CertificateRequest", behindHello(appendMessage(nil, 13, []byte{1, 1, 0, 0})), ErrProtocol, AlertUnexpectedMessage},
		{"ServerHelloDone with a body", behindHello(appendMessage(nil, typeServerHelloDone, []byte{0})), ErrProtocol, AlertDecodeError},
		{"Finished behind ServerHelloDone", behindHello(append(done, 20, 0, 0, 12)), ErrProtocol, AlertUnexpectedMessage},
		{"HelloRequest", behindHello(appendMessage(nil, typeHelloRequest, nil)), ErrProtocol, AlertUnexpectedMessage},
		{"ClientHello", behindHello(appendMessage(nil, typeClientHello, nil)), ErrProtocol, AlertUnexpectedMessage},
		{"Finished", behindHello(appendMessage(nil, typeFinished, make([]byte, 12))), ErrProtocol, AlertUnexpectedMessage},
		{"overlong message", behindHello([]byte{typeServerKeyExchange, 0, 0x40, 1}), ErrProtocol, AlertIllegalParameter},
		{"16 MiB message", behindHello([]byte{typeServerKeyExchange, 0xFF, 0xFF, 0xFF}), ErrProtocol, AlertIllegalParameter},
		{"hint past its end", behindHello(appendMessage(nil, typeServerKeyExchange, []byte{0, 5, 1})), ErrProtocol, AlertDecodeError},
		{"ChangeCipherSpec too early", func(h *handshake) error {
			return steps(h.afterHello, h.flushed(nil), func() error { return h.raw(recordChangeCipherSpec, "\x01") })
		}, ErrProtocol, AlertUnexpectedMessage},
		{"data too early", func(h *handshake) error {
			return steps(h.afterHello, h.flushed(nil), func() error { return h.raw(recordApplication, "data") })
		}, ErrProtocol, AlertUnexpectedMessage},
		{"ChangeCipherSpec within a message", func(h *handshake) error {
			return steps(h.afterHello, h.flushed(nil),
				func() error { return h.raw(recordHandshake, "\x0e\x00") },
				func() error { return h.raw(recordChangeCipherSpec, "\x01") })
		}, ErrProtocol, AlertUnexpectedMessage},
	})
}

func TestHostileFirstRecord(t *testing.T) {
	t.Parallel()
	warning := func(h *handshake) error { return h.raw(recordAlert, "\x01\x5a") }
	for _, victimIsClient := range []bool{true, false} {
		t.Run(fmt.Sprintf("client=%v", victimIsClient), func(t *testing.T) {
			t.Parallel()
			list := []attack{
				{"empty handshake record", raws(recordHandshake, ""), ErrProtocol, AlertUnexpectedMessage},
				{"empty alert", raws(recordAlert, ""), ErrProtocol, AlertDecodeError},
				{"half an alert", raws(recordAlert, "\x02"), ErrProtocol, AlertDecodeError},
				{"two alerts in a record", raws(recordAlert, "\x01\x5a\x01\x5a"), ErrProtocol, AlertDecodeError},
				{"alert of no level", raws(recordAlert, "\x03\x28"), ErrProtocol, AlertDecodeError},
				{"data", raws(recordApplication, "data"), ErrProtocol, AlertUnexpectedMessage},
				{"ChangeCipherSpec", raws(recordChangeCipherSpec, "\x01"), ErrProtocol, AlertUnexpectedMessage},
				{"Finished", raws(recordHandshake, "\x14\x00\x00\x00"), ErrProtocol, AlertUnexpectedMessage},
				{"unknown message", raws(recordHandshake, "\x63\x00\x00\x00"), ErrProtocol, AlertUnexpectedMessage},
				{"record too long", func(h *handshake) error { return h.bare("\x16\x03\x01\x40\x01") }, ErrProtocol, AlertRecordOverflow},
				{"another type of record", func(h *handshake) error { return h.bare("\x18\x03\x01\x00\x01") }, ErrNotTLS, noAlert},
				{"flood of warnings", func(h *handshake) error {
					return times(maxUseless+1, func() error { return warning(h) })()
				}, ErrProtocol, AlertUnexpectedMessage},
			}
			runAttacks(t, victimIsClient, list)
		})
	}
}

func TestHostileFinished(t *testing.T) {
	t.Parallel()
	finished := func(h *handshake, label string) []byte {
		return appendMessage(nil, typeFinished, h.transcript.finished(h.master, label))
	}
	protected := func(typ uint8, content string) func(h *handshake) error {
		return atFinished(func(h *handshake) error {
			return steps(h.changed, func() error { return h.raw(typ, content) })
		})
	}
	runAttacks(t, true, []attack{
		{"plain Finished without ChangeCipherSpec", atFinished(func(h *handshake) error {
			return h.raw(recordHandshake, string(finished(h, labelServerFinished)))
		}), ErrProtocol, AlertUnexpectedMessage},
		{"plain Finished behind ChangeCipherSpec", atFinished(func(h *handshake) error {
			return steps(func() error { return h.raw(recordChangeCipherSpec, "\x01") },
				func() error { return h.raw(recordHandshake, string(finished(h, labelServerFinished))) })
		}), ErrKeyMismatch, AlertBadRecordMAC},
		{"ChangeCipherSpec of two bytes", atFinished(raws(recordChangeCipherSpec, "\x01\x01")), ErrProtocol, AlertDecodeError},
		{"ChangeCipherSpec of another value", atFinished(raws(recordChangeCipherSpec, "\x02")), ErrProtocol, AlertDecodeError},
		{"plain data without ChangeCipherSpec", atFinished(raws(recordApplication, "data")), ErrProtocol, AlertUnexpectedMessage},
		{"empty ChangeCipherSpec", atFinished(raws(recordChangeCipherSpec, "")), ErrProtocol, AlertUnexpectedMessage},
		{"ChangeCipherSpec twice", protected(recordChangeCipherSpec, "\x01"), ErrProtocol, AlertUnexpectedMessage},
		{"data before Finished", protected(recordApplication, "data"), ErrProtocol, AlertUnexpectedMessage},
		{"the client's Finished", atFinished(func(h *handshake) error {
			return steps(h.changed, func() error { return h.raw(recordHandshake, string(finished(h, labelClientFinished))) })
		}), ErrProtocol, AlertDecryptError},
		{"empty Finished", protected(recordHandshake, "\x14\x00\x00\x00"), ErrProtocol, AlertDecryptError},
		{"short Finished", protected(recordHandshake, "\x14\x00\x00\x01\x00"), ErrProtocol, AlertDecryptError},
		{"HelloRequest before Finished", protected(recordHandshake, "\x00\x00\x00\x00"), ErrProtocol, AlertUnexpectedMessage},
		{"a message behind Finished", atFinished(func(h *handshake) error {
			return steps(h.changed, func() error {
				return h.raw(recordHandshake, string(finished(h, labelServerFinished))+"\x00\x00\x00\x00")
			})
		}), ErrProtocol, AlertUnexpectedMessage},
		{"close_notify for an answer", atFinished(raws(recordAlert, "\x01\x00")), ErrRefused, noAlert},
		{"handshake_failure for an answer", atFinished(raws(recordAlert, "\x02\x28")), ErrRefused, noAlert},
		{"decrypt_error for an answer", atFinished(raws(recordAlert, "\x02\x33")), ErrKeyMismatch, noAlert},
		{"decryption_failed for an answer", atFinished(raws(recordAlert, "\x02\x15")), ErrKeyMismatch, noAlert},
		{"unknown_psk_identity as a warning", atFinished(raws(recordAlert, "\x01\x73")), ErrUnknownIdentity, noAlert},
	})
}
