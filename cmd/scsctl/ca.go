package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) ca() *cobra.Command {
	return a.group("ca", "What verifies the devices' certificates", a.caBundle(), a.caRevocationList())
}

func (a *app) caBundle() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "bundle", Short: "Write the root and the devices' intermediate in PEM", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewCertificateServiceClient(conn).GetBundle(ctx, &scsv1.GetBundleRequest{})
				if err != nil {
					return err
				}
				if a.output == "json" && out == "" {
					return a.print(resp, nil)
				}
				return a.deliver(out, pemCertificate, []byte(resp.GetPem()))
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, or an older such file to replace (default: standard output)")
	return c
}

func (a *app) caRevocationList() *cobra.Command {
	var out string
	req := scsv1.GetRevocationListRequest{Issuer: scsv1.CertificateIssuer_CERTIFICATE_ISSUER_DEVICES}
	c := &cobra.Command{
		Use: "crl", Short: "Write the list of revoked certificates in PEM", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewCertificateServiceClient(conn).GetRevocationList(ctx, &req)
				if err != nil {
					return err
				}
				if a.output == "json" && out == "" {
					return a.print(resp, nil)
				}
				return a.deliver(out, pemList, pem.EncodeToMemory(&pem.Block{Type: pemList, Bytes: resp.GetDer()}))
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, or an older such file to replace (default: standard output)")
	c.Flags().Var(&enumFlag[scsv1.CertificateIssuer]{&req.Issuer, "issuer"}, "issuer", "devices or api: whose list")
	return c
}

func (a *app) certificate() *cobra.Command {
	return a.group("certificate", "What the CA issued", a.certificateList(), a.certificateRevoke())
}

func (a *app) certificateList() *cobra.Command {
	var req scsv1.ListCertificatesRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List certificates", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewCertificateServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.Certificate, string, error) {
					req.PageSize, req.PageToken = size, token
					resp, err := client.ListCertificates(ctx, &req)
					return resp.GetCertificates(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListCertificatesResponse{Certificates: all}, func(w io.Writer) {
					rows := make([][]string, len(all))
					for i, c := range all {
						rows[i] = []string{c.GetSerial(), word(c.GetPurpose()), word(c.GetState()), c.GetSubject(), c.GetHolder(), when(c.GetNotAfter()), revocation(c)}
					}
					columns(w, []string{"SERIAL", "PURPOSE", "STATE", "SUBJECT", "HOLDER", "UNTIL", "REVOKED"}, rows)
				})
			})
		},
	}
	c.Flags().Var(&enumFlag[scsv1.CertificatePurpose]{&req.Purpose, "purpose"}, "purpose", "device, server, client or console")
	c.Flags().Var(&enumFlag[scsv1.CertificateState]{&req.State, "state"}, "state", "only certificates in this state")
	c.Flags().StringVar(&req.Holder, "holder", "", "only certificates of this UUID or user")
	return limitFlag(c, &limit)
}

func (a *app) certificateRevoke() *cobra.Command {
	var req scsv1.RevokeCertificateRequest
	c := &cobra.Command{
		Use: "revoke SERIAL", Short: "Revoke a certificate for good", Args: takes("SERIAL"),
		Long: "Revoke a certificate for good. --why is what the revocation list says (scsctl ca crl); a key that was\n" +
			"revoked with keyCompromise is never certified again, and keyCompromise may take the place of another\n" +
			"reason later. Devices present their certificates themselves: only programs that read the list refuse them.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Serial = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewCertificateServiceClient(conn).RevokeCertificate(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					_, _ = fmt.Fprintf(w, "certificate %s is revoked\n", resp.GetCertificate().GetSerial())
				})
			})
		},
	}
	c.Flags().Var(&crlReason{&req.CrlReason}, "why", "why, for the revocation list: "+strings.Join(crlReasons(), ", "))
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log, in your words")
	return c
}

// crlReason reads a reason of the revocation list by its name in RFC 5280, in any
// case.
type crlReason struct{ value *scsv1.RevocationReason }

func (r *crlReason) String() string {
	if r.value == nil || *r.value == 0 {
		return ""
	}
	return crlWord(*r.value)
}

func (r *crlReason) Type() string { return "reason" }

func (r *crlReason) Set(s string) error {
	for n := range scsv1.RevocationReason_name {
		if e := scsv1.RevocationReason(n); strings.EqualFold(crlWord(e), strings.ReplaceAll(s, "-", "")) {
			*r.value = e
			return nil
		}
	}
	return fmt.Errorf("no such reason: want %s", strings.Join(crlReasons(), ", "))
}

// crlWord is the name in RFC 5280: keyCompromise.
func crlWord(r scsv1.RevocationReason) string {
	if r == 0 {
		return "unspecified"
	}
	w := word(r)
	return strings.ToLower(w[:1]) + w[1:]
}

// crlReasons are all the names, in the order of their numbers.
func crlReasons() []string {
	values := scsv1.RevocationReason(0).Descriptor().Values()
	list := make([]string, values.Len())
	for i := range list {
		list[i] = crlWord(scsv1.RevocationReason(values.Get(i).Number()))
	}
	return list
}

// revocation is when, and for what reason of the list, a certificate was revoked.
func revocation(c *scsv1.Certificate) string {
	at := when(c.GetRevokeTime())
	if at == "" || c.GetCrlReason() == 0 {
		return at
	}
	return at + " (" + crlWord(c.GetCrlReason()) + ")"
}
