package tlspsk

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var bothSuites = []uint16{SuiteAES128, SuiteAES256}

// matrix runs f for each version and suite, as subtests.
func matrix(t *testing.T, list []uint16, f func(t *testing.T, version, suite uint16)) {
	t.Helper()
	for _, v := range versions {
		for _, s := range list {
			t.Run(fmt.Sprintf("%s/%s", VersionName(v), SuiteName(s)), func(t *testing.T) {
				f(t, v, s)
			})
		}
	}
}

// clientConfig is our client's for one cell of the matrix.
func clientConfig(t testing.TB, version, suite uint16) *Config {
	t.Helper()
	c := PairConfig(intelPair(t))
	only(version, suite, c)
	c.VerifyCertificate = func(chain []*x509.Certificate) error {
		if got := chain[0].Subject.CommonName; got != "tlspsk test" {
			return fmt.Errorf("certificate of %q", got)
		}
		return nil
	}
	return c
}

// serverConfig is our server's for one cell of the matrix.
func serverConfig(t testing.TB, version, suite uint16, hint bool) *Config {
	t.Helper()
	c := PairServerConfig(intelPair(t))
	only(version, suite, c)
	c.Certificate = rsaCertificate(t)
	if !hint {
		c.IdentityHint = nil
	}
	return c
}

func checkState(t testing.TB, s State, version, suite uint16, hint string) {
	t.Helper()
	if s.Version != version || s.CipherSuite != suite || string(s.Hint) != hint || string(s.Identity) != "0000037M" {
		t.Errorf("agreed on %+v, want %s, %s, hint %q", s, VersionName(version), SuiteName(suite), hint)
	}
}

// TestClientOpenSSL is our client against openssl s_server. OpenSSL makes the
// hint; without one it sends no ServerKeyExchange.
func TestClientOpenSSL(t *testing.T) {
	t.Parallel()
	for _, hint := range []string{"", "0000037M"} {
		t.Run("hint="+hint, func(t *testing.T) {
			t.Parallel()
			args := []string{"-psk", pskHex(t), "-cert", "cert.pem", "-key", "key.pem", "-cipher", opensslCiphers(SuiteAES128, SuiteAES256, SuiteRSAAES128)}
			if hint != "" {
				args = append(args, "-psk_hint", hint)
			}
			address := opensslServer(t, args...)
			matrix(t, []uint16{SuiteAES128, SuiteAES256, SuiteRSAAES128}, func(t *testing.T, version, suite uint16) {
				for name := range bodies {
					s := getFrom(t, address, name, clientConfig(t, version, suite))
					checkState(t, s, version, suite, hint)
				}
			})
		})
	}
}

// TestClientGnuTLS is our client against gnutls-serv, the weak suites included:
// OpenSSL of Debian has none of them.
func TestClientGnuTLS(t *testing.T) {
	t.Parallel()
	list := []uint16{SuiteAES128, SuiteAES256, Suite3DES, SuiteRC4, SuiteRSAAES128}
	for _, hint := range []string{"", "0000037M"} {
		for name := range bodies {
			t.Run("hint="+hint+"/"+name, func(t *testing.T) {
				t.Parallel()
				args := []string{"--priority", gnutlsPriority(versions, list...), "--x509certfile", "cert.pem", "--x509keyfile", "key.pem"}
				if hint != "" {
					args = append(args, "--pskhint", hint)
				}
				address := gnutlsServer(t, name, args...)
				matrix(t, list, func(t *testing.T, version, suite uint16) {
					s := getFrom(t, address, name, clientConfig(t, version, suite))
					checkState(t, s, version, suite, hint)
				})
			})
		}
	}
}

// TestServerOpenSSL is openssl s_client against our server.
func TestServerOpenSSL(t *testing.T) {
	t.Parallel()
	for _, hint := range []bool{false, true} {
		t.Run(fmt.Sprintf("hint=%v", hint), func(t *testing.T) {
			t.Parallel()
			matrix(t, []uint16{SuiteAES128, SuiteAES256, SuiteRSAAES128}, func(t *testing.T, version, suite uint16) {
				address, failures := serveBodies(t, serverConfig(t, version, suite, hint))
				for name, body := range bodies {
					out, err := opensslClient(t, address, name, "-psk", pskHex(t), "-psk_identity", "0000037M",
						opensslVersions[version], "-cipher", opensslCiphers(suite))
					served := <-failures
					if err != nil || served != nil || out != string(body) {
						t.Fatalf("%s: %d bytes, client %v, server %v", name, len(out), err, served)
					}
				}
			})
		})
	}
}

