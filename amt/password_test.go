package amt_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ password, says string }{
		{"P@ssw0rd", ""},
		{"Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!", ""}, // 32
		{"Aa1~    ", ""},                         // blanks count for the length
		{"A_a_1_-_", ""},
		{"Aa1'<>&x", ""}, // HP refuses these, AMT does not
		{"P@ssw0r", "7 characters, want 8 to 32"},
		{"Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!Aa1!x", "33 characters, want 8 to 32"},
		{"", "0 characters"},
		{amt.FactoryPassword, "5 characters"},
		{"P@ssword", "needs a digit"},
		{"P@SSW0RD", "needs a lower-case letter"},
		{"p@ssw0rd", "needs a upper-case letter"},
		{"Passw0rd", "needs a special character"},
		{"Location_1", "needs a special character"}, // Intel's example of a refusal
		{"Location 1", "needs a special character"},
		{"P@ssw0:d", "character 7 is a colon, a comma or a double quote"},
		{"P@,sw0rd", "character 3 is a colon"},
		{`P@ssw0r"`, "character 8 is a colon"},
		{"P@ssw0r\x7f", "character 8 is not printable"},
		{"P@ssw0r\x1f", "character 8 is not printable"},
		{"P@ssw0rdé", "character 9 is not printable"},
	} {
		err := amt.CheckPassword(amt.NewSecretString(c.password))
		if c.says == "" {
			if err != nil {
				t.Errorf("%q: got error %v", c.password, err)
			}
			continue
		}
		if !errors.Is(err, amt.ErrPassword) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got error %v, want %q", c.password, err, c.says)
		}
		if c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestDrawPassword(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for n := range 40 {
		s, err := amt.DrawPassword(rand.Reader, n)
		if n < amt.PasswordMin || n > amt.PasswordMax {
			if !errors.Is(err, amt.ErrPassword) || !s.IsZero() {
				t.Errorf("%d characters: got error %v", n, err)
			}
			continue
		}
		if err != nil || s.Len() != n {
			t.Fatalf("%d characters: got %d, %v", n, s.Len(), err)
		}
		for _, rules := range []amt.PasswordRules{amt.IntelRules, amt.HPRules} {
			if err := rules.Check(s); err != nil {
				t.Errorf("%d characters, %v: %v", n, rules, err)
			}
		}
		if p := string(s.Reveal()); strings.ContainsAny(p, `lIO01yzYZ'"<>&:, _@#^*`) || seen[p] {
			t.Errorf("%d characters: one that people mistype, or a second time", n)
		}
		seen[string(s.Reveal())] = true
	}
	if _, err := amt.DrawPassword(bytes.NewReader(make([]byte, 10)), 16); err == nil {
		t.Error("a password from too little randomness")
	}
}

// TestDrawnCharacters: each character that may come comes, about equally often.
func TestDrawnCharacters(t *testing.T) {
	t.Parallel()
	const all = "abcdefghijkmnopqrstuvwxABCDEFGHJKLMNPQRSTUVWX23456789!$%"
	count := map[rune]int{}
	const rounds = 2000
	for range rounds {
		s, err := amt.DrawPassword(rand.Reader, 32)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range string(s.Reveal()) {
			count[c]++
		}
	}
	if len(count) != len(all) {
		t.Errorf("got %d different characters, want %d", len(count), len(all))
	}
	mean := rounds * 32 / len(all)
	for _, c := range all {
		// Signs are somewhat more frequent, since a password needs one.
		if count[c] < mean/2 || count[c] > 2*mean {
			t.Errorf("%c came %d times, want about %d", c, count[c], mean)
		}
	}
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		password string
		rules    amt.PasswordRules
		says     string
	}{
		{"P@ssw0rd", amt.IntelRules, ""},
		{"P@ssw0rd", amt.HPRules, ""},
		{"Aa1'<>&x", amt.IntelRules, ""},
		{"Aa1!aaa'", amt.HPRules, "character 8 is one that HP's MEBx does not take"},
		{"<a1!aaaA", amt.HPRules, "character 1"},
		{"A>1!aaaa", amt.HPRules, "character 2"},
		{"Aa&!aaa1", amt.HPRules, "character 3"},
		{"Aa1 !aaa", amt.HPRules, "character 4"},
		{"P@ssword", amt.HPRules, "needs a digit"},
		{"P@ssword", amt.IntelRules, "needs a digit"},
		{"P@ssw0rd", 0, "unknown (0) password rules"},
	} {
		err := c.rules.Check(amt.NewSecretString(c.password))
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, amt.ErrPassword) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q, %v: got error %v, want %q", c.password, c.rules, err, c.says)
		}
	}
	for _, r := range []amt.PasswordRules{amt.IntelRules, amt.HPRules} {
		if got, err := amt.ParsePasswordRules(r.String()); err != nil || got != r {
			t.Errorf("%v: got %v, %v", r, got, err)
		}
	}
	if _, err := amt.ParsePasswordRules("dell"); err == nil || !strings.Contains(err.Error(), "want intel or hp") {
		t.Errorf("dell: got %v", err)
	}
}

func FuzzCheckPassword(f *testing.F) {
	for _, s := range []string{"P@ssw0rd", "Location_1", "", "P@ssw0:d", "Aa1!\xff\xff\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := amt.CheckPassword(amt.NewSecretString(s))
		good := len(s) >= 8 && len(s) <= 32 && strings.ContainsAny(s, "0123456789") && strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyz") &&
			strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && strings.ContainsAny(s, "!#$%&'()*+-./;<=>?@[\\]^`{|}~") && !strings.ContainsAny(s, ":,\"")
		for i := range len(s) {
			good = good && s[i] >= 32 && s[i] <= 126
		}
		if good != (err == nil) {
			t.Errorf("%q: got error %v", s, err)
		}
		if err != nil && len(s) > 4 && strings.Contains(err.Error(), s) {
			t.Errorf("the error shows the password: %v", err)
		}
	})
}

func TestCheckUserName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, says string }{
		{"a", ""},
		{"console.user-01", ""},
		{"sixteen.letters!", ""},
		{"$one", ""},
		{"~{}|", ""},
		{"", "0 characters, want 1 to 16"},
		{"seventeen.letters", "17 characters, want 1 to 16"},
		{"$$OsAdmin", "system accounts"},
		{"admin", "built-in administrator"},
		{"Admin", "built-in administrator"},
		{"ADMINISTRATOR", "built-in administrator"},
		{"a b", "character 2"},
		{"a(b", "character 2"},
		{"ab)", "character 3"},
		{":ab", "character 1"},
		{"a,b", "character 2"},
		{`a"b`, "character 2"},
		{"a&b", "character 2"},
		{"a<b", "character 2"},
		{"a>b", "character 2"},
		{"a\x7f", "character 2"},
		{"aé", "character 2"},
		{"a\n", "character 2"},
	} {
		err := amt.CheckUserName(c.name)
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, amt.ErrUserName) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q: got error %v, want %q", c.name, err, c.says)
		}
	}
}
