package main

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func block(kind, content string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content)}))
}

// TestDeliverReplacesItsLikeOnly wants everything but an older answer left alone.
func TestDeliverReplacesItsLikeOnly(t *testing.T) {
	t.Parallel()
	cert, list, key := block(pemCertificate, "a"), block(pemList, "b"), block("PRIVATE KEY", "c")
	for name, c := range map[string]struct {
		there, blocks string
		want          bool
	}{
		"certificates":              {cert + "\n" + cert + "\r\n", pemCertificate, true},
		"a list":                    {list, pemList, true},
		"without a last newline":    {strings.TrimSpace(cert), pemCertificate, true},
		"a list for certificates":   {list, pemCertificate, false},
		"certificates for a list":   {cert, pemList, false},
		"key behind":                {cert + key, pemCertificate, false},
		"key before":                {key + cert, pemCertificate, false},
		"key in a broken block":     {"-----BEGIN CERTIFICATE-----\n" + key + cert, pemCertificate, false},
		"text before":               {"Dear Sir\n" + cert, pemCertificate, false},
		"text behind":               {cert + "Yours", pemCertificate, false},
		"text between":              {cert + "and\n" + cert, pemCertificate, false},
		"nothing":                   {"", pemCertificate, false},
		"a context file":            {"key: |\n  " + key, pemCertificate, false},
		"a block that ends nowhere": {"-----BEGIN CERTIFICATE-----\nAAAA\n", pemCertificate, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(c.there), 0o600); err != nil {
				t.Fatal(err)
			}
			err := (&app{}).deliver(path, c.blocks, []byte("new"))
			got, e := os.ReadFile(path)
			if e != nil || (err == nil) != c.want || c.want && string(got) != "new" || !c.want && string(got) != c.there {
				t.Errorf("got %v, %q, %v", err, got, e)
			}
			if err != nil && (explain(err).code != exitFailed || explain(err).hint == "") {
				t.Errorf("got %+v", explain(err))
			}
		})
	}
}

func TestDeliverElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	a := &app{stdout: &out}
	if err := a.deliver("", pemList, []byte("x")); err != nil || out.String() != "x" {
		t.Errorf("got %v, %q", err, out.String())
	}
	path := filepath.Join(dir, "f")
	if err := a.deliver(path, pemList, []byte("x")); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v", fi, err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "link")} {
		if err := a.deliver(path, pemList, []byte("x")); err == nil {
			t.Errorf("%s was replaced", path)
		}
	}
}

// FuzzHoldsOnly wants what is accepted to be made of the type's blocks alone:
// written anew from what it decodes to, it is accepted again, and holds no other
// header.
func FuzzHoldsOnly(f *testing.F) {
	cert, key := block(pemCertificate, "a"), block("PRIVATE KEY", "c")
	for _, seed := range []string{cert, cert + cert, cert + key, key, "", "-----BEGIN CERTIFICATE-----\n" + key, "-----BEGIN CERTIFICATE-----\nA: b\n\nAAAA\n-----END CERTIFICATE-----"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !holdsOnly(b, pemCertificate) {
			return
		}
		if bytes.Contains(b, []byte("PRIVATE KEY-----")) {
			t.Fatalf("a private key is in %q", b)
		}
		var again []byte
		for rest := b; ; {
			var p *pem.Block
			if p, rest = pem.Decode(rest); p == nil {
				break
			}
			again = append(again, pem.EncodeToMemory(p)...)
		}
		if len(again) == 0 || !holdsOnly(again, pemCertificate) {
			t.Fatalf("%q is accepted, but not %q", b, again)
		}
	})
}
