package access

import "fmt"

// MaxName is the most characters a user name has: it is the common name of the
// user's certificates.
const MaxName = 64

// CheckName applies the rules of user names: 1 to MaxName of a-z, 0-9, dot,
// dash, underscore, plus and @, a letter or digit first and last. There is no
// upper case, so that two names never differ by it alone.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w: %d characters, want 1 to %d", ErrUserName, len(name), MaxName)
	}
	for i := range len(name) {
		if !nameCharacter(name[i]) {
			return fmt.Errorf("%w: %q: want a-z, 0-9 and . - _ + @ only", ErrUserName, name)
		}
	}
	if !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return fmt.Errorf("%w: %q: want a letter or digit first and last", ErrUserName, name)
	}
	return nil
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func nameCharacter(c byte) bool {
	return alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == '+' || c == '@'
}
