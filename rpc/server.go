package rpc

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/provisioning"
)

// Limits of what a client may send or hold.
const (
	// MaxMessage bounds one received message: 1000 rows of an import are below it.
	MaxMessage = 2 << 20
	// MaxStreams bounds the calls of one connection at a time.
	MaxStreams = 256
	// MaxWatches bounds the Watch calls of one user at a time.
	MaxWatches = 32
	// MaxCalls bounds all calls of one user at a time, on all connections: a user
	// may have any number of those.
	MaxCalls = 512
)

// Config is what a Server serves. All of the first group is required.
type Config struct {
	Store  kv.Store
	Keys   *keystore.Store
	Engine *provisioning.Engine
	CA     *ca.Authority
	Users  *access.Store
	Audit  *audit.Log

	// Log takes a line for each call; nil: nothing.
	Log *slog.Logger
	// Now is the clock; nil: time.Now. Rand is the randomness of passwords; nil:
	// crypto/rand.
	Now  func() time.Time
	Rand io.Reader
	// Version is told by WhoAmI.
	Version string
	// Unary and Stream run outside of everything else, for metrics.
	Unary  []grpc.UnaryServerInterceptor
	Stream []grpc.StreamServerInterceptor
	// SignOfLife is how often a silent Watch says how far it has read; 0 means
	// 30 s.
	SignOfLife time.Duration
}

// Server is the gRPC server.
type Server struct {
	cfg    Config
	grpc   *grpc.Server
	health *health.Server

	stop     sync.Once
	stopping chan struct{} // closed when long calls are to end

	mu      sync.Mutex     // guards what follows
	watches map[string]int // by user
	calls   map[string]int // by user
	imports map[string]int // by user

	importIdle time.Duration // ImportIdle, but in tests
}

// New makes a server for connections that TLS has verified as t says: see TLS.
func New(c Config, t *tls.Config) (*Server, error) {
	if c.Store == nil || c.Keys == nil || c.Engine == nil || c.CA == nil || c.Users == nil || c.Audit == nil {
		return nil, errors.New("rpc: a part of the Config is missing")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.SignOfLife == 0 {
		c.SignOfLife = 30 * time.Second
	}
	s := &Server{cfg: c, health: health.NewServer(), stopping: make(chan struct{}), watches: map[string]int{}, calls: map[string]int{}, imports: map[string]int{}, importIdle: ImportIdle}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(t)),
		grpc.ChainUnaryInterceptor(append(c.Unary, s.unary)...),
		grpc.ChainStreamInterceptor(append(c.Stream, s.stream)...),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(MaxStreams),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(20*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
	)
	s.register()
	return s, nil
}

func (s *Server) register() {
	scsv1.RegisterKeyServiceServer(s.grpc, &keyService{Server: s})
	scsv1.RegisterProfileServiceServer(s.grpc, &profileService{Server: s})
	scsv1.RegisterDeviceServiceServer(s.grpc, &deviceService{Server: s})
	scsv1.RegisterProvisioningServiceServer(s.grpc, &provisioningService{Server: s})
	scsv1.RegisterCertificateServiceServer(s.grpc, &certificateService{Server: s})
	scsv1.RegisterUserServiceServer(s.grpc, &userService{Server: s})
	scsv1.RegisterAuditServiceServer(s.grpc, &auditService{Server: s})
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
}

// TLS is the configuration of the API's listener: TLS 1.3, and a client
// certificate that a CA of clients signed. certificate gives the server's own.
func TLS(certificate func() (*tls.Certificate, error), clients *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	}
}

// Serve takes connections until Stop.
func (s *Server) Serve(ln net.Listener) error { return s.grpc.Serve(ln) }

// Info lists the services, for tests and metrics.
func (s *Server) Info() map[string]grpc.ServiceInfo { return s.grpc.GetServiceInfo() }

// GRPC is the server below, for metrics that begin at zero for each method.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Stop ends the service: health says so, watches and imports end with
// UNAVAILABLE, other calls may finish until ctx is done and are then cut. It is
// idempotent.
func (s *Server) Stop(ctx context.Context) {
	s.stop.Do(func() {
		s.health.Shutdown()
		close(s.stopping)
	})
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
	}
}
