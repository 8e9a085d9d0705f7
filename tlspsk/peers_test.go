package tlspsk

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// requirePeers, set to 1, makes an absent peer a failure rather than a skip.
const requirePeers = "AMTSCS_REQUIRE_PEERS"

// needPeer skips, or fails, when a foreign program is absent.
func needPeer(t testing.TB, program, debian string) {
	t.Helper()
	if testing.Short() {
		t.Skip("foreign peers are left out in short mode")
	}
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	message := fmt.Sprintf("no %s here: install the package %s", program, debian)
	if os.Getenv(requirePeers) == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Names that the two foreign implementations have for versions and suites.
var (
	opensslVersions = map[uint16]string{tls.VersionTLS10: "-tls1", tls.VersionTLS11: "-tls1_1", tls.VersionTLS12: "-tls1_2"}
	opensslSuites   = map[uint16]string{
		SuiteAES128: "PSK-AES128-CBC-SHA", SuiteAES256: "PSK-AES256-CBC-SHA", SuiteRSAAES128: "RSA-PSK-AES128-CBC-SHA",
	}
	gnutlsVersions = map[uint16]string{tls.VersionTLS10: "+VERS-TLS1.0", tls.VersionTLS11: "+VERS-TLS1.1", tls.VersionTLS12: "+VERS-TLS1.2"}
	gnutlsSuites   = map[uint16]string{
		SuiteAES128: "+PSK:+AES-128-CBC", SuiteAES256: "+PSK:+AES-256-CBC", Suite3DES: "+PSK:+3DES-CBC",
		SuiteRC4: "+PSK:+ARCFOUR-128", SuiteRSAAES128: "+RSA-PSK:+AES-128-CBC",
	}
)

func opensslCiphers(list ...uint16) string {
	var sb strings.Builder
	for _, id := range list {
		sb.WriteString(opensslSuites[id] + ":")
	}
	return sb.String() + "@SECLEVEL=0"
}

func gnutlsPriority(version []uint16, list ...uint16) string {
	parts := []string{"NONE"}
	for _, v := range version {
		parts = append(parts, gnutlsVersions[v])
	}
	for _, id := range list {
		parts = append(parts, gnutlsSuites[id])
	}
	return strings.Join(append(parts, "+SHA1", "+COMP-NULL", "+SIGN-ALL", "%NO_ETM", "%NO_TICKETS"), ":")
}

func pskHex(t testing.TB) string { return hex.EncodeToString(intelPair(t).PPS.Reveal()) }

// bodies are what servers give: "small" and "big".
var bodies = map[string][]byte{
	"small": []byte("a small answer\n"),
	"big":   bytes.Repeat([]byte("0123456789abcdef0123456789abcde\n"), 42*1024/32),
}

// site is a folder with the bodies, the PSK file of GnuTLS and a certificate.
func site(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range bodies {
		writeFile(t, filepath.Join(dir, name), b)
	}
	writeFile(t, filepath.Join(dir, "psk.txt"), []byte("0000037M:"+pskHex(t)+"\n"))
	cert := rsaCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return dir
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rsaCertificate is a self-signed certificate of RSA-2048, made once.
func rsaCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	cert, err := makeRSACertificate()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

var makeRSACertificate = sync.OnceValues(func() (*tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "tlspsk test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// program is a foreign server that runs, with what it printed so far.
type program struct {
	mu  sync.Mutex // guards out
	out bytes.Buffer
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start runs a server until the end of the test and waits until it prints ready;
// false means that it prints taken instead: another program has its port.
func start(t testing.TB, dir, ready, taken, name string, args ...string) (*program, bool) {
	t.Helper()
	p := new(program)
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.printed())
		}
	})
	deadline := time.After(20 * time.Second)
	for {
		printed := p.printed()
		switch {
		case strings.Contains(printed, taken):
			return p, false
		case strings.Contains(printed, ready):
			return p, true
		}
		select {
		case <-ended:
			t.Fatalf("%s %v ended: %s", name, args, p.printed())
		case <-deadline:
			t.Fatalf("%s %v is not ready: %s", name, args, p.printed())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// opensslServer serves the site; it gives the address.
func opensslServer(t testing.TB, args ...string) string {
	t.Helper()
	needPeer(t, "openssl", "openssl")
	args = append([]string{"s_server", "-accept", "127.0.0.1:0", "-WWW"}, args...)
	p, ok := start(t, site(t), "\nACCEPT ", "bind:", "openssl", append(args, "-no_ticket")...)
	if !ok {
		t.Fatal(p.printed())
	}
	for {
		_, line, _ := strings.Cut(p.printed(), "ACCEPT ")
		if line, _, whole := strings.Cut(line, "\n"); whole {
			return strings.TrimSpace(line)
		}
		time.Sleep(time.Millisecond)
	}
}

// gnutlsServer serves one body of the site; it gives the address. gnutls-serv
// cannot choose a free port itself, so some are tried.
func gnutlsServer(t testing.TB, body string, args ...string) string {
	t.Helper()
	needPeer(t, "gnutls-serv", "gnutls-bin")
	dir := site(t)
	for range 20 {
		// Below the range that the system gives to clients.
		port := fmt.Sprint(20000 + mathrand.IntN(12000))
		all := append([]string{"--port", port, "--http", "--pskpasswd", "psk.txt", "--httpdata", body}, args...)
		if _, ok := start(t, dir, "IPv4 0.0.0.0 port "+port+"...done", "bind() failed", "gnutls-serv", all...); ok {
			return "127.0.0.1:" + port
		}
	}
	t.Fatal("gnutls-serv finds no port")
	return ""
}

// dialPeer is our client's connection to a foreign server, before the handshake.
func dialPeer(t testing.TB, address string, c *Config) *Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = conn.Close() })
	return Client(conn, c)
}

// getFrom fetches a body and checks it, to the byte and to the close_notify.
func getFrom(t testing.TB, address, name string, c *Config) State {
	t.Helper()
	conn := dialPeer(t, address, c)
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.0\r\n\r\n", name); err != nil {
		t.Fatalf("GET %s: %v", name, err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("GET %s: after %d bytes: %v", name, len(got), err)
	}
	if !bytes.HasSuffix(got, bodies[name]) {
		t.Fatalf("GET %s: %d bytes that do not end in the %d of the file", name, len(got), len(bodies[name]))
	}
	return conn.ConnectionState()
}

// serveBodies runs our server: each connection may ask for one body.
func serveBodies(t testing.TB, c *Config) (address string, failures <-chan error) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := NewListener(inner, c)
	failed := make(chan error, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				failed <- answer(conn.(*Conn))
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String(), failed
}

// answer reads one request line and writes the body it names.
func answer(conn *Conn) error {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(strings.TrimSpace(line), "/")
	_, err = conn.Write(bodies[name])
	return err
}

// runClient runs a foreign client that asks our server for a body, and gives what
// it printed on its standard output. Its input stays open until it ends.
func runClient(t testing.TB, body, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = input.Close() }()
	var out, diagnosis bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if body != "" {
		_, _ = fmt.Fprintf(input, "GET /%s\n", body)
	}
	err = cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, diagnosis.String())
	}
	return out.String(), err
}

func opensslClient(t testing.TB, address, body string, args ...string) (string, error) {
	t.Helper()
	needPeer(t, "openssl", "openssl")
	return runClient(t, body, "openssl", append([]string{"s_client", "-connect", address, "-quiet"}, args...)...)
}

func gnutlsClient(t testing.TB, address, body string, args ...string) (string, error) {
	t.Helper()
	needPeer(t, "gnutls-cli", "gnutls-bin")
	host, port, _ := net.SplitHostPort(address)
	return runClient(t, body, "gnutls-cli", append([]string{
		"--port", port, host, "--insecure", "--logfile=" + os.DevNull,
	}, args...)...)
}
