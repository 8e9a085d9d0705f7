package wsman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mishap is what may happen to one request of a call.
type mishap uint8

const (
	fine       mishap = 0
	dropBefore mishap = 1 // closed before the device carries the call out
	dropAfter  mishap = 2 // carried out, no answer
	cutAnswer  mishap = 3 // carried out, half an answer
	nonceGone  mishap = 4 // 401 with another nonce
	busy       mishap = 5 // 503
	garbage    mishap = 6 // carried out, an answer that is none
	refused    mishap = 7 // answered with a fault
	closeAfter mishap = 8 // carried out, answered, closed
)

// TestAtMostOnce plays random mishaps against calls that must not be repeated and
// calls that may be. Whatever happens: the first are carried out at most once; a
// nil error means that the call was carried out; an error that is not ErrLost
// means that it was not.
func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client(func(c *Config) { c.RetryWaitMin, c.RetryWaitMax = time.Microsecond, time.Microsecond })
	warm(t, d, c)
	n, seen := 0, map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		n++
		mishaps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) mishap { return mishap(rapid.IntRange(0, 8).Draw(rt, "mishap")) }), 1, 6).Draw(rt, "mishaps")
		repeatable := rapid.Bool().Draw(rt, "repeatable")
		class, method := fmt.Sprintf("AMT_R%d", n), "SetThing"
		if repeatable {
			method = "GetThing"
		}
		d.play(class, method, mishaps)
		c.SetCredentials("", testSecret) // lifts the stop of a refused login
		_, err := c.Invoke(context.Background(), Input(class, method))
		done, sent := d.carriedOut(class + "." + method)
		fault, isFault := errors.AsType[*Fault](err)
		switch {
		case !repeatable && sent > 1+strings.Count(fmt.Sprint(mishaps), "5"):
			rt.Fatalf("sent %d times: %v, error %v", sent, mishaps, err)
		case !repeatable && done > 1:
			rt.Fatalf("carried out %d times: %v, error %v", done, mishaps, err)
		case err == nil && done == 0:
			rt.Fatalf("no error and not carried out: %v", mishaps)
		case !repeatable && err != nil && !errors.Is(err, ErrLost) && done > 0:
			rt.Fatalf("carried out, error %v: %v", err, mishaps)
		case repeatable && errors.Is(err, ErrLost):
			rt.Fatalf("a read is lost: %v", err)
		case isFault && fault.PTStatus != 16:
			rt.Fatalf("another fault: %v", err)
		}
		seen[outcome(err)]++
	})
	if len(seen) < 4 {
		t.Errorf("too few kinds of outcomes: %v", seen)
	}
}

// play scripts the answers to a call; after the last mishap everything is fine.
func (d *device) play(class, method string, mishaps []mishap) {
	ok := answer{xml: outputXML(class, method)}
	script := map[mishap]answer{
		fine: ok, dropBefore: {drop: true}, dropAfter: {drop: true}, closeAfter: {xml: ok.xml, close: true},
		cutAnswer: {raw: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<?xml", close: true},
		busy:      {status: 503, text: "busy"}, garbage: {text: "<html>"}, refused: {status: 500, xml: faultXML("e:InternalError", "no", "AMT-STATUS 16")},
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	call := class + "." + method
	d.mishaps[call] = append(append([]mishap(nil), mishaps...), fine)
	for _, m := range d.mishaps[call] {
		if m != nonceGone {
			d.scripts[call] = append(d.scripts[call], script[m])
		}
	}
}

// expire forgets the nonce if that is the next mishap of the call.
func (d *device) expire(call string) {
	if q := d.mishaps[call]; len(q) > 0 && q[0] == nonceGone {
		d.mishaps[call] = q[1:]
		d.nonce++
		d.used = map[string]bool{}
	}
}

// carriedOut reports how often a call of play was carried out, and how often it
// came with a valid login.
func (d *device) carriedOut(call string) (done, sent int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seen {
		if s.call != call {
			continue
		}
		sent++
		q := d.mishaps[call]
		m := fine
		for len(q) > 0 {
			m, q = q[0], q[1:]
			if m != nonceGone {
				break
			}
		}
		d.mishaps[call] = q
		if m != dropBefore && m != busy && m != refused {
			done++
		}
	}
	return done, sent
}

// TestSlowAnswers sends an answer byte by byte.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	warm(t, d, c)
	d.set(func(d *device) { d.slow = true })
	d.on(callGet, general)
	g, err := c.GeneralSettings(t.Context())
	if err != nil || g.HostName() != "pc1" {
		t.Errorf("got %v, %v", g, err)
	}
}

// trickle writes b a byte at a time.
func trickle(w io.Writer, b []byte) {
	for i := range b {
		if _, err := w.Write(b[i : i+1]); err != nil {
			return
		}
	}
}
