package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amtscs/amtscs/profile"
	"github.com/amtscs/amtscs/wsman"
)

// odd is a device that answers each call with a fixed body, whatever was written
// before: firmware that says yes and does nothing. It asks for no login.
type odd map[string]string

var (
	oddAction  = regexp.MustCompile(`<a:Action>([^<]*)</a:Action>`)
	oddMessage = regexp.MustCompile(`<a:MessageID>([^<]*)</a:MessageID>`)
	oddClass   = regexp.MustCompile(`<w:ResourceURI>([^<]*)</w:ResourceURI><a:MessageID>`)
)

func (o odd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	action, class := oddAction.FindSubmatch(b)[1], string(oddClass.FindSubmatch(b)[1])
	call := class[strings.LastIndexByte(class, '/')+1:] + "." + string(action[strings.LastIndexByte(string(action), '/')+1:])
	body, ok := o[call]
	reply := string(action) + "Response"
	if !ok {
		reply = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
		body = `<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>a:DestinationUnreachable</s:Value></s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault>`
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = fmt.Fprintf(w, `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">`+
		`<s:Header><a:RelatesTo>%s</a:RelatesTo><a:Action>%s</a:Action></s:Header><s:Body>%s</s:Body></s:Envelope>`, oddMessage.FindSubmatch(b)[1], reply, body)
}

// client serves o and returns a client of it.
func (o odd) client(t *testing.T) *wsman.Client {
	t.Helper()
	srv := httptest.NewServer(o)
	addr := srv.Listener.Addr().String()
	c, err := wsman.New(wsman.Config{
		Address: addr, RetryWaitMin: time.Millisecond,
		Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); srv.Close() })
	return c
}

// object is an instance with properties "Name=value"; output a method's answer.
func object(class string, props ...string) string { return element(class, class, props...) }

func output(class, method string, props ...string) string {
	return element(class, method+"_OUTPUT", append(props, "ReturnValue=0")...)
}

func element(class, name string, props ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<g:%s xmlns:g=%q>", name, wsman.ResourceURI(class))
	for _, p := range props {
		n, v, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, "<g:%s>%s</g:%s>", n, v, n)
	}
	return b.String() + "</g:" + name + ">"
}

// list adds an enumeration of class to o.
func (o odd) list(class string, items ...string) odd {
	const ns = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
	o[class+".Enumerate"] = `<n:EnumerateResponse xmlns:n="` + ns + `"><n:EnumerationContext>1</n:EnumerationContext></n:EnumerateResponse>`
	o[class+".Pull"] = `<n:PullResponse xmlns:n="` + ns + `"><n:Items>` + strings.Join(items, "") + `</n:Items><n:EndOfSequence/></n:PullResponse>`
	return o
}

func scheme(id string) string {
	return `SettingData=<a:Address>/wsman</a:Address><a:ReferenceParameters><w:ResourceURI>` + wsman.ResourceURI("AMT_SystemPowerScheme") +
		`</w:ResourceURI><w:SelectorSet><w:Selector Name="InstanceID">` + id + `</w:Selector></w:SelectorSet></a:ReferenceParameters>`
}

// offered are two power packages: desktop-s0 and desktop-s3.
var offered = []string{
	object("AMT_SystemPowerScheme", "InstanceID=SCHEME 0", "SchemeGUID=lE+DEvsQT9yWjh4jKwyQZQ=="),
	object("AMT_SystemPowerScheme", "InstanceID=SCHEME 1", "SchemeGUID=oYYAq5p/TEKm5rskOildng=="),
}

