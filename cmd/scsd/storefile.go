package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/seal"
)

// openStore opens the store of an installation and its keyset.
func openStore(ctx context.Context, data, kekFile string, o bolt.Options) (*bolt.DB, *seal.Keyset, error) {
	path := filepath.Join(data, storeName)
	if err := checkStoreFile(data, path); err != nil {
		return nil, nil, err
	}
	kek, err := openKEK(kekFile)
	if err != nil {
		return nil, nil, hint("give the file that scsd init used, mode 0600", fmt.Errorf("the key-encryption key: %w", err))
	}
	db, err := bolt.Open(path, o)
	if err != nil {
		return nil, nil, storeFault(path, err)
	}
	keys, err := seal.Load(ctx, db, kek)
	if err != nil {
		return nil, nil, errors.Join(hint("give the file that scsd init used", fmt.Errorf("opening the keyset: %w", err)), db.Close())
	}
	return db, keys, nil
}

// checkStoreFile tells what would hide behind an error of the store, or, with an
// empty file, would be taken for a new one.
func checkStoreFile(data, path string) error {
	if fi, err := os.Stat(data); err == nil && !fi.IsDir() {
		return &hinted{
			err:  fmt.Errorf("--data %s is a file, not the data directory that scsd init made", data),
			hint: "give the folder that holds " + storeName, usage: true,
		}
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return storeFault(path, err)
	case !fi.Mode().IsRegular():
		return hint(hintNoStore, fmt.Errorf("opening the store: %s is no file (%v)", path, fi.Mode().Type()))
	case fi.Size() == 0:
		return hint(hintNoStore, fmt.Errorf("opening the store: %s is empty: it is no store", path))
	}
	return nil
}

const hintNoStore = "restore the store from a backup, or give the right --data"

// storeFault adds the way out to an error of opening the store.
func storeFault(path string, err error) error {
	told := fmt.Errorf("opening the store: %w", err)
	switch {
	case errors.Is(err, bolt.ErrLocked):
		return hint("stop the other scsd first", told)
	case errors.Is(err, fs.ErrNotExist):
		return hint("scsd init makes it", told)
	case errors.Is(err, fs.ErrPermission):
		return denied(path, told)
	case errors.Is(err, bolt.ErrFormat):
		return hint(hintNoStore, told)
	}
	return told
}

// denied adds to an error whose the file is, and who would have to be.
func denied(path string, err error) error {
	where, owner := ownerOf(path)
	return hint("run scsd as the user that owns it, or give it to this one: chown -R "+strconv.Itoa(os.Geteuid())+" "+quoted(where),
		fmt.Errorf("%w: %s, and this is %s", err, owner, userName(os.Geteuid())))
}

// ownerOf describes who owns a path and its mode, or those of the nearest folder
// above it that can be looked at.
func ownerOf(path string) (where, text string) {
	for ; ; path = filepath.Dir(path) {
		fi, err := os.Stat(path)
		if err == nil {
			text = fmt.Sprintf("%s has mode %04o", path, fi.Mode().Perm())
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				text = fmt.Sprintf("%s belongs to %s, mode %04o", path, userName(int(st.Uid)), fi.Mode().Perm())
			}
			return path, text
		}
		if path == filepath.Dir(path) {
			return path, "its owner cannot be told"
		}
	}
}

// userName is a user as people know it, with the number.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return "user " + u.Username + " (" + id + ")"
	}
	return "user " + id
}

// credential is where the key-encryption key lies: a name without a slash is one
// of systemd's credentials, where there are such.
func credential(kek string) string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && kek != "" && !strings.Contains(kek, "/") {
		return filepath.Join(dir, kek)
	}
	return kek
}

// isCredential reports whether a path is one of systemd's credentials.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(path) == filepath.Clean(dir)
}

// openKEK reads the key-encryption key. Of systemd's credentials, which are
// closed by more than their mode, the mode is not looked at.
func openKEK(path string) (seal.KEK, error) {
	if !isCredential(path) {
		return seal.FileKEK(path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	clear(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it is not base64", path, seal.ErrKEKFile)
	}
	return seal.NewKEK(amt.NewSecret(key))
}

// createKEK makes the key-encryption key, or takes one that is there. A
// credential is systemd's: it is taken, never made.
func createKEK(path string) (seal.KEK, error) {
	if !isCredential(path) {
		return seal.CreateFileKEK(path)
	}
	kek, err := openKEK(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint("give --kek with a slash to have a key made, such as ./kek", err)
	}
	return kek, err
}
