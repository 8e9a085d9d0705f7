package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
)

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := key(0).Public()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	long := strings.Repeat("a", 60)
	for _, c := range []struct {
		name string
		req  DeviceRequest
		want error
	}{
		{"no UUID", DeviceRequest{FQDN: "pc", PublicKey: good}, ErrRequest},
		{"UUID of ones", DeviceRequest{UUID: amt.UUID([]byte(strings.Repeat("\xff", 16))), FQDN: "pc", PublicKey: good}, ErrRequest},
		{"no name", DeviceRequest{UUID: uuid(1), PublicKey: good}, ErrName},
		{"long name", DeviceRequest{UUID: uuid(1), FQDN: long + ".example.com", PublicKey: good}, ErrName},
		{"long label", DeviceRequest{UUID: uuid(1), FQDN: long + "aaaa", PublicKey: good}, ErrName},
		{"wildcard", DeviceRequest{UUID: uuid(1), FQDN: "*.example.com", PublicKey: good}, ErrName},
		{"address", DeviceRequest{UUID: uuid(1), FQDN: "192.0.2.1", PublicKey: good}, ErrName},
		{"short address", DeviceRequest{UUID: uuid(1), FQDN: "127.1", PublicKey: good}, ErrName},
		{"trailing dot", DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com.", PublicKey: good}, ErrName},
		{"dash first", DeviceRequest{UUID: uuid(1), FQDN: "-pc.example.com", PublicKey: good}, ErrName},
		{"zero byte", DeviceRequest{UUID: uuid(1), FQDN: "pc\x00.example.com", PublicKey: good}, ErrName},
		{"umlaut", DeviceRequest{UUID: uuid(1), FQDN: "pc-ä.example.com", PublicKey: good}, ErrName},
		{"JSON", DeviceRequest{UUID: uuid(1), FQDN: `pc","isCA":true,"`, PublicKey: good}, ErrName},
		{"no key", DeviceRequest{UUID: uuid(1), FQDN: "pc"}, ErrKey},
		{"nil key", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: (*rsa.PublicKey)(nil)}, ErrKey},
		{"1024 bits", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: small.Public()}, ErrKey},
		{"private key", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: key(0)}, ErrKey},
		{"ECDSA", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: p521.Public()}, ErrKey},
		{"Ed25519", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: ed25519.PublicKey{}}, ErrKey},
		{"exponent 1", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: key(0).N, E: 1}}, ErrKey},
		{"even exponent", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: key(0).N, E: 65536}}, ErrKey},
		{"factor 3", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Mul(key(0).N, big.NewInt(3)), E: 3}}, ErrKey},
		{"even modulus", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(key(0).N, 1), E: 3}}, ErrKey},
		{"negative modulus", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Neg(key(0).N), E: 3}}, ErrKey},
		{"8192 bits", DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(key(0).N, 6144), E: 3}}, ErrKey},
	} {
		if cert, err := f.IssueDevice(t.Context(), c.req); !errors.Is(err, c.want) || cert != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := f.IssueDevice(t.Context(), DeviceRequest{UUID: uuid(1), FQDN: "pc", PublicKey: small.Public()}); !strings.Contains(err.Error(), "1024 bits, want at least 2048") {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
	counts := view(f, func(r kv.Reader) (map[Purpose]Count, error) { return f.Counts(r) })
	if (counts[Device] != Count{}) {
		t.Errorf("refused requests are counted: %+v", counts[Device])
	}
}

func TestWrongUserRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := csrOf(t, key(0))
	bent := append([]byte(nil), good...)
	bent[len(bent)-1] ^= 1
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good})
	for _, c := range []struct {
		name string
		req  ClientRequest
		want error
	}{
		{"no name", ClientRequest{CSR: good}, ErrName},
		{"long name", ClientRequest{User: strings.Repeat("x", 65), CSR: good}, ErrName},
		{"newline", ClientRequest{User: "anna\nrole: admin", CSR: good}, ErrName},
		{"zero byte", ClientRequest{User: "anna\x00", CSR: good}, ErrName},
		{"not UTF-8", ClientRequest{User: "anna\xff", CSR: good}, ErrName},
		{"right to left", ClientRequest{User: "an\u202ena", CSR: good}, ErrName},
		{"no request", ClientRequest{User: "anna"}, ErrRequest},
		{"garbage", ClientRequest{User: "anna", CSR: []byte("garbage")}, ErrRequest},
		{"bent signature", ClientRequest{User: "anna", CSR: bent}, ErrRequest},
		{"too long", ClientRequest{User: "anna", CSR: make([]byte, maxCSR+1)}, ErrRequest},
		{"other PEM", ClientRequest{User: "anna", CSR: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: good})}, ErrRequest},
		{"two PEM blocks", ClientRequest{User: "anna", CSR: append(block, block...)}, ErrRequest},
		{"weak curve", ClientRequest{User: "anna", CSR: csrOf(t, p521)}, ErrKey},
		{"lifetime", ClientRequest{User: "anna", CSR: good, Lifetime: 1}, ErrLifetime},
	} {
		if cert, err := f.IssueClient(t.Context(), c.req); !errors.Is(err, c.want) || cert != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for name, names := range map[string][]string{
		"none": nil, "empty": {""}, "zone": {"fe80::1%eth0"}, "space": {"a b"},
		"long": {strings.Repeat("a.", 40) + "example"}, "many": make([]string, 33),
	} {
		if _, err := f.IssueServer(t.Context(), ServerRequest{Names: names, PublicKey: key(0).Public()}); !errors.Is(err, ErrName) {
			t.Errorf("server, %s: got %v, want %v", name, err, ErrName)
		}
	}
}

// TestInjection puts JSON and template language where names belong.
func TestInjection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, user := range []string{
		`x"},"basicConstraints":{"isCA":true},"subject":{"commonName":"y`,
		`{{ .Insecure }}`, `{"commonName":"root"}`, `\u0022,"isCA":true`, `</script>&<>`, `CN=root,O=amtscs`, "ü ☃ 漢字",
	} {
		cert, err := f.IssueClient(t.Context(), ClientRequest{User: user, CSR: csrOf(t, freshEC(t))})
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		if cert.Subject.CommonName != user || len(cert.Subject.Names) != 1 || cert.IsCA {
			t.Errorf("got subject %v, CA %v, want the common name %q", cert.Subject, cert.IsCA, user)
		}
	}
	// What no request can hold, the template quotes as well.
	o, err := f.deviceOrder(DeviceRequest{UUID: uuid(1), FQDN: "pc.example.com", PublicKey: key(0).Public()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.schedule(o, f.devices); err != nil {
		t.Fatal(err)
	}
	o.serial = amt.Serial{1}
	o.commonName = `a","keyUsage":["certSign"],"basicConstraints":{"isCA":true,"maxPathLen":5},"x":"`
	o.dnsNames = []string{`b"],"uris":["http://evil"],"y":["`}
	cert, err := f.devices.sign(t.Context(), f.carrier, o)
	if err == nil && (cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0 || cert.URIs != nil || cert.Subject.CommonName != o.commonName) {
		t.Errorf("a name became more than a name: %+v", cert.Subject)
	}
}

func freshEC(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
