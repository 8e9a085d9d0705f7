package peers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive makes a package as npm brings it.
func archive(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))})
	_, e := w.Write([]byte(content))
	path := filepath.Join(t.TempDir(), "p.tgz")
	if err := errors.Join(err, e, w.Close(), z.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMember(t *testing.T) {
	t.Parallel()
	b, err := member(archive(t, memberName, "module.exports = 1"))
	if err != nil || string(b) != "module.exports = 1" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := check(b); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), memberName) {
		t.Errorf("another file: got %v", err)
	}
	if _, err := member(archive(t, "package/other.js", "")); err == nil || !strings.Contains(err.Error(), "looking for "+memberName) {
		t.Errorf("without the file: got %v", err)
	}
}

// TestAbsent: a machine without npm is told from one where npm fails.
func TestAbsent(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("PATH", dir)
	if _, err := Codec(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
	for _, program := range []string{"node", "npm"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\necho no network >&2\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Codec(t.Context())
	if err == nil || errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "no network") {
		t.Errorf("got %v, want what npm said", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "cache", "amtscs-peers"))
	if err != nil || len(left) != 1 {
		t.Errorf("behind a failure the cache has %v, %v", left, err)
	}
}

// TestCodec asks the real one, where npm brings it.
func TestCodec(t *testing.T) {
	t.Parallel()
	codec, err := Start(t.Context(), Need(t))
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Refused bool
		Error   string
	}
	if err := codec.Call(map[string]any{"act": "decode", "file": "00"}, &a); err != nil || !a.Refused {
		t.Errorf("got %+v, %v", a, err)
	}
	if err := codec.Call(map[string]any{"act": "nothing"}, &a); err != nil || !strings.HasPrefix(a.Error, "TypeError") {
		t.Errorf("got %+v, %v", a, err)
	}
	if err := codec.Close(); err != nil {
		t.Error(err)
	}
	if err := codec.Call(nil, &a); err == nil {
		t.Error("a codec that has ended answered")
	}
}
