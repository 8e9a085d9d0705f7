package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/amtscs/amtscs/amt"
)

// askNewPassword reads a password that AMT will take: twice and unseen from a
// terminal, else one line of standard input.
func (a *app) askNewPassword(what string) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", failed("type it, or write it to standard input", "no password was given: %v", err)
		}
		return checked(line)
	}
	first, err := a.askUnseen(f, what+": ")
	if err != nil {
		return "", err
	}
	if _, err := checked(first); err != nil {
		return "", err
	}
	second, err := a.askUnseen(f, "the same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", failed("", "the two passwords are not the same")
	}
	return first, nil
}

func (a *app) askUnseen(f *os.File, prompt string) (string, error) {
	_, _ = fmt.Fprint(a.stderr, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	_, _ = fmt.Fprintln(a.stderr)
	if err != nil {
		return "", fmt.Errorf("reading a password: %w", err)
	}
	return string(b), nil
}

func checked(password string) (string, error) {
	if err := amt.CheckPassword(amt.NewSecretString(password)); err != nil {
		return "", failed("8 to 32 characters with a digit, a lower-case and an upper-case letter and a special character, without : , and \"", "%w", err)
	}
	return password, nil
}
