package amtsim

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"
)

// names lists the element names of a tree in their order, each one once.
func names(n *node, list *[]string) {
	if !slices.Contains(*list, n.XMLName.Local) {
		*list = append(*list, n.XMLName.Local)
	}
	for i := range n.Kids {
		names(&n.Kids[i], list)
	}
}

// newer are elements that the recordings, of AMT 12, have and firmware of the
// pre-shared-key era has not, or has only with another setting; older the reverse.
var (
	newer = []string{"ThunderboltDockEnabled", "DHCPSyncRequiresHostname", "SecondaryDNS"}
	older = []string{"IPAddress"}
)

// TestRecorded compares the elements of our replies, and their order, with those
// of recorded ones, and the prefixes of the envelope.
func TestRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, "README.md")
	_, c := operational(t, AMT100, nil)
	ca := newAuthority(t)
	_, pub := c.makeKey(AMT100)
	c.link(ca.issue(t, "pc", pub, nil))
	c.want(c.invoke(authClass, "AddUserAclEntryEx", "DigestUsername", "joe", "DigestPassword", md5Base64("joe", c.realm, "Secret12!"),
		"AccessPermission", "2", "Realms", "2"), Success)
	port := selectorSet("InstanceID", "Intel(r) AMT Ethernet Port Settings 0")
	key := selectorSet("InstanceID", "Intel(r) AMT Key: Handle: 0")
	certificate := selectorSet("InstanceID", "Intel(r) AMT Certificate: Handle: 0")
	for file, got := range map[string]func() *answer{
		"amt/general/get.xml":                                 func() *answer { return c.get(generalClass, "") },
		"amt/setupandconfiguration/get.xml":                   func() *answer { return c.get(setupClass, "") },
		"amt/timesynchronization/get.xml":                     func() *answer { return c.get(timeClass, "") },
		"amt/publickey/management/get.xml":                    func() *answer { return c.get(keyClass, "") },
		"amt/publickey/certificate/get.xml":                   func() *answer { return c.get("AMT_PublicKeyCertificate", certificate) },
		"amt/publicprivate/get.xml":                           func() *answer { return c.get("AMT_PublicPrivateKeyPair", key) },
		"amt/authorization/get.xml":                           func() *answer { return c.get(authClass, "") },
		"amt/redirectionservice/get.xml":                      func() *answer { return c.get("AMT_RedirectionService", "") },
		"amt/ethernetport/get.xml":                            func() *answer { return c.get("AMT_EthernetPortSettings", port) },
		"amt/systempowerscheme/get.xml":                       func() *answer { return c.get("AMT_SystemPowerScheme", selectorSet("InstanceID", "SCHEME 0")) },
		"amt/tls/settingdata/get.xml":                         func() *answer { return c.get("AMT_TLSSettingData", selectorSet("InstanceID", tlsRemoteID)) },
		"amt/tls/protocolendpointcollection/get.xml":          func() *answer { return c.get("AMT_TLSProtocolEndpointCollection", "") },
		"cim/kvm/get.xml":                                     func() *answer { return c.get("CIM_KVMRedirectionSAP", "") },
		"cim/software/identity/get.xml":                       func() *answer { return c.get("CIM_SoftwareIdentity", selectorSet("InstanceID", "AMTApps")) },
		"ips/optin/get.xml":                                   func() *answer { return c.get("IPS_OptInService", "") },
		"amt/authorization/getadminaclentry.xml":              func() *answer { return c.invoke(authClass, "GetAdminAclEntry") },
		"amt/authorization/getuseraclentryex.xml":             func() *answer { return c.invoke(authClass, "GetUserAclEntryEx", "Handle", "3") },
		"amt/authorization/enumerateuseraclentries.xml":       func() *answer { return c.invoke(authClass, "EnumerateUserAclEntries", "StartIndex", "1") },
		"amt/timesynchronization/getlowaccuracytimesynch.xml": func() *answer { return c.invoke(timeClass, "GetLowAccuracyTimeSynch") },
		"amt/publickey/management/generatekeypair.xml": func() *answer {
			return c.invoke(keyClass, "GenerateKeyPair", "KeyAlgorithm", "0", "KeyLength", "2048")
		},
		"amt/tls/credentialcontext/pull.xml": func() *answer { return pullAll(c, "AMT_TLSCredentialContext") },
		"cim/software/identity/pull.xml":     func() *answer { return pullAll(c, "CIM_SoftwareIdentity") },
		"amt/general/enumerate.xml": func() *answer {
			return c.do(actEnum, generalClass, "", `<n:Enumerate xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration"/>`)
		},
	} {
		var want node
		if err := xml.Unmarshal(recorded(t, "wsman/"+file), &want); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		compare(t, file, got().xml, &want)
	}
}

