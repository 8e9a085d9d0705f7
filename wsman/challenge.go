package wsman

import (
	"errors"
	"fmt"
	"strings"
)

// challenge is one challenge of a WWW-Authenticate header (RFC 2617 section 1.2):
// a scheme and its parameters, names in lower case, in the order sent.
type challenge struct {
	scheme string // in lower case
	params []param
}

type param struct{ name, value string }

// maxParams bounds the parameters of one header line.
const maxParams = 32

// errChallenge is returned for a header that is no list of challenges.
var errChallenge = errors.New("malformed WWW-Authenticate header")

// get returns a parameter's value.
func (c challenge) get(name string) (string, bool) {
	for _, p := range c.params {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// String writes the challenge with every value quoted; parseChallenges reads the
// same back.
func (c challenge) String() string {
	var b strings.Builder
	b.WriteString(c.scheme)
	for i, p := range c.params {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + p.name + "=" + quote(p.value))
	}
	return b.String()
}

// quoting escapes what a quoted-string may not hold as it is.
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quote writes a quoted-string.
func quote(s string) string { return `"` + quoting.Replace(s) + `"` }

// parseChallenges reads one header line. A scheme may come without parameters
// ("Negotiate") or with a token of its own, which is dropped.
func parseChallenges(s string) ([]challenge, error) {
	p := &headerParser{s: s}
	var out []challenge
	total := 0
	for {
		p.skip(" \t,")
		if p.done() {
			return out, nil
		}
		name := p.token()
		if name == "" {
			return nil, fmt.Errorf("%w: at byte %d", errChallenge, p.i)
		}
		if value, ok, err := p.value(); err != nil {
			return nil, err
		} else if ok {
			if len(out) == 0 {
				return nil, fmt.Errorf("%w: parameter before a scheme", errChallenge)
			}
			if total++; total > maxParams {
				return nil, fmt.Errorf("%w: more than %d parameters", errChallenge, maxParams)
			}
			c := &out[len(out)-1]
			name = strings.ToLower(name)
			if _, twice := c.get(name); twice {
				return nil, fmt.Errorf("%w: %s twice", errChallenge, name)
			}
			c.params = append(c.params, param{name, value})
			continue
		}
		out = append(out, challenge{scheme: strings.ToLower(name)})
		if len(out) > maxParams {
			return nil, fmt.Errorf("%w: more than %d schemes", errChallenge, maxParams)
		}
		p.token68()
	}
}

type headerParser struct {
	s string
	i int
}

func (p *headerParser) done() bool { return p.i >= len(p.s) }

func (p *headerParser) skip(set string) {
	for !p.done() && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
	}
}

// token reads an RFC 2616 token.
func (p *headerParser) token() string {
	start := p.i
	for !p.done() && isToken(p.s[p.i]) {
		p.i++
	}
	return p.s[start:p.i]
}

func isToken(c byte) bool {
	return c > 32 && c < 127 && strings.IndexByte(`()<>@,;:\"/[]?={}`, c) < 0
}

// value reads "= token" or "= quoted-string" if that is what follows.
func (p *headerParser) value() (string, bool, error) {
	mark := p.i
	p.skip(" \t")
	if p.done() || p.s[p.i] != '=' {
		p.i = mark
		return "", false, nil
	}
	p.i++
	p.skip(" \t")
	if p.done() || p.s[p.i] != '"' {
		v := p.token()
		if v == "" {
			return "", false, fmt.Errorf("%w: no value at byte %d", errChallenge, p.i)
		}
		return v, true, nil
	}
	var b strings.Builder
	for p.i++; !p.done(); p.i++ {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return b.String(), true, nil
		case '\\':
			if p.i++; p.done() {
				return "", false, fmt.Errorf("%w: it ends in a backslash", errChallenge)
			}
			b.WriteByte(p.s[p.i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false, fmt.Errorf("%w: an open quote", errChallenge)
}

// token68 skips the blob that may follow a scheme such as Negotiate: characters
// that end at a comma and are no parameter.
func (p *headerParser) token68() {
	mark := p.i
	p.skip(" \t")
	start := p.i
	for !p.done() && (isToken(p.s[p.i]) || p.s[p.i] == '/') {
		p.i++
	}
	for !p.done() && p.s[p.i] == '=' {
		p.i++
	}
	end := p.i
	p.skip(" \t")
	if end == start || !p.done() && p.s[p.i] != ',' {
		p.i = mark
	}
}
