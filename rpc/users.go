package rpc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

type userService struct {
	scsv1.UnimplementedUserServiceServer
	*Server
}

var _ scsv1.UserServiceServer = (*userService)(nil)

// CreateUser implements scsv1.UserServiceServer. A certificate whose user could
// not be added opens nothing, because it belongs to nobody.
func (s *userService) CreateUser(ctx context.Context, req *scsv1.CreateUserRequest) (*scsv1.CreateUserResponse, error) {
	v := &violations{}
	if err := access.CheckName(req.GetName()); err != nil {
		v.add("name", "%v", err)
	}
	role := access.Role(known(v, "role", req.GetRole(), scsv1.Role_name))
	if role == 0 {
		v.add("role", "is missing")
	}
	checkCSR(v, req.GetCertificateRequest())
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.free(ctx, req.GetName()); err != nil {
		return nil, err
	}
	cert, err := s.cfg.CA.IssueClient(ctx, ca.ClientRequest{User: req.GetName(), CSR: req.GetCertificateRequest()})
	if err != nil {
		return nil, err
	}
	var u access.User
	err = s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		mv := s.userMove(ctx)
		if u, err = s.cfg.Users.AddUser(tx, req.GetName(), role, time.Time{}, mv); err != nil {
			return err
		}
		if err := s.register(tx, u.Name, cert, mv); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.CreateUserResponse{User: userMessage(u, cert.NotAfter), CertificatePem: s.chain(cert)}, nil
}

func checkCSR(v *violations, csr []byte) {
	v.between("certificate_request", int64(len(csr)), 1, maxCSR)
}

// free refuses a name that is taken, before a certificate is issued for it.
func (s *userService) free(ctx context.Context, name string) error {
	return s.cfg.Store.View(ctx, func(r kv.Reader) error {
		u, err := s.cfg.Users.Get(r, name)
		switch {
		case errors.Is(err, access.ErrUnknownUser):
			return nil
		case err != nil:
			return err
		case u.Revocation == nil:
			return fmt.Errorf("%s: %w", name, access.ErrUserExists)
		}
		return nil
	})
}

func (s *userService) userMove(ctx context.Context) access.Move {
	c := of(ctx)
	return access.Move{Who: c.user.Name, Why: c.reason, At: s.cfg.Now()}
}

func (s *userService) register(tx kv.Tx, user string, cert *x509.Certificate, mv access.Move) error {
	serial, err := amt.SerialOf(cert.SerialNumber)
	if err != nil {
		return err
	}
	return s.cfg.Users.AddCertificate(tx, user, serial, cert.NotAfter, mv)
}

// chain is what a context file holds: the certificate and its intermediate.
func (s *userService) chain(cert *x509.Certificate) string {
	return string(pemOf(cert.Raw)) + string(pemOf(s.cfg.CA.APIIntermediate().Raw))
}

// ListUsers implements scsv1.UserServiceServer.
func (s *userService) ListUsers(ctx context.Context, req *scsv1.ListUsersRequest) (*scsv1.ListUsersResponse, error) {
	v := &violations{}
	v.page(req.GetPageSize(), req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	resp := &scsv1.ListUsersResponse{}
	err := s.cfg.Store.View(ctx, func(r kv.Reader) error {
		list, next, err := s.cfg.Users.List(r, access.Filter{Active: !req.GetShowRevoked()}, req.GetPageToken(), int(req.GetPageSize()))
		if err != nil {
			return err
		}
		resp.Users, resp.NextPageToken = nil, next
		for _, u := range list {
			end, err := s.lastCertificate(r, u)
			if err != nil {
				return err
			}
			resp.Users = append(resp.Users, userMessage(u, end))
		}
		return nil
	})
	return resp, err
}

// lastCertificate is when the last certificate of a user ends that works now.
func (s *userService) lastCertificate(r kv.Reader, u access.User) (time.Time, error) {
	list, err := s.cfg.Users.Certificates(r, u.Name)
	var end time.Time
	for _, c := range list {
		if c.Generation == u.Generation && c.Revocation == nil && c.NotAfter.After(end) {
			end = c.NotAfter
		}
	}
	return end, err
}

// RevokeUser implements scsv1.UserServiceServer.
func (s *userService) RevokeUser(ctx context.Context, req *scsv1.RevokeUserRequest) (*scsv1.RevokeUserResponse, error) {
	v := &violations{}
	name := v.name("name", req.GetName())
	v.reason(req.GetReason())
	if err := v.err(); err != nil {
		return nil, err
	}
	var m *scsv1.User
	err := s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		mv := s.userMove(ctx)
		if err := s.cfg.Users.RevokeUser(tx, name, mv); err != nil {
			return err
		}
		rv := ca.Revocation{At: mv.At, Reason: ca.PrivilegeWithdrawn, Who: mv.Who, Why: mv.Why}
		if _, err := s.cfg.CA.RevokeHolder(tx, ca.Client, name, rv); err != nil {
			return err
		}
		u, err := s.cfg.Users.Get(tx, name)
		if err != nil {
			return err
		}
		m = userMessage(u, time.Time{})
		return s.done(ctx, tx)
	})
	return &scsv1.RevokeUserResponse{User: m}, err
}

// RenewCertificate implements scsv1.UserServiceServer.
func (s *userService) RenewCertificate(ctx context.Context, req *scsv1.RenewCertificateRequest) (*scsv1.RenewCertificateResponse, error) {
	v := &violations{}
	checkCSR(v, req.GetCertificateRequest())
	if err := v.err(); err != nil {
		return nil, err
	}
	c := of(ctx)
	c.object = c.user.Name
	cert, err := s.cfg.CA.IssueClient(ctx, ca.ClientRequest{User: c.user.Name, CSR: req.GetCertificateRequest()})
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx kv.Tx) error {
		if err := s.register(tx, c.user.Name, cert, s.userMove(ctx)); err != nil {
			return err
		}
		return s.done(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return &scsv1.RenewCertificateResponse{CertificatePem: s.chain(cert)}, nil
}

// WhoAmI implements scsv1.UserServiceServer.
func (s *userService) WhoAmI(ctx context.Context, _ *scsv1.WhoAmIRequest) (*scsv1.WhoAmIResponse, error) {
	c := of(ctx)
	return &scsv1.WhoAmIResponse{
		User: userMessage(c.user, c.notAfter), CertificateSerial: c.serial.String(), CertificateNotAfter: stamp(c.notAfter),
		ServerVersion: s.cfg.Version,
	}, nil
}
