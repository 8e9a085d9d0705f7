package rpc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// Bounds of GenerateKeys.
const (
	maxGenerate = 100_000
	// passwordLen gives about 92 bits and can be typed.
	passwordLen = 16
)

// GenerateKeys implements scsv1.KeyServiceServer. The request_id is stored in
// the transaction that makes the pairs visible.
func (s *keyService) GenerateKeys(ctx context.Context, req *scsv1.GenerateKeysRequest) (*scsv1.GenerateKeysResponse, error) {
	fixed := amt.NewSecretString(req.GetMebxPassword())
	v := &violations{}
	v.requestID("request_id", req.GetRequestId())
	v.name("batch", req.GetBatch())
	v.between("count", int64(req.GetCount()), 1, maxGenerate)
	v.text("profile", req.GetProfile(), maxText)
	rules := amt.PasswordRules(known(v, "password_rules", req.GetPasswordRules(), scsv1.PasswordRules_name))
	if rules == 0 {
		rules = amt.IntelRules
	}
	if !fixed.IsZero() {
		if err := rules.Check(fixed); err != nil {
			v.add("mebx_password", "%v", err)
		}
	}
	model := amt.Model(req.GetModel())
	if model == 0 {
		model = amt.USBKey
	}
	if model != amt.USBKey && model != amt.Manual {
		v.add("model", "want USB_KEY, or MANUAL for pairs that are typed")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%q %d %q %t", req.GetBatch(), req.GetCount(), req.GetProfile(), fixed.IsZero())
	if model != amt.USBKey || rules != amt.IntelRules {
		text += fmt.Sprintf(" %v %v", model, rules)
	}
	asked := sha256.Sum256([]byte(text))
	r := request{id: req.GetRequestId(), asked: asked[:], object: req.GetBatch()}
	made, err := s.generate(ctx, req, model, fixed, r)
	if err != nil {
		return nil, err
	}
	b, err := s.batch(ctx, req.GetBatch())
	return &scsv1.GenerateKeysResponse{Batch: b, Added: made}, err
}

func (s *keyService) generate(ctx context.Context, req *scsv1.GenerateKeysRequest, model amt.Model, fixed amt.Secret, r request) (int64, error) {
	if made, ok, err := s.carriedOut(ctx, r); ok || err != nil {
		return made, err
	}
	im := keystore.Import{
		Batch: keystore.Batch{Name: req.GetBatch(), Profile: req.GetProfile(), Source: "generated", Model: model},
		Move:  s.move(ctx),
	}
	if err := s.checkBatch(ctx, im.Batch); err != nil {
		return 0, err
	}
	im.Check = s.batchIs(im.Batch)
	im.Finish = func(tx kv.Tx, report keystore.AddReport) error {
		r.made = int64(report.Added)
		if err := s.carry(ctx, tx, r); err != nil {
			return err
		}
		return s.done(ctx, tx)
	}
	password := func() (amt.Secret, error) {
		if !fixed.IsZero() {
			return fixed, nil
		}
		return amt.DrawPassword(s.cfg.Rand, passwordLen) // keeps to all rules
	}
	report, err := s.cfg.Keys.Generate(ctx, s.cfg.Store, im, int(req.GetCount()), password)
	if errors.Is(err, errCarriedOut) {
		made, _, err := s.carriedOut(ctx, r)
		return made, err
	}
	return int64(report.Added), err
}

// checkBatch refuses pairs for a profile that does not exist, for a batch whose
// time is over, and for one that exists and is another than wanted: empty fields
// want nothing.
func (s *keyService) checkBatch(ctx context.Context, want keystore.Batch) error {
	if want.Profile != "" {
		if _, err := s.cfg.Engine.Profile(ctx, want.Profile); err != nil {
			return err
		}
	}
	return s.cfg.Store.View(ctx, s.batchIs(want))
}

// batchIs is the part of checkBatch that an import repeats when it becomes
// visible: the list may have been on its way for long.
func (s *keyService) batchIs(want keystore.Batch) func(r kv.Reader) error {
	return func(r kv.Reader) error {
		b, err := s.cfg.Keys.Batch(r, want.Name)
		switch {
		case errors.Is(err, keystore.ErrNoBatch):
			return nil
		case err != nil:
			return err
		case b.Expired(s.cfg.Now()):
			return fmt.Errorf("batch %s: %w", b.Name, keystore.ErrBatchExpired)
		}
		if err := differs(b, want); err != nil || want.CurrentPassword.IsZero() {
			return err
		}
		known, err := s.cfg.Keys.BatchPassword(r, want.Name)
		if err == nil && !known.Equal(want.CurrentPassword) {
			err = fmt.Errorf("batch %s: %w: it has no or another current password", b.Name, keystore.ErrBatchDiffers)
		}
		return err
	}
}

// differs tells the first field in which an existing batch is not the one that is
// wanted.
func differs(b, want keystore.Batch) error {
	for _, f := range []struct {
		field    string
		is, want string
	}{
		{"model", b.Model.String(), want.Model.String()},
		{"profile", b.Profile, want.Profile},
		{"vendor", b.Vendor, want.Vendor},
		{"order number", b.OrderNumber, want.OrderNumber},
		{"notes", b.Notes, want.Notes},
	} {
		if f.want != "" && f.is != f.want {
			return fmt.Errorf("batch %s: %w: its %s is %q", b.Name, keystore.ErrBatchDiffers, f.field, clip(f.is))
		}
	}
	if !want.ExpiresAt.IsZero() && !want.ExpiresAt.Equal(b.ExpiresAt) {
		return fmt.Errorf("batch %s: %w: it expires at another time", b.Name, keystore.ErrBatchDiffers)
	}
	return nil
}
