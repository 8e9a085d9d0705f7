package rpc

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// described is every method of the server by its descriptor.
func described(t *testing.T, s *Server) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	all := map[string]protoreflect.MethodDescriptor{}
	for service := range s.Info() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		if err != nil {
			t.Fatal(err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			all["/"+service+"/"+string(methods.Get(i).Name())] = methods.Get(i)
		}
	}
	return all
}

func TestEveryMethodHasARule(t *testing.T) {
	t.Parallel()
	all := described(t, newWorld(t).server)
	for name := range all {
		if _, ok := methods[name]; !ok {
			t.Errorf("%s has no row in the table of methods", name)
		}
	}
	for name, rule := range methods {
		if _, ok := all[name]; !ok {
			t.Errorf("the table of methods names %s, which is not there", name)
		}
		if len(rule.Roles) > 0 && !rule.Allows(access.Admin) {
			t.Errorf("%s is closed to administrators", name)
		}
	}
	services := protoregistry.GlobalFiles.NumFilesByPackage("scs.v1")
	if services != 8 {
		t.Errorf("scs.v1 has %d files: is every service registered?", services)
	}
}

// TestEveryMethodByEveryRole calls each method as each role. Requests are empty:
// who is let in is told what is wrong with them, or answered.
func TestEveryMethodByEveryRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := described(t, w.server)
	for _, role := range access.Roles() {
		conn := w.user(strings.ToLower(role.String()), role)
		for name, d := range all {
			before := len(w.entries())
			err := poke(t, conn, name, d)
			allowed := status.Code(err) != codes.PermissionDenied
			if allowed != methods[name].Allows(role) {
				t.Errorf("%v calls %s: got %v", role, name, err)
			}
			if allowed {
				continue
			}
			refused(t, err, codes.PermissionDenied, "NotPermittedByRole")
			if methods[name].Audit {
				w.lastEntry(shortMethod(name), "", audit.Refused)
			} else if len(w.entries()) != before {
				t.Errorf("a refused %s is in the audit log", name)
			}
		}
	}
}

// poke sends an empty request and waits for the first answer.
func poke(t *testing.T, conn *grpc.ClientConn, name string, d protoreflect.MethodDescriptor) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(dynamicpb.NewMessage(d.Input())); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(dynamicpb.NewMessage(d.Output()))
}

func TestUnknownMethodIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.user("boss", access.Admin)
	err := conn.Invoke(t.Context(), "/scs.v1.KeyService/Nothing", &scsv1.GetKeyRequest{}, &scsv1.GetKeyResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
	if (Rule{}).Allows(0) || (Rule{}).Allows(99) {
		t.Error("a role that does not exist may call something")
	}
}

func TestCallersMustBeKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := func(conn *grpc.ClientConn) error {
		_, err := scsv1.NewUserServiceClient(conn).WhoAmI(t.Context(), &scsv1.WhoAmIRequest{})
		return err
	}
	if err := who(w.connect(nil)); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: got %v", err)
	}
	k, csr := w.key("nobody")
	cert, err := w.ca.IssueClient(t.Context(), ca.ClientRequest{User: "nobody", CSR: csr})
	w.ok(err)
	refused(t, who(w.connect(&tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: k})), codes.Unauthenticated, "UnknownCaller")

	device, err := w.ca.IssueDevice(t.Context(), ca.DeviceRequest{UUID: [16]byte{1}, FQDN: "pc.example.com", PublicKey: rsaKeys[0]().Public()})
	if err == nil {
		t.Fatalf("the authority's own key was certified: %v", device)
	}
}

// TestRevocationIsImmediate revokes a user between two calls of one connection,
// and during a Watch.
func TestRevocationIsImmediate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss, conn := w.user("boss", access.Admin), w.user("bob", access.Operator)
	client := scsv1.NewProvisioningServiceClient(conn)
	watch, err := client.Watch(t.Context(), &scsv1.WatchRequest{})
	w.ok(err)
	_, err = watch.Recv()
	w.ok(err)
	_, err = scsv1.NewUserServiceClient(boss).RevokeUser(t.Context(), &scsv1.RevokeUserRequest{Name: "bob", Reason: "left"})
	w.ok(err)
	w.lastEntry("UserService.RevokeUser", "bob", audit.Done)
	for err == nil {
		_, err = watch.Recv()
	}
	refused(t, err, codes.Unauthenticated, "UnknownCaller")
	_, err = client.ListInbox(t.Context(), &scsv1.ListInboxRequest{})
	refused(t, err, codes.Unauthenticated, "UnknownCaller")

	_, err = scsv1.NewUserServiceClient(boss).RevokeUser(t.Context(), &scsv1.RevokeUserRequest{Name: "boss"})
	refused(t, err, codes.FailedPrecondition, "LastAdmin")
	w.lastEntry("UserService.RevokeUser", "boss", audit.Failed)
	w.ok(w.store.View(t.Context(), func(r kv.Reader) error { return w.audit.Verify(r) }))
}

// TestSecretsAreMarked wants debug_redact on every field that can hold a secret,
// and on no other.
func TestSecretsAreMarked(t *testing.T) {
	t.Parallel()
	secret := map[string]bool{"pps": true, "password": true, "current_password": true, "new_password": true, "previous_password": true, "mebx_password": true, "admin_password": true, "document": true}
	protoregistry.GlobalFiles.RangeFilesByPackage("scs.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Messages().Len() {
			m := f.Messages().Get(i)
			for j := range m.Fields().Len() {
				field := m.Fields().Get(j)
				options := field.Options().(interface{ GetDebugRedact() bool })
				want := secret[string(field.Name())] && (field.Name() != "document" || m.Name() == "ApplyProfileRequest")
				if options.GetDebugRedact() != want {
					t.Errorf("%s: debug_redact is %t", field.FullName(), options.GetDebugRedact())
				}
				if want && !strings.HasSuffix(string(m.Name()), "Request") && !revealing[string(m.Name())] {
					t.Errorf("%s holds a secret and is not of a Reveal or Export", field.FullName())
				}
			}
		}
		return true
	})
}

// revealing are the messages, besides requests, that may hold secrets.
var revealing = map[string]bool{
	"RevealKeyResponse": true, "ExportedKey": true, "DevicePassword": true, "ImportRow": true,
	"ImportHeader": true, "ImportDevicesRow": true,
}

var _ proto.Message = (*scsv1.Key)(nil)