func pullAll(c *client, class string) *answer {
	const ns = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
	ctx := c.do(actEnum, class, "", `<n:Enumerate xmlns:n="`+ns+`"/>`).xml.text("EnumerationContext")
	return c.do(actPull, class, "", `<n:Pull xmlns:n="`+ns+`"><n:EnumerationContext>`+ctx+
		`</n:EnumerationContext><n:MaxElements>999</n:MaxElements></n:Pull>`)
}

func compare(t *testing.T, file string, got, want *node) {
	t.Helper()
	var g, w []string
	names(got, &g)
	names(want, &w)
	g = slices.DeleteFunc(g, func(s string) bool { return slices.Contains(older, s) })
	w = slices.DeleteFunc(w, func(s string) bool { return slices.Contains(newer, s) })
	g = slices.DeleteFunc(g, func(s string) bool { return slices.Contains(newer, s) })
	if !slices.Equal(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", file, strings.Join(g, " "), strings.Join(w, " "))
	}
	if a, b := prefixes(got), prefixes(want); a != b {
		t.Errorf("%s: prefixes\n got %s\nwant %s", file, a, b)
	}
	if got.find("Action").text("Action") != strings.TrimSpace(want.find("Action").Text) {
		t.Errorf("%s: action %q, want %q", file, got.text("Action"), want.text("Action"))
	}
	if got.text("ResourceURI") != want.text("ResourceURI") {
		t.Errorf("%s: resource %q", file, got.text("ResourceURI"))
	}
}

// prefixes is what the envelope declares, in order.
func prefixes(n *node) string {
	var sb strings.Builder
	for _, a := range n.Attrs {
		sb.WriteString(a.Name.Local + "=" + a.Value + " ")
	}
	return sb.String()
}

// TestRecordedFault compares the recorded fault with ours, but for its numbers.
func TestRecordedFault(t *testing.T) {
	t.Parallel()
	want := string(recorded(t, "http/amt15-fault-AlreadyExists-chunks.http"))
	f := faultExists()
	body := f.appendTo(nil, "31", 0x23EEF)
	got := string(appendChunks(nil, body, len(body))) + lastChunk
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRecordedReply compares a whole recorded reply with ours, but for values.
func TestRecordedReply(t *testing.T) {
	t.Parallel()
	raw := string(recorded(t, "http/amt15-get-generalsettings-200-chunked.http"))
	_, chunks, _ := strings.Cut(raw, "\r\n\r\n")
	var sizes []string
	for rest := chunks; ; {
		size, after, _ := strings.Cut(rest, "\r\n")
		sizes = append(sizes, size)
		if size == "0" {
			break
		}
		i := strings.Index(after, "\r\n")
		rest = after[i+2:]
	}
	if got := strings.Join(sizes, " "); got != "0220 02FA 02FA 003C 0" {
		t.Fatalf("recorded chunks %s", got)
	}
	ours := appendChunks(nil, make([]byte, 544+762+762+60), firstChunk)
	for i, at := range []int{0, 6 + 544 + 2, 6 + 544 + 2 + 6 + 762 + 2} {
		if got := string(ours[at : at+4]); got != sizes[i] {
			t.Errorf("chunk %d: %s, want %s", i, got, sizes[i])
		}
	}
}

// TestClassTables: properties stand in ASCII order, objects in the order of their
// table and with nothing else.
func TestClassTables(t *testing.T) {
	t.Parallel()
	d, c := operational(t, AMT100, nil)
	_, pub := c.makeKey(AMT100)
	c.link(newAuthority(t).issue(t, "pc", pub, nil))
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, class := range classes {
		if !slices.IsSortedFunc(class.props, func(a, b field) int { return strings.Compare(a.name, b.name) }) {
			t.Errorf("%s: properties out of order", class.name)
		}
		objects := class.list(d)
		if len(objects) == 0 {
			t.Errorf("%s: no object to look at", class.name)
		}
		for _, o := range objects {
			at := -1
			for _, v := range o {
				i := slices.IndexFunc(class.props, func(f field) bool { return f.name == v.name })
				if i <= at {
					t.Errorf("%s: %s is not in the table or out of order", class.name, v.name)
				}
				at = i
			}
			for _, f := range class.props {
				if f.key && !slices.ContainsFunc(o, func(v value) bool { return v.name == f.name }) {
					t.Errorf("%s: no key %s", class.name, f.name)
				}
			}
		}
	}
}
