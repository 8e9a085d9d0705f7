package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// pairFile is a list of pairs to be made.
type pairFile struct {
	req            scsv1.ExportBatchRequest
	out            string
	keys           []string
	keyFile        string
	armored, plain bool
}

func (a *app) keysExport() *cobra.Command {
	p := &pairFile{}
	c := &cobra.Command{
		Use: "export --batch NAME --recipient KEY --out FILE --reason TEXT", Short: "Write a batch's pairs to an encrypted file, for another server or for escrow (audited)", Args: takes(),
		Long: "Write the available pairs of a batch to a file of mode 0600 that only the holders of the recipients' secret\n" +
			"keys can open (age, X25519) and nobody can change unseen. Within is a CSV list in the form of Intel SCS,\n" +
			"which keys import takes with --identity. Pairs that were exported before are left\n" +
			"out unless --again is given. The pairs count as exported once the file is durably written.",
		RunE: func(c *cobra.Command, _ []string) error {
			to, err := p.check()
			if err != nil {
				return err
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.exportPairs(ctx, scsv1.NewKeyServiceClient(conn), p, to)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&p.req.Batch, "batch", "", "the batch to write")
	f.StringVar(&p.out, "out", "", "the file; it must not be there yet")
	f.StringArrayVar(&p.keys, "recipient", nil, "a public key (age1...) that can open the file; may be given several times")
	f.StringVar(&p.keyFile, "recipients-file", "", "a file with a public key a line")
	f.BoolVar(&p.armored, "armor", false, "write text, as for mail, instead of bytes")
	f.BoolVar(&p.plain, "plaintext", false, "do not encrypt: everybody who gets the file has the pairs (told in the audit log)")
	f.BoolVar(&p.req.Again, "again", false, "write pairs that were exported before, too")
	f.StringVar(&p.req.Reason, "reason", "", "what the file is for, for the audit log")
	return require(c, "batch", "out", "reason")
}

// check finds what is wrong before a secret leaves the server, and returns for
// whom the file is: nobody for plain text.
func (p *pairFile) check() ([]age.Recipient, error) {
	named := len(p.keys) > 0 || p.keyFile != ""
	switch {
	case p.plain && (named || p.armored):
		return nil, usage("--plaintext does not go with --recipient, --recipients-file and --armor")
	case !p.plain && !named:
		return nil, &failure{
			code: exitUsage, message: "for whom is the file? give --recipient or --recipients-file",
			hint: "age-keygen -o FILE makes a key; --plaintext writes the pairs in clear",
		}
	}
	if err := checkNew(p.out); err != nil {
		return nil, err
	}
	p.req.Medium = scsv1.ExportMedium_EXPORT_MEDIUM_PLAIN_FILE
	if p.plain {
		return nil, nil
	}
	to, texts, err := recipients(p.keys, p.keyFile)
	p.req.Medium, p.req.Recipients = scsv1.ExportMedium_EXPORT_MEDIUM_ENCRYPTED_FILE, texts
	return to, err
}

func (a *app) exportPairs(ctx context.Context, client scsv1.KeyServiceClient, p *pairFile, to []age.Recipient) error {
	file, err := atomicfile.Begin(p.out)
	if err != nil {
		return err
	}
	list, err := newPairList(file, to, p.armored)
	if err != nil {
		file.Discard()
		return err
	}
	h := &handOut{
		req:  &p.req,
		take: func(_ string, k *scsv1.ExportedKey) error { return list.add(k) },
		keep: func() error {
			if err := list.close(); err != nil {
				return err
			}
			return file.Place()
		},
		drop: file.Discard,
	}
	resp, err := h.run(ctx, a, client)
	if err != nil {
		return err
	}
	if p.plain {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: %s is not encrypted: keep it like a key, and remove it when it is no longer needed\n", printable(p.out))
	}
	return a.printed(resp, h.short, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s written to %s\n", plural(list.rows, "pair"), printable(p.out))
		for _, r := range p.req.GetRecipients() {
			_, _ = fmt.Fprintf(w, "for %s\n", r)
		}
	})
}

// pairList writes the CSV list of Intel SCS, through age where it is for
// somebody.
type pairList struct {
	w      io.Writer
	closes []io.Closer // the innermost first
	rows   int
}

func newPairList(w io.Writer, to []age.Recipient, armored bool) (*pairList, error) {
	l := &pairList{}
	if len(to) == 0 {
		b := bufio.NewWriterSize(w, 64<<10)
		l.w, l.closes = b, []io.Closer{flusher{b}}
	} else {
		if armored {
			a := armor.NewWriter(w)
			l.closes = append(l.closes, a)
			w = a
		}
		e, err := age.Encrypt(w, to...)
		if err != nil {
			return nil, fmt.Errorf("encrypting: %w", err)
		}
		l.closes = append([]io.Closer{e}, l.closes...)
		l.w = e
	}
	_, err := io.WriteString(l.w, "id,pid,pps,current_password,admin_password,used\n")
	return l, err
}

func (l *pairList) add(k *scsv1.ExportedKey) error {
	pair, err := exportedPair(k)
	if err != nil {
		return err
	}
	l.rows++
	_, err = fmt.Fprintf(l.w, "%d,%s,%s,%s,%s,0\n", l.rows, pair.PID, amt.RevealPPS(pair.PPS), quoted(k.GetCurrentPassword()), quoted(k.GetNewPassword()))
	return err
}

// flusher is a buffer that is emptied at the end.
type flusher struct{ *bufio.Writer }

func (f flusher) Close() error { return f.Flush() }

// quoted puts a field in quotes unless it has nothing but letters and digits:
// blanks at its ends stay.
func quoted(s string) string {
	plain := func(r rune) bool { return r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z' }
	if !strings.ContainsFunc(s, plain) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// close ends the encryption; nothing of the list is good before.
func (l *pairList) close() error {
	var errs []error
	for _, c := range l.closes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
