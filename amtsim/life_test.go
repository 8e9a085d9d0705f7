package amtsim

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

func wsmanGenerations() []*Generation { return []*Generation{AMT32, AMT62, AMT90, AMT100} }

// TestLife takes a device of each generation from its first hello to TLS with the
// certificate it was given.
func TestLife(t *testing.T) {
	t.Parallel()
	for _, g := range wsmanGenerations() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			server, ca := listen(t), newAuthority(t)
			d := device(t, g, func(o *Options) { o.Server = server.ln.Addr().String() })
			m, from := server.next(t)
			if m.UUID != d.UUID() || m.PID != testPair(t).PID || m.Retry != 0 || !m.CredentialsSet || from.Addr() != d.Addr().Addr() {
				t.Errorf("hello %+v from %v", m, from)
			}
			next := drawPair(t)
			cert := setUp(t, d, ca, func(c *client) {
				c.want(c.invoke("AMT_SetupAndConfigurationService", "SetTLSPSK",
					"PID", encode(next.PID[:]), "PPS", encode(next.PPS.Reveal())), Success)
			})
			if got := d.Phase(); got != amt.Operational {
				t.Fatalf("phase %v", got)
			}
			checkOperational(t, d, ca, cert.Raw)
			s := d.Snapshot()
			if s.Pair.PID != next.PID || !s.Pair.PPS.Equal(next.PPS) || !s.Pending.PPS.IsZero() || s.HostName != "pc1" ||
				!s.ClockSet || time.Since(s.Clock).Abs() > 3*time.Second || !s.MEBx.Equal(amt.NewSecretString(testMEBx)) {
				t.Errorf("snapshot: %+v", s)
			}
			server.quiet(t, 50*time.Millisecond)
		})
	}
}

// checkOperational logs in over TLS and looks at what is presented.
func checkOperational(t *testing.T, d *Device, ca *authority, leaf []byte) {
	t.Helper()
	c := tlsClient(t, d, &tls.Config{RootCAs: ca.pool(), ServerName: "pc1.example.net"}, "admin", testAdmin)
	a := c.get("AMT_SetupAndConfigurationService", "")
	if got := a.xml.text("ProvisioningState"); got != "2" {
		t.Fatalf("ProvisioningState %q: %s", got, a.raw)
	}
	conn, ok := c.conn.(*tls.Conn)
	if !ok {
		t.Fatal("no TLS connection")
	}
	state := conn.ConnectionState()
	if len(state.PeerCertificates) != 1 || !bytes.Equal(state.PeerCertificates[0].Raw, leaf) {
		t.Errorf("%d certificates are presented, want the leaf alone", len(state.PeerCertificates))
	}
	if state.Version != d.Generation().MaxTLS {
		t.Errorf("TLS version %#x, want %#x", state.Version, d.Generation().MaxTLS)
	}
	if !d.CheckAdmin(amt.NewSecretString(testAdmin)) || d.CheckAdmin(amt.NewSecretString(testMEBx)) {
		t.Error("the admin's password is not the new one")
	}
}

// TestOldFirmware: AMT 2.x takes TLS-PSK and the log-in, and has no /wsman.
func TestOldFirmware(t *testing.T) {
	t.Parallel()
	d := device(t, AMT22, nil)
	c := pskClient(t, d, testPair(t), testMEBx)
	a := c.get("AMT_GeneralSettings", "")
	if a.code != 404 || c.challenges != 1 {
		t.Errorf("got %d after %d challenges, want 404 after 1", a.code, c.challenges)
	}
}

