package rpc

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

type certificateService struct {
	scsv1.UnimplementedCertificateServiceServer
	*Server
}

var _ scsv1.CertificateServiceServer = (*certificateService)(nil)

// GetBundle implements scsv1.CertificateServiceServer.
func (s *certificateService) GetBundle(context.Context, *scsv1.GetBundleRequest) (*scsv1.GetBundleResponse, error) {
	var b bytes.Buffer
	for _, c := range s.cfg.CA.Bundle() {
		b.Write(pemOf(c.Raw))
	}
	return &scsv1.GetBundleResponse{Pem: b.String()}, nil
}

// GetRevocationList implements scsv1.CertificateServiceServer.
func (s *certificateService) GetRevocationList(ctx context.Context, req *scsv1.GetRevocationListRequest) (*scsv1.GetRevocationListResponse, error) {
	v := &violations{}
	issuer := ca.Devices
	if known(v, "issuer", req.GetIssuer(), scsv1.CertificateIssuer_name) == scsv1.CertificateIssuer_CERTIFICATE_ISSUER_API {
		issuer = ca.API
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	der, err := s.cfg.CA.CRL(ctx, issuer)
	if err != nil {
		return nil, err
	}
	return &scsv1.GetRevocationListResponse{Der: der}, nil
}

// ListCertificates implements scsv1.CertificateServiceServer.
func (s *certificateService) ListCertificates(ctx context.Context, req *scsv1.ListCertificatesRequest) (*scsv1.ListCertificatesResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	f := ca.Filter{
		Purpose: ca.Purpose(known(v, "purpose", req.GetPurpose(), scsv1.CertificatePurpose_name)),
		State:   ca.State(known(v, "state", req.GetState(), scsv1.CertificateState_name)),
		Holder:  v.text("holder", req.GetHolder(), maxText),
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListCertificatesResponse{}
	now := s.cfg.Now()
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next, err := s.cfg.CA.List(r, f, ca.Page{After: req.GetPageToken(), Limit: int(req.GetPageSize())})
		resp.Certificates = each(list, func(c ca.Certificate) *scsv1.Certificate { return certificateMessage(c, now) })
		resp.NextPageToken = next
		return err
	})
	return resp, err
}

// RevokeCertificate implements scsv1.CertificateServiceServer. A user's
// certificate stops working with the same commit.
func (s *certificateService) RevokeCertificate(ctx context.Context, req *scsv1.RevokeCertificateRequest) (*scsv1.RevokeCertificateResponse, error) {
	v := &violations{}
	serial := v.serial("serial", req.GetSerial())
	v.reason(req.GetReason())
	reason := ca.Reason(known(v, "crl_reason", req.GetCrlReason(), scsv1.RevocationReason_name))
	if err := v.err(); err != nil {
		return nil, err
	}
	c := of(ctx)
	c.object, c.reason = serial.String(), revocationNote(reason, req.GetReason())
	var m *scsv1.Certificate
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		now := s.cfg.Now()
		if err := s.cfg.CA.Revoke(tx, serial, ca.Revocation{At: now, Reason: reason, Who: c.user.Name, Why: req.GetReason()}); err != nil {
			return err
		}
		// It is nobody's, or was revoked before, and keyCompromise came later.
		err := s.cfg.Users.RevokeCertificate(tx, serial, access.Move{Who: c.user.Name, Why: req.GetReason(), At: now})
		if err != nil && !errors.Is(err, access.ErrUnknownCertificate) && !errors.Is(err, access.ErrRevoked) {
			return err
		}
		cert, err := s.cfg.CA.Get(tx, serial)
		if err != nil {
			return err
		}
		m = certificateMessage(cert, now)
		return s.done(ctx, tx)
	})
	return &scsv1.RevokeCertificateResponse{Certificate: m}, err
}

// revocationNote is the audit log's reason: that of the revocation list before
// the caller's words, which are cut where both are too long for an entry.
func revocationNote(r ca.Reason, words string) string {
	if r == ca.Unspecified {
		return words
	}
	if words == "" {
		return r.String()
	}
	note := r.String() + ": " + words
	return strings.ToValidUTF8(note[:min(len(note), audit.MaxText)], "")
}
