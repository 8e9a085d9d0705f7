package profile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const planted = "Pl4nted.Passw0rd"

// ok begins a document that lacks nothing.
const ok = "name: x\n"

// refused lists documents that are refused, each with the error's whole text up
// to where the test stops caring.
var refused = []struct{ name, doc, want string }{
	{"empty", "", "p.yaml: the document is empty"},
	{"only a comment", "# nothing\n", "p.yaml: the document is empty"},
	{"text", "hello", "p.yaml:1:1: want a group of fields, found text"},
	{"list", "- a", "p.yaml:1:1: want a group of fields, found a list"},
	{"not UTF-8", "name: \xff\xfe", "p.yaml:1:7: the document is not UTF-8"},
	{"control character", "name: x\na: \x01", "p.yaml:2:4: the document holds a control character"},
	{"too big", "#" + strings.Repeat("x", MaxDocument), "p.yaml: the document has 16385 bytes, at most 16384"},
	{"nested", strings.Repeat("[", 40) + strings.Repeat("]", 40), "p.yaml:1:17: the document is nested too deep"},
	{"two documents", "name: x\n---\nname: y\n", "p.yaml:3:"},
	{"anchor", "name: &a x", "p.yaml:1:7: a profile has no anchors"},
	{"alias", "name: &a x\ndomain: *a", "p.yaml:1:7: a profile has no anchors"},
	{"merge", "<<: {name: x}", "p.yaml:1:1: a profile has no anchors"},
	{"tag", "name: !!str x", "p.yaml:1:7: a profile has no anchors"},
	{"twice", "name: x\nname: y", "p.yaml:2:1: the field stands here for the second time; the first is in line 1"},
	{"no name", "domain: corp.example", "p.yaml:1:1: name: the profile needs a name"},
	{"bad name", "name: a/b", "p.yaml:1:7: name: want letters"},
	{"number for text", "name: 12", "p.yaml:1:7: name: want text, found a number: put it in quotes"},
	{"nothing for text", "name:\ndomain: a.b", "p.yaml:1:"},
	{"version 2", ok + "version: 2", "p.yaml:2:10: version: 2: this program reads version 1"},
	{"version x", ok + "version: x", "p.yaml:2:10: version: want a whole number, found text"},
	{"version 1.5", ok + "version: 1.5", "p.yaml:2:10: version: want a whole number in decimal digits"},
	{"unknown field", ok + "tls:\n  moed: server", "p.yaml:3:3: tls.moed: unknown field: want one of mode, allow_plain, trusted_cns"},
	{"unknown field with odd name", ok + "'a b': 1", "p.yaml:2:1: unknown field: want one of version"},
	{"description of two lines", ok + "description: \"a\\nb\"", "p.yaml:2:14: description: want one line"},
	{"old AMT", ok + "min_amt: 2.5", "p.yaml:2:10: min_amt: AMT before 3.0"},
	{"no AMT version", ok + "min_amt: new", `p.yaml:2:10: min_amt: "new": want an AMT version`},
	{"no domain", ok + "host_name: {pattern: 'a-{hash8}'}", "p.yaml:1:1: domain: a host name pattern needs a domain"},
	{"bad domain", ok + "domain: corp..example", "p.yaml:2:9: domain: label 2: not a DNS name: it is empty"},
	{"long label", ok + "domain: " + strings.Repeat("a", 64), "p.yaml:2:9: domain: label 1: not a DNS name: 64 characters, at most 63"},
	{"long domain", ok + "domain: " + strings.Repeat("a.", 127), "p.yaml:2:9: domain: not a DNS name: 254 characters"},
	{"domain too long for the pattern", ok + "host_name: {pattern: '{uuid}'}\ndomain: " + strings.Repeat("a.", 108) + "a", "p.yaml:3:9: domain: 217 characters, and host names have up to 36"},
	{"same name for all", ok + "host_name: {pattern: pc}\ndomain: a.b", "p.yaml:2:22: host_name.pattern: all devices would get the same name"},
	{"unknown placeholder", ok + "host_name: {pattern: 'a{uid}'}\ndomain: a.b", `p.yaml:2:22: host_name.pattern: unknown placeholder "{uid}": want one of {uuid}`},
	{"open brace", ok + "host_name: {pattern: 'a{uuid'}\ndomain: a.b", "p.yaml:2:22: host_name.pattern: braces come in pairs"},
	{"closing brace", ok + "host_name: {pattern: 'a}{uuid}'}\ndomain: a.b", "p.yaml:2:22: host_name.pattern: braces come in pairs"},
	{"pattern with a dot", ok + "host_name: {pattern: 'a.{uuid}'}\ndomain: a.b", "p.yaml:2:22: host_name.pattern: it makes no host name: not a DNS name: character 2"},
	{"pattern too long", ok + "host_name: {pattern: '" + strings.Repeat("a", 28) + "{uuid}'}\ndomain: a.b", "p.yaml:2:22: host_name.pattern: it makes no host name: not a DNS name: 64 characters"},
	{"pattern and reverse DNS", ok + "host_name: {pattern: 'a{uuid}', reverse_dns: true}\ndomain: a.b", "p.yaml:2:46: host_name.reverse_dns: a pattern always gives a name"},
	{"yes", ok + "network: {ping: yes}", "p.yaml:2:17: network.ping: want true or false, found text"},
	{"static without address", ok + "network: {static: {gateway: 192.0.2.1}}", "p.yaml:2:20: network.static.address: want an IPv4 address"},
	{"static without length", ok + "network: {static: {address: 192.0.2.1}}", `p.yaml:2:29: network.static.address: "192.0.2.1": want an address with its length`},
	{"static IPv6", ok + "network: {static: {address: '2001:db8::1/64'}}", "p.yaml:2:29: network.static.address: want an IPv4 address"},
	{"network address", ok + "network: {static: {address: 192.0.2.0/24}}", "p.yaml:2:29: network.static.address: 192.0.2.0 is no address of a device"},
	{"broadcast address", ok + "network: {static: {address: 192.0.2.63/26}}", "p.yaml:2:29: network.static.address: 192.0.2.63 is no address"},
	{"foreign gateway", ok + "network: {static: {address: 192.0.2.1/24, gateway: 192.0.3.1}}", "p.yaml:2:52: network.static.gateway: 192.0.3.1: want another address of 192.0.2.0/24"},
	{"three DNS servers", ok + "network: {static: {address: 192.0.2.1/24, dns: [192.0.2.2, 192.0.2.3, 192.0.2.4]}}", "p.yaml:2:48: network.static.dns: 3 servers, at most 2"},
	{"IPv6 DNS server", ok + "network: {static: {address: 192.0.2.1/24, dns: ['::1']}}", "p.yaml:2:49: network.static.dns[0]: want the IPv4 address"},
	{"tls off", ok + "tls: {mode: off}", "p.yaml:2:13: tls.mode: off sends passwords' hashes"},
	{"names without mutual", ok + "tls: {trusted_cns: [a.b]}", "p.yaml:2:20: tls.trusted_cns: only mode: mutual"},
	{"five names", ok + "tls: {mode: mutual, trusted_cns: [a, b, c, d, e]}", "p.yaml:2:34: tls.trusted_cns: 5 names, at most 4"},
	{"a name twice", ok + "tls: {mode: mutual, trusted_cns: [a.b, A.B]}", "p.yaml:2:40: tls.trusted_cns[1]: the name stands here twice"},
	{"mutual on old AMT", ok + "min_amt: 5.0\ntls: {mode: mutual}", "p.yaml:3:13: tls.mode: mutual needs AMT 6.0, and min_amt allows 5.0.0"},
	{"lifetime", ok + "certificate: {lifetime: 11y}", "p.yaml:2:25: certificate.lifetime: want a whole number of hours, days or years"},
	{"lifetime 0", ok + "certificate: {lifetime: 0h}", "p.yaml:2:25: certificate.lifetime: want whole hours from 1h"},
	{"admin kept", ok + "admin_password: {policy: keep}", "p.yaml:2:26: admin_password.policy: want one of random, fixed"},
	{"no policy", ok + "admin_password: {length: 12}", "p.yaml:2:"},
	{"short random", ok + "admin_password: {policy: random, length: 7}", "p.yaml:2:42: admin_password.length: 7: want 8 to 32"},
	{"length of fixed", ok + "admin_password: {policy: fixed, length: 9, value: " + planted + "}", "p.yaml:2:41: admin_password.length: only a random password has a length"},
	{"value of random", ok + "mebx_password: {policy: random, value: " + planted + "}", "p.yaml:2:40: mebx_password.value: only a fixed password has a value"},
	{"weak", ok + "mebx_password: {policy: fixed, value: planted}", "p.yaml:2:39: mebx_password.value: password refused: 7 characters"},
	{"comma in password", ok + "mebx_password: {policy: fixed, value: '" + planted + ",'}", "p.yaml:2:39: mebx_password.value: password refused: character 17"},
	{"number for password", ok + "mebx_password: {policy: fixed, value: 12345678}", "p.yaml:2:39: mebx_password.value: want text, found a number: put the password in quotes"},
	{"list for password", ok + "mebx_password: {policy: fixed, value: [" + planted + "]}", "p.yaml:2:39: mebx_password.value: want a password, found a list"},
	{"password for policy group", ok + "mebx_password: " + planted, "p.yaml:2:16: mebx_password: want a group of fields, found text"},
	{"password for field name", ok + "mebx_password: {" + planted + ": 1}", "p.yaml:2:17: mebx_password: unknown field: want one of policy, length, value"},
	{"user without realms", ok + "users: [{name: u}]", "p.yaml:2:10: users[0].realms: the user needs a realm"},
	{"user admin", ok + "users: [{name: Admin, realms: [ACL]}]", "p.yaml:2:16: users[0].name: user name refused: admin is the built-in administrator"},
	{"long user", ok + "users: [{name: abcdefghijklmnopq, realms: [ACL]}]", "p.yaml:2:16: users[0].name: user name refused: 17 characters"},
	{"same users", ok + "users: [{name: u, realms: [ACL]}, {name: U, realms: [ACL]}]", "p.yaml:2:42: users[1].name: another user has this name"},
	{"unknown realm", ok + "users: [{name: u, realms: [Everything]}]", `p.yaml:2:28: users[0].realms[0]: "Everything": no such realm: want one of Redirection`},
	{"reserved realm", ok + "users: [{name: u, realms: [22]}]", "p.yaml:2:28: users[0].realms[0]:"},
	{"realm twice", ok + "users: [{name: u, realms: [ACL, 21]}]", "p.yaml:2:33: users[0].realms[1]: ACL stands here twice"},
	{"realm of later AMT", ok + "min_amt: 3.2\nusers: [{name: u, realms: [AuditLog]}]", "p.yaml:3:28: users[0].realms[0]: AuditLog needs AMT 4.0, and min_amt allows 3.2.0"},
	{"access", ok + "users: [{name: u, realms: [ACL], access: remote}]", "p.yaml:2:42: users[0].access: want one of local, network, any"},
	{"eight users", ok + "users: [" + strings.Repeat("{name: u, realms: [ACL]},", 8) + "]", "p.yaml:2:8: users: 8 users, at most 7 beside admin"},
	{"consent", ok + "features: {consent: maybe}", "p.yaml:2:21: features.consent: want one of none, kvm, all"},
	{"power", ok + "power_package: fast", `p.yaml:2:16: power_package: "fast": no such power package`},
	{"next pair", ok + "next_pair: true", "p.yaml:2:12: next_pair: want text, found true or false"},
	{"indentation", "name: x\n  domain: y\n", "p.yaml:"},
	{"tab", "tls:\n\tmode: server\n", "p.yaml:2:"},
	{"open quote", "name: \"x\n", "p.yaml:1:"},
	{"open bracket", "users: [\n", "p.yaml:1:"},
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := Parse("p.yaml", []byte(tt.doc))
			if p != nil || !errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "nted") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// TestFaultsTogether: all faults of a document are told, in order, up to a bound.
