package wsman

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// typed is one typed call: what the device answers and what the call returns, or
// that it is an unexpected reply.
type typed struct {
	name string
	call string
	xml  string
	do   func(context.Context, *Client) (any, error)
	want any // nil: ErrUnexpectedReply
}

func setupDo(ctx context.Context, c *Client) (any, error) {
	s, err := c.SetupService(ctx)
	return fmt.Sprintf("%v %d %d %q %v", s.State, s.Mode, s.PasswordModel, s.OTP.Reveal(), s.ZeroTouch), err
}

func uuidDo(ctx context.Context, c *Client) (any, error)    { return c.UUID(ctx) }
func versionDo(ctx context.Context, c *Client) (any, error) { return c.AMTVersion(ctx) }
func genDo(ctx context.Context, c *Client) (any, error)     { return c.GenerateKeyPair(ctx, 2048) }
func userDo(ctx context.Context, c *Client) (any, error)    { return c.User(ctx, 1) }
func timeDo(ctx context.Context, c *Client) (any, error)    { return c.LowAccuracyTime(ctx) }
func tlsDo(ctx context.Context, c *Client) (any, error) {
	s, err := c.TLSSettings(ctx, TLSRemote)
	return fmt.Sprint(s.InstanceID(), s.Enabled(), s.Mutual(), s.AcceptPlain(), s.TrustedCN()), err
}

const board = "AAECAwQFBgcICQoLDA0ODw==" // 00 01 .. 0f in SMBIOS order

