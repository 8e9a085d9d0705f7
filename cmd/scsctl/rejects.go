package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/keystore/batch"
)

// rejected is a file of rejects in the making. It goes to the disk as it is made:
// a list may have millions of bad rows.
type rejected struct {
	file  *atomicfile.Pending
	w     *bufio.Writer // keeps its first error, which end returns
	begun bool
	rows  int
}

func newRejected(path string) (*rejected, error) {
	file, err := atomicfile.Begin(path)
	if err != nil {
		return nil, err
	}
	return &rejected{file: file, w: bufio.NewWriterSize(file, 64<<10)}, nil
}

// begin writes the header of the first list.
func (r *rejected) begin(head []string) {
	if r.begun {
		return
	}
	r.begun = true
	for _, line := range head {
		_, _ = r.w.WriteString(line + "\n")
	}
}

// add writes why a row was left out, and the row if it is there.
func (r *rejected) add(why string, line []byte) {
	r.rows++
	_, _ = r.w.WriteString("# " + printable(why) + "\n")
	if len(line) == 0 {
		_, _ = r.w.WriteString("# this row is not kept here: it cannot be read\n")
		return
	}
	_, _ = r.w.Write(line)
	_ = r.w.WriteByte('\n')
}

// end makes the file, unless no row is in it.
func (r *rejected) end() error {
	if r.rows == 0 {
		return nil
	}
	if err := r.w.Flush(); err != nil {
		return err
	}
	return r.file.Place()
}

// writeRejects reads every file once more, with read for its rows, and writes
// what add was given to the file of rejects.
func (l *lists) writeRejects(ctx context.Context, read func(f *listFile, opts batch.Options, r *rejected) error) (int, error) {
	out, err := newRejected(l.rejects)
	if err != nil {
		return 0, err
	}
	defer out.file.Discard()
	for _, f := range l.files {
		if err := l.readAgain(ctx, f, out, read); err != nil {
			return 0, err
		}
	}
	return out.rows, out.end()
}

func (l *lists) readAgain(ctx context.Context, f *listFile, out *rejected, read func(f *listFile, opts batch.Options, r *rejected) error) error {
	sum := f.sum.Sum(nil)
	f.close()
	if err := l.openFile(ctx, f, f.held); err != nil {
		return err
	}
	out.begin(f.head)
	err := read(f, batch.Options{Layout: l.layout, Raw: true, Bad: func(e *batch.RowError) { out.add(e.Error(), e.Raw.Reveal()) }}, out)
	if bad := (*batch.RowErrors)(nil); err != nil && !errors.As(err, &bad) {
		return err
	}
	again, err := f.sha256()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, sum) {
		return fmt.Errorf("%s has changed meanwhile", f.name)
	}
	return nil
}

// keepRejects is writeRejects behind an import that left something out.
func (l *lists) keepRejects(ctx context.Context, left int64, read func(f *listFile, opts batch.Options, r *rejected) error) error {
	if l.rejects == "" || left == 0 {
		return nil
	}
	n, err := l.writeRejects(ctx, read)
	if err != nil {
		return failed("run the same command again: what is in stays as it is, and the rejects are written", "the other rows are in; the rejects could not be written: %w", err)
	}
	l.say("note: %s in %s, readable by you only", plural(n, "row"), l.rejects)
	return nil
}
