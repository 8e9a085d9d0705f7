package rpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/seal/sealtest"
)

// rsaKeys are the authorities' keys of all tests: making one takes long.
var rsaKeys = func() []func() *rsa.PrivateKey {
	list := make([]func() *rsa.PrivateKey, 3)
	for i := range list {
		list[i] = sync.OnceValue(func() *rsa.PrivateKey {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			return k
		})
	}
	return list
}()

// issuer is the authority as the engine knows it.
type issuer struct{ *ca.Authority }

func (i issuer) IssueDevice(ctx context.Context, r provisioning.CertificateRequest) (*x509.Certificate, error) {
	return i.Authority.IssueDevice(ctx, ca.DeviceRequest{UUID: r.UUID, FQDN: r.FQDN, PublicKey: r.PublicKey})
}

func (i issuer) Supersede(tx kv.Tx, uuid amt.UUID, keep *x509.Certificate, why string) (int, error) {
	return i.Authority.Supersede(tx, uuid, keep, ca.Revocation{Who: "scsd", Why: why})
}

// world is a server over a real store, with a user for each role.
type world struct {
	t      *testing.T
	store  kv.Store
	ca     *ca.Authority
	keys   *keystore.Store
	engine *provisioning.Engine
	audit  *audit.Log
	users  *access.Store
	server *Server
	ln     *bufconn.Listener
	log    *lockedBuffer
}

// lockedBuffer is a log that may be written while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, provisioning.Config{})
}

// newWorldWith is newWorld with an engine of this configuration.
func newWorldWith(t *testing.T, c provisioning.Config) *world {
	t.Helper()
	w := &world{t: t, users: &access.Store{}, ln: bufconn.Listen(1 << 16), log: &lockedBuffer{}}
	sealer := sealtest.New(t)
	w.keys, w.audit = keystore.New(sealer), audit.New(sealer)
	w.store = bolttest.New(t, w.keys.CheckInvariants, w.audit.CheckInvariants, access.CheckInvariants)
	n := 0
	var err error
	w.ca, err = ca.Init(t.Context(), w.store, sealer, ca.Options{NewKey: func(int) (*rsa.PrivateKey, error) {
		n++
		return rsaKeys[n-1](), nil
	}})
	w.ok(err)
	c.Store, c.Sealer, c.Keys, c.Issuer = w.store, sealer, w.keys, issuer{w.ca}
	w.engine, err = provisioning.New(c)
	w.ok(err)
	w.server, err = New(Config{
		Store: w.store, Keys: w.keys, Engine: w.engine, CA: w.ca, Users: w.users, Audit: w.audit, Version: "v0",
		Log:        slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		SignOfLife: 100 * time.Millisecond,
	}, TLS(w.certificate(), w.ca.ClientPool()))
	w.ok(err)
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(w.ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.server.Stop(ctx)
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// key draws a key and its request.
func (w *world) key(name string) (*ecdsa.PrivateKey, []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.ok(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, k)
	w.ok(err)
	return k, csr
}

// certificate is the server's.
func (w *world) certificate() func() (*tls.Certificate, error) {
	k, _ := w.key("server")
	cert, err := w.ca.IssueServer(w.t.Context(), ca.ServerRequest{Names: []string{"localhost"}, PublicKey: k.Public()})
	w.ok(err)
	c := &tls.Certificate{Certificate: [][]byte{cert.Raw, w.ca.APIIntermediate().Raw}, PrivateKey: k}
	return func() (*tls.Certificate, error) { return c, nil }
}

// user adds a user and connects as it.
func (w *world) user(name string, role access.Role) *grpc.ClientConn {
	w.t.Helper()
	return w.connect(w.enrol(name, role))
}

// enrol adds a user and returns what it connects with.
func (w *world) enrol(name string, role access.Role) *tls.Certificate {
	w.t.Helper()
	k, csr := w.key(name)
	cert, err := w.ca.IssueClient(w.t.Context(), ca.ClientRequest{User: name, CSR: csr})
	w.ok(err)
	serial, err := amt.SerialOf(cert.SerialNumber)
	w.ok(err)
	w.ok(w.store.Update(w.t.Context(), func(tx kv.Tx) error {
		mv := access.Move{Who: "test", At: time.Now()}
		if _, err := w.users.AddUser(tx, name, role, time.Time{}, mv); err != nil {
			return err
		}
		return w.users.AddCertificate(tx, name, serial, cert.NotAfter, mv)
	}))
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, w.ca.APIIntermediate().Raw}, PrivateKey: k}
}

// connect connects with a client certificate, or none.
func (w *world) connect(cert *tls.Certificate) *grpc.ClientConn {
	w.t.Helper()
	config := &tls.Config{ServerName: "localhost", RootCAs: w.ca.APIPool(), MinVersion: tls.VersionTLS13}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient("passthrough:///bufnet", grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.ln.DialContext(ctx) }))
	w.ok(err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// entries are the audit log's.
func (w *world) entries() []audit.Entry {
	w.t.Helper()
	var list []audit.Entry
	w.ok(w.store.View(w.t.Context(), func(r kv.Reader) error {
		var err error
		list, _, err = w.audit.List(r, audit.Filter{}, audit.Page{Limit: audit.MaxPage})
		return err
	}))
	return list
}

// lastEntry wants the latest entry to be of this kind.
func (w *world) lastEntry(method, object string, outcome audit.Outcome) audit.Entry {
	w.t.Helper()
	list := w.entries()
	if len(list) == 0 {
		w.t.Fatalf("the audit log is empty, want %s of %s", method, object)
	}
	e := list[len(list)-1]
	if e.Method != method || e.Object != object || e.Outcome != outcome {
		w.t.Errorf("the last audit entry is %+v, want %s of %s, %v", e, method, object, outcome)
	}
	return e
}

// refused wants a status with this code and reason.
func refused(t *testing.T, err error, code codes.Code, reason string) *errdetails.ErrorInfo {
	t.Helper()
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && st.Code() == code && info.GetReason() == reason && info.GetDomain() == Domain {
			return info
		}
	}
	t.Errorf("got %v (%v), want %v with reason %s", err, st.Details(), code, reason)
	return nil
}

// fields are the paths that a status complains of.
func fields(err error) []string {
	var list []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				list = append(list, v.GetField())
			}
		}
	}
	return list
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if fn() {
			return
		}
	}
	t.Fatal("did not come to be: " + what)
}

var errPlanted = errors.New("planted")
