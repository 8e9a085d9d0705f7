package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

// The types of PEM blocks that a public file of the CA holds.
const (
	pemCertificate = "CERTIFICATE"
	pemList        = "X509 CRL"
)

// maxPublic bounds what is read of a file that is to be replaced.
const maxPublic = 64 << 20

// deliver writes b to the file, or to standard output when none is named. A file
// that is there is replaced if it holds PEM blocks of this type and nothing else:
// a newer answer takes the place of an older one, and no key or letter is lost
// by a slip.
func (a *app) deliver(out, blocks string, b []byte) error {
	if out == "" {
		return a.write(b)
	}
	_, err := os.Lstat(out)
	if errors.Is(err, fs.ErrNotExist) {
		return atomicfile.Create(out, b, 0o644)
	}
	if err := replaceable(out, blocks); err != nil {
		return err
	}
	return atomicfile.Write(out, b, 0o644)
}

// replaceable returns why a file may not be replaced, nil when it may.
func replaceable(path, blocks string) error {
	refused := func(why string) error {
		return failed("choose another name, or remove the file", "%s is not replaced: %s", path, why)
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return refused(err.Error())
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s: %w", path, atomicfile.ErrKind)
	case fi.Size() > maxPublic:
		return refused(fmt.Sprintf("it has %d bytes", fi.Size()))
	}
	f, err := os.Open(path)
	if err != nil {
		return refused(err.Error())
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPublic))
	if err != nil {
		return refused(err.Error())
	}
	if !holdsOnly(b, blocks) {
		return refused(fmt.Sprintf("it holds something else than PEM blocks of type %s", blocks))
	}
	return nil
}

// holdsOnly reports whether b is one or more PEM blocks of a type with nothing
// but white space around them.
func holdsOnly(b []byte, blocks string) bool {
	begin, end := []byte("-----BEGIN "+blocks+"-----"), []byte("-----END "+blocks+"-----")
	n := 0
	for b = bytes.TrimSpace(b); len(b) > 0; b = bytes.TrimSpace(b) {
		if !bytes.HasPrefix(b, begin) {
			return false
		}
		length := bytes.Index(b[len(begin):], end)
		if length < 0 || bytes.Contains(b[len(begin):][:length], []byte("-----")) {
			return false
		}
		stop := len(begin) + length
		one, _ := pem.Decode(append(bytes.Clone(b[:stop+len(end)]), '\n'))
		if one == nil || len(one.Bytes) == 0 || len(one.Headers) > 0 {
			return false
		}
		b = b[stop+len(end):]
		n++
	}
	return n > 0
}
