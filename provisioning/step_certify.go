package provisioning

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/wsman"
)

// Numbers of steps that other steps look at, and names of their calls.
const (
	stepClean       = 4
	stepKey         = 5
	stepCertificate = 8
	stepMEBx        = 11
	stepPair        = 12
	stepCommit      = 15

	callAddKey         = "AddKey"
	callGenerateKey    = "GenerateKeyPair"
	callAddRoot        = "AddTrustedRootCertificate"
	callAddCertificate = "AddCertificate"
	callCreateContext  = "TLSCredentialContext.Create"
	callPutContext     = "TLSCredentialContext.Put"
	callSetMEBx        = "SetMEBxPassword"
	callSetTLSPSK      = "SetTLSPSK"
	callSetAdmin       = "SetAdminAclEntryEx"
	callCommit         = "CommitChanges"
)

// keyBits is the size of device keys, made there or here.
const keyBits = 2048

// setClock is step 3.
func (r *run) setClock(ctx context.Context) (func(*edit) error, error) {
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	off, err := c.SetTime(ctx, r.e.cfg.Now)
	if err != nil {
		return nil, refused(ClockRefused, fmt.Errorf("setting the clock: %w", err))
	}
	r.log.Debug("clock set", "step", "clock", "was_ahead", off)
	return unchanged, nil
}

// withoutTLS reports whether the profile does without key and certificate.
func (r *run) withoutTLS(ctx context.Context) (bool, error) {
	p, err := r.givenProfile(ctx)
	if err != nil {
		return false, err
	}
	return p.TLS.Mode == profile.NoTLS, nil
}

// cleanUp is step 4: keys and certificates that earlier tries left are deleted,
// as far as nothing refers to them. What this workflow made stays.
func (r *run) cleanUp(ctx context.Context) (func(*edit) error, error) {
	if plain, err := r.withoutTLS(ctx); err != nil || plain {
		return unchanged, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	pairs, err := keyPairs(ctx, c)
	if err != nil {
		return nil, err
	}
	r.seen = pairs
	if len(pairs) == 0 || r.wf.GetKeyHandle() != "" || r.keyInDoubt() {
		return unchanged, nil
	}
	certs, err := c.Certificates(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing certificates: %w", err)
	}
	for _, cert := range certs {
		if cert.TrustedRoot {
			continue
		}
		// One that TLS refers to cannot go yet: step 9 replaces it.
		if err := c.DeleteCertificate(ctx, cert.Handle); err != nil && !isRefusal(err) {
			return nil, fmt.Errorf("deleting certificate %q: %w", cert.Handle, err)
		}
	}
	left := pairs[:0:0]
	for _, k := range pairs {
		switch err := c.DeleteKeyPair(ctx, k.Handle); {
		case err == nil:
		case isRefusal(err):
			left = append(left, k)
		default:
			return nil, fmt.Errorf("deleting key pair %q: %w", k.Handle, err)
		}
	}
	r.seen = left
	r.log.Info("cleaned up after an earlier try", "keys", len(pairs)-len(left))
	return unchanged, nil
}

// keyInDoubt reports whether a key of this workflow may be on the device without
// being recorded.
func (r *run) keyInDoubt() bool {
	for _, in := range r.wf.GetIntentions() {
		if in.GetStep() == stepKey && (in.GetState() == intentionPending || in.GetState() == intentionLost) {
			return true
		}
	}
	return false
}

// keyPairs lists the device's key pairs; firmware without the class has none.
func keyPairs(ctx context.Context, c *wsman.Client) ([]wsman.KeyPair, error) {
	pairs, err := c.KeyPairs(ctx)
	if wsman.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing key pairs: %w", err)
	}
	return pairs, nil
}

