package provisioning

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// ProfileDocument is a profile to be applied.
type ProfileDocument struct {
	Name   string // empty: the one in the document
	Source string // what messages call it, such as a file's name
	YAML   []byte // or JSON
	DryRun bool   // check, and store nothing
}

func profileSecretID(name string, version uint64, path string) string {
	return fmt.Sprintf("profiles/%s/%d/%s", name, version, path)
}

// latestProfile is the version of a profile in force, nil when there is none.
func latestProfile(r kv.Reader, name string) (*pb.Profile, error) {
	rg := kv.Prefix(append([]byte(name), 0))
	rg.Reverse, rg.Limit = true, 1
	var found *pb.Profile
	err := profiles.Scan(r, rg, func(_ []byte, m *pb.Profile) error {
		found = m
		return nil
	})
	return found, err
}

// openProfile reads a version of a profile, 0 meaning the one in force, with its
// passwords. The name "default" is built in until it is applied.
func (e *Engine) openProfile(r kv.Reader, name string, version uint64) (*profile.Profile, uint64, error) {
	var rec *pb.Profile
	var err error
	if version == 0 {
		rec, err = latestProfile(r, name)
	} else if rec, err = profiles.Get(r, profileKey(name, version)); errors.Is(err, kv.ErrNotFound) {
		rec, err = nil, nil
	}
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("reading profile %s: %w", name, err)
	case rec == nil && name == profile.DefaultName:
		return profile.Default(), 0, nil
	case rec == nil:
		return nil, 0, fmt.Errorf("profile %s: %w", name, ErrNoProfile)
	}
	p, err := e.profiles.get(rec, e.parseProfile)
	return p, rec.GetVersion(), err
}

func (e *Engine) parseProfile(rec *pb.Profile) (*profile.Profile, error) {
	secrets, err := e.profileSecrets(rec)
	if err != nil {
		return nil, err
	}
	p, err := profile.Open(rec.GetDocument(), secrets)
	if err != nil {
		return nil, fmt.Errorf("reading profile %s version %d: %w", rec.GetName(), rec.GetVersion(), err)
	}
	return p, nil
}

func (e *Engine) profileSecrets(rec *pb.Profile) (map[string]amt.Secret, error) {
	secrets := map[string]amt.Secret{}
	for _, s := range rec.GetSecrets() {
		opened, err := e.cfg.Sealer.Open(s.GetSealed(), profileSecretID(rec.GetName(), rec.GetVersion(), s.GetPath()))
		if err != nil {
			return nil, fmt.Errorf("opening %s of profile %s: %w", s.GetPath(), rec.GetName(), err)
		}
		secrets[s.GetPath()] = opened
	}
	return secrets, nil
}

// ApplyProfile checks a document and stores it as the next version of its
// profile, unless it says what is stored already or DryRun is set. changed
// reports whether it differs from what was there. Errors: ErrProfile.
func (e *Engine) ApplyProfile(ctx context.Context, act Act, doc ProfileDocument) (v ProfileVersion, changed bool, err error) {
	p, err := profile.Parse(doc.Source, doc.YAML)
	if err != nil {
		return v, false, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	if doc.Name != "" && p.Name != "" && doc.Name != p.Name {
		return v, false, fmt.Errorf("%w: %s: the document names %s, the call %s", ErrProfile, doc.Source, p.Name, doc.Name)
	}
	if p.Name == "" {
		p.Name = doc.Name
	}
	if p.Name == "" {
		return v, false, fmt.Errorf("%w: %s: it has no name", ErrProfile, doc.Source)
	}
	if err := e.checkTrusted(p); err != nil {
		return v, false, fmt.Errorf("%w: %s: %w", ErrProfile, doc.Source, err)
	}
	err = e.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		var rec *pb.Profile
		rec, changed, err = e.nextVersion(tx, act, p)
		if err != nil {
			return err
		}
		v = profileVersionOf(rec, p)
		if !changed || doc.DryRun {
			return nil
		}
		if err := profiles.Put(tx, profileKey(rec.GetName(), rec.GetVersion()), rec); err != nil {
			return err
		}
		ev := &pb.Event{Type: string(ProfileApplied), Who: act.Who, Message: fmt.Sprintf("profile %s, version %d", p.Name, rec.GetVersion())}
		if err := appendEvents(tx, e.cfg.Now(), ev); err != nil {
			return err
		}
		return act.also(tx)
	})
	if err != nil {
		return ProfileVersion{}, false, fmt.Errorf("applying profile %s: %w", p.Name, err)
	}
	return v, changed, nil
}

