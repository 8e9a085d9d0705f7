package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/amtscs/amtscs/audit"
	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/kv/bolt"
)

// What a server that does not run looks like.
const silent = "it says hello again and again and stays In-Setup; nothing happens"

// files checks that what is secret is closed to others.
func (d *doctor) files() {
	for _, f := range []struct {
		check, path string
		most        fs.FileMode
		dir         bool
	}{
		{"data directory", d.s.data, 0o700, true},
		{"store file", filepath.Join(d.s.data, storeName), 0o600, false},
		{"kek file", d.s.kek, 0o600, false},
	} {
		fi, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			d.refuse(f.check, silent, "", denied(f.path, err))
		case err != nil:
			d.refuse(f.check, silent, "run scsd init, or give the right --data and --kek", err)
		case f.dir && !fi.IsDir():
			d.refuse(f.check, silent, "give the folder that scsd init made as --data", fmt.Errorf("%s is a file, not a folder", f.path))
		case !f.dir && fi.IsDir():
			d.refuse(f.check, silent, "give the right --data and --kek", fmt.Errorf("%s is a folder, not a file", f.path))
		case !f.dir && fi.Size() == 0:
			d.refuse(f.check, silent, "restore it from your copy", fmt.Errorf("%s is empty", f.path))
		case fi.Mode().Perm()&^f.most != 0:
			d.refuse(f.check, "nothing: but others on this machine can read secrets", fmt.Sprintf("chmod %04o %s", f.most, f.path),
				fmt.Errorf("%s has mode %04o, want at most %04o", f.path, fi.Mode().Perm(), f.most))
		default:
			d.ok(f.check, "%s, mode %04o", f.path, fi.Mode().Perm())
		}
	}
	if within(absolute(d.s.data), absolute(d.s.kek)) {
		d.refuse("kek place", "nothing: but a copy of the data directory holds the key to its secrets",
			"move the file out of the data directory", fmt.Errorf("%s lies in the data directory", d.s.kek))
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Free space below which the doctor speaks up.
const (
	lowSpace  = 1 << 30
	noSpace   = 100 << 20
	spaceOnPC = "set-ups stop at their next step and go on by themselves once there is room"
)

func (d *doctor) disk() {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.s.data, &st); err != nil {
		d.add(finding{Check: "disk", Verdict: skipped, Detail: err.Error()})
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	f := finding{Check: "disk", Verdict: good, Detail: fmt.Sprintf("%d MiB free", free>>20)}
	if free < lowSpace {
		f.Verdict, f.OnPC, f.Cure = warning, spaceOnPC, "make room for at least 1 GiB"
	}
	if free < noSpace {
		f.Verdict = failure
	}
	d.add(f)
}

// store opens the store if no scsd has it open, and looks at what lies in it.
func (d *doctor) store(ctx context.Context) {
	db, keys, err := openStore(ctx, d.s.data, d.s.kek, bolt.Options{ReadOnly: true})
	if errors.Is(err, bolt.ErrLocked) {
		d.running = true
		d.add(finding{Check: "store", Verdict: skipped, Detail: "scsd is running; stop it to have the store, the certificates and the audit log checked"})
		return
	}
	if err != nil {
		d.refuse("store", silent, "restore the store from a backup, or give the right --kek", err)
		return
	}
	defer func() { _ = db.Close() }()
	if err := db.Check(ctx); err != nil {
		d.refuse("store", silent, "restore the store from a backup", err)
	} else {
		d.ok("store", "its structure is whole, and its keyset opens")
	}
	authority, err := ca.Open(ctx, db, keys, ca.Options{Now: d.now})
	if err != nil {
		d.refuse("authority", silent, "restore the store from a backup", err)
		return
	}
	d.lifetimes(authority)
	for _, name := range []string{apiIdentity, consoleIdentity} {
		id := &identity{name: name, store: db, keys: keys, ca: authority, now: d.now}
		if err := id.read(ctx); err != nil {
			d.refuse(name+" certificate", "nothing, but nobody can use scsctl", "scsd run makes it anew", err)
			continue
		}
		if m, err := id.stored(ctx); err == nil && name == apiIdentity {
			d.names = m.GetNames()
		}
		if d.revoked(ctx, id) {
			continue
		}
		d.lifetime(name+" certificate", id.current.Load().Leaf)
	}
	if err := db.View(ctx, audit.New(keys).Verify); err != nil {
		d.refuse("audit log", "nothing", "keep a copy of the store as evidence", err)
	} else {
		d.ok("audit log", "its chain is whole")
	}
}

// revoked tells a certificate of the server that was revoked.
func (d *doctor) revoked(ctx context.Context, id *identity) bool {
	revoked, err := id.revoked(ctx)
	if err == nil && !revoked {
		return false
	}
	if err == nil {
		err = errors.New("it was revoked")
	}
	onPC := "nothing, but programs that read the revocation list refuse the server"
	if id.name == consoleIdentity {
		onPC = "with mutual TLS it refuses the server, if it was given the revocation list"
	}
	d.refuse(id.name+" certificate", onPC, "start scsd: it issues a new one, with a new key", err)
	return true
}

func (d *doctor) lifetimes(a *ca.Authority) {
	d.lifetime("root certificate", a.Root())
	d.lifetime("device CA", a.DeviceIntermediate())
	d.lifetime("API CA", a.APIIntermediate())
}

// lifetime checks when a certificate holds; what is due is renewed by scsd run.
func (d *doctor) lifetime(check string, c *x509.Certificate) {
	now := d.now()
	onPC := "its certificate is not issued: set-up stops at Authenticated with CertificateNotIssued"
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		d.refuse(check, onPC, "set the clock of this machine", fmt.Errorf("it holds from %s on: is the clock right?", c.NotBefore.Format(time.DateTime)))
	case left <= 0:
		d.refuse(check, onPC, "check the clock; scsd run renews certificates that are not an authority's", fmt.Errorf("it ended on %s", c.NotAfter.Format(time.DateTime)))
	case left < 30*24*time.Hour:
		d.add(finding{Check: check, Verdict: warning, Detail: fmt.Sprintf("it ends on %s", c.NotAfter.Format(time.DateTime)), OnPC: onPC, Cure: "keep scsd running: it renews itself"})
	default:
		d.ok(check, "until %s", c.NotAfter.Format(time.DateOnly))
	}
}

// clock checks that the time is plausible and that something keeps it.
func (d *doctor) clock() {
	const onPC = "its clock is set wrong, and its certificate is refused by consoles with another time"
	now := d.now()
	if now.Year() < 2025 {
		d.refuse("clock", onPC, "set the clock of this machine", fmt.Errorf("it shows %s", now.Format(time.DateTime)))
		return
	}
	var tx syscall.Timex
	const unsynchronised = 5 // TIME_ERROR of adjtimex(2)
	state, err := syscall.Adjtimex(&tx)
	switch {
	case err != nil:
		d.add(finding{Check: "clock", Verdict: skipped, Detail: "it shows " + now.Format(time.DateTime) + "; whether something keeps it cannot be told: " + err.Error()})
	case state == unsynchronised:
		d.add(finding{
			Check: "clock", Verdict: warning, Detail: "it shows " + now.Format(time.DateTime) + ", and the kernel says that nothing keeps it",
			OnPC: onPC, Cure: "run an NTP client; in a container the host's counts",
		})
	default:
		d.ok("clock", "%s, kept by NTP", now.Format(time.DateTime))
	}
}
