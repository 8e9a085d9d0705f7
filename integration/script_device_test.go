package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/wsman"
)

// operational UUID [clear] asks a device itself, with the password and the
// certificates that scsctl gives, whether it is Operational: over TLS on $PORT, or
// in clear on $CLEARPORT. With ! it must not answer.
func cmdOperational(ts *testscript.TestScript, neg bool, args []string) {
	clear := len(args) == 2 && args[1] == "clear"
	usageOf(ts, len(args) < 1 || len(args) == 2 && !clear || len(args) > 2, "[!] operational UUID [clear]")
	err := askDevice(ts, args[0], clear)
	if neg && err == nil {
		ts.Fatalf("device %s answered", args[0])
	}
	if !neg {
		ts.Check(err)
	}
}

func askDevice(ts *testscript.TestScript, uuid string, clear bool) error {
	var answer struct {
		Device struct{ FQDN, Address string }
	}
	if err := scsctlJSON(ts, &answer, "device", "show", uuid, "--events", "1"); err != nil {
		return err
	}
	host := answer.Device.Address
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	address := net.JoinHostPort(host, ts.Getenv("PORT"))
	if clear {
		address = net.JoinHostPort(host, ts.Getenv("CLEARPORT"))
	}
	password, err := adminPassword(ts, uuid)
	if err != nil {
		return err
	}
	config, err := deviceTLS(ts, answer.Device.FQDN)
	if err != nil {
		return err
	}
	client, err := wsman.New(wsman.Config{Address: address, Password: password, Dial: func(ctx context.Context) (net.Conn, error) {
		if clear {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	}})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	service, err := client.SetupService(ctx)
	if err == nil && service.State != amt.Operational {
		err = fmt.Errorf("ProvisioningState is %v", service.State)
	}
	return err
}

// scsctlJSON decodes the first document that scsctl prints.
func scsctlJSON(ts *testscript.TestScript, v any, args ...string) error {
	out, err := background(ts, "scsctl", append(args, "-o", "json")...).Output()
	if err != nil {
		return err
	}
	return json.NewDecoder(strings.NewReader(string(out))).Decode(v)
}

func adminPassword(ts *testscript.TestScript, uuid string) (amt.Secret, error) {
	var answer struct {
		Passwords []struct{ User, Version, Password string }
	}
	if err := scsctlJSON(ts, &answer, "device", "password", uuid, "--reason", "script"); err != nil {
		return amt.Secret{}, err
	}
	for _, p := range answer.Passwords {
		if p.User == amt.AdminUser && strings.EqualFold(p.Version, "current") {
			return amt.NewSecretString(p.Password), nil
		}
	}
	return amt.Secret{}, errors.New("the server knows no current password of admin")
}

// deviceTLS trusts the server's bundle and speaks what old firmware speaks.
func deviceTLS(ts *testscript.TestScript, name string) (*tls.Config, error) {
	bundle, err := background(ts, "scsctl", "ca", "bundle").Output()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("scsctl ca bundle: no certificate in its answer")
	}
	return &tls.Config{
		RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	}, nil
}
