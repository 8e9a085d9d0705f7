package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// maxKeyFile bounds a file of recipients or identities.
const maxKeyFile = 1 << 20

// maxRecipients is how many the server takes.
const maxRecipients = 10

// recipients reads public keys of age: of flags and of a file with one a line, in
// which empty lines and those that begin with # are passed over. Each comes once.
func recipients(flags []string, file string) ([]age.Recipient, []string, error) {
	type named struct{ place, text string }
	var list []named
	for _, s := range flags {
		list = append(list, named{"--recipient", strings.TrimSpace(s)})
	}
	if file != "" {
		b, err := readKeyFile(file)
		if err != nil {
			return nil, nil, err
		}
		for n, line := range strings.Split(string(b), "\n") {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				list = append(list, named{fmt.Sprintf("%s:%d", file, n+1), line})
			}
		}
	}
	var out []age.Recipient
	var texts []string
	seen := map[string]bool{}
	for _, l := range list {
		r, err := recipient(l.text)
		if err != nil {
			return nil, nil, failed("a public key begins with age1; age-keygen makes a pair of keys, and age-keygen -y FILE shows the public one", "%s: %w", l.place, err)
		}
		if text := r.String(); !seen[text] {
			seen[text] = true
			out, texts = append(out, r), append(texts, text)
		}
	}
	if len(out) == 0 {
		return nil, nil, failed("give --recipient age1...", "%s has no public key", file)
	}
	if len(out) > maxRecipients {
		return nil, nil, failed("", "%d recipients, want at most %d", len(out), maxRecipients)
	}
	return out, texts, nil
}

// Errors of keys. None shows what was given: it may be a secret key.
var (
	errIdentity  = errors.New("this is a secret key, and nobody else may have it: give the public key that belongs to it")
	errRecipient = errors.New("no public X25519 key of age")
)

func recipient(s string) (*age.X25519Recipient, error) {
	if strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-") {
		return nil, errIdentity
	}
	r, err := age.ParseX25519Recipient(s)
	if err != nil {
		return nil, errRecipient
	}
	return r, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if len(b) > maxKeyFile {
		return nil, failed("a file of keys has one a line", "%s has more than %d bytes", path, maxKeyFile)
	}
	return b, nil
}

const ageIntro = "age-encryption.org/v1\n"

// isAge reports whether a file that begins with b is encrypted by age, in
// whichever of its two forms.
func isAge(b []byte) bool {
	return bytes.HasPrefix(b, []byte(ageIntro)) || bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte(armor.Header))
}

// openAge reads what age encrypted, binary or armored, with one of the secret
// keys of a file. What it has read is only good when the reader ended with
// io.EOF: a file that was cut or changed ends with another error, perhaps behind
// good parts.
func openAge(r io.Reader, name, identityFile string) (io.Reader, error) {
	b, err := readKeyFile(identityFile)
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil { // without the cause: it may repeat a line
		return nil, failed("age-keygen makes such files; one that is itself encrypted must be opened first, with age -d", "%s: no file of secret keys of age", identityFile)
	}
	buffered := bufio.NewReaderSize(r, 64<<10)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if !isAge(head) {
		return nil, failed("leave --identity out for files in plain text", "%s: not encrypted by age", name)
	}
	var in io.Reader = buffered
	if !bytes.HasPrefix(head, []byte(ageIntro)) {
		in = armor.NewReader(buffered)
	}
	out, err := age.Decrypt(in, identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, failed("ask who made the file for whom it is", "%s: none of the secret keys of %s opens it", name, identityFile)
	case err != nil:
		return nil, failed("get the file again from where it comes", "%s: damaged: %w", name, err)
	}
	return damaged{out, name}, nil
}

// plainly reads a list that may be encrypted by age: with a file of secret keys
// it must be, without it must not.
func plainly(r io.Reader, name, identityFile string) (io.Reader, error) {
	if identityFile != "" {
		return openAge(r, name, identityFile)
	}
	buffered := bufio.NewReaderSize(r, 64<<10)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if isAge(head) {
		return nil, failed("give the file with your secret key by --identity FILE", "%s: encrypted by age", name)
	}
	return buffered, nil
}

// damaged names the file in errors of reading it.
type damaged struct {
	r    io.Reader
	name string
}

func (d damaged) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = failed("get the file again from where it comes", "%s: damaged: %w", d.name, err)
	}
	return n, err
}
