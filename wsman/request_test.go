package wsman

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// The files of testdata/requests are whole requests, indented for reading; each
// begins with a comment that says how it was made. Those that say so were held
// against the envelopes of npm @device-management-toolkit/wsman-messages 5.14.1:
// both were parsed, and names with their namespaces, texts, attributes and the
// order of all elements were equal except for the MessageID's text.
var (
	comment = regexp.MustCompile(`(?s)^<!--.*?-->\s*`)
	indent  = regexp.MustCompile(`>\s*\n\s*<`)
)

// golden returns the bytes that a file of testdata/requests stands for.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "requests", name+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	if !comment.Match(b) {
		t.Fatalf("%s does not say how it was made", name)
	}
	return bytes.TrimSpace(indent.ReplaceAll(comment.ReplaceAll(b, nil), []byte("><")))
}

// requests says which call sends which file. Errors of the calls do not matter:
// the device answers what it likes.
var requests = map[string]func(context.Context, *Client){
	"get":          func(ctx context.Context, c *Client) { _, _ = c.GeneralSettings(ctx) },
	"get-selected": func(ctx context.Context, c *Client) { _, _ = c.EthernetPort(ctx, 0) },
	"enumerate":    func(ctx context.Context, c *Client) { _, _ = c.Enumerate(ctx, classGeneral) },
	"pull":         func(ctx context.Context, c *Client) { _, _, _ = c.Pull(ctx, classGeneral, "CTX") },
	"delete": func(ctx context.Context, c *Client) {
		_ = c.DeleteCertificate(ctx, "Intel(r) AMT Certificate: Handle: 1")
	},
	"identify": func(ctx context.Context, c *Client) { _, _ = c.Identify(ctx) },
	"put": func(ctx context.Context, c *Client) {
		g, _ := c.GeneralSettings(ctx)
		g.Set("HostName", "a&b<c>")
		_, _ = c.PutGeneralSettings(ctx, g)
	},
	"put-tls": func(ctx context.Context, c *Client) {
		s, _ := c.TLSSettings(ctx, TLSRemote)
		s.Change(true, true, false, []string{"scs.example.com", "example.org"})
		_, _ = c.PutTLSSettings(ctx, s)
	},
	"create-tls-credential": func(ctx context.Context, c *Client) {
		_ = c.CreateTLSCredential(ctx, "Intel(r) AMT Certificate: Handle: 1")
	},
	"put-tls-credential": func(ctx context.Context, c *Client) {
		list, _ := c.TLSCredentials(ctx)
		_ = c.PutTLSCredential(ctx, list[0], "Intel(r) AMT Certificate: Handle: 2")
	},
	"delete-tls-credential": func(ctx context.Context, c *Client) {
		list, _ := c.TLSCredentials(ctx)
		_ = c.DeleteTLSCredential(ctx, list[0])
	},
	"commit":            func(ctx context.Context, c *Client) { _ = c.CommitChanges(ctx) },
	"get-uuid":          func(ctx context.Context, c *Client) { _, _ = c.UUID(ctx) },
	"set-mebx-password": func(ctx context.Context, c *Client) { _ = c.SetMEBxPassword(ctx, amt.NewSecretString("P&ss<w0rd")) },
	"set-tls-psk":       setTLSPSK,
	"set-tls-psk-plain": func(ctx context.Context, c *Client) { c.cfg.PSKForm = PSKPlain; setTLSPSK(ctx, c) },
	"unprovision":       func(ctx context.Context, c *Client) { _ = c.Unprovision(ctx, 1) },
	"extend":            func(ctx context.Context, c *Client) { _ = c.ExtendProvisioningPeriod(ctx, 6) },
	"add-trusted-root":  func(ctx context.Context, c *Client) { _, _ = c.AddTrustedRootCertificate(ctx, []byte{1, 2, 3}) },
	"add-certificate":   func(ctx context.Context, c *Client) { _, _ = c.AddCertificate(ctx, []byte{1, 2, 3}) },
	"generate-key-pair": func(ctx context.Context, c *Client) { _, _ = c.GenerateKeyPair(ctx, 2048) },
	"generate-pkcs10": func(ctx context.Context, c *Client) {
		_, _ = c.GeneratePKCS10Request(ctx, "Intel(r) AMT Key: Handle: 0", []byte{1, 2, 3}, true)
	},
	"add-user":          func(ctx context.Context, c *Client) { _, _ = c.AddUser(ctx, testUser, testSecret) },
	"add-kerberos-user": func(ctx context.Context, c *Client) { _, _ = c.AddUser(ctx, kerberosUser, amt.Secret{}) },
	"update-user":       func(ctx context.Context, c *Client) { _ = c.UpdateUser(ctx, 7, testUser, testSecret) },
	"users":             func(ctx context.Context, c *Client) { _, _ = c.Users(ctx) },
	"user":              func(ctx context.Context, c *Client) { _, _ = c.User(ctx, 7) },
	"remove-user":       func(ctx context.Context, c *Client) { _ = c.RemoveUser(ctx, 7) },
	"admin":             func(ctx context.Context, c *Client) { _, _ = c.Admin(ctx) },
	"set-admin":         func(ctx context.Context, c *Client) { _ = c.SetAdmin(ctx, amt.AdminUser, testSecret) },
	"get-time":          func(ctx context.Context, c *Client) { _, _ = c.LowAccuracyTime(ctx) },
	"set-time": func(ctx context.Context, c *Client) {
		_ = c.SetHighAccuracyTime(ctx, time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 999))
	},
	"redirection":  func(ctx context.Context, c *Client) { _ = c.RequestRedirection(ctx, RedirectionBoth) },
	"kvm-on":       func(ctx context.Context, c *Client) { _ = c.RequestKVM(ctx, true) },
	"kvm-off":      func(ctx context.Context, c *Client) { _ = c.RequestKVM(ctx, false) },
	"power-scheme": func(ctx context.Context, c *Client) { _ = c.SetPowerScheme(ctx, "SCHEME 1") },
}

