package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amtscs/amtscs/access"
	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/contextfile"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

// Files of the data directory.
const (
	storeName  = "scs.db"
	unfinished = ".init.db" // the store while init makes it
)

// place says where an installation lies.
type place struct {
	data, kek, context string
}

// check makes the paths absolute and keeps what must lie apart apart.
func (p *place) check() error {
	if p.data == "" {
		return usage("--data is missing: the data directory")
	}
	if p.kek == "" {
		return usage("--kek is missing: the file of the key-encryption key")
	}
	p.kek = credential(p.kek)
	for _, path := range []*string{&p.data, &p.kek} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = abs
	}
	if p.context == "" {
		p.context = filepath.Join(filepath.Dir(p.data), "admin.yaml")
	}
	abs, err := filepath.Abs(p.context)
	if err != nil {
		return fmt.Errorf("finding %s: %w", p.context, err)
	}
	p.context = abs
	if within(p.data, p.kek) {
		return usage("--kek %s lies in the data directory: whoever copies that would have the key to it; put it elsewhere", p.kek)
	}
	if within(p.data, p.context) {
		return usage("--admin-context %s lies in the data directory: it is a person's file; put it elsewhere", p.context)
	}
	return nil
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// installation is what init makes.
type installation struct {
	place
	user    string   // the first administrator
	address string   // of the API, for the context file
	names   []string // of the API's certificate
	console string   // common name of the certificate towards devices
	now     func() time.Time

	lock                          *os.File // the data directory, for this init alone
	madeDir, madeKEK, madeContext bool
	madeFolders                   []string // above data and kek, from the top
}

// make builds the store under another name and gives it its own at the very end,
// when everything is on disk. What it made goes away again after a failure.
func (in *installation) make(ctx context.Context) (err error) {
	if err := in.prepareDir(); err != nil {
		in.removeFolders()
		return err
	}
	defer func() {
		if err != nil {
			in.undo()
		}
		_ = in.lock.Close()
	}()
	kek, err := in.prepareKEK()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(in.context); err == nil {
		return hint("choose another --admin-context", fmt.Errorf("%s: %w", in.context, atomicfile.ErrExists))
	}
	file, err := in.fill(ctx, kek)
	if err != nil {
		return err
	}
	if err := file.Create(in.context); err != nil {
		return err
	}
	in.madeContext = true
	if err := os.Rename(filepath.Join(in.data, unfinished), filepath.Join(in.data, storeName)); err != nil {
		return fmt.Errorf("putting the store in its place: %w", err)
	}
	return syncDir(in.data)
}

// prepareDir makes the data directory, or takes an empty one, and locks it. The
// rest of an init that was killed counts as nothing; one that is at work is told
// by its lock.
func (in *installation) prepareDir() error {
	if err := in.makeFolders(filepath.Dir(in.data), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(in.data, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return hint("make it by hand, as a user who may: install -d -m 0700 "+quoted(in.data), fmt.Errorf("making the data directory: %w", err))
	}
	in.madeDir = err == nil
	if in.lock, err = lockDir(in.data); err != nil {
		return err
	}
	if err := in.clearDir(); err != nil {
		_ = in.lock.Close()
		return err
	}
	return nil
}

// prepareKEK makes the key-encryption key and the folders above it, closed to
// others, or takes the key that is there.
func (in *installation) prepareKEK() (seal.KEK, error) {
	if _, err := os.Lstat(in.kek); errors.Is(err, fs.ErrNotExist) && !isCredential(in.kek) {
		in.madeKEK = true
		if err := in.makeFolders(filepath.Dir(in.kek), 0o700); err != nil {
			return nil, err
		}
	}
	kek, err := createKEK(in.kek)
	if err != nil {
		return nil, fmt.Errorf("the key-encryption key: %w", err)
	}
	if _, err := os.Stat(filepath.Dir(in.context)); errors.Is(err, fs.ErrNotExist) {
		return nil, folderFault(filepath.Dir(in.context), err)
	}
	return kek, nil
}

// lockDir keeps a directory from every other lockDir until the file is closed,
// as it is at the process's end.
func lockDir(dir string) (*os.File, error) {
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, &hinted{err: fmt.Errorf("--data %s is a file, not a folder", dir), hint: "nothing was changed; choose another --data", usage: true}
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return d, nil
	}
	_ = d.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, hint("nothing was changed; wait until the other has ended", fmt.Errorf("data directory %s is in use: another scsd init is making it", dir))
	}
	return nil, fmt.Errorf("locking the data directory: %w", err)
}