// makeKey is step 5: the device makes its key, or gets one that is kept nowhere
// else. A key whose call had no answer is found among the device's keys.
func (r *run) makeKey(ctx context.Context) (func(*edit) error, error) {
	if plain, err := r.withoutTLS(ctx); err != nil || plain {
		return unchanged, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	if k, err := r.keptKey(ctx, c); err != nil || k != nil {
		return r.adoptKey(k), err
	}
	version, _ := amt.ParseVersion(r.dev.GetVersion()) // written by step 2
	if version.AtLeast(6, 2) {
		k, err := r.generateKey(ctx, c)
		if !wsman.IsAbsent(err) {
			if err != nil {
				return nil, err
			}
			return r.adoptKey(k), nil
		}
		r.log.Info("the firmware makes no keys itself", "step", "key")
	}
	k, err := r.giveKey(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.adoptKey(k), nil
}

// keptKey is the key that the device has from an earlier run of this step, nil
// when there is none.
func (r *run) keptKey(ctx context.Context, c *wsman.Client) (*wsman.KeyPair, error) {
	if r.wf.GetKeyHandle() != "" {
		k, err := c.KeyPair(ctx, wsman.Handle(r.wf.GetKeyHandle()))
		switch {
		case err == nil && k.Public != nil && bytes.Equal(marshalKey(k.Public), r.wf.GetPublicKey()):
			return &k, nil
		case err != nil && !isRefusal(err):
			return nil, fmt.Errorf("reading the device's key: %w", err)
		}
	}
	if r.keyInDoubt() {
		return r.findKey(ctx, c)
	}
	return nil, nil
}

// findKey looks for the key of an earlier call: by its public half if we made it,
// else as the one that was not there before.
func (r *run) findKey(ctx context.Context, c *wsman.Client) (*wsman.KeyPair, error) {
	pairs, err := keyPairs(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, k := range pairs {
		if k.Public == nil {
			continue
		}
		if len(r.wf.GetPublicKey()) > 0 {
			if bytes.Equal(marshalKey(k.Public), r.wf.GetPublicKey()) {
				return &k, nil
			}
			continue
		}
		if !slices.Contains(r.wf.GetKeysBefore(), string(k.Handle)) {
			return &k, nil
		}
	}
	return nil, nil
}

func marshalKey(pub *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil
	}
	return der
}

// generateKey has the device make a key. A busy firmware is asked again, without
// leaving the step, since each refusal had no effect.
func (r *run) generateKey(ctx context.Context, c *wsman.Client) (*wsman.KeyPair, error) {
	if r.seen == nil {
		pairs, err := keyPairs(ctx, c)
		if err != nil {
			return nil, err
		}
		r.seen = pairs
	}
	before := make([]string, 0, len(r.seen))
	for _, k := range r.seen {
		before = append(before, string(k.Handle))
	}
	var handle wsman.Handle
	err := r.call(ctx, callGenerateKey, func(ed *edit) error {
		ed.w.PublicKey, ed.w.KeysBefore = nil, before
		return nil
	}, func() (err error) {
		handle, err = r.untilReady(ctx, func() (wsman.Handle, error) { return c.GenerateKeyPair(ctx, keyBits) })
		return err
	})
	if wsman.IsAbsent(err) {
		return nil, err
	}
	if err != nil {
		return nil, refused(KeyRefused, fmt.Errorf("having a key made: %w", err))
	}
	k, err := c.KeyPair(ctx, handle)
	if err != nil {
		return nil, fmt.Errorf("reading the new key: %w", err)
	}
	if k.Public == nil {
		return nil, because(KeyRefused, fmt.Errorf("the device shows no RSA key behind %q", handle))
	}
	return &k, nil
}

// untilReady repeats f while the device answers with a status of class Retry.
func (r *run) untilReady(ctx context.Context, f func() (wsman.Handle, error)) (wsman.Handle, error) {
	t := r.e.cfg.Timing
	for try := 1; ; try++ {
		h, err := f()
		s, ok := wsman.StatusOf(err)
		if err == nil || !ok || wsman.Class(s) != wsman.Retry {
			return h, err
		}
		if try >= t.BusyTries {
			return "", perhaps(KeyGenerationBusy, err)
		}
		r.log.Debug("the firmware is not ready", "step", r.stepName(), "try", try, "err", err)
		if werr := r.pause(ctx, t.Busy); werr != nil {
			return "", errors.Join(werr, err)
		}
	}
}

// giveKey makes a key here and puts it in. Only its public half is stored.
func (r *run) giveKey(ctx context.Context, c *wsman.Client) (*wsman.KeyPair, error) {
	key, err := r.e.keys.get(ctx)
	if err != nil {
		return nil, perhaps(InternalFault, fmt.Errorf("making a device key: %w", err))
	}
	pub := marshalKey(&key.PublicKey)
	var handle wsman.Handle
	err = r.call(ctx, callAddKey, func(ed *edit) error {
		ed.w.PublicKey = pub
		return nil
	}, func() (err error) {
		handle, err = r.untilReady(ctx, func() (wsman.Handle, error) { return c.AddKey(ctx, key) })
		return err
	})
	if err != nil {
		return nil, refused(KeyRefused, fmt.Errorf("adding a key: %w", err))
	}
	return &wsman.KeyPair{Handle: handle, Public: &key.PublicKey}, nil
}

// adoptKey records the device's key.
func (r *run) adoptKey(k *wsman.KeyPair) func(*edit) error {
	return func(ed *edit) error {
		ed.w.KeyHandle, ed.w.PublicKey = string(k.Handle), marshalKey(k.Public)
		for _, call := range []string{callAddKey, callGenerateKey} {
			settle(ed.w, stepKey, call, intentionResolved, "found on the device")
		}
		return nil
	}
}

// issue is step 6: our authority certifies the device's key. Asking again with
// the same request gives the same certificate.
func (r *run) issue(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil || p.TLS.Mode == profile.NoTLS {
		return unchanged, err
	}
	pub, err := x509.ParsePKIXPublicKey(r.wf.GetPublicKey())
	if err != nil {
		return nil, &rewind{to: stepClean, anew: true, why: "the device's public key is not recorded"}
	}
	cert, err := r.e.cfg.Issuer.IssueDevice(ctx, CertificateRequest{
		UUID: r.uuid, FQDN: r.wf.GetFqdn(), PublicKey: pub, Lifetime: p.Certificate.Lifetime,
	})
	if errors.Is(err, ErrNotIssued) {
		return nil, because(CertificateNotIssued, err)
	}
	if err != nil {
		return nil, perhaps(CertificateNotIssued, fmt.Errorf("issuing the device's certificate: %w", err))
	}
	r.e.hook(r.number(), "called")
	rsaKey, ok := pub.(*rsa.PublicKey)
	if !ok || !rsaKey.Equal(cert.PublicKey) {
		return nil, because(CertificateMismatch, errors.New("the certificate is for another key"))
	}
	if err := cert.VerifyHostname(r.wf.GetFqdn()); err != nil {
		return nil, because(CertificateMismatch, err)
	}
	return func(ed *edit) error {
		if !bytes.Equal(ed.w.GetCertificate(), cert.Raw) {
			ed.w.Certificate, ed.w.CertificateHandle = cert.Raw, ""
		}
		ed.tell(CertificateIssued, "serial %032x, until %s", cert.SerialNumber, cert.NotAfter.UTC().Format("2006-01-02"))
		return nil
	}, nil
}

// addRoot is step 7: mutual TLS needs the root that callers' certificates lead to.
func (r *run) addRoot(ctx context.Context) (func(*edit) error, error) {
	p, err := r.givenProfile(ctx)
	if err != nil || p.TLS.Mode != profile.MutualTLS {
		return unchanged, err
	}
	if _, err := r.e.clientCertificate(); err != nil {
		return nil, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	root := r.e.cfg.Issuer.Bundle()[0].Raw
	if r.doubtful(callAddRoot) {
		if found, err := findCertificate(ctx, c, root, true); err != nil || found != "" {
			return r.settled(callAddRoot), err
		}
	}
	err = r.call(ctx, callAddRoot, nil, func() error {
		_, err := c.AddTrustedRootCertificate(ctx, root)
		return err
	})
	if wsman.IsDuplicate(err) {
		found, ferr := findCertificate(ctx, c, root, true)
		if ferr != nil || found != "" {
			return r.settled(callAddRoot), ferr
		}
	}
	if err != nil {
		return nil, refused(TrustedRootRefused, fmt.Errorf("adding the root: %w", err))
	}
	return unchanged, nil
}

// settled notes that what became of a call was read back.
func (r *run) settled(call string) func(*edit) error {
	number := uint32(r.number())
	return func(ed *edit) error {
		settle(ed.w, number, call, intentionResolved, "found on the device")
		return nil
	}
}

// findCertificate returns the handle of a certificate, empty when the device has
// it not.
func findCertificate(ctx context.Context, c *wsman.Client, der []byte, root bool) (wsman.Handle, error) {
	certs, err := c.Certificates(ctx)
	if err != nil {
		return "", fmt.Errorf("listing certificates: %w", err)
	}
	for _, cert := range certs {
		if cert.TrustedRoot == root && bytes.Equal(cert.Raw, der) {
			return cert.Handle, nil
		}
	}
	return "", nil
}

// addCertificate is step 8.
func (r *run) addCertificate(ctx context.Context) (func(*edit) error, error) {
	if plain, err := r.withoutTLS(ctx); err != nil || plain {
		return unchanged, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	der := r.wf.GetCertificate()
	found := func(h wsman.Handle) func(*edit) error {
		return func(ed *edit) error {
			ed.w.CertificateHandle = string(h)
			settle(ed.w, stepCertificate, callAddCertificate, intentionResolved, "found on the device")
			return nil
		}
	}
	if r.wf.GetCertificateHandle() != "" || r.doubtful(callAddCertificate) {
		if h, err := findCertificate(ctx, c, der, false); err != nil || h != "" {
			return found(h), err
		}
	}
	var handle wsman.Handle
	err = r.call(ctx, callAddCertificate, nil, func() (err error) {
		handle, err = c.AddCertificate(ctx, der)
		return err
	})
	if wsman.IsDuplicate(err) {
		if h, ferr := findCertificate(ctx, c, der, false); ferr != nil || h != "" {
			return found(h), ferr
		}
	}
	if s, ok := wsman.StatusOf(err); ok && (s == 2060 || s == 2064) && r.resumed {
		return nil, &rewind{to: stepClean - 1, anew: true, why: "the device no longer has the key of its certificate"}
	}
	if err != nil {
		return nil, refused(CertificateRefused, fmt.Errorf("adding the certificate: %w", err))
	}
	return func(ed *edit) error {
		ed.w.CertificateHandle = string(handle)
		return nil
	}, nil
}

// useCertificate is step 9: TLS is to present the certificate.
func (r *run) useCertificate(ctx context.Context) (func(*edit) error, error) {
	if plain, err := r.withoutTLS(ctx); err != nil || plain {
		return unchanged, err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, err
	}
	ours := wsman.Handle(r.wf.GetCertificateHandle())
	if r.wf.GetState() == pb.WorkflowState(Authenticated) && !r.doubtful(callCreateContext) && !r.doubtful(callPutContext) {
		err = r.call(ctx, callCreateContext, nil, func() error { return c.CreateTLSCredential(ctx, ours) })
		if err == nil {
			return unchanged, nil
		}
		if !wsman.IsDuplicate(err) {
			return nil, refused(CredentialRefused, fmt.Errorf("using the certificate: %w", err))
		}
	}
	return r.replaceCredential(ctx, c, ours)
}

// replaceCredential reads which certificate TLS presents, and makes it ours.
func (r *run) replaceCredential(ctx context.Context, c *wsman.Client, ours wsman.Handle) (func(*edit) error, error) {
	creds, err := c.TLSCredentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading TLS credentials: %w", err)
	}
	done := func(ed *edit) error {
		for _, call := range []string{callCreateContext, callPutContext} {
			settle(ed.w, uint32(stepCertificate+1), call, intentionResolved, "read back")
		}
		return nil
	}
	if len(creds) == 0 {
		err := r.call(ctx, callCreateContext, nil, func() error { return c.CreateTLSCredential(ctx, ours) })
		return done, refused(CredentialRefused, err)
	}
	if creds[0].Certificate == ours {
		return done, nil
	}
	err = r.call(ctx, callPutContext, nil, func() error { return c.PutTLSCredential(ctx, creds[0], ours) })
	if err != nil {
		return nil, refused(CredentialRefused, fmt.Errorf("replacing the TLS credential: %w", err))
	}
	if err := c.DeleteCertificate(ctx, creds[0].Certificate); err != nil {
		r.log.Info("an old certificate stays on the device", "handle", string(creds[0].Certificate), "err", err)
	}
	return done, nil
}
