package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/keystore/batch"
	"github.com/amtscs/amtscs/media"
)

const (
	maxLists = 100       // files of one call
	maxHeld  = 256 << 20 // of standard input, held for a file of rejects
	maxTold  = 1000      // bad rows on standard error
)

// lists are the files of one import, of pairs or of PCs.
type lists struct {
	app      *app
	files    []*listFile
	columns  string
	layout   batch.Layout
	rejects  string
	inClear  bool   // the rejects of encrypted lists may be
	identity string // a file of secret keys of age

	separator string
	bar       *progress
	read      atomic.Int64 // bytes of all files
	badRows   int          // told or not
}

// listFile is one file.
type listFile struct {
	path   string // - for standard input
	name   string // in places
	format batch.Format
	r      io.Reader // unpacked
	from   io.Reader // as delivered
	sum    hash.Hash // of what was read of from
	held   *bytes.Buffer
	close  func()
	shape  string
	head   []string
}

// flags adds what all imports of lists know.
func (l *lists) flags(f *pflag.FlagSet) {
	f.StringVar(&l.columns, "columns", "", "field=column,...: where the fields of another table stand, by position from 1 or by the header's name")
	f.StringVar(&l.separator, "separator", "", "comma, tab, semicolon or blank (default: whichever the first line has)")
	f.IntVar(&l.layout.Skip, "skip-lines", 0, "pass over so many lines before the header or the first row")
	f.StringVar(&l.identity, "identity", "", "open files that keys export or age encrypted with the secret keys of this file")
	f.StringVar(&l.rejects, "rejects", "", "with --skip-bad: write the rows that were left out to this new file, to be mended and imported again")
	f.BoolVar(&l.inClear, "rejects-plaintext", false, "with --identity and --rejects: write the rows of an encrypted list that were left out in plain text")
}

// check finds what is wrong with the flags before anything is opened.
func (l *lists) check(dryRun, skipBad bool) error {
	var err error
	if l.columns != "" {
		if l.layout.Columns, err = batch.ParseColumns(l.columns); err != nil {
			return usage("--columns: %v", err)
		}
	}
	if l.layout.Separator, err = batch.ParseSeparator(l.separator); err != nil {
		return usage("--separator: %v", err)
	}
	switch {
	case l.inClear && (l.rejects == "" || l.identity == ""):
		return usage("--rejects-plaintext is for --rejects with --identity")
	case l.rejects == "":
		return nil
	case l.identity != "" && !l.inClear:
		return &failure{
			code: exitUsage, message: "--rejects would write rows of an encrypted list in plain text",
			hint: "add --rejects-plaintext if they may be, and keep the file like a key; without --rejects, the places of bad rows are told",
		}
	}
	if dryRun || !skipBad {
		return usage("--rejects is for --skip-bad without --dry-run")
	}
	if _, err := os.Lstat(l.rejects); err == nil {
		return fmt.Errorf("%s: %w", l.rejects, atomicfile.ErrExists)
	}
	if fi, err := os.Stat(filepath.Dir(l.rejects)); err != nil || !fi.IsDir() {
		return failed("make the folder first", "--rejects %s: there is no such folder", l.rejects)
	}
	return nil
}

// open opens every file, so that a missing one is known before a row is sent.
func (l *lists) open(ctx context.Context, paths []string) error {
	if len(paths) > maxLists {
		return usage("%d files, at most %d in one call", len(paths), maxLists)
	}
	for i, path := range paths {
		if path == "-" && slices.Contains(paths[:i], "-") {
			return usage("standard input is named twice")
		}
		f := &listFile{path: path, name: placeName(path, paths)}
		l.files = append(l.files, f)
		if err := l.openFile(ctx, f, nil); err != nil {
			return err
		}
	}
	return nil
}

// placeName is the file's name without folders if no other file has it.
func placeName(path string, all []string) string {
	if path == "-" {
		return "standard input"
	}
	name := filepath.Base(path)
	for _, other := range all {
		if other != path && filepath.Base(other) == name {
			name = path
		}
	}
	if len(name) > 200 {
		name = "..." + strings.ToValidUTF8(name[len(name)-200:], "")
	}
	return name
}