func TestFaultsTogether(t *testing.T) {
	t.Parallel()
	_, err := Parse("p.yaml", []byte("next_pair: x\nname: 1\ntls: {mode: y}\nzz: 1\n"))
	var list Errors
	if !errors.As(err, &list) || len(list) != 4 || list[0].Line != 1 || list[3].Path != "zz" || list[1].Doc != "p.yaml" {
		t.Errorf("got %v", err)
	}
	var doc strings.Builder
	for i := range 30 {
		fmt.Fprintf(&doc, "zz%d: 1\n", i)
	}
	_, err = Parse("p.yaml", []byte(doc.String()))
	if s := err.Error(); strings.Count(s, "\n") != maxErrors || !strings.HasSuffix(s, "and 10 more") {
		t.Errorf("got %s", s)
	}
}

// TestNoErrorShowsPassword breaks a document in every place in many ways.
func TestNoErrorShowsPassword(t *testing.T) {
	t.Parallel()
	doc := `name: x
admin_password: {policy: fixed, value: "Pl4nted.Passw0rd"}
mebx_password:
  policy: fixed
  value: Pl4nted.Passw0rd
users:
- name: one
  realms: [3]
  password: {value: 'Pl4nted.Passw0rd', policy: fixed}
tls:
  mode: server
`
	jsonDoc := `{"name":"x","admin_password":{"policy":"fixed","value":"` + planted + `"},"users":[{"name":"u","password":{"value":"` + planted + `"}}]}`
	for _, doc := range []string{doc, jsonDoc} {
		count := 0
		try := func(broken string) {
			_, err := Parse("p", []byte(broken))
			if err == nil {
				return
			}
			count++
			for _, part := range []string{"Pl4nted", "l4nted.Pass", "ssw0rd"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error shows %s: %v\n%s", part, err, broken)
				}
			}
		}
		for i := range doc {
			try(doc[:i])
			try(doc[:i] + doc[i+1:])
			for _, c := range []string{" ", "\n", "\t", ":", "'", `"`, "{", "}", "[", "]", "-", "#", "&", "*", "|", "!", "%", ",", "\\", "\x00", "? "} {
				try(doc[:i] + c + doc[i:])
			}
		}
		if count < len(doc) {
			t.Errorf("only %d documents were refused", count)
		}
	}
}

// TestHugeDocuments: nothing within MaxDocument takes long or overflows a stack.
func TestHugeDocuments(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"[", "{", "- ", "? ", "a:\n", "{a: ", "&a ", "!a ", "'", "\"", "|\n", "- - ", "a: b\n", "[a,", "#", "%", "*a ", "--- "} {
		start := time.Now()
		_, err := Parse("p", []byte(strings.Repeat(unit, MaxDocument/len(unit))))
		if d := time.Since(start); err == nil || d > 10*time.Second {
			t.Errorf("%q repeated: %v after %v", unit, err, d)
		} else if d > time.Second {
			t.Logf("%q repeated: %v", unit, d)
		}
	}
}
