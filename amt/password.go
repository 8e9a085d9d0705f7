package amt

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Lengths of MEBx and digest passwords (MEBX DB75EN guide p. 13).
const (
	PasswordMin = 8
	PasswordMax = 32
)

// ErrPassword is returned for a password that AMT would refuse; the error says
// which rule it breaks and never shows the password.
var ErrPassword = errors.New("password refused")

// Drawn passwords are typed by people into MEBx, which reads every keyboard as a
// US one. They have no look-alikes, no y and z, which change places on German
// keyboards, and of the signs those that the layouts of most countries have on
// the keys of the US one: ! on 1, $ on 4, % on 5. The French layout has its
// letters and digits elsewhere, too: nothing can be done about that here.
const (
	lowers   = "abcdefghijkmnopqrstuvwx" // no l
	uppers   = "ABCDEFGHJKLMNPQRSTUVWX"  // no I, O
	digits   = "23456789"                // no 0, 1
	specials = "!$%"
)

// PasswordRules say which passwords MEBx takes; vendors differ.
type PasswordRules uint8

// The rules.
const (
	IntelRules PasswordRules = 1 // CheckPassword's
	HPRules    PasswordRules = 2 // Intel's, and without ' < > & and space (HP EliteDesk 800 p. 5)
)

// ParsePasswordRules reads intel or hp.
func ParsePasswordRules(s string) (PasswordRules, error) {
	for _, r := range []PasswordRules{IntelRules, HPRules} {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("password rules %q: want intel or hp", s)
}

// String is the form that ParsePasswordRules reads.
func (r PasswordRules) String() string {
	switch r {
	case IntelRules:
		return "intel"
	case HPRules:
		return "hp"
	}
	return fmt.Sprintf("unknown (%d)", uint8(r))
}

// Check says which of the rules a password breaks: ErrPassword.
func (r PasswordRules) Check(password Secret) error {
	if r != IntelRules && r != HPRules {
		return fmt.Errorf("%w: %v password rules", ErrPassword, r)
	}
	if err := CheckPassword(password); err != nil || r == IntelRules {
		return err
	}
	for i, c := range password.Reveal() {
		if strings.IndexByte("'<>& ", c) >= 0 {
			return fmt.Errorf("%w: character %d is one that HP's MEBx does not take: ' < > & or a space", ErrPassword, i+1)
		}
	}
	return nil
}

// CheckPassword applies Intel's rules for a strong password: 8 to 32 characters
// of 7-bit ASCII from 32 to 126 without colon, comma and double quote; at least
// one digit, one lower-case and one upper-case letter and one other character,
// where underscore and space do not count (MEBX DB75EN p. 13; Intel blog of
// 2007-11-08).
func CheckPassword(password Secret) error {
	b := password.Reveal()
	if len(b) < PasswordMin || len(b) > PasswordMax {
		return fmt.Errorf("%w: %d characters, want %d to %d", ErrPassword, len(b), PasswordMin, PasswordMax)
	}
	var digit, lower, upper, special bool
	for i, c := range b {
		switch {
		case c < 32 || c > 126:
			return fmt.Errorf("%w: character %d is not printable 7-bit ASCII", ErrPassword, i+1)
		case strings.IndexByte(`:,"`, c) >= 0:
			return fmt.Errorf("%w: character %d is a colon, a comma or a double quote", ErrPassword, i+1)
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c != '_' && c != ' ':
			special = true
		}
	}
	for _, need := range []struct {
		have bool
		name string
	}{{digit, "digit"}, {lower, "lower-case letter"}, {upper, "upper-case letter"}, {special, "special character such as ! @ # $ % ^ *"}} {
		if !need.have {
			return fmt.Errorf("%w: it needs a %s", ErrPassword, need.name)
		}
	}
	return nil
}

// DrawPassword draws a password of n characters that every vendor's MEBx takes
// and that the keyboards of most countries type as a US one does: letters but y
// and z, digits and ! $ %, without look-alikes. It keeps to IntelRules and
// HPRules. n of 16 gives about 92 bits.
func DrawPassword(rand io.Reader, n int) (Secret, error) {
	if n < PasswordMin || n > PasswordMax {
		return Secret{}, fmt.Errorf("drawing a password of %d characters: %w: want %d to %d", n, ErrPassword, PasswordMin, PasswordMax)
	}
	b := make([]byte, n)
	for {
		if err := draw(rand, b, lowers+uppers+digits+specials); err != nil {
			return Secret{}, fmt.Errorf("drawing a password: %w", err)
		}
		if s := NewSecret(b); CheckPassword(s) == nil {
			return s, nil
		}
	}
}

// ErrUserName is returned for a digest user name that AMT would refuse.
var ErrUserName = errors.New("user name refused")

// CheckUserName applies the rules of AMT_AuthorizationService: 1 to 16
// characters of ASCII 33 to 126, none of ( ) : , " & < >, not admin or
// administrator, not beginning with $$, which marks system accounts.
func CheckUserName(name string) error {
	if len(name) < 1 || len(name) > 16 {
		return fmt.Errorf("%w: %d characters, want 1 to 16", ErrUserName, len(name))
	}
	for i := range len(name) {
		if c := name[i]; c < 33 || c > 126 || strings.IndexByte(`():,"&<>`, c) >= 0 {
			return fmt.Errorf("%w: character %d is not allowed", ErrUserName, i+1)
		}
	}
	if strings.HasPrefix(name, "$$") {
		return fmt.Errorf("%w: $$ marks system accounts", ErrUserName)
	}
	if l := strings.ToLower(name); l == "admin" || l == "administrator" {
		return fmt.Errorf("%w: %s is the built-in administrator", ErrUserName, l)
	}
	return nil
}