// TestServerGnuTLS is gnutls-cli against our server.
func TestServerGnuTLS(t *testing.T) {
	t.Parallel()
	list := []uint16{SuiteAES128, SuiteAES256, Suite3DES, SuiteRC4, SuiteRSAAES128}
	for _, hint := range []bool{false, true} {
		t.Run(fmt.Sprintf("hint=%v", hint), func(t *testing.T) {
			t.Parallel()
			matrix(t, list, func(t *testing.T, version, suite uint16) {
				address, failures := serveBodies(t, serverConfig(t, version, suite, hint))
				for name, body := range bodies {
					out, err := gnutlsClient(t, address, name, "--pskkey", pskHex(t), "--pskusername", "0000037M",
						"--priority", gnutlsPriority([]uint16{version}, suite))
					served := <-failures
					if err != nil || served != nil || !bytes.Contains([]byte(out), body) {
						t.Fatalf("%s: %d bytes, client %v, server %v", name, len(out), err, served)
					}
				}
			})
		})
	}
}

// TestClientNegotiates offers everything to servers of one version each.
func TestClientNegotiates(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run("OpenSSL/"+VersionName(v), func(t *testing.T) {
			t.Parallel()
			address := opensslServer(t, "-nocert", "-psk", pskHex(t), opensslVersions[v], "-cipher", opensslCiphers(bothSuites...))
			checkState(t, getFrom(t, address, "small", PairConfig(intelPair(t))), v, SuiteAES128, "")
		})
		t.Run("GnuTLS/"+VersionName(v), func(t *testing.T) {
			t.Parallel()
			address := gnutlsServer(t, "small", "--priority", gnutlsPriority([]uint16{v}, bothSuites...))
			checkState(t, getFrom(t, address, "small", PairConfig(intelPair(t))), v, SuiteAES128, "")
		})
	}
}

// TestServerNegotiates lets clients that know everything meet our servers of one
// version each, and a client of TLS 1.3 one of all.
func TestServerNegotiates(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(VersionName(v), func(t *testing.T) {
			t.Parallel()
			c := PairServerConfig(intelPair(t))
			c.MinVersion, c.MaxVersion = v, v
			address, failures := serveBodies(t, c)
			out, err := opensslClient(t, address, "small", "-psk", pskHex(t), "-psk_identity", "0000037M", "-cipher", "ALL:PSK:@SECLEVEL=0")
			if served := <-failures; err != nil || served != nil || out != string(bodies["small"]) {
				t.Errorf("openssl: %q, client %v, server %v", out, err, served)
			}
			out, err = gnutlsClient(t, address, "small", "--pskkey", pskHex(t), "--pskusername", "0000037M",
				"--priority", "NORMAL:+VERS-TLS1.0:+VERS-TLS1.1:+PSK:+SHA1:+AES-128-CBC")
			if served := <-failures; err != nil || served != nil || !strings.Contains(out, string(bodies["small"])) {
				t.Errorf("gnutls-cli: %q, client %v, server %v", out, err, served)
			}
		})
	}
}

// refusal is how one foreign server or client is met and what must come of it.
type refusal struct {
	name string
	peer func(t *testing.T) string // gives the address
	our  func(c *Config)
	want error
}

