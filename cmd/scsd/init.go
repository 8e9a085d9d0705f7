package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func initCommand(stdout io.Writer) *cobra.Command {
	in := &installation{now: time.Now}
	var more []string
	c := &cobra.Command{
		Use: "init --data DIR --kek FILE", Short: "Make a data directory, a certificate authority and the first administrator",
		Long: "Make a data directory with its store, the certificate authority, the server's certificates and a first\n" +
			"administrator, whose context file for scsctl is written with mode 0600. Nothing that is there is\n" +
			"overwritten, and after a failure nothing half-made is left.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := in.check(); err != nil {
				return err
			}
			if _, _, err := net.SplitHostPort(in.address); err != nil {
				return usage("--address %q: want host:port", in.address)
			}
			if err := checkServerNames(more); err != nil {
				return err
			}
			hostname, _ := os.Hostname()
			in.names = serverNames(hostname, more)
			if in.console == "" {
				in.console = consoleName(hostname)
			}
			if err := in.make(c.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(stdout, "data directory      %s\nkey-encryption key  %s (keep a copy apart from backups of the data)\ncontext file        %s (user %s, role admin)\n",
				in.data, in.kek, in.context, in.user)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&in.data, "data", os.Getenv("SCSD_DATA"), "data directory to make, mode 0700, with missing folders above it ($SCSD_DATA)")
	f.StringVar(&in.kek, "kek", os.Getenv("SCSD_KEK"), "file of the key-encryption key: made with mode 0600, or taken if it is there; in $CREDENTIALS_DIRECTORY if it has no slash ($SCSD_KEK)")
	f.StringVar(&in.context, "admin-context", "", "context file of the first administrator (default admin.yaml beside the data directory)")
	f.StringVar(&in.user, "admin-name", "admin", "name of the first administrator")
	f.StringVar(&in.address, "address", "127.0.0.1:9972", "host:port at which scsctl will find the API")
	f.StringSliceVar(&more, "server-name", nil, "DNS names and addresses of the API's certificate, beside localhost, the loopback addresses and this machine's name")
	f.StringVar(&in.console, "console-name", "", "FQDN of the certificate towards devices with mutual TLS (default this machine's name)")
	return c
}

// consoleName is this machine's name, which the devices' TrustedCN entries match.
func consoleName(hostname string) string {
	name := strings.ToLower(hostname)
	if name == "" || len(name) > 64 || strings.ContainsAny(name, " /\\") {
		return "scsd"
	}
	return name
}
