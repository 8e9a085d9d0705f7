package tlspsk

import (
	"crypto/subtle"
	"fmt"

	"github.com/amtscs/amtscs/amt"
)

// PairForm is how a PID and a PPS are written as identity and key. That firmware
// wants them undashed is derived from the hello message and from the hint of
// work-alike firmware; for Intel's own it is unverified, hence the choice. This
// is the only place that knows of it.
type PairForm uint8

// The forms of a pair.
const (
	Undashed PairForm = 0 // 0000037M and 32 characters
	Dashed   PairForm = 1 // 0000-037M and 32 characters in eight groups; unverified
)

// String is "undashed" or "dashed".
func (f PairForm) String() string {
	switch f {
	case Undashed:
		return "undashed"
	case Dashed:
		return "dashed"
	}
	return fmt.Sprintf("unknown (%d)", uint8(f))
}

// Identity is the PSK identity of pid.
func (f PairForm) Identity(pid amt.PID) []byte {
	if f == Dashed {
		return []byte(string(pid[:4]) + "-" + string(pid[4:]))
	}
	return []byte(pid.Wire())
}

// Key is the pre-shared key made of pps.
func (f PairForm) Key(pps amt.Secret) amt.Secret {
	if f == Dashed {
		return amt.NewSecretString(amt.RevealPPS(pps))
	}
	return pps
}

// Config is a client's Config for a pair.
func (f PairForm) Config(p amt.Pair) *Config {
	return &Config{Identity: f.Identity(p.PID), Key: f.Key(p.PPS)}
}

// ServerConfig is the Config of a device that holds one pair: it takes no other
// identity and sends the PID as its hint, as work-alike firmware does.
func (f PairForm) ServerConfig(p amt.Pair) *Config {
	want, key := f.Identity(p.PID), f.Key(p.PPS)
	return &Config{
		IdentityHint: want,
		GetKey: func(identity []byte) (amt.Secret, error) {
			if subtle.ConstantTimeCompare(identity, want) != 1 {
				return amt.Secret{}, fmt.Errorf("%w: %.64q", ErrUnknownIdentity, identity)
			}
			return key, nil
		},
	}
}

// PairConfig is a client's Config for a pair, undashed.
func PairConfig(p amt.Pair) *Config { return Undashed.Config(p) }

// PairServerConfig is a server's Config for a pair, undashed.
func PairServerConfig(p amt.Pair) *Config { return Undashed.ServerConfig(p) }
