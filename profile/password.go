package profile

import (
	"errors"
	"fmt"
	"io"

	"github.com/amtscs/amtscs/amt"
)

var (
	policies = []word[PasswordPolicy]{{KeepPassword, "keep"}, {RandomPassword, "random"}, {FixedPassword, "fixed"}}
	noKeep   = policies[1:]
)

// String is the policy's name in documents.
func (p PasswordPolicy) String() string { return wordOf(p, policies) }

// password reads and writes a Password. What does not go with the policy is
// refused where it stands.
type password struct {
	p        *Password
	policies []word[PasswordPolicy]
}

func (v password) group(p *Password) group {
	return group{fields: []field{
		{name: "policy", value: choice(&p.Policy, v.policies)},
		{name: "length", value: number{&p.Length}, omit: p.Policy != RandomPassword},
		{name: "value", value: secret{&p.Fixed}},
	}, hide: true}
}

func (v password) read(f *faults, n *node, path string) {
	var got Password
	v.group(&got).read(f, n, path)
	has := func(name string) bool {
		_, ok := f.places[join(path, name)]
		return ok
	}
	switch {
	case n.kind != kindMapping:
		return
	case !has("policy"):
		f.report(path, "the field policy is missing: want one of %s", namesOf(v.policies))
	case got.Policy == 0: // reported already
	case has("length") && got.Policy != RandomPassword:
		f.report(join(path, "length"), "only a random password has a length: remove it, or say policy: random")
	case has("value") && got.Policy != FixedPassword:
		f.report(join(path, "value"), "only a fixed password has a value: remove it, or say policy: fixed")
	}
	if got.Policy == RandomPassword && !has("length") {
		got.Length = defaultLength
	}
	*v.p = got
}

func (v password) write() *node { return v.group(v.p).write() }

func namesOf(words []word[PasswordPolicy]) string {
	s := ""
	for i, w := range words {
		if i > 0 {
			s += ", "
		}
		s += w.name
	}
	return s
}

// ErrNoSecret is returned for a fixed password that is not there, and for a
// secret whose field is not there.
var ErrNoSecret = errors.New("fixed password and document do not go together")

// Draw gives the password for one device, empty for KeepPassword. rand must be
// cryptographically strong.
func (p Password) Draw(rand io.Reader) (amt.Secret, error) {
	switch p.Policy {
	case KeepPassword:
		return amt.Secret{}, nil
	case RandomPassword:
		return amt.DrawPassword(rand, p.Length)
	case FixedPassword:
		if p.Fixed.IsZero() {
			return amt.Secret{}, fmt.Errorf("%w: the value is missing", ErrNoSecret)
		}
		return p.Fixed, nil
	}
	return amt.Secret{}, fmt.Errorf("password policy %v: %w", p.Policy, ErrInvalid)
}

// passwords gives every password by the path of its group.
func (p *Profile) passwords() map[string]*Password {
	m := map[string]*Password{"admin_password": &p.Admin, "mebx_password": &p.MEBx}
	for i := range p.Users {
		m[fmt.Sprintf("users[%d].password", i)] = &p.Users[i].Password
	}
	return m
}

// valueField is the field that holds a fixed password.
const valueField = ".value"

// Secrets gives the fixed passwords by the paths of their fields, such as
// users[0].password.value; nil if there are none.
func (p *Profile) Secrets() map[string]amt.Secret {
	var m map[string]amt.Secret
	for path, pw := range p.passwords() {
		if pw.Policy != FixedPassword || pw.Fixed.IsZero() {
			continue
		}
		if m == nil {
			m = map[string]amt.Secret{}
		}
		m[path+valueField] = pw.Fixed
	}
	return m
}

// Attach puts fixed passwords where Secrets took them. A path without a fixed
// password is ErrNoSecret, and so is a fixed password that still has no value
// then; p is not changed in the first case.
func (p *Profile) Attach(secrets map[string]amt.Secret) error {
	all := map[string]*Password{}
	for path, pw := range p.passwords() {
		if pw.Policy == FixedPassword {
			all[path+valueField] = pw
		}
	}
	for path := range secrets {
		if all[path] == nil {
			return fmt.Errorf("%w: the document has no fixed password at %s", ErrNoSecret, path)
		}
	}
	for path, s := range secrets {
		all[path].Fixed = s
	}
	for path, pw := range all {
		if pw.Fixed.IsZero() {
			return fmt.Errorf("%w: no value for %s", ErrNoSecret, path)
		}
	}
	return nil
}
