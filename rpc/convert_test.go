package rpc

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

// TestEnumsAgree compares the names of the API's enums with those of the
// domain's types of the same numbers.
func TestEnumsAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		enum protoreflect.Enum
		name func(n int) string
	}{
		{scsv1.KeyState(0), func(n int) string { return keystore.State(n).String() }},
		{scsv1.SetupModel(0), func(n int) string { return amt.Model(n).String() }},
		{scsv1.PasswordRules(0), func(n int) string { return amt.PasswordRules(n).String() }},
		{scsv1.WorkflowState(0), func(n int) string { return provisioning.State(n).String() }},
		{scsv1.WorkflowStatus(0), func(n int) string { return provisioning.Status(n).String() }},
		{scsv1.Role(0), func(n int) string { return access.Role(n).String() }},
		{scsv1.CertificatePurpose(0), func(n int) string { return ca.Purpose(n).String() }},
		{scsv1.CertificateState(0), func(n int) string { return ca.State(n).String() }},
		{scsv1.AuditOutcome(0), func(n int) string { return audit.Outcome(n).String() }},
	} {
		values := c.enum.Descriptor().Values()
		prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
		for i := 1; i < values.Len(); i++ {
			v := values.Get(i)
			want := strings.ReplaceAll(strings.TrimPrefix(string(v.Name()), prefix), "_", "")
			if got := c.name(int(v.Number())); !strings.EqualFold(got, want) {
				t.Errorf("%s = %d: the domain calls it %s", v.Name(), v.Number(), got)
			}
		}
		if got := c.name(values.Len()); !strings.Contains(got, "unknown") {
			t.Errorf("%s lacks %s", c.enum.Descriptor().Name(), got)
		}
	}
}

func TestZeroValuesAreEmpty(t *testing.T) {
	t.Parallel()
	d := deviceMessage(provisioning.Device{})
	if d.GetSince() != nil || d.GetPid() != "" || d.GetCertificateSerial() != "" || d.GetAmtVersion() != "" || d.GetHint() != "" || d.GetMessage() != "" {
		t.Errorf("got %v", d)
	}
	if k := keyMessage(keystore.Key{}); k.GetUuid() != "" || k.GetCreateTime() != nil {
		t.Errorf("got %v", k)
	}
	d = deviceMessage(provisioning.Device{Reason: provisioning.NameNeeded, Detail: "asked DNS"})
	if !strings.Contains(d.GetMessage(), "asked DNS") || !strings.Contains(d.GetHint(), "scsctl device assign") {
		t.Errorf("got %v", d)
	}
}
