package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/integration/lab"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// A hunt looks for secrets in everything that the product leaves behind.
type hunt struct {
	needles []needle
	places  map[string][]byte
}

type needle struct {
	name string // never the secret
	form string
	text []byte
}

// add puts every form of one secret on the list.
func (h *hunt) add(name string, secret []byte) {
	if len(secret) < 6 || string(secret) == amt.FactoryPassword {
		return
	}
	for form, text := range forms(secret) {
		h.needles = append(h.needles, needle{name, form, text})
	}
}

// forms are the ways in which a secret might be written: as it is, in
// hexadecimal, in base64 at each of its three alignments, with dashes, in UTF-16.
func forms(secret []byte) map[string][]byte {
	all := map[string][]byte{
		"raw":    secret,
		"hex":    []byte(hex.EncodeToString(secret)),
		"HEX":    []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"dashed": []byte(amt.RevealPPS(amt.NewSecret(secret))),
	}
	for _, enc := range []struct {
		name string
		*base64.Encoding
	}{{"base64", base64.StdEncoding}, {"base64url", base64.URLEncoding}} {
		for shift := range 3 {
			padded := append(make([]byte, shift), secret...)
			text := enc.EncodeToString(padded[:len(padded)/3*3])
			if skip := (shift*8 + 5) / 6; len(text) > skip+7 {
				all[enc.name+string(rune('0'+shift))] = []byte(text[skip:])
			}
		}
	}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		little = append(little, byte(u), byte(u>>8))
		big = append(big, byte(u>>8), byte(u))
	}
	all["UTF-16LE"], all["UTF-16BE"] = little, big
	return all
}

// found lists where a needle is.
func (h *hunt) found() []string {
	var hits []string
	for place, text := range h.places {
		for _, n := range h.needles {
			if bytes.Contains(text, n.text) {
				hits = append(hits, n.name+" as "+n.form+" in "+place)
			}
		}
	}
	return hits
}

// privateKeys are how an unsealed private key would begin: PKCS#8 RSA after its
// length, PKCS#1 with a 2048-bit modulus, and PEM of any kind.
var privateKeys = [][]byte{
	{0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x04},
	{0x02, 0x01, 0x00, 0x02, 0x82, 0x01, 0x01, 0x00},
	[]byte("PRIVATE KEY"),
}

// TestFormsAreFound plants a secret in every form and wants each to be found.
func TestFormsAreFound(t *testing.T) {
	t.Parallel()
	secret := []byte("NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ")
	for form, text := range forms(secret) {
		h := &hunt{places: map[string][]byte{"planted": append(append([]byte("before "), text...), " behind"...)}}
		h.add("PPS", secret)
		if hits := h.found(); len(hits) == 0 {
			t.Errorf("a secret planted as %s was not found", form)
		}
	}
	// Anywhere within a longer base64 text.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString(append(append(make([]byte, shift), secret...), "tail"...))
		h := &hunt{places: map[string][]byte{"planted": []byte(text)}}
		h.add("PPS", secret)
		if len(h.found()) == 0 {
			t.Errorf("a secret within base64 at alignment %d was not found", shift)
		}
	}
}

