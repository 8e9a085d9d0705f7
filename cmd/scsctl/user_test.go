package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// interposed is scsctl of an administrator of a real server, with something in
// between.
func interposed(t *testing.T, between grpc.UnaryClientInterceptor) (a *app, errs *bytes.Buffer) {
	t.Helper()
	path := contextOf(t, access.Admin, 0)
	file, err := contextfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	config, err := file.TLS()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(file.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithUnaryInterceptor(between))
	if err != nil {
		t.Fatal(err)
	}
	errs = &bytes.Buffer{}
	a = &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: errs, getenv: func(string) string { return "" }, contextPath: path, conn: conn}
	t.Cleanup(a.close)
	return a, errs
}

const createUser = scsv1.UserService_CreateUser_FullMethodName

// TestUserWithoutFileIsRevoked lets somebody take the file's name between the
// check and the writing: the user that nobody could be is revoked again, and the
// name can be used.
func TestUserWithoutFileIsRevoked(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "dana.yaml")
	a, _ := interposed(t, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if method == createUser && err == nil {
			err = os.WriteFile(out, []byte("another's"), 0o600)
		}
		return err
	})
	f := explain(a.scsctl(t, "user", "add", "dana", "--role", "desk", "--out", out, "--context", a.contextPath))
	if f.code != exitFailed || !strings.Contains(f.message, "user dana is revoked again") || !strings.Contains(f.hint, "add the user anew") {
		t.Errorf("got %+v", f)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "another's" {
		t.Errorf("got %s, %v: the other's file was written to", b, err)
	}
	resp, err := scsv1.NewUserServiceClient(a.conn).ListUsers(t.Context(), &scsv1.ListUsersRequest{})
	if err != nil || len(resp.GetUsers()) != 1 {
		t.Errorf("got %v, %v, want alice alone", resp, err)
	}
	out = filepath.Join(t.TempDir(), "elsewhere", "dana.yaml")
	if f := explain(a.scsctl(t, "user", "add", "dana", "--role", "desk", "--out", out, "--context", a.contextPath)); !strings.Contains(f.hint, "nobody was made") {
		t.Errorf("got %+v", f)
	}
}

func TestUserAddWithoutAnswer(t *testing.T) {
	t.Parallel()
	a, _ := interposed(t, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if err := invoke(ctx, method, req, reply, cc, opts...); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "error reading from server: EOF")
	})
	out := filepath.Join(t.TempDir(), "dana.yaml")
	f := explain(a.scsctl(t, "user", "add", "dana", "--role", "desk", "--out", out, "--context", a.contextPath))
	if f.code != exitUnavailable || !strings.Contains(f.hint, "the user may be made") {
		t.Errorf("got %+v", f)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a file")
	}
}

func TestHere(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:9972": true, "[::1]:9972": true, "localhost:9972": true, "scs.example.com:9972": false, "192.0.2.1:9972": false,
	} {
		if here(address) != want {
			t.Errorf("%s: got %t", address, !want)
		}
	}
}
