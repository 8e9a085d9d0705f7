package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/amtscs/amtscs/amt"
)

// KEKLen is the length of a key-encryption key in bytes.
const KEKLen = 32

// maxKEKFile bounds what is read of a key-encryption key file.
const maxKEKFile = 4096

// localKEK is a key-encryption key in memory. The AEAD lies behind a closure
// because it holds the key in a field that fmt would print.
type localKEK struct {
	id   string
	aead func() tink.AEAD
}

var _ KEK = (*localKEK)(nil)

// NewKEK makes a KEK from KEKLen random bytes that come from elsewhere.
func NewKEK(key amt.Secret) (KEK, error) {
	b := key.Reveal()
	if len(b) != KEKLen {
		return nil, fmt.Errorf("key-encryption key: %d bytes, want %d", len(b), KEKLen)
	}
	gcm, err := subtle.NewAESGCM(b)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	mac := hmac.New(sha256.New, b)
	mac.Write([]byte("amtscs key-encryption key id"))
	return &localKEK{
		id:   hex.EncodeToString(mac.Sum(nil)[:8]),
		aead: func() tink.AEAD { return gcm },
	}, nil
}

// ID implements KEK: 16 hex digits of an HMAC under the key.
func (k *localKEK) ID() string { return k.id }

// Encrypt implements KEK.
func (k *localKEK) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return k.aead().Encrypt(plaintext, associatedData)
}

// Decrypt implements KEK.
func (k *localKEK) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	return k.aead().Decrypt(ciphertext, associatedData)
}

// FileKEK reads the key at path: KEKLen random bytes as one line of base64. The
// file must be a regular file (through links or not) of this user or root that
// nobody else can read or write. A systemd credential
// ($CREDENTIALS_DIRECTORY/NAME) may show a group's read bit: an access list that
// names the service's user looks so. The error is ErrKEKFile with the path and
// the cure, never with the contents.
func FileKEK(path string) (KEK, error) {
	b, err := readKEKFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKEKFile, err)
	}
	kek, err := parseKEK(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKEKFile, err)
	}
	return kek, nil
}

var errKEKText = errors.New("it does not hold 32 bytes as one line of base64: restore it from your copy")

func parseKEK(b []byte) (KEK, error) {
	line := bytes.TrimRight(b, "\r\n")
	key, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil || len(key) != KEKLen || bytes.ContainsAny(line, "\r\n") {
		return nil, errKEKText // the decoder's error would name a byte of it
	}
	return NewKEK(amt.NewSecret(key))
}

func readKEKFile(path string) ([]byte, error) {
	// Not blocking, so that a FIFO is refused below instead of waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, pathless(err)
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, pathless(err)
	}
	if err := checkKEKFile(path, info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKEKFile))
	return b, pathless(err)
}

// checkKEKFile refuses a file that others may read or have written.
func checkKEKFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is not a regular file (%v)", info.Mode().Type())
	}
	uid, known := ownerOf(info)
	if known && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, who could change it: chown it to user %d", uid, os.Geteuid())
	}
	var allowed fs.FileMode = 0o700
	if known && uid == 0 && isCredential(path) {
		allowed |= 0o040
	}
	if perm := info.Mode().Perm(); perm&^allowed != 0 {
		return fmt.Errorf("others can read or write it (mode %04o): chmod 600 it, and make a new key if they may have", perm)
	}
	return nil
}

// isCredential reports whether path lies in the directory where systemd puts
// credentials for this process.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel) && rel != "."
}

// pathless strips the path of a file error, which the caller puts in front.
func pathless(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// CreateFileKEK makes the file at path with a new key, mode 0600, or takes the
// one that is there. The file appears whole or not at all, and is durable.
func CreateFileKEK(path string) (KEK, error) {
	if _, err := os.Lstat(path); err == nil {
		return FileKEK(path)
	}
	key := make([]byte, KEKLen)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("drawing a key-encryption key: %w", err)
	}
	err := writeNew(path, base64.StdEncoding.EncodeToString(key)+"\n")
	if errors.Is(err, fs.ErrExist) { // somebody else was faster
		return FileKEK(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: writing a key-encryption key: %w", path, pathless(err))
	}
	return FileKEK(path)
}

// writeNew writes a file beside path and links it there, which fails when path
// exists.
func writeNew(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".kek-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the other name, or a rest
	_, err = io.Copy(f, strings.NewReader(text))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) { // no links here
		err = writeDirectly(path, text)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeDirectly writes a file that must be new, where links are not to be had: a
// crash may leave a part of it, which FileKEK refuses.
func writeDirectly(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, strings.NewReader(text))
	return errors.Join(err, f.Sync(), f.Close())
}
