package provisioning

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

func secret(s string) amt.Secret { return amt.NewSecretString(s) }

// deviceWith makes a record with passwords "account role=value".
func deviceWith(t *testing.T, e *Engine, list ...string) *pb.Device {
	t.Helper()
	u := numbered(1)
	d := &pb.Device{Uuid: u[:]}
	for _, text := range list {
		head, value, _ := strings.Cut(text, "=")
		account, role, _ := strings.Cut(head, " ")
		for r, name := range roleNames {
			if name == role {
				if err := e.storePassword(d, account, r, secret(value), noon); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return d
}

func shown(t *testing.T, e *Engine, d *pb.Device) string {
	t.Helper()
	var list []string
	for _, p := range d.GetPasswords() {
		s, err := e.openPassword(d, p)
		if err != nil {
			t.Fatal(err)
		}
		mark := ""
		if p.GetDoubtful() {
			mark = "?"
		}
		list = append(list, fmt.Sprintf("%s %s%s=%s", p.GetAccount(), roleNames[p.GetRole()], mark, s.Reveal()))
	}
	return strings.Join(list, ", ")
}

func TestPasswordVersions(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	tests := []struct {
		name string
		have []string
		do   func(d *pb.Device) error
		want string
	}{
		{"a pending one beside the current", []string{"admin current=a"}, func(d *pb.Device) error {
			return e.storePassword(d, "admin", pending, secret("b"), noon)
		}, "admin current=a, admin pending=b"},
		{"proven", []string{"admin current=a", "admin pending=b"}, func(d *pb.Device) error {
			promote(d, "admin")
			return nil
		}, "admin previous=a, admin current=b"},
		{"proven without a pending one", []string{"admin current=a"}, func(d *pb.Device) error {
			promote(d, "admin")
			return nil
		}, "admin current=a"},
		{"the oldest goes", []string{"admin previous=a", "admin current=b", "admin pending=c"}, func(d *pb.Device) error {
			promote(d, "admin")
			return nil
		}, "admin previous=b, admin current=c"},
		{"one of these", []string{"MEBx current=a", "MEBx pending=b", "admin current=c"}, func(d *pb.Device) error {
			doubt(d, "MEBx")
			return nil
		}, "MEBx current?=a, MEBx pending?=b, admin current=c"},
		{"refused", []string{"MEBx current=a", "MEBx pending=b"}, func(d *pb.Device) error {
			dropPassword(d, "MEBx", pending)
			return nil
		}, "MEBx current=a"},
		{"logged in with the pending one", []string{"admin current=a", "admin pending=b"}, func(d *pb.Device) error {
			return e.learn(d, candidate{account: "admin", role: pending, secret: secret("b")}, noon)
		}, "admin previous=a, admin current=b"},
		{"logged in with MEBx's", []string{"admin current=a", "MEBx current=b"}, func(d *pb.Device) error {
			return e.learn(d, candidate{account: "MEBx", role: current, secret: secret("b")}, noon)
		}, "admin previous=a, MEBx current=b, admin current=b"},
		{"logged in with a password of the pair", nil, func(d *pb.Device) error {
			return e.learn(d, candidate{secret: secret("a")}, noon)
		}, "admin current=a"},
		{"users that left", []string{"user/x current=a", "user/y current=b", "admin current=c"}, func(d *pb.Device) error {
			dropForeignUsers(d, map[string]amt.Secret{"y": {}})
			return nil
		}, "user/y current=b, admin current=c"},
	}
	for _, tt := range tests {
		d := deviceWith(t, e, tt.have...)
		if err := tt.do(d); err != nil {
			t.Fatal(err)
		}
		if got := shown(t, e, d); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if err := checkPasswords(d); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestMovedPasswordDoesNotOpen takes a sealed password to another device.
func TestMovedPasswordDoesNotOpen(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	d := deviceWith(t, e, "admin current=a")
	other := numbered(2)
	d.Uuid = other[:]
	if _, err := e.openPassword(d, d.GetPasswords()[0]); err == nil {
		t.Error("a password of another device was opened")
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	full := []string{"admin previous=old", "admin current=cur", "admin pending=pend", "MEBx current=mcur", "MEBx pending=mpend"}
	usb := keystore.Secrets{CurrentPassword: secret("admin"), NewPassword: secret("usb")}
	oem := keystore.Secrets{CurrentPassword: secret("list")}
	tests := []struct {
		name    string
		d       *pb.Device
		pair    keystore.Secrets
		newPair bool
		flag    bool
		want    string
	}{
		{"first set-up from a USB key", nil, usb, true, true, "usb"},
		{"the flag says factory", nil, usb, true, false, "usb admin"},
		{"a list of the maker", nil, oem, true, true, "list"},
		{"a list that was corrected", nil, keystore.Secrets{CurrentPassword: secret("right"), PreviousPassword: secret("list")}, true, true, "right list"},
		{"a password that was removed", nil, keystore.Secrets{PreviousPassword: secret("list")}, true, true, "list"},
		{"a correction of what the factory has", nil, keystore.Secrets{CurrentPassword: secret("right"), PreviousPassword: secret("admin")}, true, true, "right"},
		{"a correction by what is known otherwise", deviceWith(t, e, full...), keystore.Secrets{CurrentPassword: secret("cur"), PreviousPassword: secret("list")}, false, true, "pend cur mpend mcur old list"},
		{"nothing known", nil, keystore.Secrets{}, true, true, ""},
		{"a later set-up with its own pair", deviceWith(t, e, full...), keystore.Secrets{}, false, true, "pend cur mpend mcur old"},
		{"a later set-up with a fresh pair", deviceWith(t, e, full...), usb, true, true, "usb pend cur mpend mcur old"},
		{"a value comes once", deviceWith(t, e, "admin current=x", "MEBx current=x", "admin previous=x"), keystore.Secrets{NewPassword: secret("x")}, false, true, "x"},
	}
	for _, tt := range tests {
		list, err := e.candidates(tt.d, tt.pair, tt.newPair, tt.flag)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range list {
			got = append(got, string(c.secret.Reveal()))
			if strings.Contains(fmt.Sprintf("%+v", c), string(c.secret.Reveal())+"}") {
				t.Errorf("a candidate prints its secret")
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}