var (
	testSecret   = amt.NewSecretString(testPassword)
	testUser     = User{Name: "u1", Access: AccessBoth, Realms: []amt.Realm{amt.RealmRedirection, amt.RealmHardwareAsset}}
	kerberosUser = User{SID: []byte{1, 5, 0, 0}, Access: AccessNetwork, Realms: []amt.Realm{amt.RealmPTAdministration}}
	testPair     = amt.Pair{PID: amt.PID([]byte("44556677")), PPS: amt.NewSecretString("AAAABBBBCCCCDDDEEEEEFFFFGGGGHHHH")}
)

func setTLSPSK(ctx context.Context, c *Client) { _ = c.SetTLSPSK(ctx, testPair) }

// TestRequests holds each request against its file, byte for byte.
func TestRequests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/requests/*.xml")
	if err != nil || len(files) != len(requests) {
		t.Errorf("%d files for %d requests (%v)", len(files), len(requests), err)
	}
	for name, call := range requests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			d.set(func(d *device) { d.noAuth = true })
			d.on(classGeneral+".Get", answer{xml: elementXML(ResourceURI(classGeneral), classGeneral, "AMTNetworkEnabled=1", "HostName=old",
				"Unknown=x", "List=2", "List=1", "Empty=")})
			d.scripts[classGeneral+".Get"][0].xml = regexp.MustCompile(`<g:Unknown>x</g:Unknown>`).ReplaceAllString(d.scripts[classGeneral+".Get"][0].xml,
				`<q:Unknown kind="1" xmlns:q="urn:x"><q:Deep>7</q:Deep></q:Unknown>`)
			if name == "add-user" || name == "add-kerberos-user" || name == "update-user" || name == "set-admin" {
				d.set(func(d *device) { d.scripts[classGeneral+".Get"] = []answer{general} })
			}
			d.on(classTLSSettings+".Get", answer{xml: objectXML(classTLSSettings, "AcceptNonSecureConnections=true", "ElementName="+TLSRemote,
				"Enabled=false", "InstanceID="+TLSRemote, "MutualAuthentication=false")})
			d.on(classTLSContext+".Enumerate", answer{xml: enumXML("1")})
			d.on(classTLSContext+".Pull", answer{xml: pullXML(tlsContextXML)})
			c := d.client(func(c *Config) { c.Rand = zeros{} })
			call(t.Context(), c)
			got := d.last()
			if want := golden(t, name); got.body != string(want) {
				t.Errorf("got  %s\nwant %s", got.body, want)
			}
			h := got.header
			if h.Get("Content-Type") != "application/soap+xml; charset=utf-8" || h.Get("Content-Length") == "" || len(h["Expect"]) > 0 || len(h["Accept-Encoding"]) > 0 {
				t.Errorf("headers %v", h)
			}
			if got.host != d.ln.Addr().String() {
				t.Errorf("Host %q", got.host)
			}
		})
	}
}

// tlsContextXML is an AMT_TLSCredentialContext as a recorded device pulls it.
var tlsContextXML = objectXML(classTLSContext, "ElementInContext="+eprXML(classCertificate, "Intel(r) AMT Certificate: Handle: 1"),
	"ElementProvidingContext="+regexp.MustCompile(`Name="InstanceID"`).ReplaceAllString(eprXML(classTLSEndpoint, "TLSProtocolEndpoint Instances Collection"), `Name="ElementName"`))

// TestAddKeyBlob: the key is sent as base64 of PKCS#1. Textbook RSA with the
// primes 61 and 53 serves, since only the form matters.
func TestAddKeyBlob(t *testing.T) {
	t.Parallel()
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(3233), E: 17}, D: big.NewInt(413), Primes: []*big.Int{big.NewInt(61), big.NewInt(53)}}
	d := newDevice(t)
	d.on(classKeyService+".AddKey", answer{xml: outputXML(classKeyService, "AddKey", "CreatedKey="+eprXML(classCertificate, "Intel(r) AMT Key: Handle: 1"), "ReturnValue=0")})
	h, err := d.client().AddKey(t.Context(), key)
	if err != nil || h != "Intel(r) AMT Key: Handle: 1" {
		t.Fatalf("got %q, %v", h, err)
	}
	m := regexp.MustCompile(`<h:KeyBlob>([^<]*)</h:KeyBlob>`).FindStringSubmatch(d.last().body)
	if m == nil {
		t.Fatal("no KeyBlob")
	}
	if got, want := m[1], base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBadArguments: what cannot stand in a request is refused before sending.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	c := d.client()
	ctx := t.Context()
	_, putNil := c.Put(ctx, nil)
	_, putForeign := c.Put(ctx, &Object{Space: "u:1", Name: classGeneral})
	_, createNil := c.Create(ctx, nil)
	_, invoke := c.Invoke(ctx, NewObject(classSetup))
	_, selector := c.Get(ctx, classGeneral, Instance("a\x00b"))
	for name, err := range map[string]error{
		"put nil": putNil, "put foreign": putForeign, "create nil": createNil, "no input": invoke, "control in a selector": selector,
		"control in a password": c.SetMEBxPassword(ctx, amt.NewSecretString("a\x07b")),
		"credential":            c.PutTLSCredential(ctx, TLSCredential{}, "x"),
		"credential to delete":  c.DeleteTLSCredential(ctx, TLSCredential{Object: NewObject(classTLSContext)}),
	} {
		if !errors.Is(err, ErrArgument) || errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(d.calls()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}
