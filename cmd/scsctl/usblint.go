package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/media"
	"github.com/amtscs/amtscs/setupbin"
)

// lintReport is what usb lint tells programs.
type lintReport struct {
	File     string        `json:"file"`
	Records  int           `json:"records"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	More     int           `json:"more"` // findings that are counted and not listed
	Findings []lintFinding `json:"findings"`
}

type lintFinding struct {
	Offset   int64  `json:"offset"` // in setup.bin, in bytes; of rules of the medium, in the image
	Record   int    `json:"record"` // its place, from 1; 0 for the header and the file
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Cure     string `json:"cure"`
}

func (a *app) usbLint() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE", Short: "Tell what firmware refuses in a setup.bin (needs no server)", Args: takes("FILE"),
		Long: "Read a setup.bin, or the one in a disk image or on a disk, and tell all that firmware refuses and that other\n" +
			"programs are known to get wrong: each with its offset, rule and cure. It ends with status 1 when there is an\n" +
			"error, and 0 when there are only warnings. It needs no server.",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := media.Open(args[0], false)
			if err != nil {
				return imageFailure(args[0], err)
			}
			defer func() { _ = f.Close() }()
			rep, err := setupbin.Lint(io.NewSectionReader(f, 0, f.Size()))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.reportLint(args[0], rep, f.Findings())
		},
	}
}

func (a *app) reportLint(name string, rep *setupbin.Report, medium []setupbin.Finding) error {
	r := &lintReport{File: name, Records: rep.Records, Errors: rep.Errors, Warnings: rep.Warnings + len(medium), More: rep.More, Findings: []lintFinding{}}
	for _, f := range append(medium, rep.Findings...) {
		r.Findings = append(r.Findings, lintFinding{f.Offset, f.Record, f.Rule, f.Severity.String(), f.Text, f.Cure})
	}
	if err := a.printJSON(r, r.table); err != nil || r.Errors == 0 {
		return err
	}
	return failed("each finding tells its cure", "%s: %s and %s", name, plural(r.Errors, "error"), plural(r.Warnings, "warning"))
}

func (r *lintReport) table(w io.Writer) {
	if len(r.Findings) > 0 {
		rows := make([][]string, len(r.Findings))
		for i, f := range r.Findings {
			record := ""
			if f.Record > 0 {
				record = fmt.Sprint(f.Record)
			}
			rows[i] = []string{fmt.Sprintf("0x%x", f.Offset), record, f.Severity, f.Rule, f.Text, f.Cure}
		}
		columns(w, []string{"OFFSET", "RECORD", "SEVERITY", "RULE", "FINDING", "CURE"}, rows)
	}
	if r.More > 0 {
		_, _ = fmt.Fprintf(w, "and %d more\n", r.More)
	}
	_, _ = fmt.Fprintf(w, "%s: %s, %s, %s\n", printable(r.File), plural(r.Records, "record"), plural(r.Errors, "error"), plural(r.Warnings, "warning"))
}
