package amtsim

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testMEBx  = "Staging1!"
	testAdmin = "Network1!"
)

// testPair is Intel's documented pair.
func testPair(t testing.TB) amt.Pair {
	t.Helper()
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		t.Fatal(err)
	}
	pps, err := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	if err != nil {
		t.Fatal(err)
	}
	return amt.Pair{PID: pid, PPS: pps}
}

func drawPair(t testing.TB) amt.Pair {
	t.Helper()
	p, err := amt.DrawPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testKeys are made once; every device of every test takes from them in turn.
var testKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 4)
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, KeyBits)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

// testPool is a pool with the test keys only.
func testPool() *KeyPool {
	p := NewKeyPool(nil)
	for _, k := range testKeys() {
		p.made = append(p.made, x509.MarshalPKCS1PrivateKey(k))
	}
	return p
}

var nextAddr atomic.Uint32

// loopback gives each device of this process an address of its own.
func loopback() netip.Addr {
	n := nextAddr.Add(1)
	return netip.AddrFrom4([4]byte{127, 77, byte(n >> 8), byte(n)})
}

// device makes and runs a device; change may be nil.
func device(t *testing.T, g *Generation, change func(*Options)) *Device {
	t.Helper()
	o := Options{
		Generation: g, Addr: loopback(), EphemeralPort: true, Server: "127.0.0.1:1", Keys: testPool(),
		Setup: Setup{Pair: testPair(t), NewPassword: amt.NewSecretString(testMEBx)}, ClockSkew: -26 * time.Hour,
	}
	if change != nil {
		change(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, d)
	return d
}

// start runs d until the test ends or the returned function is called.
func start(t *testing.T, d *Device) (stop func()) {
	t.Helper()
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	want := amt.InSetup
	if d.opt.Operational != nil {
		want = amt.Operational
	}
	if d.opt.Setup.Pair.PPS.IsZero() && d.opt.USB == "" && d.opt.Operational == nil {
		want = amt.Factory
	}
	if d.restored {
		want = d.Phase()
	}
	wait, stopWait := context.WithTimeout(ctx, 10*time.Second)
	defer stopWait()
	if err := d.WaitPhase(wait, want); err != nil {
		t.Error(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// operational makes a device that was set up before, plain.
func operational(t *testing.T, g *Generation, change func(*Options)) (*Device, *client) {
	t.Helper()
	d := device(t, g, func(o *Options) {
		o.Setup = Setup{}
		o.Operational = &Operational{Password: amt.NewSecretString(testAdmin)}
		if change != nil {
			change(o)
		}
	})
	return d, plainClient(t, func() string { return waitClear(t, d) }, "admin", testAdmin)
}

// waitClear waits for the port of HTTP in clear.
func waitClear(t *testing.T, d *Device) string {
	t.Helper()
	for range 500 {
		if a := d.ClearAddr(); a.IsValid() {
			return a.String()
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no port for HTTP in clear")
	return ""
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// md5Base64 is DigestPassword.
func md5Base64(user, realm, password string) string {
	sum := md5.Sum([]byte(user + ":" + realm + ":" + password))
	return encode(sum[:])
}

// authority is a CA of one certificate, for a test.
type authority struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newAuthority(t testing.TB) *authority { return authorityOf(t, testKeys()[0]) }

func authorityOf(t testing.TB, key *rsa.PrivateKey) *authority {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root", Organization: []string{"Test"}},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{parse(t, tmpl, tmpl, key.Public(), key), key}
}

func parse(t testing.TB, tmpl, parent *x509.Certificate, pub any, key *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a leaf; change may alter the template.
func (a *authority) issue(t testing.TB, name string, pub any, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(tmpl)
	}
	return parse(t, tmpl, a.cert, pub, a.key)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// setTime sets the device's clock to the real one.
func (c *client) setTime() {
	c.t.Helper()
	ta0 := c.invoke("AMT_TimeSynchronizationService", "GetLowAccuracyTimeSynch").xml.text("Ta0")
	now := strconv.FormatInt(time.Now().Unix(), 10)
	c.want(c.invoke("AMT_TimeSynchronizationService", "SetHighAccuracyTimeSynch", "Ta0", ta0, "Tm1", now, "Tm2", now), Success)
}

// makeKey gives the device a key pair in the way of its firmware.
func (c *client) makeKey(g *Generation) (id string, pub *rsa.PublicKey) {
	c.t.Helper()
	var a *answer
	if g.GenerateKeyPair {
		a = c.invoke("AMT_PublicKeyManagementService", "GenerateKeyPair", "KeyAlgorithm", "0", "KeyLength", "2048")
	} else {
		key := testKeys()[len(testKeys())-1]
		a = c.invoke("AMT_PublicKeyManagementService", "AddKey", "KeyBlob", encode(x509.MarshalPKCS1PrivateKey(key)))
	}
	id = c.want(a, Success).xml.text("Selector")
	for _, n := range c.pull("AMT_PublicPrivateKeyPair") {
		if n.text("InstanceID") != id {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(n.text("DERKey"))
		if err != nil {
			c.t.Fatal(err)
		}
		if pub, err = x509.ParsePKCS1PublicKey(der); err != nil {
			c.t.Fatal(err)
		}
	}
	if pub == nil {
		c.t.Fatalf("no key pair %q", id)
	}
	return id, pub
}

// link gives the device a certificate and makes TLS present it.
func (c *client) link(cert *x509.Certificate) (id string) {
	c.t.Helper()
	id = c.want(c.invoke("AMT_PublicKeyManagementService", "AddCertificate", "CertificateBlob", encode(cert.Raw)), Success).xml.text("Selector")
	a := c.do(actCreate, "AMT_TLSCredentialContext", "", wrap("AMT_TLSCredentialContext", "AMT_TLSCredentialContext",
		"ElementInContext", epr("AMT_PublicKeyCertificate", "InstanceID", id),
		"ElementProvidingContext", epr("AMT_TLSProtocolEndpointCollection", "ElementName", "TLSProtocolEndpointInstances Collection")))
	if a.code != 200 || a.xml.find("ResourceCreated") == nil {
		c.t.Fatalf("Create: %d %s", a.code, a.raw)
	}
	return id
}

func (c *client) putTLS(enabled, mutual, acceptClear bool, names ...string) *answer {
	c.t.Helper()
	args := []string{
		"AcceptNonSecureConnections", strconv.FormatBool(acceptClear), "ElementName", tlsRemoteID, "Enabled", strconv.FormatBool(enabled),
		"InstanceID", tlsRemoteID, "MutualAuthentication", strconv.FormatBool(mutual),
	}
	for _, n := range names {
		args = append(args, "TrustedCN", n)
	}
	return c.put("AMT_TLSSettingData", selectorSet("InstanceID", tlsRemoteID), args...)
}

func (c *client) putHostName(name, domain string) *answer {
	c.t.Helper()
	return c.put("AMT_GeneralSettings", "", "DomainName", domain, "HostName", name, "InstanceID", "Intel(r) AMT: General Settings")
}

func (c *client) setAdmin(user, password string) *answer {
	c.t.Helper()
	a := c.invoke("AMT_AuthorizationService", "SetAdminAclEntryEx", "Username", user, "DigestPassword", md5Base64(user, c.realm, password))
	c.pass = password
	return a
}

func (c *client) commit() *answer {
	c.t.Helper()
	a := c.invoke("AMT_SetupAndConfigurationService", "CommitChanges")
	if a.status() == 0 {
		c.close() // as the device does
	}
	return a
}

// setUp takes a device from set-up to Operational with TLS and its new admin
// password. Options with mutual TLS come through tune, called before the commit.
func setUp(t *testing.T, d *Device, ca *authority, tune func(*client)) *x509.Certificate {
	t.Helper()
	c := pskClient(t, d, testPair(t), testMEBx)
	c.setTime()
	_, pub := c.makeKey(d.Generation())
	cert := ca.issue(t, "pc1.example.net", pub, nil)
	c.link(cert)
	if a := c.putHostName("pc1", "example.net"); a.code != 200 {
		t.Fatalf("Put: %s", a.raw)
	}
	if a := c.putTLS(true, false, false); a.code != 200 {
		t.Fatalf("Put: %s", a.raw)
	}
	if tune != nil {
		tune(c)
	}
	c.want(c.setAdmin("admin", testAdmin), Success)
	c.want(c.commit(), Success)
	return cert
}

// listener takes hellos.
type listener struct {
	ln   net.Listener
	got  chan *hello.Message
	from chan netip.AddrPort
}

func listen(t *testing.T) *listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{ln, make(chan *hello.Message, 64), make(chan netip.AddrPort, 64)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			m, err := hello.Parse(b)
			if err != nil {
				t.Errorf("hello of %d bytes: %v", len(b), err)
			}
			l.got <- m
			l.from <- netip.MustParseAddrPort(c.RemoteAddr().String())
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return l
}

func (l *listener) next(t *testing.T) (*hello.Message, netip.AddrPort) {
	t.Helper()
	select {
	case m := <-l.got:
		return m, <-l.from
	case <-time.After(10 * time.Second):
		t.Fatal("no hello came")
		return nil, netip.AddrPort{}
	}
}

// quiet fails if a hello comes within d.
func (l *listener) quiet(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-l.got:
		t.Error("a hello came where none belongs")
	case <-time.After(d):
	}
}

// recorded reads a recorded reply, or skips the test: the recordings are not part
// of this repository.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "shared", "recorded", name))
	if err != nil {
		t.Skip("no recordings here")
	}
	return b
}

// pemKeys writes keys as WriteKeys does.
func pemKeys(keys ...*rsa.PrivateKey) string {
	var sb strings.Builder
	for _, k := range keys {
		_ = pem.Encode(&sb, &pem.Block{Type: pemType, Bytes: x509.MarshalPKCS1PrivateKey(k)})
	}
	return sb.String()
}

// events collects what a device tells.
type events struct {
	mu   sync.Mutex // guards list
	list []Event
}

func (e *events) add(v Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, v)
}

func (e *events) has(kind EventKind) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.list, func(v Event) bool { return v.Kind == kind })
}
