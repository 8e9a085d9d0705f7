package amtsim

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// TestMutualTLS: a console needs a chain to a trusted root, both usages, and a
// common name that ends in a TrustedCN.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	d := device(t, AMT62, nil)
	setUp(t, d, ca, func(c *client) {
		c.want(c.invoke(keyClass, "AddTrustedRootCertificate", "CertificateBlob", encode(ca.cert.Raw)), Success)
		if a := c.putTLS(true, true, false, "console.example.net"); a.code != 200 {
			t.Fatal(a.raw)
		}
	})
	key := testKeys()[1]
	console := func(name string, usages []x509.ExtKeyUsage, oids ...asn1.ObjectIdentifier) []tls.Certificate {
		cert := ca.issue(t, name, key.Public(), func(c *x509.Certificate) { c.ExtKeyUsage, c.UnknownExtKeyUsage = usages, oids })
		return []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	}
	remote := asn1.ObjectIdentifier{2, 16, 840, 1, 113741, 1, 2, 1}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	stranger := authorityOf(t, testKeys()[2]) // the CA's name, another key
	forged := stranger.issue(t, "console.example.net", key.Public(), func(c *x509.Certificate) {
		c.ExtKeyUsage, c.UnknownExtKeyUsage = client, []asn1.ObjectIdentifier{remote}
	})
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"good", console("scs.Console.example.net", client, remote), true},
		{"none", nil, false},
		{"another name", console("console.example.org", client, remote), false},
		{"without Intel's usage", console("console.example.net", client), false},
		{"without clientAuth", console("console.example.net", nil, remote), false},
		{"of another CA", []tls.Certificate{{Certificate: [][]byte{forged.Raw}, PrivateKey: key}}, false},
	} {
		c := tlsClient(t, d, &tls.Config{RootCAs: ca.pool(), ServerName: "pc1.example.net", Certificates: tt.certs}, "admin", testAdmin)
		a, err := c.try(actGet, generalClass, "", "")
		if (err == nil && a.code == 200) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	good := tlsClient(t, d, &tls.Config{
		RootCAs: ca.pool(), ServerName: "pc1.example.net", Certificates: console("console.example.net", client, remote),
	}, "admin", testAdmin)
	root := good.pull("AMT_PublicKeyCertificate")
	if len(root) != 2 {
		t.Fatalf("%d certificates", len(root))
	}
	good.want(good.do(actDelete, "AMT_PublicKeyCertificate", selectorSet("InstanceID", root[1].text("InstanceID")), ""), NotPermitted)
	extra := parse(t, &x509.Certificate{
		SerialNumber: ca.cert.SerialNumber, Subject: ca.cert.Subject, IsCA: true, BasicConstraintsValid: true,
		NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter.Add(time.Hour),
	}, ca.cert, ca.key.Public(), ca.key)
	good.want(good.invoke(keyClass, "AddTrustedRootCertificate", "CertificateBlob", encode(extra.Raw)), NotPermitted)
}

// TestTLSSettings: nothing but TrustedCN takes effect before a commit.
func TestTLSSettings(t *testing.T) {
	t.Parallel()
	for _, current := range []bool{false, true} {
		d, c := operational(t, AMT90, func(o *Options) { o.TLSReadCurrent = current })
		_, pub := c.makeKey(AMT90)
		ca := newAuthority(t)
		c.link(ca.issue(t, "pc1.example.net", pub, nil))
		if a := c.putTLS(true, false, true, "a.example"); a.code != 200 {
			t.Fatal(a.raw)
		}
		s := d.Snapshot()
		if s.Remote.Enabled || !s.TLSPending || len(s.Remote.TrustedCN) != 1 {
			t.Errorf("before the commit: %+v", s.Remote)
		}
		got := c.get("AMT_TLSSettingData", selectorSet("InstanceID", tlsRemoteID)).xml.text("Enabled")
		if (got == "true") == current {
			t.Errorf("Get shows Enabled %s, current %v", got, current)
		}
		c.setTime()
		c.putHostName("pc1", "example.net")
		c.want(c.commit(), Success)
		if s = d.Snapshot(); !s.Remote.Enabled || !s.Remote.AcceptNonSecure || s.TLSPending {
			t.Errorf("after the commit: %+v", s.Remote)
		}
		secure := tlsClient(t, d, &tls.Config{RootCAs: ca.pool(), ServerName: "pc1.example.net"}, "admin", testAdmin)
		if a := secure.get(generalClass, ""); a.code != 200 {
			t.Errorf("over TLS: %d", a.code)
		}
		if a := c.get(generalClass, ""); a.code != 200 {
			t.Errorf("in clear: %d", a.code)
		}
		secure.putTLS(true, false, false)
		secure.want(secure.commit(), Success)
		if !gone(d) {
			t.Error("the clear port stays open")
		}
		if a := secure.putTLS(false, true, false); a.status() != int(InvalidParameter) {
			t.Errorf("mutual without TLS: %d", a.status())
		}
	}
}