// checkTrusted refuses a profile whose devices would lock this server out: with
// mutual TLS one of the trusted names must end the server's own.
func (e *Engine) checkTrusted(p *profile.Profile) error {
	if p.TLS.Mode != profile.MutualTLS || len(p.TLS.TrustedCNs) == 0 || e.cfg.ClientCertificate == nil {
		return nil
	}
	own, err := e.cfg.ClientCertificate()
	if err != nil {
		return fmt.Errorf("tls.mode: mutual: reading this server's client certificate: %w", err)
	}
	leaf := own.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
			return fmt.Errorf("tls.mode: mutual: this server's client certificate: %w", err)
		}
	}
	name := strings.ToLower(leaf.Subject.CommonName)
	for _, cn := range p.TLS.TrustedCNs {
		if strings.HasSuffix(name, strings.ToLower(cn)) {
			return nil
		}
	}
	return fmt.Errorf("tls.trusted_cns: this server is called %s, which ends in none of them: devices would not let it in", name)
}

// nextVersion makes the record that follows the stored one, or returns that when
// p says the same.
func (e *Engine) nextVersion(tx kv.Tx, act Act, p *profile.Profile) (*pb.Profile, bool, error) {
	old, err := latestProfile(tx, p.Name)
	if err != nil {
		return nil, false, err
	}
	rec := &pb.Profile{
		Name: p.Name, Version: old.GetVersion() + 1, Document: p.Encode(),
		At: stamp(e.cfg.Now()), Who: act.Who, Why: act.Why,
	}
	secrets := p.Secrets()
	if old != nil && bytes.Equal(old.GetDocument(), rec.GetDocument()) {
		have, err := e.profileSecrets(old)
		if err != nil {
			return nil, false, err
		}
		if maps.EqualFunc(have, secrets, amt.Secret.Equal) {
			return old, false, nil
		}
	}
	for _, path := range slices.Sorted(maps.Keys(secrets)) {
		sealed, err := e.cfg.Sealer.Seal(secrets[path], profileSecretID(rec.GetName(), rec.GetVersion(), path))
		if err != nil {
			return nil, false, fmt.Errorf("sealing %s: %w", path, err)
		}
		rec.Secrets = append(rec.Secrets, &pb.ProfileSecret{Path: path, Sealed: sealed})
	}
	return rec, true, nil
}

func profileVersionOf(rec *pb.Profile, p *profile.Profile) ProfileVersion {
	return ProfileVersion{
		Name: rec.GetName(), Version: rec.GetVersion(), Description: p.Description, Document: rec.GetDocument(),
		At: instant(rec.GetAt()), Who: rec.GetWho(), Why: rec.GetWhy(),
	}
}

// Profile returns a profile's version in force; "default" is built in until it
// is applied. Errors: ErrNoProfile.
func (e *Engine) Profile(ctx context.Context, name string) (v ProfileVersion, err error) {
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		p, _, err := e.openProfile(r, name, 0)
		if err != nil {
			return err
		}
		rec, err := latestProfile(r, name)
		if err != nil {
			return err
		}
		if rec == nil {
			rec = &pb.Profile{Name: name, Document: p.Encode()}
		}
		v = profileVersionOf(rec, p)
		return nil
	})
	return v, err
}

// Profiles lists the profiles' versions in force by name, without documents. The
// built-in default comes first until one of that name is applied.
func (e *Engine) Profiles(ctx context.Context, p Page) (list []ProfileVersion, next string, err error) {
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next = nil, ""
		from, err := p.after()
		if err != nil {
			return err
		}
		if from == nil {
			if rec, err := latestProfile(r, profile.DefaultName); err != nil {
				return err
			} else if rec == nil {
				list = append(list, ProfileVersion{Name: profile.DefaultName, Description: profile.Default().Description})
			}
		}
		for len(list) < p.size() {
			rec, err := firstProfile(r, from)
			if err != nil || rec == nil {
				return err
			}
			if rec, err = latestProfile(r, rec.GetName()); err != nil {
				return err
			}
			opened, _, err := e.openProfile(r, rec.GetName(), 0)
			if err != nil {
				return err
			}
			v := profileVersionOf(rec, opened)
			v.Document = nil
			list = append(list, v)
			from = append([]byte(rec.GetName()), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		}
		more, err := firstProfile(r, from)
		if more != nil {
			next = pageToken(from)
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing profiles: %w", err)
	}
	return list, next, nil
}

// firstProfile is the first record at or behind from.
func firstProfile(r kv.Reader, from []byte) (*pb.Profile, error) {
	var found *pb.Profile
	err := profiles.Scan(r, kv.Range{From: from, Limit: 1}, func(key []byte, m *pb.Profile) error {
		if len(key) < 9 || binary.BigEndian.Uint64(key[len(key)-8:]) != m.GetVersion() {
			return fmt.Errorf("profile key %x: %w", key, kv.ErrIndex)
		}
		found = m
		return nil
	})
	return found, err
}
