package provisioning

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// lockedBuffer is a log that goroutines share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// forms are the ways in which a secret could leak.
func forms(secret []byte) map[string][]byte {
	var wide []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	return map[string][]byte{
		"raw": secret, "hex": []byte(hex.EncodeToString(secret)), "HEX": bytes.ToUpper([]byte(hex.EncodeToString(secret))),
		"base64": []byte(base64.StdEncoding.EncodeToString(secret)), "UTF-16": wide,
	}
}

// allSecrets are every PPS, password and digest hash of the lab.
func (l *lab) allSecrets(devices []*amtsim.Device) map[string][]byte {
	l.t.Helper()
	found := map[string][]byte{}
	err := l.store.View(l.t.Context(), func(r kv.Reader) error {
		list, _, err := l.keys.List(r, keystore.Filter{}, keystore.Page{Size: 1000})
		for _, k := range list {
			s, serr := l.keys.Secrets(r, k.PID)
			if serr != nil {
				return serr
			}
			found["PPS of "+k.PID.String()] = s.PPS.Reveal()
			found["dashed PPS of "+k.PID.String()] = []byte(amt.RevealPPS(s.PPS))
			if s.NewPassword.Len() > 5 {
				found["password of "+k.PID.String()] = s.NewPassword.Reveal()
			}
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range devices {
		list, err := l.engine.Passwords(l.t.Context(), Act{Who: "lab"}, d.UUID())
		if err != nil {
			continue // it never proved itself
		}
		realm := d.Snapshot().Realm
		for _, p := range list {
			name := fmt.Sprintf("%s %s of %v", p.Account, p.Version, d.UUID())
			found[name] = p.Password.Reveal()
			sum := md5.Sum([]byte(p.Account + ":" + realm + ":" + string(p.Password.Reveal())))
			found["HA1 of "+name] = sum[:]
		}
	}
	return found
}

// TestNoSecretLeaks sets devices up, has some fail, and searches the store's file,
// the logs, the events and every answer for their secrets in every form.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	l := newLab(t, func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	l.apply("default", fullProfile+"mebx_password: {policy: fixed, value: \"Planted1!secret\"}\n")
	var devices []*amtsim.Device
	for i, p := range l.pairs(6) {
		text := []string{"latency=1ms", "SetMEBxPassword=2054", "SetAdminAclEntryEx=36", "AddUserAclEntryEx=2055", "SetTLSPSK=43", "wrong-pps"}[i]
		d := l.device(p, amtsim.AMT90, trouble(t, text))
		l.boot(d)
		devices = append(devices, d)
	}
	for _, d := range devices[:5] {
		l.await(d.UUID(), "at its end", func(dev Device) bool { return dev.Status == Failed || dev.Status == Done })
	}
	l.inboxRow(devices[5].UUID(), KeyMismatch)
	secrets := l.allSecrets(devices)
	secrets["the fixed password"] = []byte("Planted1!secret")
	if len(secrets) < 25 {
		t.Fatalf("only %d secrets to look for", len(secrets))
	}
	file, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{"the store's file": file, "the log": log.bytes(), "the answers": l.answers()}
	for where, b := range places {
		for name, secret := range secrets {
			for form, want := range forms(secret) {
				if bytes.Contains(b, want) {
					t.Errorf("%s holds %s (%s)", where, name, form)
				}
			}
		}
	}
	pid := devices[0].UUID().String()
	if !bytes.Contains(places["the log"], []byte(pid)) || !bytes.Contains(places["the answers"], []byte(pid)) {
		t.Error("the search looks in the wrong place: not even a UUID is there")
	}
}

// answers are everything that the engine tells without being asked for secrets.
func (l *lab) answers() []byte {
	l.t.Helper()
	ctx := l.t.Context()
	devices, err1 := l.engine.Devices(ctx, DeviceFilter{}, Page{})
	flows, _, err2 := l.engine.Workflows(ctx, WorkflowFilter{}, Page{})
	rows, _, err3 := l.engine.Inbox(ctx, InboxFilter{}, Page{})
	prof, err4 := l.engine.Profile(ctx, "default")
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			l.t.Fatal(err)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, v := range []any{devices, flows, rows, prof, l.events(amt.UUID{})} {
		if err := enc.Encode(v); err != nil {
			l.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", v)
	}
	for _, d := range devices.Devices {
		b.WriteString(d.UUID.String())
	}
	return b.Bytes()
}
