package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/media"
	"github.com/amtscs/amtscs/setupbin"
)

// consumed is what usb consume tells programs.
type consumed struct {
	File    string `json:"file"`
	Record  uint32 `json:"record"` // its number
	PID     string `json:"pid"`    // empty when it holds none
	Kept    bool   `json:"kept"`   // the file says not to mark records
	Records uint32 `json:"records"`
	Left    uint32 `json:"left"`
}

func (a *app) usbConsume() *cobra.Command {
	var release string
	c := &cobra.Command{
		Use: "consume FILE", Short: "Mark the next record as a BIOS does, for rehearsals (needs no server)", Args: takes("FILE"),
		Long: "Mark the next record of a setup.bin, or of the one in a disk image, as consumed, as a BIOS does at power-on,\n" +
			"and tell which it was. Nothing else comes to know of it: the pair's state at the server stays as it is. A file\n" +
			"that says to keep its records is not changed. It needs no server.",
		RunE: func(_ *cobra.Command, args []string) error {
			versions := setupbin.Versions()
			if release != "" {
				v, err := fileVersion(release)
				if err != nil {
					return err
				}
				for versions[len(versions)-1] > v {
					versions = versions[:len(versions)-1]
				}
			}
			return a.consume(args[0], versions)
		},
	}
	c.Flags().StringVar(&release, "amt-version", "", "refuse files that are too new for this AMT release, as its firmware does (default: none)")
	return c
}

func (a *app) consume(name string, versions []setupbin.Version) error {
	r, err := media.Consume(name, versions...)
	var fe *setupbin.FormatError
	switch {
	case errors.Is(err, setupbin.ErrUsedUp):
		return failed("write a new file with scsctl usb write", "%w", err)
	case errors.Is(err, setupbin.ErrNotValid), errors.As(err, &fe):
		return failed("firmware would not take it either: scsctl usb lint tells what is wrong", "%w", err)
	case err != nil:
		return imageFailure(name, err)
	}
	f, rd, err := openSetup(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := rd.Header()
	c := &consumed{File: name, Record: r.Number, Kept: !h.Consumable(), Records: h.Records, Left: h.Records - min(h.Consumed, h.Records)}
	if b, ok := r.Get(setupbin.ModuleAMT, 1); ok {
		if pid, err := amt.ParsePID(string(b)); err == nil {
			c.PID = pid.String()
		}
	}
	return a.printJSON(c, c.table)
}

func (c *consumed) table(w io.Writer) {
	pid := ""
	if c.PID != "" {
		pid = ", PID " + c.PID
	}
	if c.Kept {
		_, _ = fmt.Fprintf(w, "record %d of %d%s is taken and stays as it is: the file keeps its records\n", c.Record, c.Records, pid)
		return
	}
	_, _ = fmt.Fprintf(w, "record %d of %d%s is marked as consumed; %d left\n", c.Record, c.Records, pid, c.Left)
}

// wiped is what usb wipe tells programs.
type wiped struct {
	File    string `json:"file"`
	Records uint32 `json:"records"`
	Removed bool   `json:"removed"`
}

func (a *app) usbWipe() *cobra.Command {
	var keep, yes bool
	c := &cobra.Command{
		Use: "wipe FILE", Short: "Overwrite the records of a setup.bin and remove it (needs no server)", Args: takes("FILE"),
		Long: "Overwrite all records of a setup.bin with zeros, sync, and remove the file; with --keep, and in a disk image or\n" +
			"on a disk, leave a valid file without records. It asks before. Flash media write to other places than they say\n" +
			"and keep old copies that only the medium's own secure erase, or its destruction, reaches: pairs that were not\n" +
			"used are safe only when they are revoked. It needs no server.",
		RunE: func(c *cobra.Command, args []string) error { return a.wipe(c.Context(), args[0], keep, yes) },
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave a valid file without records")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// flashNote is told with every wipe.
const flashNote = "scsctl: note: flash media may keep old copies that no program reaches: erase the key by its maker's means or destroy it, and revoke pairs that were not used\n"

func (a *app) wipe(ctx context.Context, name string, keep, yes bool) error {
	fi, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if t := fi.Mode().Type(); t != 0 && t != os.ModeDevice {
		return failed("name the file itself", "%s: it is neither a file nor a disk", name)
	}
	f, rd, err := openSetup(name)
	if err != nil {
		return err
	}
	records := rd.Header().Records
	_ = f.Close()
	if err := a.confirm(ctx, yes, "wipe", fmt.Sprintf("%s in %s will be lost; type wipe to go on: ", plural(int64(records), "record"), printable(name))); err != nil {
		return err
	}
	if f, err = media.Open(name, true); err != nil {
		return imageFailure(name, err)
	}
	keep = keep || !f.Alone()
	_, err = f.Wipe()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !keep {
		if err := removeDurably(name); err != nil {
			return err
		}
	}
	w := &wiped{File: name, Records: records, Removed: !keep}
	_, _ = fmt.Fprint(a.stderr, flashNote)
	return a.printJSON(w, w.table)
}

func (w *wiped) table(out io.Writer) {
	end := "the file is empty"
	if w.Removed {
		end = "the file is removed"
	}
	_, _ = fmt.Fprintf(out, "%s overwritten; %s\n", plural(int64(w.Records), "record"), end)
}

// removeDurably removes a file and syncs its folder.
func removeDurably(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// confirm asks for a word on the terminal, or takes it from standard input.
func (a *app) confirm(ctx context.Context, yes bool, word, question string) error {
	if yes {
		return nil
	}
	_, _ = fmt.Fprint(a.stderr, question)
	line, err := bufio.NewReader(interruptible{ctx, a.stdin}).ReadString('\n')
	if f, ok := a.stdin.(*os.File); err != nil || !ok || !term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprintln(a.stderr) // nobody ended the line there
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if strings.TrimSpace(line) == word {
		return nil
	}
	return failed("answer with "+word+", or give --yes", "nothing was done: the answer was not %s", word)
}
