package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
	"github.com/amtscs/amtscs/setupbin"
)

// setupFile is a setup.bin to be made, or several.
type setupFile struct {
	batch, out       string
	version, release string
	server, fqdn     string
	port             uint16
	scramble, keep   bool
	count            int
	again            bool
	reason           string
	set              setupFlags

	v        setupbin.Version
	addr     netip.Addr
	settings setupbin.Settings
}

func (a *app) usbWrite() *cobra.Command {
	s := &setupFile{}
	c := &cobra.Command{
		Use: "write --batch NAME --out FILE", Short: "Write a batch's pairs to a setup.bin, one record a PC", Args: takes(),
		Long: "Write the available pairs of a batch to a setup.bin, one record a PC, mode 0600. Pairs that were exported\n" +
			"before are left out unless --again is given; when none is left, the batch is refused. The pairs count as\n" +
			"exported once the file is durably written. Whoever holds the file holds the pairs: keep it like a key.\n\n" +
			"With --count and a batch that is larger, the files are numbered: setup-1.bin, setup-2.bin, each for a key of\n" +
			"its own, where it is named setup.bin. What the chosen version does not have is refused. After its record a PC\n" +
			"powers down by itself; no variable says so.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.check(c.Flags().Changed("file-version")); err != nil {
				return err
			}
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return a.writeSetup(ctx, scsv1.NewKeyServiceClient(conn), s)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&s.batch, "batch", "", "the batch to write")
	f.StringVar(&s.out, "out", "", "the file, setup.bin on the USB key")
	f.StringVar(&s.version, "file-version", "2", "1, 2, 2.1, 3 or 4: what the oldest of the PCs' firmware reads")
	f.StringVar(&s.release, "amt-version", "", "AMT release of the oldest PC, as 6.0, in place of --file-version")
	f.BoolVar(&s.scramble, "scramble", false, "scramble the records (file version 4); it hides nothing")
	f.BoolVar(&s.keep, "keep-record", false, "tell firmware not to consume the record, for a file of one that is used again and again in a laboratory (from file version 2)")
	f.IntVar(&s.count, "count", 0, "at most so many records a file; 0 for all in one")
	f.StringVar(&s.server, "server", "", "IPv4 address of the configuration server (from file version 2.1)")
	f.Uint16Var(&s.port, "port", 0, "port of the configuration server (from file version 2.1)")
	f.StringVar(&s.fqdn, "fqdn", "", "name of the configuration server (from file version 2)")
	s.set.define(f)
	f.BoolVar(&s.again, "again", false, "write pairs that were exported before, too, and replace the file if it is a setup.bin")
	f.StringVar(&s.reason, "reason", "", "what the file is for, for the audit log")
	return require(c, "batch", "out")
}

// releases are the first AMT releases of the file versions, the latest first
// (docs/formats.md).
var releases = []struct {
	major int
	v     setupbin.Version
}{{7, setupbin.V4}, {6, setupbin.V3}, {4, setupbin.V21}, {3, setupbin.V2}, {2, setupbin.V1}}

// fileVersion is the latest version that an AMT release reads.
func fileVersion(release string) (setupbin.Version, error) {
	var major, minor int
	n, err := fmt.Sscanf(release+".0", "%d.%d", &major, &minor)
	if err == nil && n == 2 && major < 100 {
		for _, r := range releases {
			if major >= r.major {
				return r.v, nil
			}
		}
	}
	return 0, usage("--amt-version %q: want an AMT release from 2.0 on, as 6.0", release)
}

// check finds what is wrong before a secret leaves the server.
func (s *setupFile) check(versionGiven bool) error {
	if err := s.chooseVersion(versionGiven); err != nil {
		return err
	}
	var err error
	if s.server != "" {
		if s.addr, err = netip.ParseAddr(s.server); err != nil || !s.addr.Is4() {
			return usage("--server %q: want an IPv4 address, or use --fqdn", s.server)
		}
	}
	if s.count < 0 {
		return usage("--count %d: want 1 or more", s.count)
	}
	if s.settings, err = s.set.settings(s.v); err != nil {
		return err
	}
	if err := s.trial(); err != nil {
		return err
	}
	if s.out == "" {
		return usage("--out is empty: the file to write")
	}
	if s.count > 0 { // the files may have other names
		return nil
	}
	return s.replaceable(s.out)
}

func (s *setupFile) chooseVersion(given bool) error {
	var err error
	switch {
	case s.release != "" && given:
		return usage("--amt-version and --file-version: give one of them")
	case s.release != "":
		s.v, err = fileVersion(s.release)
		return err
	}
	if s.v, err = setupbin.ParseVersion(s.version); err != nil {
		return usage("--file-version %q: want 1, 2, 2.1, 3 or 4", s.version)
	}
	return nil
}

