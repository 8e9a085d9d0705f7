package amtsim

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // HTTP digest authentication is MD5
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// nonceLen is the size of a nonce before base64: 24 bytes give 32 characters and
// no "=", on which one client's parser would stumble.
const nonceLen = 24

// nonces issues nonces that carry their own proof, so that nothing is kept for
// each. A reset makes all earlier ones stale.
type nonces struct {
	key   []byte
	epoch uint64
	count uint64
	last  map[string]uint32 // highest nonce count seen; only for StrictNonce
}

// maxStrict bounds the nonces whose counts are kept.
const maxStrict = 64

// issue makes a nonce in the form of the recorded ones: 8 bytes that rise, 4 zero
// bytes, 12 that look random.
func (n *nonces) issue() string {
	if n.key == nil {
		n.key = randomKey()
	}
	n.count++
	var b [nonceLen]byte
	binary.LittleEndian.PutUint64(b[:], n.count)
	copy(b[12:], n.proof(b[:12]))
	return base64.StdEncoding.EncodeToString(b[:])
}

func (n *nonces) proof(head []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(head)
	mac.Write(binary.BigEndian.AppendUint64(nil, n.epoch))
	return mac.Sum(nil)[:12]
}

// known reports whether the nonce was issued since the last reset.
func (n *nonces) known(nonce string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(nonce)
	return err == nil && len(b) == nonceLen && n.key != nil && hmac.Equal(b[12:], n.proof(b[:12]))
}

// reset makes every nonce stale.
func (n *nonces) reset() { n.epoch, n.last = n.epoch+1, nil }

// next reports whether nc is one more than the last of this nonce, and notes it.
func (n *nonces) next(nonce string, nc uint32) bool {
	if n.last == nil {
		n.last = make(map[string]uint32)
	}
	if nc != n.last[nonce]+1 {
		return false
	}
	if len(n.last) >= maxStrict {
		clear(n.last)
	}
	n.last[nonce] = nc
	return true
}

// login is who sends a request.
type login struct {
	admin  bool
	name   string
	realms []amt.Realm
}

// loginResult is what an Authorization header was worth.
type loginResult uint8

const (
	loginMissing loginResult = 1 // no header: a challenge, no failure
	loginBad     loginResult = 2
	loginStale   loginResult = 3 // right, but for another nonce
	loginGood    loginResult = 4
)

// authenticate checks a digest log-in. Every parameter of RFC 2617 with qop=auth
// must be there once; uri must be the request's own.
func (d *Device) authenticate(header, httpMethod, uri string) (login, loginResult) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if header == "" {
		d.ram.challenged++
		return login{}, loginMissing
	}
	who, result := d.check(header, httpMethod, uri)
	switch result {
	case loginGood:
		d.ram.failures = 0
		d.ram.requests++
		if n := d.opt.Trouble.NonceReset; n > 0 && d.ram.requests%n == 0 {
			d.ram.nonces.reset()
		}
	case loginBad:
		d.ram.challenged++
		d.ram.failed++
		d.ram.failures++
	case loginStale:
		d.ram.challenged++
	}
	return who, result
}

func (d *Device) check(header, httpMethod, uri string) (login, loginResult) {
	p, ok := parseAuthorization(header)
	if !ok || p["realm"] != d.flash.Realm || p["uri"] != uri || p["qop"] != "auth" {
		return login{}, loginBad
	}
	if limit := d.opt.Trouble.LoginLock; limit > 0 && d.ram.failures >= limit {
		return login{}, loginBad
	}
	who, secret, ok := d.account(p["username"])
	if !ok {
		return login{}, loginBad
	}
	want := digest(secret, p, httpMethod)
	if subtle.ConstantTimeCompare([]byte(want), []byte(p["response"])) != 1 {
		return login{}, loginBad
	}
	nc, ok := parseHex32(p["nc"])
	if !ok {
		return login{}, loginBad
	}
	n := &d.ram.nonces
	if !n.known(p["nonce"]) || d.opt.Trouble.StrictNonce && !n.next(p["nonce"], nc) {
		return login{}, loginStale
	}
	return who, loginGood
}

// account finds a user who may log in over the network; in set-up that is the
// administrator alone.
func (d *Device) account(name string) (login, amt.Secret, bool) {
	f := &d.flash
	if name == f.AdminUser {
		return login{admin: true, name: name}, f.AdminHA1, true
	}
	if f.Phase != amt.Operational {
		return login{}, amt.Secret{}, false
	}
	for _, u := range f.Users {
		if u.Name == name && name != "" && !u.Disabled && !u.System && u.Access != accessLocal {
			return login{name: name, realms: u.Realms}, u.HA1, true
		}
	}
	return login{}, amt.Secret{}, false
}

// digest is the response of RFC 2617 for qop=auth, from the stored HA1.
func digest(ha1 amt.Secret, p map[string]string, httpMethod string) string {
	h1 := ha1.Reveal()
	a2 := md5.Sum([]byte(httpMethod + ":" + p["uri"])) //nolint:gosec // HTTP digest authentication is MD5
	b := make([]byte, 0, 192)
	b = hex.AppendEncode(b, h1)
	clear(h1)
	for _, s := range []string{p["nonce"], p["nc"], p["cnonce"], p["qop"]} {
		b = append(append(b, ':'), s...)
	}
	b = hex.AppendEncode(append(b, ':'), a2[:])
	sum := md5.Sum(b) //nolint:gosec // HTTP digest authentication is MD5
	clear(b)
	return hex.EncodeToString(sum[:])
}

// parseAuthorization reads "Digest name=value, name=\"value\"". It refuses what
// lacks a parameter, has one twice, or names another algorithm than MD5.
func parseAuthorization(header string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(header, "Digest ")
	if !ok {
		return nil, false
	}
	p := make(map[string]string, 10)
	for {
		rest = strings.TrimLeft(rest, " \t")
		name, after, found := strings.Cut(rest, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t,\"") {
			return nil, false
		}
		value, after, ok := parameterValue(after)
		if _, twice := p[name]; !ok || twice {
			return nil, false
		}
		p[name] = value
		rest = strings.TrimLeft(after, " \t")
		if rest == "" {
			break
		}
		if rest, found = strings.CutPrefix(rest, ","); !found {
			return nil, false
		}
	}
	for _, need := range []string{"username", "realm", "nonce", "uri", "qop", "nc", "cnonce", "response"} {
		if p[need] == "" {
			return nil, false
		}
	}
	a, named := p["algorithm"]
	return p, !named || a == "MD5"
}

// parameterValue reads a token or a quoted string, which may hold \" and \\.
func parameterValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var sb strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return sb.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		sb.WriteByte(s[i])
	}
	return "", "", false
}

// parseHex32 reads eight hex digits.
func parseHex32(s string) (uint32, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}
