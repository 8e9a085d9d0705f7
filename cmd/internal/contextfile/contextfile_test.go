package contextfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
)

// sample is a context file whose certificate is self-signed by its own key.
func sample(t *testing.T) *contextfile.File {
	t.Helper()
	key, csr, err := contextfile.NewKey("alice")
	if err != nil {
		t.Fatal(err)
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil || req.Subject.CommonName != "alice" || req.CheckSignature() != nil {
		t.Fatalf("the request is not good: %v, %v", req, err)
	}
	block, _ := pem.Decode(key.Reveal())
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, req.PublicKey, k.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &contextfile.File{Address: "127.0.0.1:9972", ServerName: "localhost", CA: cert, Certificate: cert, Key: key}
}

func TestSaveLoad(t *testing.T) {
	t.Parallel()
	want := sample(t)
	path := filepath.Join(t.TempDir(), "ctx.yaml")
	if err := want.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := want.Create(path); err == nil {
		t.Error("Create replaced a file")
	}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := contextfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Address != want.Address || got.ServerName != want.ServerName || !bytes.Equal(got.CA, want.CA) ||
		!bytes.Equal(got.Certificate, want.Certificate) || !got.Key.Equal(want.Key) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if leaf, err := got.Leaf(); err != nil || leaf.Subject.CommonName != "alice" {
		t.Errorf("leaf %v, %v", leaf, err)
	}
	if c, err := got.TLS(); err != nil || c.ServerName != "localhost" || len(c.Certificates) != 1 {
		t.Errorf("tls %v, %v", c, err)
	}
}

func TestLoadRefusesWhatOthersMayRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ctx.yaml")
	if err := sample(t).Save(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := contextfile.Load(path); !errors.Is(err, contextfile.ErrMode) {
			t.Errorf("mode %v: got %v, want ErrMode", mode, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	f := sample(t)
	path := filepath.Join(t.TempDir(), "ctx.yaml")
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := *f
	other.Key, _, _ = contextfile.NewKey("bob")
	if err := other.Save(path); err != nil {
		t.Fatal(err)
	}
	mixed, _ := os.ReadFile(path)
	for name, doc := range map[string][]byte{
		"empty":        nil,
		"not yaml":     []byte("{{{"),
		"unknown key":  append([]byte("surprise: 1\n"), good...),
		"no port":      bytes.Replace(good, []byte("127.0.0.1:9972"), []byte("127.0.0.1"), 1),
		"no ca":        bytes.Replace(good, []byte("ca: |"), []byte("x: |"), 1),
		"other's key":  mixed,
		"cut short":    good[:len(good)/2],
		"wrong indent": bytes.Replace(good, []byte("key: |\n  "), []byte("key: |\n"), 1),
	} {
		_, err := contextfile.Parse(doc)
		if !errors.Is(err, contextfile.ErrContent) {
			t.Errorf("%s: got %v, want ErrContent", name, err)
			continue
		}
		leaks(t, name, err.Error(), f.Key)
	}
}

// leaks fails when text has a line of the key.
func leaks(t *testing.T, name, text string, key amt.Secret) {
	t.Helper()
	for _, line := range strings.Split(string(key.Reveal()), "\n") {
		if len(line) > 8 && strings.Contains(text, line) {
			t.Errorf("%s: the error shows a line of the key: %s", name, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("address: a:1\nca: x\ncertificate: y\nkey: z\n"))
	f.Add([]byte("address: [\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := contextfile.Parse(b); err == nil && (c.Address == "" || c.Key.IsZero()) {
			t.Errorf("%q parsed to %+v", b, c)
		}
	})
}
