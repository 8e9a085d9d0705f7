package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/amtscs/amtscs/amt"
)

// askNewPassword reads a password that AMT will take: twice and unseen from a
// terminal, else one line of standard input.
func (a *app) askNewPassword(ctx context.Context, what string) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(interruptible{ctx, a.stdin}).ReadString('\n')
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", failed("type it, or write it to standard input", "no password was given: %v", err)
		}
		return checked(line)
	}
	first, err := a.askUnseen(ctx, f, what+": ")
	if err != nil {
		return "", err
	}
	if _, err := checked(first); err != nil {
		return "", err
	}
	second, err := a.askUnseen(ctx, f, "the same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", failed("", "the two passwords are not the same")
	}
	return first, nil
}

// askCurrentPassword reads the password that MEBx has: once and unseen from a
// terminal, else one line of standard input.
func (a *app) askCurrentPassword(ctx context.Context) (string, error) {
	var line string
	var err error
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		line, err = a.askUnseen(ctx, f, "MEBx password that the PCs have now: ")
	} else {
		line, err = bufio.NewReader(interruptible{ctx, a.stdin}).ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if line != "" && ctx.Err() == nil {
			err = nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case line == "":
		return "", failed("type it, or write it to standard input", "no password was given: %v", err)
	}
	return line, err
}

// askUnseen leaves the terminal as it was, also when a signal ends the question.
func (a *app) askUnseen(ctx context.Context, f *os.File, prompt string) (string, error) {
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", fmt.Errorf("reading a password: %w", err)
	}
	_, _ = fmt.Fprint(a.stderr, prompt)
	b, err := until(ctx, func() ([]byte, error) { return term.ReadPassword(int(f.Fd())) })
	_, _ = fmt.Fprintln(a.stderr)
	if err != nil {
		_ = term.Restore(int(f.Fd()), before)
		return "", fmt.Errorf("reading a password: %w", err)
	}
	return string(b), nil
}

// until returns what read returns, or the error of ctx if that is done before:
// the program is about to end then, and read with it.
func until(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := read()
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// interruptible reads until a context is done, even from a pipe or a terminal
// where nothing comes.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	b, err := until(i.ctx, func() ([]byte, error) {
		own := make([]byte, len(p)) // p is the caller's again when ctx is done
		n, err := i.r.Read(own)
		return own[:n], err
	})
	return copy(p, b), err
}

func checked(password string) (string, error) {
	if err := amt.CheckPassword(amt.NewSecretString(password)); err != nil {
		return "", failed("8 to 32 characters with a digit, a lower-case and an upper-case letter and a special character, without : , and \"", "%w", err)
	}
	return password, nil
}
