package rpc

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

const goodProfile = `version: 1
name: office
description: for tests
domain: example.com
host_name: {pattern: "pc-{hash12}"}
admin_password: {policy: fixed, value: "P@ssw0rd-fix"}
`

func TestProfiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProfileServiceClient(w.user("olga", access.Operator))
	apply := func(doc string, dry bool) (*scsv1.ApplyProfileResponse, error) {
		return c.ApplyProfile(t.Context(), &scsv1.ApplyProfileRequest{Document: []byte(doc), Source: "office.yaml", DryRun: dry})
	}
	for i, want := range []struct{ dry, changed bool }{{true, true}, {false, true}, {false, false}} {
		resp, err := apply(goodProfile, want.dry)
		w.ok(err)
		if resp.GetChanged() != want.changed || resp.GetProfile().GetName() != "office" || resp.GetProfile().GetVersion() != 1 {
			t.Errorf("apply %d: got %v", i, resp)
		}
	}
	got, err := c.GetProfile(t.Context(), &scsv1.GetProfileRequest{Name: "office"})
	w.ok(err)
	if doc := got.GetProfile().GetDocument(); strings.Contains(doc, "P@ssw0rd") || !strings.Contains(doc, "example.com") {
		t.Errorf("got %s", doc)
	}
	list, err := c.ListProfiles(t.Context(), &scsv1.ListProfilesRequest{})
	w.ok(err)
	if len(list.GetProfiles()) != 2 || list.GetProfiles()[0].GetName() != "default" {
		t.Errorf("got %v", list)
	}
	w.hides("P@ssw0rd-fix")
}

func TestProfileErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewProfileServiceClient(w.user("olga", access.Operator))
	bad := strings.Replace(goodProfile, "P@ssw0rd-fix", "weaksecret", 1) + "surprise: 1\n"
	_, err := c.ApplyProfile(t.Context(), &scsv1.ApplyProfileRequest{Document: []byte(bad), Source: "office.yaml"})
	refused(t, err, codes.InvalidArgument, "ProfileRefused")
	if got := fields(err); len(got) == 0 || !strings.HasPrefix(got[0], "document") {
		t.Errorf("got %v", got)
	}
	if text := err.Error(); strings.Contains(text, "weaksecret") || !strings.Contains(text, "office.yaml:") {
		t.Errorf("got %s", text)
	}
	w.hides("weaksecret")
	_, err = c.GetProfile(t.Context(), &scsv1.GetProfileRequest{Name: "none"})
	refused(t, err, codes.NotFound, "NoProfile")
	_, err = c.ApplyProfile(t.Context(), &scsv1.ApplyProfileRequest{})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
}

func TestDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewDeviceServiceClient(w.user("olga", access.Operator))
	const uuid = "88888888-8887-1888-8888-878888888888"
	resp, err := c.AssignDevice(t.Context(), &scsv1.AssignDeviceRequest{Uuid: strings.ToUpper(uuid), Fqdn: "pc1.example.com", Profile: "default"})
	w.ok(err)
	if d := resp.GetDevice(); d.GetUuid() != uuid || d.GetFqdn() != "pc1.example.com" || d.GetProfile() != "default" {
		t.Errorf("got %v", d)
	}
	w.lastEntry("DeviceService.AssignDevice", uuid, audit.Done)
	list, err := c.ListDevices(t.Context(), &scsv1.ListDevicesRequest{FqdnPrefix: "PC1"})
	w.ok(err)
	if len(list.GetDevices()) != 1 || list.GetSequence() == 0 {
		t.Errorf("got %v", list)
	}
	_, err = c.RetryDevice(t.Context(), &scsv1.RetryDeviceRequest{Uuid: uuid})
	if info := refused(t, err, codes.FailedPrecondition, "WrongState"); info.GetMetadata()["device"] != uuid {
		t.Errorf("got %v", info)
	}
	w.lastEntry("DeviceService.RetryDevice", uuid, audit.Failed)
	_, err = c.RetryDevice(t.Context(), &scsv1.RetryDeviceRequest{Uuid: uuid, Pid: "0000-037M"})
	refused(t, err, codes.FailedPrecondition, "WrongState")
	_, err = c.RetryDevice(t.Context(), &scsv1.RetryDeviceRequest{Uuid: uuid, Pid: "0000-037X"})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	for _, call := range []func() error{
		func() error { _, err := c.GetDevice(t.Context(), &scsv1.GetDeviceRequest{Uuid: other}); return err },
		func() error { _, err := c.PauseDevice(t.Context(), &scsv1.PauseDeviceRequest{Uuid: other}); return err },
		func() error {
			_, err := c.CancelDevice(t.Context(), &scsv1.CancelDeviceRequest{Uuid: other})
			return err
		},
		func() error {
			_, err := c.RevealDevicePassword(t.Context(), &scsv1.RevealDevicePasswordRequest{Uuid: other})
			return err
		},
	} {
		if info := refused(t, call(), codes.NotFound, "NoDevice"); info.GetMetadata()["device"] != other {
			t.Errorf("got %v", info)
		}
	}
	_, err = c.AssignDevice(t.Context(), &scsv1.AssignDeviceRequest{Uuid: other, Fqdn: "pc1.example.com"})
	refused(t, err, codes.AlreadyExists, "NameTaken")
	_, err = c.AssignDevice(t.Context(), &scsv1.AssignDeviceRequest{Uuid: other, Fqdn: "no good"})
	refused(t, err, codes.InvalidArgument, "BadName")
}

const other = "00000000-0000-0000-0000-000000000001"

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.user("boss", access.Admin)
	c := scsv1.NewUserServiceClient(boss)
	_, csr := w.key("dana")
	req := &scsv1.CreateUserRequest{Name: "dana", Role: scsv1.Role_ROLE_DESK, CertificateRequest: csr}
	resp, err := c.CreateUser(t.Context(), req)
	w.ok(err)
	block, rest := pem.Decode([]byte(resp.GetCertificatePem()))
	leaf, err := x509.ParseCertificate(block.Bytes)
	w.ok(err)
	if leaf.Subject.CommonName != "dana" || resp.GetUser().GetRole() != scsv1.Role_ROLE_DESK || resp.GetUser().GetCreatedBy() != "boss" || len(rest) == 0 {
		t.Errorf("got %v", resp)
	}
	w.lastEntry("UserService.CreateUser", "dana", audit.Done)
	_, err = c.CreateUser(t.Context(), req)
	refused(t, err, codes.AlreadyExists, "UserExists")
	list, err := c.ListUsers(t.Context(), &scsv1.ListUsersRequest{})
	w.ok(err)
	if len(list.GetUsers()) != 2 || list.GetUsers()[1].GetCertificateNotAfter() == nil {
		t.Errorf("got %v", list)
	}
	_, err = c.RevokeUser(t.Context(), &scsv1.RevokeUserRequest{Name: "dana"})
	w.ok(err)
	list, err = c.ListUsers(t.Context(), &scsv1.ListUsersRequest{})
	w.ok(err)
	all, err := c.ListUsers(t.Context(), &scsv1.ListUsersRequest{ShowRevoked: true})
	w.ok(err)
	if len(list.GetUsers()) != 1 || len(all.GetUsers()) != 2 {
		t.Errorf("got %v and %v", list, all)
	}
	_, err = c.RevokeUser(t.Context(), &scsv1.RevokeUserRequest{Name: "nobody"})
	refused(t, err, codes.NotFound, "NoUser")
	certs, err := scsv1.NewCertificateServiceClient(boss).ListCertificates(t.Context(), &scsv1.ListCertificatesRequest{Holder: "dana"})
	w.ok(err)
	if len(certs.GetCertificates()) != 1 || certs.GetCertificates()[0].GetState() != scsv1.CertificateState_CERTIFICATE_STATE_REVOKED {
		t.Errorf("got %v", certs)
	}
}

func TestUserErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := scsv1.NewUserServiceClient(w.user("boss", access.Admin))
	_, err := c.CreateUser(t.Context(), &scsv1.CreateUserRequest{Name: "Bad Name"})
	if got := strings.Join(fields(err), " "); got != "name role certificate_request" {
		t.Errorf("got %s", got)
	}
	_, err = c.CreateUser(t.Context(), &scsv1.CreateUserRequest{Name: "x", Role: scsv1.Role_ROLE_DESK, CertificateRequest: []byte("junk")})
	refused(t, err, codes.InvalidArgument, "BadCertificateRequest")
	w.lastEntry("UserService.CreateUser", "x", audit.Failed)
	_, err = c.RenewCertificate(t.Context(), &scsv1.RenewCertificateRequest{})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
}

func TestRenewAndRevokeOneCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss, conn := w.user("boss", access.Admin), w.user("dana", access.Desk)
	c := scsv1.NewUserServiceClient(conn)
	_, csr := w.key("anybody")
	resp, err := c.RenewCertificate(t.Context(), &scsv1.RenewCertificateRequest{CertificateRequest: csr})
	w.ok(err)
	block, _ := pem.Decode([]byte(resp.GetCertificatePem()))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.Subject.CommonName != "dana" {
		t.Errorf("got %v, %v", leaf, err)
	}
	w.lastEntry("UserService.RenewCertificate", "dana", audit.Done)
	me, err := c.WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
	w.ok(err)
	if me.GetUser().GetName() != "dana" || me.GetServerVersion() != "v0" {
		t.Errorf("got %v", me)
	}
	certs := scsv1.NewCertificateServiceClient(boss)
	_, err = certs.RevokeCertificate(t.Context(), &scsv1.RevokeCertificateRequest{Serial: me.GetCertificateSerial(), Reason: "laptop lost"})
	w.ok(err)
	w.lastEntry("CertificateService.RevokeCertificate", me.GetCertificateSerial(), audit.Done)
	_, err = c.WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
	refused(t, err, codes.Unauthenticated, "UnknownCaller")
	_, err = certs.RevokeCertificate(t.Context(), &scsv1.RevokeCertificateRequest{Serial: me.GetCertificateSerial()})
	refused(t, err, codes.FailedPrecondition, "CertificateRevoked")
	told, err := certs.RevokeCertificate(t.Context(), &scsv1.RevokeCertificateRequest{
		Serial: me.GetCertificateSerial(), Reason: strings.Repeat("é", 512), CrlReason: scsv1.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE,
	})
	w.ok(err)
	if got := told.GetCertificate().GetCrlReason(); got != scsv1.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE {
		t.Errorf("got %v", got)
	}
	if e := w.lastEntry("CertificateService.RevokeCertificate", me.GetCertificateSerial(), audit.Done); !strings.HasPrefix(e.Reason, "keyCompromise: é") {
		t.Errorf("the audit log says %q", e.Reason)
	}
	_, err = certs.RevokeCertificate(t.Context(), &scsv1.RevokeCertificateRequest{Serial: me.GetCertificateSerial(), CrlReason: 6})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
	_, err = certs.RevokeCertificate(t.Context(), &scsv1.RevokeCertificateRequest{Serial: "42"})
	refused(t, err, codes.NotFound, "NoCertificate")
}

func TestBundleAndLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.user("boss", access.Admin)
	c := scsv1.NewCertificateServiceClient(conn)
	b, err := c.GetBundle(t.Context(), &scsv1.GetBundleRequest{})
	w.ok(err)
	root, rest := pem.Decode([]byte(b.GetPem()))
	second, rest := pem.Decode(rest)
	if !bytes.Equal(root.Bytes, w.ca.Root().Raw) || !bytes.Equal(second.Bytes, w.ca.DeviceIntermediate().Raw) || len(rest) != 0 {
		t.Errorf("got %s", b.GetPem())
	}
	for issuer, want := range map[scsv1.CertificateIssuer]*x509.Certificate{
		scsv1.CertificateIssuer_CERTIFICATE_ISSUER_UNSPECIFIED: w.ca.DeviceIntermediate(),
		scsv1.CertificateIssuer_CERTIFICATE_ISSUER_API:         w.ca.APIIntermediate(),
	} {
		resp, err := c.GetRevocationList(t.Context(), &scsv1.GetRevocationListRequest{Issuer: issuer})
		w.ok(err)
		crl, err := x509.ParseRevocationList(resp.GetDer())
		if err != nil || crl.CheckSignatureFrom(want) != nil {
			t.Errorf("%v: %v", issuer, err)
		}
	}
	log := scsv1.NewAuditServiceClient(conn)
	entries, err := log.ListAuditEntries(t.Context(), &scsv1.ListAuditEntriesRequest{PageSize: 1})
	w.ok(err)
	verified, err := log.VerifyAuditLog(t.Context(), &scsv1.VerifyAuditLogRequest{})
	if err != nil || verified.GetEntries() != uint64(len(w.entries())) || len(entries.GetEntries()) > 1 {
		t.Errorf("got %v, %v, %v", verified, entries, err)
	}
	provisioning := scsv1.NewProvisioningServiceClient(conn)
	_, err = provisioning.GetWorkflow(t.Context(), &scsv1.GetWorkflowRequest{Id: other + "/1"})
	refused(t, err, codes.NotFound, "NoWorkflow")
	_, err = provisioning.DismissInbox(t.Context(), &scsv1.DismissInboxRequest{Id: other + "/0000037M"})
	refused(t, err, codes.NotFound, "NoInboxRow")
	health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", health, err)
	}
}

// TestPanicsAreContained lets a call panic with a secret: the caller is told of a
// fault, nobody of the secret, and the server goes on.
func TestPanicsAreContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.WithValue(t.Context(), callKey{}, &call{})
	err := w.server.contained(of(ctx), func() error { panic("P@ssw0rd-1") })
	refused(t, w.server.statusOf(of(ctx), err).Err(), codes.Internal, "InternalFault")
	if text := w.log.String(); strings.Contains(text, "P@ssw0rd") || !strings.Contains(text, "panicked") {
		t.Errorf("the log is %s", text)
	}
	info := &grpc.UnaryServerInfo{FullMethod: "/scs.v1.KeyService/GetKey"}
	_, err = w.server.unary(t.Context(), nil, info, func(context.Context, any) (any, error) { panic("reached without a caller") })
	refused(t, err, codes.Unauthenticated, "UnknownCaller")
}

func TestPageThroughAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.user("boss", access.Admin)
	keys, log := scsv1.NewKeyServiceClient(conn), scsv1.NewAuditServiceClient(conn)
	for _, id := range []string{"request-1", "request-2", "request-3"} {
		_, err := keys.GenerateKeys(t.Context(), generate(id, "lab", 1))
		w.ok(err)
	}
	seen := 0
	for token := ""; ; seen++ {
		resp, err := log.ListAuditEntries(t.Context(), &scsv1.ListAuditEntriesRequest{PageSize: 1, PageToken: token, Object: "lab"})
		w.ok(err)
		if token = resp.GetNextPageToken(); token == "" {
			seen += len(resp.GetEntries())
			break
		}
	}
	if seen != 3 {
		t.Errorf("got %d entries, want 3", seen)
	}
	_, err := log.ListAuditEntries(t.Context(), &scsv1.ListAuditEntriesRequest{PageToken: "x"})
	refused(t, err, codes.InvalidArgument, "InvalidRequest")
}
