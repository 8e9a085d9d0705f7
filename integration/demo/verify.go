package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/wsman"
)

// A device is what `scsctl device list -o json` says of one that the demo needs.
type device struct {
	UUID    string `json:"uuid"`
	FQDN    string `json:"fqdn"`
	Address string `json:"address"`
	Version string `json:"amtVersion"`
}

// verify asks each device itself, and returns how many are Operational.
func (d *demo) verify(ctx context.Context) (good int, err error) {
	d.say("asking each device over TLS, with the password from scsd")
	out, err := d.Run(ctx, "device", "list", "-o", "json")
	if err != nil {
		return 0, err
	}
	var list struct {
		Devices []device `json:"devices"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return 0, fmt.Errorf("scsctl device list: %w", err)
	}
	pool := x509.NewCertPool()
	bundle, err := d.Run(ctx, "ca", "bundle")
	if err != nil {
		return 0, err
	}
	if !pool.AppendCertsFromPEM(bundle) {
		return 0, errors.New("scsctl ca bundle: no certificate in its answer")
	}
	versions := map[string]int{}
	var errs []error
	for _, dev := range list.Devices {
		if err := d.ask(ctx, dev, pool); err != nil {
			errs = append(errs, fmt.Errorf("device %s: %w", dev.UUID, err))
			continue
		}
		good++
		versions[dev.Version]++
	}
	for v, n := range versions {
		d.say("%d devices of AMT %s verified", n, v)
	}
	return good, errors.Join(errs...)
}

// ask logs in to one device over a TLS connection that verifies against the
// bundle and reads its ProvisioningState.
func (d *demo) ask(ctx context.Context, dev device, pool *x509.CertPool) error {
	password, err := d.password(ctx, dev.UUID)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(dev.Address)
	if err != nil {
		host = dev.Address
	}
	address := net.JoinHostPort(host, fmt.Sprint(d.Port))
	// Firmware of these generations speaks TLS 1.0 or 1.1 and RSA key exchange.
	config := &tls.Config{
		RootCAs: pool, ServerName: dev.FQDN, MinVersion: tls.VersionTLS10,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	}
	client, err := wsman.New(wsman.Config{
		Address: address, Password: password,
		Dial: func(ctx context.Context) (net.Conn, error) {
			dialer := &tls.Dialer{Config: config}
			return dialer.DialContext(ctx, "tcp", address)
		},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	service, err := client.SetupService(ctx)
	if err != nil {
		return err
	}
	if service.State != amt.Operational {
		return fmt.Errorf("ProvisioningState is %v", service.State)
	}
	return nil
}

// password reads the administrator's password back.
func (d *demo) password(ctx context.Context, uuid string) (amt.Secret, error) {
	out, err := d.Run(ctx, "device", "password", uuid, "--reason", "demo: last check", "-o", "json")
	if err != nil {
		return amt.Secret{}, err
	}
	var answer struct {
		Passwords []struct{ User, Version, Password string } `json:"passwords"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return amt.Secret{}, errors.New("scsctl device password: its answer is not JSON")
	}
	for _, p := range answer.Passwords {
		if p.User == amt.AdminUser && strings.EqualFold(p.Version, "current") {
			return amt.NewSecretString(p.Password), nil
		}
	}
	return amt.Secret{}, errors.New("scsctl device password: it shows no current password of admin")
}