var typedCalls = []typed{
	{"setup", classSetup + ".Get", objectXML(classSetup, "PasswordModel=1", "ProvisioningMode=1", "ProvisioningServerOTP=T1RQMQ==", "ProvisioningState=1", "ZeroTouchConfigurationEnabled=true"), setupDo, `In-Setup 1 1 "OTP1" true`},
	{"setup, old firmware", classSetup + ".Get", objectXML(classSetup, "ProvisioningMode=1", "ProvisioningState=2"), setupDo, `Operational 1 0 "" false`},
	{"setup without state", classSetup + ".Get", objectXML(classSetup, "ProvisioningMode=1"), setupDo, nil},
	{"setup, state 3", classSetup + ".Get", objectXML(classSetup, "ProvisioningState=3"), setupDo, nil},
	{"uuid", classSetup + ".GetUuid", outputXML(classSetup, "GetUuid", "UUID="+board, "ReturnValue=0"), uuidDo, amt.UUID{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}},
	{"uuid too short", classSetup + ".GetUuid", outputXML(classSetup, "GetUuid", "UUID=AAEC", "ReturnValue=0"), uuidDo, nil},
	{"no uuid", classSetup + ".GetUuid", outputXML(classSetup, "GetUuid"), uuidDo, nil},
	{"no ReturnValue", classSetup + ".GetUuid", elementXML(ResourceURI(classSetup), "GetUuid_OUTPUT", "UUID="+board), uuidDo, nil},
	{"ReturnValue of another namespace", classSetup + ".GetUuid", `<g:GetUuid_OUTPUT xmlns:g="` + ResourceURI(classSetup) + `"><ReturnValue>0</ReturnValue></g:GetUuid_OUTPUT>`, uuidDo, nil},
	{"version", classSoftware + ".Get", objectXML(classSoftware, "InstanceID=AMT", "VersionString=9.0.31"), versionDo, amt.Version{Major: 9, Minor: 0, Micro: 31}},
	{"no version", classSoftware + ".Get", objectXML(classSoftware, "InstanceID=AMT", "VersionString=banana"), versionDo, nil},
	{"key pair made", classKeyService + ".GenerateKeyPair", outputXML(classKeyService, "GenerateKeyPair", "KeyPair="+eprXML(classKeyPair, "Intel(r) AMT Key: Handle: 0"), "ReturnValue=0"), genDo, Handle("Intel(r) AMT Key: Handle: 0")},
	{"key pair without handle", classKeyService + ".GenerateKeyPair", outputXML(classKeyService, "GenerateKeyPair"), genDo, nil},
	{"key pair without reference", classKeyService + ".GenerateKeyPair", outputXML(classKeyService, "GenerateKeyPair", "KeyPair=1", "ReturnValue=0"), genDo, nil},
	{"user", classAuthorization + ".GetUserAclEntryEx", outputXML(classAuthorization, "GetUserAclEntryEx", "DigestUsername=$$uns", "AccessPermission=0", "Realms=16", "Realms=5", "ReturnValue=0"), userDo, User{Name: "$$uns", Realms: []amt.Realm{16, 5}}},
	{"kerberos user", classAuthorization + ".GetUserAclEntryEx", outputXML(classAuthorization, "GetUserAclEntryEx", "KerberosUserSid=AQUAAA==", "AccessPermission=2", "ReturnValue=0"), userDo, User{SID: []byte{1, 5, 0, 0}, Access: AccessBoth}},
	{"user with a strange realm", classAuthorization + ".GetUserAclEntryEx", outputXML(classAuthorization, "GetUserAclEntryEx", "DigestUsername=u", "AccessPermission=2", "Realms=256", "ReturnValue=0"), userDo, nil},
	{"user without access", classAuthorization + ".GetUserAclEntryEx", outputXML(classAuthorization, "GetUserAclEntryEx", "DigestUsername=u", "ReturnValue=0"), userDo, nil},
	{"admin", classAuthorization + ".GetAdminAclEntry", outputXML(classAuthorization, "GetAdminAclEntry", "Username=admin", "ReturnValue=0"), func(ctx context.Context, c *Client) (any, error) { return c.Admin(ctx) }, "admin"},
	{"no admin", classAuthorization + ".GetAdminAclEntry", outputXML(classAuthorization, "GetAdminAclEntry"), func(ctx context.Context, c *Client) (any, error) { return c.Admin(ctx) }, nil},
	{"time", classTime + ".GetLowAccuracyTimeSynch", outputXML(classTime, "GetLowAccuracyTimeSynch", "Ta0=1704586865", "ReturnValue=0"), timeDo, time.Unix(1704586865, 0)},
	{"no time", classTime + ".GetLowAccuracyTimeSynch", outputXML(classTime, "GetLowAccuracyTimeSynch", "Ta0=noon", "ReturnValue=0"), timeDo, nil},
	{"TLS settings", classTLSSettings + ".Get", objectXML(classTLSSettings, "AcceptNonSecureConnections=false", "Enabled=true", "InstanceID="+TLSRemote, "MutualAuthentication=true", "TrustedCN=a", "TrustedCN=b"), tlsDo, TLSRemote + "true true false [a b]"},
	{"TLS settings, old", classTLSSettings + ".Get", objectXML(classTLSSettings, "Enabled=false", "InstanceID="+TLSRemote, "MutualAuthentication=false"), tlsDo, TLSRemote + "false false true []"},
	{"TLS settings, strange", classTLSSettings + ".Get", objectXML(classTLSSettings, "Enabled=perhaps", "MutualAuthentication=false"), tlsDo, nil},
	{"redirection", classRedirection + ".Get", objectXML(classRedirection, "EnabledState=32771", "ListenerEnabled=true"), func(ctx context.Context, c *Client) (any, error) {
		r, err := c.RedirectionService(ctx)
		return fmt.Sprint(r.State(), r.Listening()), err
	}, "32771 true"},
	{"redirection without state", classRedirection + ".Get", objectXML(classRedirection), func(ctx context.Context, c *Client) (any, error) {
		_, err := c.RedirectionService(ctx)
		return 0, err
	}, nil},
	{"kvm", classKVM + ".Get", objectXML(classKVM, "EnabledState=6"), func(ctx context.Context, c *Client) (any, error) { k, err := c.KVM(ctx); return k.On(), err }, true},
	{"kvm off", classKVM + ".Get", objectXML(classKVM, "EnabledState=3"), func(ctx context.Context, c *Client) (any, error) { k, err := c.KVM(ctx); return k.On(), err }, false},
	{"consent", classOptIn + ".Get", objectXML(classOptIn, "OptInRequired=4294967295"), func(ctx context.Context, c *Client) (any, error) { o, err := c.OptIn(ctx); return o.Required(), err }, ConsentAll},
	{"identify", "Identify", elementXML(nsIdentity, "IdentifyResponse", "ProtocolVersion=http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd", "ProductVendor=Intel", "ProductVersion=AMT 9.0"), func(ctx context.Context, c *Client) (any, error) { return c.Identify(ctx) }, Identity{nsWSMan, "Intel", "AMT 9.0"}},
	{"identify, empty", "Identify", elementXML(nsIdentity, "IdentifyResponse"), func(ctx context.Context, c *Client) (any, error) { return c.Identify(ctx) }, nil},
}

func TestTypedCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range typedCalls {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			d.on(tt.call, answer{xml: tt.xml})
			got, err := tt.do(t.Context(), d.client())
			switch {
			case tt.want == nil && !errors.Is(err, ErrUnexpectedReply):
				t.Errorf("got %v, %v, want an unexpected reply", got, err)
			case tt.want != nil && (err != nil || !reflect.DeepEqual(got, tt.want)):
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// TestMadeButUnusable: a call that made something and does not say what is lost.
func TestMadeButUnusable(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on("*", answer{xml: outputXML(classKeyService, "GenerateKeyPair")})
	if _, err := d.client().GenerateKeyPair(t.Context(), 2048); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
}

// rsaDER is a recorded DERKey's form: PKCS#1 RSAPublicKey, here of 3233 and 17.
const rsaDER = "MAcCAgyhAgER"

// TestLists reads the enumerations of set-up.
func TestLists(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	for class, items := range map[string][]string{
		classKeyPair: {
			objectXML(classKeyPair, "DERKey="+rsaDER, "ElementName=Intel(r) AMT Key", "InstanceID=Intel(r) AMT Key: Handle: 0"),
			objectXML(classKeyPair, "DERKey=test?", "InstanceID=Intel(r) AMT Key: Handle: 1"),
		},
		classCertificate: {objectXML(classCertificate, "InstanceID=Intel(r) AMT Certificate: Handle: 0", "Issuer=CN=a", "Subject=CN=b", "TrustedRootCertficate=true", "X509Certificate=AQID")},
		classTLSContext:  {tlsContextXML},
		classSoftware:    {objectXML(classSoftware, "InstanceID=Sku", "VersionString=16392"), objectXML(classSoftware, "InstanceID=AMT", "VersionString=3.2.1")},
		classPowerScheme: {objectXML(classPowerScheme, "Description=Mobile: ON in S0", "InstanceID=SCHEME 0", "SchemeGUID=djmXEQtWUEOIcJgS85G1YA==")},
		classElementData: {
			objectXML(classElementData, "IsCurrent=2", "SettingData="+eprXML(classPowerScheme, "SCHEME 0")),
			objectXML(classElementData, "IsCurrent=1", "SettingData="+eprXML("CIM_BootSettingData", "x")),
			objectXML(classElementData, "IsCurrent=1", "SettingData="+eprXML(classPowerScheme, "SCHEME 1")),
		},
		"AMT_Empty": nil,
	} {
		d.on(class+".Enumerate", answer{xml: enumXML("CA000000-0000-0000-0000-000000000000")})
		d.on(class+".Pull", answer{xml: pullXML(items...)})
	}
	c, ctx := d.client(), t.Context()
	keys, err := c.KeyPairs(ctx)
	if err != nil || len(keys) != 2 || keys[0].Handle != "Intel(r) AMT Key: Handle: 0" || keys[0].Public == nil || keys[0].Public.N.Int64() != 3233 || keys[1].Public != nil {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	certs, err := c.Certificates(ctx)
	if err != nil || len(certs) != 1 || !certs[0].TrustedRoot || certs[0].Subject != "CN=b" || len(certs[0].Raw) != 3 || certs[0].Parsed != nil {
		t.Errorf("certificates: %+v, %v", certs, err)
	}
	creds, err := c.TLSCredentials(ctx)
	if err != nil || len(creds) != 1 || creds[0].Certificate != "Intel(r) AMT Certificate: Handle: 1" {
		t.Errorf("credentials: %+v, %v", creds, err)
	}
	schemes, err := c.PowerSchemes(ctx)
	want, _ := amt.ParsePowerPackage("mobile-s0")
	if err != nil || len(schemes) != 1 || schemes[0].Package != want || schemes[0].InstanceID != "SCHEME 0" {
		t.Errorf("schemes: %+v, %v", schemes, err)
	}
	if id, err := c.CurrentPowerScheme(ctx); err != nil || id != "SCHEME 1" {
		t.Errorf("current: %q, %v", id, err)
	}
	if v, err := c.AMTVersion(ctx); err != nil || v != (amt.Version{Major: 3, Minor: 2, Micro: 1}) {
		t.Errorf("version without a selector: %v, %v", v, err)
	}
	if items, err := c.Items(ctx, "AMT_Empty"); err != nil || len(items) != 0 {
		t.Errorf("empty: %v, %v", items, err)
	}
}

// TestEnumeration: several pulls, a pull whose answer is lost, and devices that
// never end.
func TestEnumeration(t *testing.T) {
	t.Parallel()
	more := func(next string, n ...string) answer {
		var items []string
		for _, id := range n {
			items = append(items, objectXML(classKeyPair, "InstanceID="+id))
		}
		props := []string{"Items=" + strings.Join(items, "")}
		if next != "" {
			props = append([]string{"EnumerationContext=" + next}, props...)
		}
		return answer{xml: elementXML(nsEnumeration, "PullResponse", props...)}
	}
	end := answer{xml: pullXML(objectXML(classKeyPair, "InstanceID=3"))}
	for _, tt := range []struct {
		name   string
		pulls  []answer
		want   int // items; -1: an error
		starts int
	}{
		{"three", []answer{more("b", "1"), more("", "2"), end}, 3, 1},
		{"end without Items", []answer{more("b", "1"), {xml: elementXML(nsEnumeration, "PullResponse", "EndOfSequence=")}}, 1, 1},
		{"lost answer", []answer{more("b", "1"), {drop: true}, more("b", "1"), end}, 2, 2},
		{"lost for ever", []answer{{drop: true}}, -1, 3},
		{"neither items nor end", []answer{more("b")}, -1, 1},
		{"endless", []answer{more("b", "1")}, -1, 1},
		{"fault", []answer{{status: 500, xml: faultXML("c:InvalidEnumerationContext", "", "")}}, -1, 1},
		{"foreign item", []answer{{xml: pullXML(objectXML(classSetup))}}, -1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t)
			d.on(classKeyPair+".Enumerate", answer{xml: enumXML("a")})
			d.on(classKeyPair+".Pull", tt.pulls...)
			keys, err := d.client().KeyPairs(t.Context())
			if tt.want < 0 && err == nil || tt.want >= 0 && (err != nil || len(keys) != tt.want) {
				t.Errorf("got %v, %v", keys, err)
			}
			if errors.Is(err, ErrLost) {
				t.Errorf("a read is never lost: %v", err)
			}
			if n := strings.Count(strings.Join(d.calls(), " "), "Enumerate"); n != tt.starts {
				t.Errorf("%d enumerations, want %d", n, tt.starts)
			}
		})
	}
}

// TestUsers lists handles in one and several answers, and refuses nonsense.
func TestUsers(t *testing.T) {
	t.Parallel()
	out := func(props ...string) answer {
		return answer{xml: outputXML(classAuthorization, "EnumerateUserAclEntries", append(props, "ReturnValue=0")...)}
	}
	for _, tt := range []struct {
		name    string
		answers []answer
		want    []UserHandle
		ok      bool
	}{
		{"none", []answer{out("TotalCount=0", "HandlesCount=0")}, nil, true},
		{"two", []answer{out("TotalCount=2", "HandlesCount=2", "Handles=1", "Handles=2")}, []UserHandle{1, 2}, true},
		{"in two answers", []answer{out("TotalCount=3", "Handles=1", "Handles=7"), out("TotalCount=3", "Handles=9")}, []UserHandle{1, 7, 9}, true},
		{"too few for ever", []answer{out("TotalCount=3")}, nil, false},
		{"more than said", []answer{out("TotalCount=1", "Handles=1", "Handles=2")}, nil, false},
		{"too many", []answer{out("TotalCount=100000", "Handles=1")}, nil, false},
		{"not a number", []answer{out("TotalCount=1", "Handles=x")}, nil, false},
		{"no count", []answer{out("Handles=1")}, nil, false},
	} {
		d := newDevice(t)
		d.on("*", tt.answers...)
		got, err := d.client().Users(t.Context())
		if (err == nil) != tt.ok || tt.ok && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// TestSetTime: the two calls, with our clock.
func TestSetTime(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.on(classTime+".GetLowAccuracyTimeSynch", answer{xml: outputXML(classTime, "GetLowAccuracyTimeSynch", "Ta0=1000", "ReturnValue=0")})
	d.on(classTime+".SetHighAccuracyTimeSynch", answer{xml: outputXML(classTime, "SetHighAccuracyTimeSynch")})
	now := time.Unix(4600, 0)
	ahead, err := d.client().SetTime(t.Context(), func() time.Time { now = now.Add(time.Second); return now })
	if err != nil || ahead != -3601*time.Second {
		t.Errorf("got %v, %v", ahead, err)
	}
	if body := d.last().body; !strings.Contains(body, "<h:Ta0>1000</h:Ta0><h:Tm1>4601</h:Tm1><h:Tm2>4602</h:Tm2>") {
		t.Error(body)
	}
}

// TestHash: before the first challenge the realm comes from the device's
// settings, and must look like one.
func TestHash(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.set(func(d *device) { d.noAuth = true })
	d.on(classGeneral+".Get", answer{xml: objectXML(classGeneral, "DigestRealm=Digest:short")}, general)
	d.on(classAuthorization+".SetAdminAclEntryEx", answer{xml: outputXML(classAuthorization, "SetAdminAclEntryEx")})
	c := d.client()
	if err := c.SetAdmin(t.Context(), "admin", testSecret); !errors.Is(err, ErrUnexpectedReply) {
		t.Errorf("short realm: %v", err)
	}
	if err := c.SetAdmin(t.Context(), "admin", testSecret); err != nil {
		t.Error(err)
	}
	want := base64.StdEncoding.EncodeToString(DigestHash("admin", testRealm, testSecret).Reveal())
	if !strings.Contains(d.last().body, want) {
		t.Error("another hash was sent")
	}
}

// TestReturnValues: PT statuses, vendor values and CIM values.
func TestReturnValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		class, method, value string
		want                 StatusError
		temporary            bool
		text                 string
	}{
		{classSetup, "CommitChanges", "2057", StatusError{Status: 2057}, false, "DATA_MISSING (2057)"},
		{classSetup, "CommitChanges", "2082", StatusError{Status: 2082}, true, "OPERATION_IN_PROGRESS (2082)"},
		{classSetup, "CommitChanges", "777", StatusError{Status: 777}, false, "unknown status (777)"},
		{classKVM, "RequestStateChange", "2", StatusError{Status: 2, Standard: true}, false, "CIM return value 2"},
		{classKVM, "RequestStateChange", "32770", StatusError{Status: 2, Vendor: true}, true, "NOT_READY (2)"},
		{classRedirection, "RequestStateChange", "34834", StatusError{Status: 2066, Vendor: true}, false, "UNSUPPORTED (2066)"},
		{classSetup, "CommitChanges", "4294967295", StatusError{Status: 4294967295}, false, "unknown status (4294967295)"},
	} {
		d := newDevice(t)
		d.on("*", answer{xml: outputXML(tt.class, tt.method, "ReturnValue="+tt.value)})
		_, err := d.client().Invoke(t.Context(), Input(tt.class, tt.method))
		tt.want.Call = tt.class + "." + tt.method
		var s *StatusError
		if !errors.As(err, &s) || *s != tt.want || IsTemporary(err) != tt.temporary || !strings.HasSuffix(err.Error(), tt.text) {
			t.Errorf("%s %s: got %+v, %v", tt.method, tt.value, s, err)
		}
		if errors.Is(err, ErrLost) {
			t.Errorf("%s %s is an answer", tt.method, tt.value)
		}
	}
}

// TestStatuses: the table has a name and, unless done, a hint for each, and its
// classes are those of the protocol sheet.
func TestStatuses(t *testing.T) {
	t.Parallel()
	classes := map[StatusClass][]PTStatus{Retry: {2, 46, 47, 48, 49, 2061, 2082}, AlreadyDone: {0, 2058}, Operator: {16, 38, 2075, 2076}}
	want := map[PTStatus]StatusClass{}
	for c, list := range classes {
		for _, s := range list {
			want[s] = c
		}
	}
	for s, row := range statuses {
		if row.name == "" || row.hint == "" && s != 0 {
			t.Errorf("%d: %+v", s, row)
		}
		c, ok := want[s]
		if !ok {
			c = Bug
		}
		if s.Class() != c || Class(s) != c {
			t.Errorf("%v: class %v, want %v", s, s.Class(), c)
		}
		delete(want, s)
	}
	if len(want) > 0 {
		t.Errorf("missing in the table: %v", want)
	}
	if PTStatus(9999).Class() != Bug || PTStatus(9999).Hint() != "" || StatusClass(9).String() != "unknown class (9)" {
		t.Error("an unknown status")
	}
}

// TestResourceURI holds the three bases.
func TestResourceURI(t *testing.T) {
	t.Parallel()
	for class, want := range map[string]string{
		"AMT_GeneralSettings": "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_GeneralSettings",
		"IPS_OptInService":    "http://intel.com/wbem/wscim/1/ips-schema/1/IPS_OptInService",
		"CIM_Chip":            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_Chip",
	} {
		if got := ResourceURI(class); got != want || className(got) != class {
			t.Errorf("%s: %s", class, got)
		}
	}
}
