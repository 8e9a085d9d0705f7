package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// openssl runs the foreign verifier, which .ci/run has.
func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" {
			t.Fatal("openssl is not installed, and AMTSCS_REQUIRE_PEERS=1")
		}
		t.Skip("openssl is not installed: apt install openssl to run this test")
	}
}

// file writes PEM blocks of one type and returns the path.
func file(t *testing.T, name, kind string, ders ...[]byte) string {
	t.Helper()
	var b bytes.Buffer
	for _, der := range ders {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenSSL(t *testing.T) {
	needOpenSSL(t)
	t.Parallel()
	f := newFixture(t)
	device, revoked := f.device(1, "pc.example.com", key(0)), f.device(2, "pc2.example.com", key(1))
	f.revoke(serialOf(t, revoked), KeyCompromise)
	client, err := f.IssueClient(t.Context(), ClientRequest{User: "anna", CSR: csrOf(t, freshEC(t))})
	if err != nil {
		t.Fatal(err)
	}
	console, err := f.IssueConsole(t.Context(), ConsoleRequest{Name: "scs.example.com", PublicKey: key(2).Public()})
	if err != nil {
		t.Fatal(err)
	}
	crl, err := f.CRL(t.Context(), Devices)
	if err != nil {
		t.Fatal(err)
	}
	root := file(t, "root.pem", "CERTIFICATE", f.Root().Raw)
	devices := file(t, "devices.pem", "CERTIFICATE", f.DeviceIntermediate().Raw)
	api := file(t, "api.pem", "CERTIFICATE", f.APIIntermediate().Raw)
	list := file(t, "crl.pem", "X509 CRL", crl)
	at := strconv.FormatInt(f.clock.now().Unix(), 10)
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		args []string
		want string // "" for a certificate that verifies
	}{
		{"device", device, []string{"-untrusted", devices, "-purpose", "sslserver", "-verify_hostname", "pc.example.com", "-crl_check", "-CRLfile", list}, ""},
		{"device, strictly", device, []string{"-untrusted", devices, "-x509_strict"}, ""},
		{"revoked device", revoked, []string{"-untrusted", devices, "-crl_check", "-CRLfile", list}, "certificate revoked"},
		{"another host", device, []string{"-untrusted", devices, "-verify_hostname", "pc2.example.com"}, "ostname mismatch"},
		{"device as a client", device, []string{"-untrusted", devices, "-purpose", "sslclient"}, "urpose"},
		{"user", client, []string{"-untrusted", api, "-purpose", "sslclient", "-x509_strict"}, ""},
		{"user as a server", client, []string{"-untrusted", api, "-purpose", "sslserver"}, "urpose"},
		{"user under the device intermediate", client, []string{"-untrusted", devices}, "unable to get local issuer"},
		{"console", console, []string{"-untrusted", api, "-purpose", "sslclient", "-x509_strict"}, ""},
	} {
		args := append([]string{"verify", "-attime", at, "-CAfile", root}, c.args...)
		out, err := openssl(t, append(args, file(t, "leaf.pem", "CERTIFICATE", c.cert.Raw))...)
		if (err == nil) != (c.want == "") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
	checkText(t, f, device, list)
}

// checkText compares what openssl reads in a certificate and a list.
func checkText(t *testing.T, f *fixture, device *x509.Certificate, list string) {
	t.Helper()
	out, err := openssl(t, "x509", "-noout", "-text", "-in", file(t, "leaf.pem", "CERTIFICATE", device.Raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"Version: 3", "sha256WithRSAEncryption", "Subject: CN = pc.example.com", "DNS:pc.example.com", "Public-Key: (2048 bit)",
		"Digital Signature, Key Encipherment", "TLS Web Server Authentication", "CA:FALSE",
	} {
		if !strings.Contains(strings.ReplaceAll(out, "CN=", "CN = "), want) {
			t.Errorf("openssl does not show %q:\n%s", want, out)
		}
	}
	out, err = openssl(t, "crl", "-noout", "-text", "-in", list)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Version 2", "sha256WithRSAEncryption", "X509v3 CRL Number", "Key Compromise", "X509v3 Authority Key Identifier"} {
		if !strings.Contains(out, want) {
			t.Errorf("openssl does not show %q:\n%s", want, out)
		}
	}
	out, err = openssl(t, "crl", "-noout", "-in", list, "-CAfile", file(t, "chain.pem", "CERTIFICATE", f.DeviceIntermediate().Raw, f.Root().Raw))
	if err != nil || !strings.Contains(out, "verify OK") {
		t.Errorf("the list's signature: %v\n%s", err, out)
	}
}
