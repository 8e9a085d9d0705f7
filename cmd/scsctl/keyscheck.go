package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/amtscs/amtscs/amt"
)

func (a *app) keysCheck() *cobra.Command {
	var hidden bool
	c := &cobra.Command{
		Use: "check", Short: "Find typing errors in a pair (needs no server)", Args: noPair,
		Long: "Read a PID and a PPS from the terminal, or from standard input as two lines or one, and tell which group has\n" +
			"a typing error. Where exactly one exchange of characters that look alike makes a group right, it is named.\n" +
			"Nothing is stored or sent. Check characters cannot tell two characters that changed places, nor 0 from T,\n" +
			"1 from U and so on to 6 from Z. Exit status: 0 when the pair is right, 1 when it is not.",
		RunE: func(c *cobra.Command, _ []string) error {
			pid, pps, err := a.askPair(c.Context(), hidden)
			if err != nil {
				return err
			}
			return a.tellPair(pid, pps)
		},
	}
	c.Flags().BoolVar(&hidden, "hidden", false, "do not show the PPS on the terminal while it is typed")
	return c
}

// noPair refuses arguments without repeating them, which may be a PPS.
func noPair(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &failure{
		code: exitUsage, message: c.CommandPath() + " takes no arguments: a shell keeps them in its history",
		hint: "start it without and type the pair, or write it to standard input",
	}
}

// maxTyped bounds what is read.
const maxTyped = 4096

// askPair reads what a person typed, as it is.
func (a *app) askPair(ctx context.Context, hidden bool) (string, amt.Secret, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		b, err := io.ReadAll(io.LimitReader(interruptible{ctx, a.stdin}, maxTyped+1))
		if err != nil {
			return "", amt.Secret{}, fmt.Errorf("reading the pair: %w", err)
		}
		if len(b) > maxTyped {
			return "", amt.Secret{}, failed("write one PID and its PPS to it", "standard input has more than a pair")
		}
		return splitPair(b)
	}
	lines := bufio.NewReader(interruptible{ctx, a.stdin})
	pid, err := a.askLine(lines, "PID: ")
	if err != nil {
		return "", amt.Secret{}, err
	}
	ask := func() (string, error) { return a.askLine(lines, "PPS: ") }
	if hidden {
		ask = func() (string, error) { return a.askUnseen(ctx, f, "PPS (it is not shown): ") }
	}
	pps, err := ask()
	return pid, amt.NewSecretString(pps), err
}

func (a *app) askLine(r *bufio.Reader, prompt string) (string, error) {
	_, _ = fmt.Fprint(a.stderr, prompt)
	line, err := r.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	if errors.Is(err, io.EOF) {
		return "", failed("", "the input ended before the pair")
	}
	return line, err
}

// splitPair parts a text into PID and PPS: the first and the second line, or the
// first and the second word of a single line.
func splitPair(b []byte) (string, amt.Secret, error) {
	var lines [][]byte
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) == 1 {
		at := bytes.IndexAny(lines[0], " \t,;")
		if at > 0 && at < amt.PIDLen/2+1 { // a PID with a blank between its groups
			if next := bytes.IndexAny(lines[0][at+1:], " \t,;"); next > 0 {
				at += 1 + next
			}
		}
		if at > 0 {
			lines = [][]byte{lines[0][:at], bytes.Trim(lines[0][at:], " \t,;")}
		}
	}
	if len(lines) != 2 {
		return "", amt.Secret{}, failed("write a PID and its PPS to it, in two lines or in one", "standard input has %s, want a PID and a PPS", plural(len(lines), "line"))
	}
	return string(lines[0]), amt.NewSecret(lines[1]), nil
}

// typingFault is a fault as programs read it.
type typingFault struct {
	Part      string `json:"part"` // PID or PPS
	Group     int    `json:"group,omitempty"`
	Message   string `json:"message"`
	Character int    `json:"character,omitempty"` // of the guess
	Typed     string `json:"typed,omitempty"`
	Instead   string `json:"instead,omitempty"`
}

func (f typingFault) String() string {
	s := f.Part
	if f.Group > 0 {
		s += fmt.Sprintf(", group %d", f.Group)
	}
	s += ": " + f.Message
	if f.Character > 0 {
		s += fmt.Sprintf(" Perhaps character %d is %s, not %s", f.Character, f.Instead, f.Typed)
	}
	return s
}

func typingFaults(part string, faults []amt.TypingFault) []typingFault {
	out := make([]typingFault, len(faults))
	for i, f := range faults {
		out[i] = typingFault{Part: part, Group: f.Group, Message: f.Err.Error()}
		if l := f.LookAlike; l != nil {
			out[i].Character, out[i].Typed, out[i].Instead = l.Character, string(l.Typed), string(l.Instead)
		}
	}
	return out
}

// exchanged reports whether the PID was typed for the PPS, and the PPS for the PID.
func exchanged(pid string, pps amt.Secret) bool {
	return len(amt.TypedPID(string(pps.Reveal()))) == 0 && len(amt.TypedPPS(amt.NewSecretString(pid))) == 0
}

// tellPair writes what is wrong to standard output, and to standard error nothing
// of what was typed.
func (a *app) tellPair(pid string, pps amt.Secret) error {
	inPID, inPPS := typingFaults("PID", amt.TypedPID(pid)), typingFaults("PPS", amt.TypedPPS(pps))
	swapped := exchanged(pid, pps)
	if swapped {
		inPID, inPPS = []typingFault{{Part: "PID", Message: "this is the PPS"}}, []typingFault{{Part: "PPS", Message: "this is the PID"}}
	}
	faults := append(inPID, inPPS...)
	var b bytes.Buffer
	if a.output == "json" {
		out := json.NewEncoder(&b)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		if err := out.Encode(struct {
			Right  bool          `json:"right"`
			Faults []typingFault `json:"faults"`
		}{len(faults) == 0, faults}); err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
	} else {
		for _, part := range []struct {
			name   string
			faults []typingFault
		}{{"PID", inPID}, {"PPS", inPPS}} {
			if len(part.faults) == 0 {
				_, _ = fmt.Fprintf(&b, "%s: right\n", part.name)
			}
			for _, f := range part.faults {
				_, _ = fmt.Fprintln(&b, strings.TrimSpace(f.String()))
			}
		}
	}
	if err := a.write(b.Bytes()); err != nil {
		return err
	}
	if swapped {
		return failed("the PID comes first, then the PPS", "PID and PPS are exchanged; both are right in the other's place")
	}
	if len(faults) > 0 {
		return failed("compare these groups with the sheet or the supplier's list", "%s in the pair", plural(len(faults), "typing error"))
	}
	return nil
}