func (f *listFile) keepHead(line amt.Secret) { f.head = append(f.head, string(line.Reveal())) }

// openFile opens a file, or takes what was held of standard input.
func (l *lists) openFile(ctx context.Context, f *listFile, again *bytes.Buffer) error {
	f.sum, f.close = sha256.New(), func() {}
	switch {
	case again != nil:
		f.from = bytes.NewReader(again.Bytes())
	case f.path == "-":
		f.from = l.app.stdin
		if l.rejects != "" {
			f.held = &bytes.Buffer{}
			f.from = io.TeeReader(f.from, &limited{f.held})
		}
	default:
		file, err := os.Open(f.path)
		if err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		f.close = func() { _ = file.Close() }
		if f.from, err = media.Content(file); err != nil { // of the setup.bin in a disk image
			f.close()
			return fmt.Errorf("reading the list: %s: %w", f.name, err)
		}
	}
	f.from = io.TeeReader(counted{interruptible{ctx, f.from}, &l.read}, f.sum)
	var err error
	if f.from, err = plainly(f.from, f.name, l.identity); err != nil {
		f.close()
		return err
	}
	f.format, f.r, err = batch.Detect(f.from)
	if err != nil {
		f.close()
		return fmt.Errorf("reading the list: %s: %w", f.name, err)
	}
	return nil
}

// limited refuses more than maxHeld bytes.
type limited struct{ to *bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if l.to.Len()+len(b) > maxHeld {
		return 0, fmt.Errorf("standard input has more than %d MiB, which --rejects cannot hold: name a file", maxHeld>>20)
	}
	return l.to.Write(b)
}

// sha256 reads what is left, and gives the sum of the whole file as it is.
func (f *listFile) sha256() ([]byte, error) {
	if _, err := io.Copy(io.Discard, f.from); err != nil {
		return nil, fmt.Errorf("reading the list: %s: %w", f.name, err)
	}
	return f.sum.Sum(nil), nil
}

// size is how many bytes all files have, 0 when that is not known.
func (l *lists) size() int64 {
	var total int64
	for _, f := range l.files {
		fi, err := os.Stat(f.path)
		if f.path == "-" || err != nil || !fi.Mode().IsRegular() {
			return 0
		}
		total += fi.Size()
	}
	return total
}

func (l *lists) closeAll() {
	for _, f := range l.files {
		if f.close != nil {
			f.close()
		}
	}
}

// options are those of the first reading of a file.
func (l *lists) options(f *listFile) batch.Options {
	return batch.Options{
		Layout: l.layout,
		Begun:  func(shape string) { f.shape = shape },
		Head:   f.keepHead,
		Note:   func(line int, text string) { l.say("note: %s:%d: %s", f.name, line, text) },
	}
}

// say writes a line to standard error, beside the bar.
func (l *lists) say(format string, args ...any) {
	l.bar.hide(func() {
		_, _ = fmt.Fprintf(l.app.stderr, "scsctl: %s\n", printable(fmt.Sprintf(format, args...)))
	})
}

// tellBad tells of a bad row, unless many were told.
func (l *lists) tellBad(row *batch.RowError) {
	if l.badRows++; l.badRows <= maxTold {
		l.say("%s", row.Error())
	}
}

// sameShape refuses files whose rejects cannot stand in one file.
func (l *lists) sameShape() error {
	if l.rejects == "" {
		return nil
	}
	first := l.files[0]
	for _, f := range l.files[1:] {
		if f.shape != first.shape || !slices.Equal(f.head, first.head) {
			return failed("import the files one by one, each with its own --rejects", "%s and %s have different columns, and a file of rejects has one header: nothing was imported", first.name, f.name)
		}
	}
	return nil
}

// unsure tells what an error means for the store. sent: the whole list was.
func unsure(err error, sent bool) error {
	f := explain(err)
	switch {
	case !sent:
		f.message += ": nothing was imported"
	case f.code == exitUnavailable || f.message == "interrupted":
		f.message += "; whether the list is in is not known"
		f.hint = "run the same command again: what is in stays as it is, and nothing comes in twice"
	}
	return f
}
