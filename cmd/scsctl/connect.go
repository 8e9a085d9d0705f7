package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	"github.com/amtscs/amtscs/cmd/internal/version"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// maxMessage bounds what is taken from the server: a page of 1000 rows is far
// below it.
const maxMessage = 16 << 20

// retries lets gRPC repeat calls that change nothing, and those that carry a
// request_id, when the server is just being restarted.
const retries = `{"methodConfig":[{"name":[
 {"service":"scs.v1.KeyService","method":"GenerateKeys"},{"service":"scs.v1.KeyService","method":"GetKey"},
 {"service":"scs.v1.KeyService","method":"ListKeys"},{"service":"scs.v1.KeyService","method":"FinishExport"},
 {"service":"scs.v1.DeviceService","method":"GetDevice"},{"service":"scs.v1.DeviceService","method":"ListDevices"},
 {"service":"scs.v1.ProvisioningService","method":"ListEvents"},{"service":"scs.v1.ProvisioningService","method":"ListWorkflows"}],
 "retryPolicy":{"maxAttempts":4,"initialBackoff":"0.2s","maxBackoff":"2s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// connect reads the context file, renews its certificate when that is due, and
// opens the connection.
func (a *app) connect(ctx context.Context) error {
	if a.conn != nil {
		return nil
	}
	path, err := a.path()
	if err != nil {
		return err
	}
	file, err := contextfile.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{code: exitFailed, message: fmt.Sprintf("context file %s does not exist", path), hint: "give --context FILE or set SCSCTL_CONTEXT", cause: err}
	}
	if err != nil {
		return err
	}
	leaf, err := file.Leaf()
	if err != nil {
		return err
	}
	now := time.Now()
	if now.After(leaf.NotAfter) {
		return &failure{
			code: exitRefused, message: fmt.Sprintf("the certificate in %s ended on %s", path, leaf.NotAfter.Local().Format(time.DateTime)),
			hint: "ask an administrator for a new context file; scsd recover-admin makes an administrator's",
		}
	}
	if a.conn, err = dial(file, a.target(file)); err != nil {
		return err
	}
	if left := leaf.NotAfter.Sub(now); left < leaf.NotAfter.Sub(leaf.NotBefore)/3 {
		return a.renew(ctx, path, file, left)
	}
	return nil
}

// target is the server's address by the flag, the environment or the file.
func (a *app) target(file *contextfile.File) string {
	if a.address != "" {
		return a.address
	}
	if s := a.getenv("SCSCTL_ADDRESS"); s != "" {
		return s
	}
	return file.Address
}

func dial(file *contextfile.File, address string) (*grpc.ClientConn, error) {
	config, err := file.TLS()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usage("--address %q: want host:port", address)
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WithUserAgent("scsctl/"+version.String()))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return conn, nil
}

// renew replaces the certificate in the context file. That it does not work is
// only told when the end is near.
func (a *app) renew(ctx context.Context, path string, file *contextfile.File, left time.Duration) error {
	err := func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		leaf, err := file.Leaf()
		if err != nil {
			return err
		}
		key, csr, err := contextfile.NewKey(leaf.Subject.CommonName)
		if err != nil {
			return err
		}
		resp, err := scsv1.NewUserServiceClient(a.conn).RenewCertificate(ctx, &scsv1.RenewCertificateRequest{CertificateRequest: csr})
		if err != nil {
			return err
		}
		next := *file
		next.Key, next.Certificate = key, []byte(resp.GetCertificatePem())
		return next.Save(path)
	}()
	if err != nil && left < 7*24*time.Hour {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: warning: the certificate ends in %v and could not be renewed: %s\n", left.Round(time.Minute), explain(err).message)
	}
	return nil
}