// trial makes a record of a sample pair.
func (s *setupFile) trial() error {
	pair, err := amt.DrawPair(zeros{})
	if err != nil {
		return err
	}
	sample := s.record(pair, amt.NewSecretString(amt.FactoryPassword), amt.NewSecretString("P@ssw0rd"))
	r, err := sample.Record(s.v)
	if err == nil && s.scramble {
		r.Flags |= setupbin.FlagScrambled
		err = r.Check(s.v)
	}
	if err == nil {
		_, err = setupbin.New(s.v, s.flags(), r)
	}
	if err == nil {
		return nil
	}
	hint := "choose a later --file-version if the PCs' firmware reads it"
	if errors.Is(err, setupbin.ErrCapacity) {
		hint = "leave something out: a record has 488 bytes"
	}
	return &failure{code: exitUsage, message: err.Error(), hint: hint, cause: err}
}

// flags are the header's.
func (s *setupFile) flags() setupbin.FileFlags {
	if s.keep {
		return setupbin.KeepRecords
	}
	return 0
}

// zeros draws the sample pair that only tries the file's options out.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (s *setupFile) record(pair amt.Pair, current, next amt.Secret) setupbin.SetupRecord {
	return setupbin.SetupRecord{
		CurrentPassword: current, NewPassword: next, Pair: pair, FQDN: s.fqdn, Server: s.addr, Port: s.port, Settings: s.settings,
	}
}

// replaceable says why nothing may be written to a name: something is there, and
// it is not to be replaced, or is no setup.bin.
func (s *setupFile) replaceable(name string) error {
	fi, err := os.Lstat(name)
	switch {
	case err != nil: // nothing is there; writing tells what else is wrong
		return nil
	case !s.again:
		return fmt.Errorf("%s: %w", name, atomicfile.ErrExists)
	case !fi.Mode().IsRegular():
		return failed("name the file itself, as setup.bin in the folder of the mounted USB key", "%s: %w", name, atomicfile.ErrKind)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("looking at what would be replaced: %w", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := setupbin.NewReader(f); err != nil {
		return failed("--again replaces a setup.bin and nothing else: choose another name, or remove the file", "%s: %w", name, err)
	}
	return nil
}

// keyFile is the file of one USB key.
type keyFile struct {
	name    string
	records int
	bytes   []byte
}

// maxRecords is what a file on FAT can hold: 4 GiB less a byte.
const maxRecords = (1<<32-1)/setupbin.ChunkLen - 1

// files encodes all files before one is written.
func (s *setupFile) files(keys []*scsv1.ExportedKey) ([]keyFile, error) {
	if s.settings.HostName != "" || s.settings.Static != nil {
		if len(keys) > 1 {
			return nil, failed("leave --host-name and --static-ip out, or write a batch of one pair", "%d PCs would get the same host name or address", len(keys))
		}
	}
	if s.keep && len(keys) > 1 {
		return nil, failed("leave --keep-record out, or write a batch of one pair", "firmware would give the first of %d pairs to every PC", len(keys))
	}
	each := len(keys)
	if s.count > 0 {
		each = min(each, s.count)
	}
	if each > maxRecords {
		return nil, failed("write several files with --count", "%d records: a file on FAT holds at most %d", each, maxRecords)
	}
	n := 1
	if each > 0 {
		n = (len(keys) + each - 1) / each
	}
	if n > maxKeyFiles {
		return nil, failed("choose a larger --count, or smaller batches", "%d files: at most %d in one call", n, maxKeyFiles)
	}
	files := make([]keyFile, n)
	for i := range files {
		part := keys[i*each : min((i+1)*each, len(keys))]
		b, err := s.encode(part)
		if err != nil {
			return nil, err
		}
		files[i] = keyFile{numbered(s.out, i+1, n), len(part), b}
	}
	return files, nil
}

// numbered names file i of n: setup-1.bin, with leading zeros so that a list is
// in order; a single one keeps its name.
func numbered(out string, i, n int) string {
	if n == 1 {
		return out
	}
	ext := filepath.Ext(out)
	return fmt.Sprintf("%s-%0*d%s", out[:len(out)-len(ext)], len(strconv.Itoa(n)), i, ext)
}

func (s *setupFile) encode(keys []*scsv1.ExportedKey) ([]byte, error) {
	var b bytes.Buffer
	b.Grow((1 + len(keys)) * setupbin.ChunkLen)
	w, err := setupbin.NewWriter(&b, s.v, s.flags(), uint32(len(keys)))
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		r, err := s.setupRecord(k)
		if err != nil {
			return nil, err
		}
		if err := w.Write(r); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