// TestClientRefused is our client before foreign servers that cannot serve it.
func TestClientRefused(t *testing.T) {
	t.Parallel()
	psk := pskHex(t)
	openssl := func(args ...string) func(t *testing.T) string {
		return func(t *testing.T) string { return opensslServer(t, args...) }
	}
	gnutls := func(args ...string) func(t *testing.T) string {
		return func(t *testing.T) string { return gnutlsServer(t, "small", args...) }
	}
	all := gnutlsPriority(versions, bothSuites...)
	wrong := func(c *Config) { c.Key = otherPair(t).PPS }
	stranger := func(c *Config) { c.Identity = []byte("0000000C") }
	dashed := func(c *Config) { *c = *Dashed.Config(intelPair(t)) }
	old := func(c *Config) { c.MaxVersion = versions[0] }
	var list []refusal
	for _, v := range versions {
		only := func(c *Config) { c.MinVersion, c.MaxVersion = v, v }
		list = append(list,
			refusal{"wrong key/OpenSSL/" + VersionName(v), openssl("-nocert", "-psk", psk, "-cipher", opensslCiphers(SuiteAES128)), both(wrong, only), ErrKeyMismatch},
			refusal{"wrong key/GnuTLS/" + VersionName(v), gnutls("--priority", all), both(wrong, only), ErrKeyMismatch})
	}
	list = append(list,
		refusal{"dashed/OpenSSL", openssl("-nocert", "-psk", psk, "-cipher", opensslCiphers(SuiteAES128)), dashed, ErrKeyMismatch},
		// GnuTLS hides an unknown identity behind a random key (RFC 4279 section 2
		// allows it), and s_server takes any identity: TestServerRefuses has the alert.
		refusal{"unknown identity/GnuTLS", gnutls("--priority", all), stranger, ErrKeyMismatch},
		refusal{"no PSK/OpenSSL", openssl("-cert", "cert.pem", "-key", "key.pem", "-cipher", "ALL:@SECLEVEL=0"), nil, ErrNoSharedSuite},
		refusal{"no PSK/GnuTLS", gnutls("--priority", "NORMAL", "--x509certfile", "cert.pem", "--x509keyfile", "key.pem"), nil, ErrNoSharedSuite},
		refusal{"version/OpenSSL", openssl("-nocert", "-psk", psk, "-tls1_2", "-cipher", opensslCiphers(SuiteAES128)), old, ErrNoSharedVersion},
		refusal{"version/GnuTLS", gnutls("--priority", gnutlsPriority(versions[2:], SuiteAES128)), old, ErrNoSharedVersion},
		refusal{"suite/OpenSSL", openssl("-nocert", "-psk", psk, "-cipher", "PSK-AES256-CBC-SHA384:@SECLEVEL=0"), nil, ErrNoSharedSuite})
	for _, r := range list {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := PairConfig(intelPair(t))
			if r.our != nil {
				r.our(c)
			}
			err := dialPeer(t, r.peer(t), c).Handshake()
			if !errors.Is(err, r.want) {
				t.Errorf("got %v, want %v", err, r.want)
			}
			t.Log(err)
		})
	}
}

func both(f, g func(*Config)) func(*Config) {
	return func(c *Config) { f(c); g(c) }
}

// TestServerRefuses is foreign clients that our server must not serve.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	wrong := fmt.Sprintf("%x", otherPair(t).PPS.Reveal())
	for _, r := range []struct {
		name, psk, identity string
		want                error
		more                []string
	}{
		{"wrong key", wrong, "0000037M", ErrKeyMismatch, nil},
		{"unknown identity", pskHex(t), "0000000C", ErrUnknownIdentity, nil},
		{"dashed identity", pskHex(t), "0000-037M", ErrUnknownIdentity, nil},
		{"suite", pskHex(t), "0000037M", ErrNoSharedSuite, []string{"-cipher", "PSK-AES256-CBC-SHA384:@SECLEVEL=0"}},
		{"no PSK", "", "", ErrNoPSK, []string{"-cipher", "ALL:@SECLEVEL=0"}},
		{"version", pskHex(t), "0000037M", ErrNoSharedVersion, []string{"-tls1"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := PairServerConfig(intelPair(t))
			if slices.Contains(r.more, "-tls1") {
				c.MinVersion = versions[1]
			}
			address, failures := serveBodies(t, c)
			args := append([]string{"-tls1_2", "-cipher", opensslCiphers(SuiteAES128)}, r.more...)
			if slices.Contains(r.more, "-tls1") {
				args = args[1:]
			}
			if r.psk != "" {
				args = append(args, "-psk", r.psk, "-psk_identity", r.identity)
			}
			if _, err := opensslClient(t, address, "small", args...); err == nil {
				t.Error("the client is content")
			}
			if err := <-failures; !errors.Is(err, r.want) {
				t.Errorf("got %v, want %v", err, r.want)
			}
		})
	}
}
