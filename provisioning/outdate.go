package provisioning

import (
	"strings"

	"github.com/amtscs/amtscs/profile"
)

// outdate lets go of the passwords that the workflow drew by its profile so far
// where p, which takes that one's place, asks for others. They stay in the
// record, since the device may hold them.
func (e *Engine) outdate(ed *edit, p *profile.Profile) error {
	d, w := ed.d, ed.w
	if w.GetProfile() == "" {
		return nil // the first choice: nothing is drawn yet
	}
	was, err := e.exactProfile(ed.tx, w.GetProfile(), w.GetProfileVersion())
	if err != nil {
		return err
	}
	if !samePassword(was.Admin, p.Admin) {
		w.AdminPassword = 0
	}
	if !samePassword(was.MEBx, p.MEBx) {
		w.MebxPassword = 0
		if sent(w, stepMEBx, callSetMEBx) && password(d, accountMEBx, pending) != nil {
			doubt(d, accountMEBx)
		}
	}
	asked := map[string]profile.Password{}
	for _, u := range was.Users {
		asked[u.Name] = u.Password
	}
	for _, u := range p.Users {
		if samePassword(asked[u.Name], u.Password) {
			delete(asked, u.Name)
		}
	}
	for _, v := range d.GetPasswords() {
		if name, ok := strings.CutPrefix(v.GetAccount(), userPrefix); ok && asked[name].Policy != 0 {
			v.Workflow = 0
		}
	}
	return nil
}

// samePassword reports whether two policies can give the same password.
func samePassword(a, b profile.Password) bool {
	return a.Policy == b.Policy && a.Length == b.Length && a.Fixed.Equal(b.Fixed)
}