// gone waits until the port for HTTP in clear is closed.
func gone(d *Device) bool {
	for range 500 {
		if !d.ClearAddr().IsValid() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// TestPhasesOfTheInterface: set-up speaks TLS-PSK alone, an Operational device no
// TLS-PSK, one without TLS not even TLS.
func TestPhasesOfTheInterface(t *testing.T) {
	t.Parallel()
	var seen events
	d := device(t, AMT90, func(o *Options) { o.OnEvent = seen.add })
	config := &tls.Config{InsecureSkipVerify: true}
	if _, err := tlsClient(t, d, config, "admin", testMEBx).try(actGet, generalClass, "", ""); err == nil {
		t.Error("certificate TLS works in set-up")
	}
	other := testPair(t)
	other.PID = drawPair(t).PID
	if _, err := pskClient(t, d, other, testMEBx).try(actGet, generalClass, "", ""); err == nil {
		t.Error("another PID is taken")
	}
	wrong := testPair(t)
	wrong.PPS = drawPair(t).PPS
	if _, err := pskClient(t, d, wrong, testMEBx).try(actGet, generalClass, "", ""); err == nil {
		t.Error("another PPS is taken")
	}
	if d.ClearAddr().IsValid() || !seen.has(EventHandshake) {
		t.Error("HTTP in clear in set-up, or no event of the failures")
	}
	setUp(t, d, newAuthority(t), nil)
	if _, err := pskClient(t, d, testPair(t), testAdmin).try(actGet, generalClass, "", ""); err == nil {
		t.Error("TLS-PSK works after the commit")
	}
	plain, _ := operational(t, AMT90, nil)
	if _, err := tlsClient(t, plain, config, "admin", testAdmin).try(actGet, generalClass, "", ""); err == nil {
		t.Error("TLS works where it is off")
	}
}

func TestOperationalTLS(t *testing.T) {
	t.Parallel()
	d := device(t, AMT100, func(o *Options) {
		o.Setup = Setup{}
		o.Operational = &Operational{User: "root1", Password: amt.NewSecretString(testAdmin), TLS: true, HostName: "pc.example.net"}
	})
	c := tlsClient(t, d, &tls.Config{InsecureSkipVerify: true}, "root1", testAdmin)
	if a := c.get(generalClass, ""); a.code != 200 || a.xml.text("HostName") != "pc" || a.xml.text("DomainName") != "example.net" {
		t.Errorf("%d %s", a.code, a.raw)
	}
}

func TestPlainSetup(t *testing.T) {
	t.Parallel()
	d := device(t, AMT90, func(o *Options) { o.PlainSetup = true })
	c := plainClient(t, func() string { return d.Addr().String() }, "admin", testMEBx)
	if got := c.get(setupClass, "").xml.text("ProvisioningState"); got != "1" {
		t.Errorf("ProvisioningState %q", got)
	}
}

func TestRefuseSHA256(t *testing.T) {
	t.Parallel()
	for _, g := range []*Generation{AMT32, AMT62} {
		_, c := operational(t, g, func(o *Options) { o.RefuseSHA256 = true })
		_, pub := c.makeKey(g)
		want := Success
		if !g.SHA256 {
			want = InvalidCertificate
		}
		cert := newAuthority(t).issue(t, "pc", pub, nil)
		c.want(c.invoke(keyClass, "AddCertificate", "CertificateBlob", encode(cert.Raw)), want)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	d, _ := operational(t, AMT90, func(o *Options) { o.Limits.Connections = 1 })
	addr := waitClear(t, d)
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	second, err := net.Dial("tcp", addr)
	if err == nil {
		_ = second.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = second.Read(make([]byte, 1))
		_ = second.Close()
	}
	_ = first.Close()
	if err == nil {
		t.Error("a second connection is taken")
	}
}

// TestIPv6 runs a device on ::1.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no ::1 here")
	} else {
		_ = ln.Close()
	}
	d := device(t, AMT90, func(o *Options) { o.Addr = netip.IPv6Loopback() })
	c := pskClient(t, d, testPair(t), testMEBx)
	if a := c.get(generalClass, ""); a.code != 200 {
		t.Errorf("got %d", a.code)
	}
}
