package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/amtscs/amtscs/amt"
)

// ports checks that each port is free, or answered by the scsd that runs.
func (d *doctor) ports(ctx context.Context) {
	for _, p := range []struct{ check, flag, addr, onPC string }{
		{"hello port", "hello-addr", d.s.helloAddr, silent},
		{"API port", "grpc-addr", d.s.grpcAddr, "nothing, but nobody can use scsctl"},
		{"metrics port", "metrics-addr", d.s.metricsAddr, "nothing, but Prometheus reads nothing"},
	} {
		if p.addr == "" {
			continue
		}
		err := tryListen(ctx, p.addr)
		switch {
		case err == nil && d.running:
			d.refuse(p.check, p.onPC, "start scsd with the same --"+p.flag+" as this doctor", fmt.Errorf("scsd is running, but nothing listens on %s", p.addr))
		case err == nil:
			d.ok(p.check, "%s is free", p.addr)
		case errors.Is(err, syscall.EADDRINUSE) && d.running:
			d.ok(p.check, "%s is in use, and scsd is running", p.addr)
		case errors.Is(err, syscall.EADDRINUSE):
			d.refuse(p.check, p.onPC, "stop the other program (ss -ltnp shows it), or choose another --"+p.flag, err)
		default:
			d.refuse(p.check, p.onPC, "choose another --"+p.flag, listenFault(p.flag, err))
		}
	}
	d.apiName()
	if host, port, err := net.SplitHostPort(d.s.helloAddr); err == nil {
		d.reach(host, port)
	}
}

// apiName checks that the API's certificate has the name or address on which it
// listens, as far as one is given.
func (d *doctor) apiName() {
	host, _, err := net.SplitHostPort(d.s.grpcAddr)
	if a, e := netip.ParseAddr(host); err != nil || host == "" || e == nil && a.IsUnspecified() {
		return
	}
	names := d.s.apiNames()
	if len(names) == 0 {
		names = d.names
	}
	if len(names) == 0 {
		return // no --server-name, and the certificate could not be read
	}
	if named(names, host) {
		d.ok("API name", "%s is in the API's certificate", host)
		return
	}
	d.add(finding{
		Check: "API name", Verdict: warning, Detail: fmt.Sprintf("--grpc-addr is %s, but the API's certificate has %s", host, strings.Join(names, ", ")),
		OnPC: "nothing, but scsctl and other programs that call the server so do not take it for the right one", Cure: "add --server-name " + host,
	})
}

func tryListen(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

// reach checks that PCs elsewhere can come to the hello port at all.
func (d *doctor) reach(host, port string) {
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() || host == "localhost" {
		d.add(finding{
			Check: "hello address", Verdict: warning, Detail: "--hello-addr is this machine's own: no PC reaches it",
			OnPC: silent, Cure: "use --hello-addr :9971",
		})
		return
	}
	if port != fmt.Sprint(amt.HelloPort) && port != "0" {
		d.add(finding{
			Check: "hello address", Verdict: warning, Detail: "PCs that find the server by DNS say hello to port 9971, not " + port,
			OnPC: silent + ", unless its setup.bin names the port", Cure: "use --hello-addr :9971, or usb write --port",
		})
	}
}

func lookupHost(ctx context.Context, host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupHost(ctx, host)
}

// dns checks that PCs find this machine: firmware asks DNS for provisionserver
// in the domain that DHCP gave it.
func (d *doctor) dns(ctx context.Context) {
	domains := d.domains
	if len(domains) == 0 {
		domains = searchDomains("/etc/resolv.conf")
	}
	if len(domains) == 0 {
		d.add(finding{
			Check: "dns", Verdict: warning, Detail: "this machine knows no domain to look for " + amt.DefaultServerName + " in",
			OnPC: "a PC without a server address in its setup.bin never says hello", Cure: "give the PCs' domains with --domain",
		})
	}
	own := ownAddresses()
	for _, domain := range domains {
		d.name(ctx, amt.DefaultServerName+"."+strings.Trim(domain, "."), own)
	}
}

func (d *doctor) name(ctx context.Context, host string, own []string) {
	const onPC = "it never says hello here: nothing is in the inbox"
	cure := "add a DNS record for " + host + " with this machine's address, or use usb write --server"
	addrs, err := d.lookup(ctx, host)
	switch {
	case err != nil:
		d.refuse("dns", onPC, cure, err)
	case slices.ContainsFunc(addrs, func(a string) bool { return slices.Contains(own, a) }):
		d.ok("dns", "%s is %s", host, strings.Join(addrs, ", "))
	default:
		d.add(finding{
			Check: "dns", Verdict: warning, Detail: fmt.Sprintf("%s is %s, which is no address of this machine", host, strings.Join(addrs, ", ")),
			OnPC: onPC + ", or it says hello through NAT and cannot be dialled back", Cure: cure,
		})
	}
}

func ownAddresses() []string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []string
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			own = append(own, n.IP.String())
		}
	}
	return own
}

// searchDomains reads the domains of resolv.conf, without the root.
func searchDomains(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var list []string
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) > 1 && (f[0] == "search" || f[0] == "domain") {
			list = nil // the last line counts, as for the resolver
			for _, domain := range f[1:] {
				if domain != "." {
					list = append(list, domain)
				}
			}
		}
	}
	return list
}
