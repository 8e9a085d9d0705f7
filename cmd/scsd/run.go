package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

func runCommand(stdout, stderr io.Writer) *cobra.Command {
	s := &settings{}
	c := &cobra.Command{
		Use: "run --data DIR --kek FILE", Short: "Serve",
		Long: "Serve until SIGTERM or SIGINT. Every flag can also be given as SCSD_FLAG_NAME in the environment and as\n" +
			"flag-name in the file of --config; a flag counts before a variable, and a variable before the file.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.load(c.Flags(), os.Environ); err != nil {
				return err
			}
			err := serve(c.Context(), s, stdout, stderr)
			if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // told to stop before it was ready
			}
			return err
		},
	}
	s.flags(c.Flags())
	return c
}

// parts are what an open installation consists of.
type parts struct {
	log   *slog.Logger
	db    *bolt.DB
	seal  *seal.Keyset
	ca    *ca.Authority
	keys  *keystore.Store
	users *access.Store
	audit *audit.Log
}

// open opens the store and everything in it.
func (s *settings) open(ctx context.Context, log *slog.Logger) (*parts, error) {
	db, sealer, err := openStore(ctx, s.data, s.kek, storeOptions())
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(s.data); err == nil && fi.Mode().Perm()&0o077 != 0 {
		log.Warn("others can look into the data directory: chmod 0700 it", "data", s.data, "mode", fi.Mode().Perm().String())
	}
	warnOpen(log, s.data, 0o700)
	warnOpen(log, filepath.Join(s.data, storeName), 0o600)
	p := &parts{log: log, db: db, seal: sealer, keys: keystore.New(sealer), users: &access.Store{}, audit: audit.New(sealer)}
	p.keys.TempDir = s.data
	if p.ca, err = ca.Open(ctx, db, sealer, ca.Options{}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// Nothing else works on the store: what aborted imports left can go.
	n, err := p.keys.Sweep(ctx, db, true)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sweeping aborted imports: %w", err), db.Close())
	}
	if n > 0 {
		log.Info("what aborted imports left is removed", "imports", n)
	}
	return p, nil
}

// warnOpen says so when others on this machine can get at a path. Secrets in the
// store are sealed; names, users and the audit log are not.
func warnOpen(log *slog.Logger, path string, most os.FileMode) {
	if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&^most != 0 {
		log.Warn("others on this machine can get at the data: run chmod", "path", path,
			"mode", fmt.Sprintf("%04o", fi.Mode().Perm()), "want", fmt.Sprintf("%04o", most))
	}
}

// identity loads one of the server's own certificates, or makes it anew.
func (p *parts) identity(ctx context.Context, name string, names []string) (*identity, error) {
	id := &identity{name: name, store: p.db, keys: p.seal, ca: p.ca, now: time.Now, log: p.log}
	return id, id.ensure(ctx, names)
}

func newLog(w io.Writer, s *settings) *slog.Logger {
	o := &slog.HandlerOptions{Level: level(s.logLevel)}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// takeStandardLog sends what libraries write to the standard logger to log, at
// level debug: net/http tells there when a device sends bytes that nobody asked
// for. Of such text, which others choose, the first line's beginning is kept.
func takeStandardLog(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryLog{to})
}

// libraryLog gets one message with each Write.
type libraryLog struct{ to *slog.Logger }

// Write implements io.Writer.
func (l libraryLog) Write(b []byte) (int, error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	l.to.Debug("a library's message", "text", string(line[:min(len(line), 120)]))
	return len(b), nil
}