// TestGenerationCalls looks at what each generation has and has not.
func TestGenerationCalls(t *testing.T) {
	t.Parallel()
	for _, g := range wsmanGenerations() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			_, c := operational(t, g, nil)
			for _, class := range []string{"CIM_KVMRedirectionSAP", "IPS_OptInService"} {
				a := c.get(class, "")
				if g.KVM != (a.code == 200) || !g.KVM && a.fault() != "b:DestinationUnreachable" {
					t.Errorf("%s: %d %s", class, a.code, a.fault())
				}
			}
			a := c.invoke("AMT_PublicKeyManagementService", "GenerateKeyPair", "KeyAlgorithm", "0", "KeyLength", "2048")
			if g.GenerateKeyPair && a.status() != 0 || !g.GenerateKeyPair && a.fault() != "b:ActionNotSupported" {
				t.Errorf("GenerateKeyPair: %d %s", a.code, a.fault())
			}
			version := ""
			for _, n := range c.pull("CIM_SoftwareIdentity") {
				if n.text("InstanceID") == "AMT" {
					version = n.text("VersionString")
				}
			}
			if version != g.Version.String() {
				t.Errorf("version %q, want %v", version, g.Version)
			}
			if has := c.get("AMT_GeneralSettings", "").xml.find("SharedFQDN") != nil; has != g.Version.AtLeast(6, 0) {
				t.Errorf("SharedFQDN: %v", has)
			}
		})
	}
}

func TestParseGenerations(t *testing.T) {
	t.Parallel()
	list, err := ParseGenerations("3.2, 6.2,9.0,10.0,2.x")
	if err != nil || len(list) != 5 || list[0] != AMT32 || list[4] != AMT22 {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := ParseGenerations("9.0,7.1"); err == nil {
		t.Error("7.1 should be unknown")
	}
}

// TestReallocation: a partial unprovision says hello with the pair given last, the
// admin's password stays; a full one forgets everything but the MEBx password.
func TestReallocation(t *testing.T) {
	t.Parallel()
	server, ca := listen(t), newAuthority(t)
	d := device(t, AMT90, func(o *Options) { o.Server = server.ln.Addr().String() })
	server.next(t)
	setUp(t, d, ca, nil)
	next := drawPair(t)
	c := tlsClient(t, d, &tls.Config{RootCAs: ca.pool(), ServerName: "pc1.example.net"}, "admin", testAdmin)
	c.want(c.invoke("AMT_SetupAndConfigurationService", "SetTLSPSK",
		"PID", encode(next.PID[:]), "PPS", encode(next.PPS.Reveal())), Success)
	c.want(c.invoke("AMT_SetupAndConfigurationService", "PartialUnprovision"), Success)
	if m, _ := server.next(t); m.PID != next.PID || m.Retry != 0 {
		t.Errorf("hello %+v, want PID %v", m, next.PID)
	}
	s := d.Snapshot()
	if s.Phase != amt.InSetup || len(s.Keys) != 0 || len(s.Certs) != 0 || s.HostName != "pc1" || s.ClockSet {
		t.Errorf("snapshot: %+v", s)
	}
	p := pskClient(t, d, next, testAdmin)
	if got := p.get("AMT_SetupAndConfigurationService", "").xml.text("ProvisioningState"); got != "1" {
		t.Errorf("ProvisioningState %q", got)
	}
	p.want(p.invoke("AMT_SetupAndConfigurationService", "Unprovision", "ProvisioningMode", "2"), InvalidParameter)
	p.want(p.invoke("AMT_SetupAndConfigurationService", "Unprovision", "ProvisioningMode", "1"), Success)
	s = d.Snapshot()
	if s.Phase != amt.Factory || !s.Pair.PPS.IsZero() || s.HostName != "" || !s.MEBx.Equal(amt.NewSecretString(testMEBx)) {
		t.Errorf("snapshot: %+v", s)
	}
	if !d.CheckAdmin(amt.NewSecretString(testMEBx)) {
		t.Error("the admin's password is not the MEBx password again")
	}
	if _, err := p.tryInvoke("AMT_SetupAndConfigurationService", "GetUuid"); err == nil {
		t.Error("a device in its factory state answers")
	}
	if err := d.Enter(Setup{Pair: drawPair(t)}); err != nil {
		t.Errorf("a new pair by hand: %v", err)
	}
	server.next(t)
}
