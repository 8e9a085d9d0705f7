// Package peers lets tests and measurements speak to foreign programs of the
// field: now MeshCentral's codec for setup.bin, which npm brings at the time of
// the test, into a folder outside of the source tree, at one pinned version.
//
// It tests nothing itself, and no program of this project uses it.
package peers

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The codec's package, and its one file that is used. The package has 137 MB and
// many dependencies; the file has none.
const (
	packageName = "meshcentral@1.1.55"
	memberName  = "package/amt/amt-setupbin.js"
	memberSum   = "e27ce29e36829644a426ce307c6beee2c9a0a93b0bebaf0bc690dfc6c5fd0087"
)

// maxMember bounds the file.
const maxMember = 1 << 20

// Errors of Codec.
var (
	// ErrAbsent is returned when a program is not installed that brings or runs
	// the codec.
	ErrAbsent = errors.New("node and npm are needed, and one of them is not installed")
	// ErrChanged is returned when npm brought another file than the pinned one.
	ErrChanged = errors.New("not the file that is expected")
)

var fetching sync.Mutex // of one process: a second test waits for the first's file

// Codec returns the path of MeshCentral's codec, and fetches it when it is not
// there yet.
func Codec(ctx context.Context) (string, error) {
	fetching.Lock()
	defer fetching.Unlock()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%w: %s", ErrAbsent, program)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "amtscs-peers")
	path := filepath.Join(dir, packageName, filepath.Base(memberName))
	if b, err := os.ReadFile(path); err == nil && check(b) == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("making a folder for %s: %w", packageName, err)
	}
	b, err := fetch(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", packageName, err)
	}
	return path, put(path, b)
}

// put gives the file its name when it is whole: tests of other packages may look
// at the same time.
func put(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "part-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// fetch has npm bring the package, and takes the one file out of it. Nothing of
// the package is run or installed by it.
func fetch(ctx context.Context, dir string) (b []byte, err error) {
	tmp, err := os.MkdirTemp(dir, "npm-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	cmd := exec.CommandContext(ctx, "npm", "pack", "--loglevel=error", "--ignore-scripts",
		"--fetch-retries=1", "--fetch-retry-mintimeout=1000", packageName)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return nil, fmt.Errorf("npm pack made %d archives, want 1", len(archives))
	}
	b, err = member(archives[0])
	if err != nil {
		return nil, err
	}
	return b, check(b)
}

func check(b []byte) error {
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != memberSum {
		return fmt.Errorf("%s: %w: its SHA-256 is %s", memberName, ErrChanged, got)
	}
	return nil
}

// member reads the one file from an archive.
func member(archive string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", memberName, err)
		}
		if h.Name == memberName {
			return io.ReadAll(io.LimitReader(r, maxMember))
		}
	}
}

// Required reports whether the project's own checks run, where no peer may be
// missing.
func Required() bool { return os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" }

// Need returns the codec's path. Without npm, node or a way to the package it
// skips the test, and fails it where peers are required.
func Need(t testing.TB) string {
	t.Helper()
	path, err := Codec(t.Context())
	switch {
	case err == nil:
		return path
	case errors.Is(err, ErrChanged), Required():
		t.Fatal(err)
	default:
		t.Skipf("no peer to compare with: %v", err)
	}
	return ""
}