// clearDir wants a data directory without anything but the rest of an init, which
// it removes, and closes it to others.
func (in *installation) clearDir() error {
	list, err := os.ReadDir(in.data)
	if err != nil {
		return fmt.Errorf("looking into the data directory: %w", err)
	}
	for _, e := range list {
		if e.Name() != unfinished {
			return hint("nothing was changed; choose another --data, or move the old one away",
				fmt.Errorf("data directory %s is in use: it holds %s", in.data, e.Name()))
		}
	}
	if err := os.Remove(filepath.Join(in.data, unfinished)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing the data directory: %w", err)
	}
	if err := os.Chmod(in.data, 0o700); err != nil {
		return fmt.Errorf("closing the data directory to others: %w", err)
	}
	return nil
}

func (in *installation) undo() {
	_ = os.Remove(filepath.Join(in.data, unfinished))
	if in.madeContext {
		_ = os.Remove(in.context)
	}
	if in.madeKEK {
		_ = os.Remove(in.kek)
	}
	if in.madeDir {
		_ = os.Remove(in.data)
	}
	in.removeFolders()
}

// fill makes the store: keyset, authorities, the server's certificates and the
// first administrator.
func (in *installation) fill(ctx context.Context, kek seal.KEK) (file *contextfile.File, err error) {
	db, err := bolt.Open(filepath.Join(in.data, unfinished), bolt.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := seal.Init(ctx, db, kek)
	if err != nil {
		return nil, err
	}
	authority, err := ca.Init(ctx, db, keys, ca.Options{Now: in.now})
	if err != nil {
		return nil, err
	}
	for name, names := range map[string][]string{apiIdentity: in.names, consoleIdentity: {in.console}} {
		id := &identity{name: name, store: db, keys: keys, ca: authority, now: in.now}
		if err := id.issue(ctx, names); err != nil {
			return nil, err
		}
	}
	a := admission{store: db, ca: authority, audit: audit.New(keys), users: &access.Store{Now: in.now}, now: in.now}
	return a.admit(ctx, in.user, in.address, in.names[0], "scsd init")
}

// admission makes a person an administrator without the API.
type admission struct {
	store kv.Store
	ca    *ca.Authority
	audit *audit.Log
	users *access.Store
	now   func() time.Time
}

// admit adds the user, or gives one that is there a further certificate, and
// returns its context file.
func (a *admission) admit(ctx context.Context, user, address, serverName, method string) (*contextfile.File, error) {
	if err := access.CheckName(user); err != nil {
		return nil, err
	}
	key, csr, err := contextfile.NewKey(user)
	if err != nil {
		return nil, err
	}
	cert, err := a.ca.IssueClient(ctx, ca.ClientRequest{User: user, CSR: csr})
	if err != nil {
		return nil, err
	}
	if err := a.store.Update(ctx, func(tx kv.Tx) error { return a.register(tx, user, cert, method) }); err != nil {
		return nil, err
	}
	trust := pemOf(a.ca.APIIntermediate())
	return &contextfile.File{
		Address: address, ServerName: serverName, CA: trust, Certificate: append(pemOf(cert), trust...), Key: key,
	}, nil
}

func (a *admission) register(tx kv.Tx, user string, cert *x509.Certificate, method string) error {
	serial, err := amt.SerialOf(cert.SerialNumber)
	if err != nil {
		return err
	}
	mv := access.Move{Who: "scsd", Why: method, At: a.now()}
	u, err := a.users.Get(tx, user)
	if errors.Is(err, access.ErrUnknownUser) || err == nil && u.Revocation != nil {
		u, err = a.users.AddUser(tx, user, access.Admin, time.Time{}, mv)
	}
	if err != nil {
		return err
	}
	if u.Role != access.Admin {
		return hint("choose another --user", fmt.Errorf("user %s is there already and is %v", user, u.Role))
	}
	if err := a.users.AddCertificate(tx, user, serial, cert.NotAfter, mv); err != nil {
		return err
	}
	return a.audit.Append(tx, audit.Entry{
		At: a.now(), Who: "scsd", Role: access.Admin.String(), Method: method, Object: user,
		Reason: "certificate " + serial.String(), Outcome: audit.Done,
	})
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
