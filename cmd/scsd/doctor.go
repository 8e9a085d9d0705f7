package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// verdict is how a check ended.
type verdict string

const (
	good    verdict = "ok"
	warning verdict = "warning"
	failure verdict = "failure"
	skipped verdict = "skipped"
)

// finding is the outcome of one check. OnPC is what the trouble would look like
// to whoever stands before a PC.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	OnPC    string  `json:"on_pc,omitempty"`
	Cure    string  `json:"cure,omitempty"`
}

// doctor looks at an installation and the machine it is on, and changes nothing.
type doctor struct {
	s       *settings
	domains []string
	now     func() time.Time
	lookup  func(ctx context.Context, host string) ([]string, error)

	findings []finding
	running  bool     // another scsd has the store open
	names    []string // of the API's certificate, as far as it was read
}

func doctorCommand(stdout, stderr io.Writer) *cobra.Command {
	d := &doctor{s: &settings{}, now: time.Now, lookup: lookupHost}
	var output string
	c := &cobra.Command{
		Use: "doctor --data DIR --kek FILE", Short: "Look for what would go wrong, and say what it would look like on a PC",
		Long: "Check files, disk, store, certificates, clock, ports and DNS. Nothing is changed. While scsd runs, what lies\n" +
			"in the store is not looked at. The exit status is 1 when a check fails, 0 when there are only warnings.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usage("--output %q: want table or json", output)
			}
			if err := d.s.load(c.Flags(), os.Environ); err != nil {
				return err
			}
			d.run(c.Context())
			return d.report(stdout, output)
		},
	}
	d.s.flags(c.Flags())
	c.Flags().StringSliceVar(&d.domains, "domain", nil, "DNS domains of the PCs (default those of this machine)")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func (d *doctor) run(ctx context.Context) {
	d.files()
	d.disk()
	d.store(ctx)
	d.clock()
	d.ports(ctx)
	d.dns(ctx)
}

func (d *doctor) add(f finding) { d.findings = append(d.findings, f) }

func (d *doctor) ok(check, format string, args ...any) {
	d.add(finding{Check: check, Verdict: good, Detail: fmt.Sprintf(format, args...)})
}

// report prints the findings; failures make the exit status 1.
func (d *doctor) report(w io.Writer, output string) error {
	failures := 0
	for _, f := range d.findings {
		if f.Verdict == failure {
			failures++
		}
	}
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(map[string]any{"findings": d.findings, "failures": failures}); err != nil {
			return fmt.Errorf("writing the findings: %w", err)
		}
	} else {
		for _, f := range d.findings {
			_, _ = fmt.Fprintf(w, "%-8s  %-20s  %s\n", f.Verdict, f.Check, printable(f.Detail))
			if f.OnPC != "" {
				_, _ = fmt.Fprintf(w, "%32son a PC: %s\n", "", f.OnPC)
			}
			if f.Cure != "" {
				_, _ = fmt.Fprintf(w, "%32scure: %s\n", "", f.Cure)
			}
		}
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d checks failed", failures, len(d.findings))
	}
	return nil
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// refuse is a failure with its looks and its cure.
func (d *doctor) refuse(check, onPC, cure string, err error) {
	f := finding{Check: check, Verdict: failure, Detail: err.Error(), OnPC: onPC, Cure: cure}
	var h *hinted
	if errors.As(err, &h) && h.hint != "" {
		f.Cure = h.hint
	}
	d.add(f)
}