// TestSecretsStayWithin provisions four devices with users, fails two more, and
// then looks for every secret in the store, the logs, the API's answers, the
// metrics and whatever else was written.
func TestSecretsStayWithin(t *testing.T) {
	t.Parallel()
	const devices = 6
	w := newWorld(t, devices)
	tmp := filepath.Join(w.Dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	server := w.serve(lab.ServerOptions{Env: []string{"TMPDIR=" + tmp}, Args: []string{"--log-level", "debug"}})
	w.scsctl(nil, "profile", "apply", "../docs/examples/full.yaml")
	w.scsctl(nil, "keys", "generate", "--count", "6", "--batch", "hunt", "--mebx-password", "random", "--profile", "full")
	usb := filepath.Join(w.Dir, "exempt-setup.bin")
	w.scsctl(nil, "usb", "write", "--batch", "hunt", "--out", usb)
	w.boot(usb, devices, fourGenerations(), func(o *amtsim.FleetOptions) {
		o.Troubles = []string{"4:wrong-pps", "5:SetAdminAclEntryEx=1"}
	})
	w.waitOperational(4, 60*time.Second)

	h := &hunt{places: map[string][]byte{}}
	w.collectSecrets(h)
	w.collectAnswers(h)
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	w.collectFiles(h)
	for _, hit := range h.found() {
		t.Error(hit)
	}
	for place, text := range h.places {
		for _, form := range privateKeys {
			if bytes.Contains(text, form) {
				t.Errorf("a private key lies open in %s", place)
			}
		}
	}
	if len(h.needles) < 100 || len(h.places) < 10 {
		t.Errorf("the hunt had %d needles and %d places: too few to mean anything", len(h.needles), len(h.places))
	}
}

// collectSecrets asks for every secret there is.
func (w *world) collectSecrets(h *hunt) {
	w.t.Helper()
	for pid := range w.pairs() {
		var k scsv1.RevealKeyResponse
		w.scsctl(&k, "keys", "reveal", pid, "--reason", "hunt")
		h.add("PPS of "+pid, []byte(strings.ReplaceAll(k.Pps, "-", "")))
		h.add("current password of "+pid, []byte(k.CurrentPassword))
		h.add("new password of "+pid, []byte(k.NewPassword))
	}
	for _, sim := range w.fleet.Devices() {
		truth := sim.Snapshot()
		if truth.Phase != amt.Operational {
			continue
		}
		var p scsv1.RevealDevicePasswordResponse
		w.scsctl(&p, "device", "password", truth.UUID.String(), "--reason", "hunt")
		for _, one := range p.Passwords {
			h.add(one.Version+" password of "+one.User, []byte(one.Password))
		}
		h.add("HA1 of admin", truth.AdminHA1.Reveal())
		for _, u := range truth.Users {
			h.add("HA1 of "+u.Name, u.HA1.Reveal())
		}
	}
	kek, err := os.ReadFile(w.Path("kek"))
	if err != nil {
		w.t.Fatal(err)
	}
	h.add("key-encryption key", bytes.TrimSpace(kek))
}

// collectAnswers takes what the API and the metrics say.
func (w *world) collectAnswers(h *hunt) {
	w.t.Helper()
	for _, args := range [][]string{
		{"keys", "list"},
		{"device", "list"},
		{"workflow", "list"},
		{"inbox", "list"},
		{"audit", "list"},
		{"profile", "show", "full"},
		{"profile", "list"},
		{"user", "list"},
		{"certificate", "list"},
		{"whoami"},
	} {
		for _, form := range []string{"json", "table"} {
			out, err := w.Run(context.WithoutCancel(w.t.Context()), append(args, "-o", form)...)
			if err != nil {
				w.t.Error(err)
			}
			h.places["scsctl "+strings.Join(args, " ")+" -o "+form] = out
		}
	}
	for _, sim := range w.fleet.Devices() {
		uuid := sim.Snapshot().UUID.String()
		if out, err := w.Run(context.WithoutCancel(w.t.Context()), "device", "show", uuid, "-o", "json"); err == nil {
			h.places["scsctl device show "+uuid] = out
		}
	}
	resp, err := http.Get("http://" + w.Addrs.Metrics + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if h.places["metrics"], err = io.ReadAll(resp.Body); err != nil {
		w.t.Fatal(err)
	}
}

// collectFiles reads every file below the lab's folder but the setup.bin, the
// key-encryption key and the administrator's own context file.
func (w *world) collectFiles(h *hunt) {
	w.t.Helper()
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		switch filepath.Base(path) {
		case "exempt-setup.bin", "kek", "admin.yaml":
			return nil
		case "core":
			w.t.Errorf("a core file: %s", path)
		}
		h.places[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, must := range []string{w.store(), w.Path("scsd.log")} {
		if len(h.places[must]) == 0 {
			w.t.Errorf("%s is empty: the hunt looked at nothing", must)
		}
	}
}