// TestOddFirmware: yes without effect is ErrNotTaken, and what firmware lacks is
// Unsupported only if the profile wants it.
func TestOddFirmware(t *testing.T) {
	t.Parallel()
	consentOff := testProfile()
	consentOff.Features = profile.Features{}
	for _, tt := range []struct {
		name string
		dev  odd
		part func() Setting
		want Outcome // 0: ErrNotTaken
		text string  // in the error or the note
	}{
		{"host name not taken", odd{
			"AMT_GeneralSettings.Get": object("AMT_GeneralSettings", "DomainName=a", "HostName=b", "PingResponseEnabled=false"),
			"AMT_GeneralSettings.Put": object("AMT_GeneralSettings", "DomainName=a", "HostName=b"),
		}, func() Setting { return general(testProfile(), Device{FQDN: "pc1.x"}) }, 0, "HostName: want pc1, got b"},
		{"no new properties on old firmware", odd{
			"AMT_GeneralSettings.Get": object("AMT_GeneralSettings", "DomainName=x.y", "HostName=pc1", "PingResponseEnabled=false"),
		}, func() Setting { return general(testProfile(), Device{FQDN: "pc1.x.y"}) }, Same, ""},
		{"no name yet", odd{
			"AMT_GeneralSettings.Get": object("AMT_GeneralSettings", "DomainName=x.y", "HostName=pc1", "PingResponseEnabled=false"),
		}, func() Setting { return general(testProfile(), Device{}) }, Same, ""},
		{
			"consent fixed",
			odd{"IPS_OptInService.Get": object("IPS_OptInService", "CanModifyOptInPolicy=0", "OptInRequired=0")},
			func() Setting { return consent(testProfile(), Device{}) }, 0, "CanModifyOptInPolicy",
		},
		{"consent not taken", odd{
			"IPS_OptInService.Get": object("IPS_OptInService", "CanModifyOptInPolicy=1", "OptInRequired=0"),
			"IPS_OptInService.Put": object("IPS_OptInService", "OptInRequired=4294967295"),
		}, func() Setting { return consent(testProfile(), Device{}) }, 0, "want all, got none"},
		{"no consent service", odd{}, func() Setting { return consent(testProfile(), Device{}) }, Unsupported, "no consent"},
		{"no consent service wanted", odd{}, func() Setting { return consent(consentOff, Device{}) }, Same, ""},
		{"no KVM", odd{}, func() Setting { return kvm(testProfile(), Device{}) }, Unsupported, "no KVM"},
		{"no KVM wanted", odd{}, func() Setting { return kvm(consentOff, Device{}) }, Same, ""},
		{"KVM not taken", odd{
			"CIM_KVMRedirectionSAP.Get":                object("CIM_KVMRedirectionSAP", "EnabledState=3"),
			"CIM_KVMRedirectionSAP.RequestStateChange": output("CIM_KVMRedirectionSAP", "RequestStateChange"),
		}, func() Setting { return kvm(testProfile(), Device{}) }, 0, "KVM: want on, got off"},
		{
			"power in force", odd{}.list("AMT_SystemPowerScheme", offered...).list("CIM_ElementSettingData", object("CIM_ElementSettingData", "IsCurrent=1", scheme("SCHEME 1"))),
			func() Setting { return power(testProfile()) }, Same, "",
		},
		{"power not taken", func() odd {
			o := odd{"AMT_SystemPowerScheme.SetPowerScheme": output("AMT_SystemPowerScheme", "SetPowerScheme")}
			return o.list("AMT_SystemPowerScheme", offered...).list("CIM_ElementSettingData", object("CIM_ElementSettingData", "IsCurrent=1", scheme("SCHEME 0")))
		}(), func() Setting { return power(testProfile()) }, 0, "want desktop-s3, got desktop-s0"},
		{"power not offered", odd{}.list("AMT_SystemPowerScheme", offered[0]), func() Setting { return power(testProfile()) }, Unsupported, "does not offer"},
		{"no power packages", odd{}, func() Setting { return power(testProfile()) }, Unsupported, "no power packages"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tt.part().Apply(t.Context(), tt.dev.client(t), nil)
			if tt.want == 0 {
				if !errors.Is(err, ErrNotTaken) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %+v, %v", r, err)
				}
				return
			}
			if err != nil || r.Outcome != tt.want || !strings.Contains(r.Note, tt.text) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}
