package wsman

import (
	"crypto/md5" // RFC 2617: AMT knows no other digest
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// errNoDigest is returned for a 401 that offers no MD5 digest we can answer.
var errNoDigest = errors.New("the 401 offers no MD5 digest with qop auth")

// login holds the credentials and the challenge at hand. It is used by one call
// at a time.
type login struct {
	user     string
	password amt.Secret
	only     string // the realm that is answered; "" for any

	realm  string
	nonce  string // "" before the first challenge
	opaque string
	hasOpq bool
	qop    bool       // qop=auth, else RFC 2069 form
	algo   string     // as sent, "" if absent
	ha1    amt.Secret // hex of MD5(user:realm:password), for this realm
	nc     uint32
}

// set replaces the credentials and keeps the challenge.
func (l *login) set(user string, password amt.Secret) {
	l.user, l.password = user, password
	l.ha1 = amt.Secret{}
}

// take reads a 401's challenge. stale reports whether the device says that only
// the nonce was wrong.
func (l *login) take(h http.Header) (stale bool, err error) {
	for _, line := range h.Values("WWW-Authenticate") {
		list, perr := parseChallenges(line)
		if perr != nil {
			err = perr
			continue
		}
		for _, c := range list {
			if c.scheme == "digest" && l.adopt(c) {
				s, _ := c.get("stale")
				return strings.EqualFold(strings.TrimSpace(s), "true"), nil
			}
		}
	}
	if err == nil {
		err = errNoDigest
	}
	return false, err
}

// adopt takes c over if it can be answered: nonce and realm present, the realm
// the one that is wanted, MD5 or no algorithm, qop absent or a list that holds
// auth, and nothing that could not be sent back in a header. AMT sends stale and
// qop in quotes and, from 14 on, qop "auth,auth-int".
func (l *login) adopt(c challenge) bool {
	nonce, ok := c.get("nonce")
	if !ok || nonce == "" {
		return false
	}
	realm, ok := c.get("realm")
	if !ok || l.only != "" && realm != l.only {
		return false
	}
	for _, p := range c.params {
		if p.value != printable(p.value) {
			return false
		}
	}
	algo, _ := c.get("algorithm")
	if algo != "" && !strings.EqualFold(algo, "MD5") {
		return false
	}
	qop := false
	if list, ok := c.get("qop"); ok {
		for _, q := range strings.Split(list, ",") {
			qop = qop || strings.EqualFold(strings.TrimSpace(q), "auth")
		}
		if !qop {
			return false
		}
	}
	if realm != l.realm {
		l.ha1 = amt.Secret{}
	}
	if nonce != l.nonce {
		l.nc = 0
	}
	l.realm, l.nonce, l.algo, l.qop = realm, nonce, algo, qop
	l.opaque, l.hasOpq = c.get("opaque")
	return true
}

// header is the Authorization of the next request, "" before the first challenge.
func (l *login) header(method, uri string, rand io.Reader) (string, error) {
	if l.nonce == "" {
		return "", nil
	}
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("drawing a cnonce: %w", err)
	}
	l.nc++
	if l.ha1.IsZero() {
		sum := DigestHash(l.user, l.realm, l.password)
		l.ha1 = amt.NewSecretString(hex.EncodeToString(sum.Reveal()))
	}
	nc, cnonce := fmt.Sprintf("%08x", l.nc), hex.EncodeToString(b[:])
	s := "Digest username=" + quote(l.user) + ", realm=" + quote(l.realm) + ", nonce=" + quote(l.nonce) +
		", uri=" + quote(uri) + ", response=" + quote(l.response(method, uri, nc, cnonce))
	if l.qop {
		s += ", qop=auth, nc=" + nc + ", cnonce=" + quote(cnonce)
	}
	if l.algo != "" {
		s += ", algorithm=" + l.algo
	}
	if l.hasOpq {
		s += ", opaque=" + quote(l.opaque)
	}
	return s, nil
}

// response is RFC 2617 section 3.2.2.1, with the RFC 2069 form for no qop.
func (l *login) response(method, uri, nc, cnonce string) string {
	h := md5.New()
	h.Write(l.ha1.Reveal())
	middle := ":" + l.nonce + ":"
	if l.qop {
		middle += nc + ":" + cnonce + ":auth:"
	}
	ha2 := md5.Sum([]byte(method + ":" + uri))
	_, _ = io.WriteString(h, middle+hex.EncodeToString(ha2[:]))
	return hex.EncodeToString(h.Sum(nil))
}

// DigestHash is the 16 bytes of MD5(user:realm:password), which log in as well as
// the password does. AMT_AuthorizationService takes them as base64.
func DigestHash(user, realm string, password amt.Secret) amt.Secret {
	h := md5.New()
	_, _ = io.WriteString(h, user+":"+realm+":")
	h.Write(password.Reveal())
	return amt.NewSecret(h.Sum(nil))
}
