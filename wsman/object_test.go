package wsman

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func props(o *Object) string {
	var s []string
	for _, c := range o.Children {
		s = append(s, c.Name+"="+c.Text)
	}
	return strings.Join(s, " ")
}

// TestObjectSet: properties keep their place, new ones go where the alphabet puts
// them, arrays are replaced as a whole, and foreign elements stay.
func TestObjectSet(t *testing.T) {
	t.Parallel()
	fresh := func() *Object {
		o := NewObject("AMT_X").Add("B", "1").Add("D", "2").Add("D", "3").Add("F", "4")
		o.Children = append(o.Children, leaf("u:other", "D", "5"))
		return o
	}
	for _, tt := range []struct {
		name   string
		values []string
		want   string
	}{
		{"B", []string{"9"}, "B=9 D=2 D=3 F=4 D=5"},
		{"D", []string{"9"}, "B=1 D=9 F=4 D=5"},
		{"D", []string{"7", "8", "9"}, "B=1 D=7 D=8 D=9 F=4 D=5"},
		{"D", nil, "B=1 F=4 D=5"},
		{"A", []string{"9"}, "A=9 B=1 D=2 D=3 F=4 D=5"},
		{"E", []string{"8", "9"}, "B=1 D=2 D=3 E=8 E=9 F=4 D=5"},
		{"Z", []string{"9"}, "B=1 D=2 D=3 F=4 D=5 Z=9"},
		{"Z", nil, "B=1 D=2 D=3 F=4 D=5"},
	} {
		o := fresh()
		o.Set(tt.name, tt.values...)
		if got := props(o); got != tt.want {
			t.Errorf("Set(%s, %v): got %s, want %s", tt.name, tt.values, got, tt.want)
		}
		if got := o.Values(tt.name); !reflect.DeepEqual(got, tt.values) {
			t.Errorf("Values(%s): got %v, want %v", tt.name, got, tt.values)
		}
	}
	o := fresh()
	c := o.Clone()
	c.Remove("B")
	c.Children[0].Text = "9"
	if props(o) != props(fresh()) {
		t.Error("a change of the clone shows in the original")
	}
}

// TestObjectGet: numbers and truths are strict, absent things are errors or zero.
func TestObjectGet(t *testing.T) {
	t.Parallel()
	o := NewObject("AMT_X").Add("N", " 4294967295\n").Add("T", "true").Add("One", "1").Add("F", "false").Add("Zero", "0").Add("E", "").Add("Big", "4294967296").Add("Minus", "-1")
	if n, err := o.Uint("N"); n != 4294967295 || err != nil {
		t.Errorf("N: %d, %v", n, err)
	}
	for name, want := range map[string]bool{"T": true, "One": true, "F": false, "Zero": false} {
		if b, err := o.Bool(name); b != want || err != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	for _, name := range []string{"E", "Big", "Minus", "T", "Absent"} {
		if _, err := o.Uint(name); !errors.Is(err, ErrUnexpectedReply) {
			t.Errorf("Uint(%s): %v", name, err)
		}
	}
	for _, name := range []string{"E", "N", "Absent"} {
		if _, err := o.Bool(name); !errors.Is(err, ErrUnexpectedReply) {
			t.Errorf("Bool(%s): %v", name, err)
		}
	}
	var none *Object
	if none.Has("a") || none.Value("a") != "" || none.Values("a") != nil || none.Clone() != nil || none.Is("", "") {
		t.Error("a nil object has something")
	}
	if _, err := none.Uint("a"); !errors.Is(err, ErrUnexpectedReply) {
		t.Errorf("nil: %v", err)
	}
}

// TestObjectPrints: an object may hold a password and shows its name only.
func TestObjectPrints(t *testing.T) {
	t.Parallel()
	o := Input(classSetup, "SetMEBxPassword").Add("Password", "S3cret")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{o, []*Object{o}, *o, *o.Children[0], struct{ O *Object }{o}, GeneralSettings{o}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "S3cret") || strings.Contains(s, "533363726574") {
				t.Errorf("%s of %T: %s", verb, v, s)
			}
		}
	}
}
