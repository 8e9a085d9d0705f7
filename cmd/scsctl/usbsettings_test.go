package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// certificate makes a certificate; with a nil parent it signs itself.
func testCertificate(t *testing.T, name string, ca bool, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		IsCA: ca, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestRootHash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, key := testCertificate(t, "Würzburg root of a very long name indeed", true, nil, nil)
	leaf, _ := testCertificate(t, "server", false, root, key)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	der, asPEM := put("root.der", root.Raw), put("root.pem", text)
	s1, s256 := sha1.Sum(root.Raw), sha256.Sum256(root.Raw)
	name := "W?rzburg root of a very long na"
	colons := strings.ToUpper(strings.TrimSuffix(strings.Repeat("ab:", 48), ":"))
	for _, tt := range []struct {
		arg  string
		v    setupbin.Version
		want string
	}{
		{der, setupbin.V2, "SHA-1 " + hex.EncodeToString(s1[:]) + " " + name},
		{asPEM, setupbin.V21, "SHA-1 " + hex.EncodeToString(s1[:]) + " " + name},
		{asPEM, setupbin.V3, "SHA-256 " + hex.EncodeToString(s256[:]) + " " + name},
		{"mine=" + der, setupbin.V4, "SHA-256 " + hex.EncodeToString(s256[:]) + " mine"},
		{hex.EncodeToString(s256[:]), setupbin.V4, "SHA-256 " + hex.EncodeToString(s256[:])},
		{"x=" + colons, setupbin.V4, "SHA-384 " + strings.Repeat("ab", 48) + " x"},
	} {
		if got, err := rootHash(tt.arg, tt.v); err != nil || got.String() != tt.want {
			t.Errorf("%s in %v: got %v, %v, want %s", tt.arg, tt.v, got, err, tt.want)
		}
	}
	for arg, text := range map[string]string{
		put("leaf.der", leaf.Raw): "CN=server is no root", put("two.pem", append(text, text...)): "one root certificate and nothing else",
		put("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})): "one root certificate",
		put("text", []byte("Dear Sir")): "neither a PEM nor a DER certificate", "abcd": "neither a file nor a hash", dir: "is a directory",
	} {
		if got, err := rootHash(arg, setupbin.V3); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, %v, want %q", arg, got, err, text)
		}
	}
}

// TestJudge goes through what a record and its pair can be.
func TestJudge(t *testing.T) {
	t.Parallel()
	const available, reserved, claimed, spent, revoked, retired = scsv1.KeyState_KEY_STATE_AVAILABLE, scsv1.KeyState_KEY_STATE_RESERVED,
		scsv1.KeyState_KEY_STATE_CLAIMED, scsv1.KeyState_KEY_STATE_SPENT, scsv1.KeyState_KEY_STATE_REVOKED, scsv1.KeyState_KEY_STATE_RETIRED
	for _, tt := range []struct {
		consumed bool
		why      string
		state    scsv1.KeyState
		used     bool
		want     string
	}{
		{false, "", available, false, outcomeLeft},
		{false, "LoginFailed", available, false, outcomeElsewhere},
		{false, "", claimed, true, outcomeElsewhere},
		{false, "", spent, true, outcomeElsewhere},
		{false, "", revoked, false, outcomeWithdrawn},
		{true, "", available, false, outcomeSilent},
		{true, "LoginFailed", available, false, outcomeWaiting},
		{true, "", claimed, true, outcomeSetUp},
		{true, "", spent, true, outcomeSetUp},
		{true, "", spent, false, outcomeSilent},
		{true, "", reserved, true, outcomeSetUp},
		{true, "", retired, true, outcomeSetUp},
		{true, "", retired, false, outcomeWithdrawn},
		{true, "", revoked, true, outcomeWithdrawn},
	} {
		r := &reconciledRecord{Consumed: tt.consumed, Why: tt.why}
		if got := judge(r, tt.state, tt.used); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// TestFilesOfManyKeys splits a batch, and refuses what one PC alone can have.
func TestFilesOfManyKeys(t *testing.T) {
	t.Parallel()
	var keys []*scsv1.ExportedKey
	for range 5 {
		keys = append(keys, &scsv1.ExportedKey{
			Pid: "0000-037M", Pps: "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ", CurrentPassword: "admin", NewPassword: "P@ssw0rd",
		})
	}
	for _, tt := range []struct {
		count int
		want  []int
	}{{0, []int{5}}, {1, []int{1, 1, 1, 1, 1}}, {2, []int{2, 2, 1}}, {4, []int{4, 1}}, {5, []int{5}}, {9, []int{5}}} {
		s := &setupFile{out: "setup.bin", v: setupbin.V2, count: tt.count}
		files, err := s.files(keys)
		if err != nil || len(files) != len(tt.want) {
			t.Fatalf("%d: got %d files, %v", tt.count, len(files), err)
		}
		for i, f := range files {
			p, err := setupbin.Parse(f.bytes)
			if err != nil || len(p.Records) != tt.want[i] || f.records != tt.want[i] || p.Records[0].Number != 1 {
				t.Errorf("%d: file %d has %d records, %v", tt.count, i, f.records, err)
			}
		}
	}
	s := &setupFile{out: "setup.bin", v: setupbin.V21, settings: setupbin.Settings{HostName: "pc"}}
	if _, err := s.files(keys); err == nil || !strings.Contains(err.Error(), "5 PCs") {
		t.Errorf("one name for all: got %v", err)
	}
	keys[3].Pps = "NKLD"
	if _, err := (&setupFile{out: "x", v: setupbin.V2}).files(keys); err == nil || strings.Contains(err.Error(), "NKLD") {
		t.Errorf("bad answer of the server: got %v", err)
	}
}

// TestWriteAllOrNothing wants no file of this run when one cannot be made.
func TestWriteAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &setupFile{v: setupbin.V2}
	files := []keyFile{{filepath.Join(dir, "a"), 1, []byte("a")}, {filepath.Join(dir, "b"), 1, []byte("b")}, {filepath.Join(dir, "no", "c"), 1, nil}}
	if err := s.write(files); err == nil {
		t.Fatal("a folder that is not there was no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := s.write(files[:2]); err != nil {
		t.Fatal(err)
	}
	if err := s.write(files[:1]); err == nil {
		t.Error("a file was replaced without --again")
	}
	s.again = true
	if err := s.write(files[:1]); err == nil {
		t.Error("what is no setup.bin was replaced")
	}
}

// BenchmarkSetupFile encodes a setup.bin of 100,000 records from the server's
// answers, as usb write does.
func BenchmarkSetupFile(b *testing.B) {
	keys := make([]*scsv1.ExportedKey, 100_000)
	for i := range keys {
		keys[i] = &scsv1.ExportedKey{
			Pid: "0000-037M", Pps: "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ", CurrentPassword: "admin", NewPassword: "P@ssw0rd",
		}
	}
	s := &setupFile{out: "setup.bin", v: setupbin.V2}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.files(keys); err != nil {
			b.Fatal(err)
		}
	}
}
