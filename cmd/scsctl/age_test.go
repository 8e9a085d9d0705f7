package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

// ageKey FILE makes a secret key and FILE.pub with its public one.
func ageKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: agekey FILE")
	}
	id, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("# a test's\n"+id.String()+"\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), []byte(id.Recipient().String()), 0o600))
	ts.Setenv("RECIPIENT", id.Recipient().String())
}

// ageOpen KEY FILE OUT opens a file as age -d does.
func ageOpen(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: ageopen KEY FILE OUT")
	}
	r, err := openAge(strings.NewReader(ts.ReadFile(args[1])), args[1], ts.MkAbs(args[0]))
	var b []byte
	if err == nil {
		b, err = io.ReadAll(r)
	}
	if neg != (err != nil) {
		ts.Fatalf("opening %s: %v", args[1], err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}

// ageSeal encrypts FILE for who has KEY.
func ageSeal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: ageseal KEY FILE OUT")
	}
	ids, err := age.ParseIdentities(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, ids[0].(*age.X25519Identity).Recipient())
	ts.Check(err)
	_, err = io.WriteString(w, ts.ReadFile(args[1]))
	ts.Check(errors.Join(err, w.Close(), os.WriteFile(ts.MkAbs(args[2]), b.Bytes(), 0o600)))
}

// typed FILE OUT writes the first pair of an opened list as a person types it.
func typed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: typed FILE OUT")
	}
	fields := strings.Split(strings.Split(ts.ReadFile(args[0]), "\n")[1], ",")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.ToLower(fields[1])+"\n"+fields[2]+"\n"), 0o600))
}

// pageToken FILE sets TOKEN to the token of a JSON list.
func pageToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pagetoken FILE")
	}
	var list struct{ NextPageToken string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	ts.Setenv("TOKEN", list.NextPageToken)
}

// keyPair makes a file with a secret key.
func keyPair(t *testing.T) (file string, public string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, id.Recipient().String()
}

const plantedPPS = "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ"

var plantedKey = &scsv1.ExportedKey{Pid: "0000-037M", Pps: plantedPPS, CurrentPassword: `ad"m,in `, NewPassword: "P@ssw0rd"}

const plantedList = "id,pid,pps,current_password,admin_password,used\n1,0000-037M," + plantedPPS + `,"ad""m,in ","P@ssw0rd",0` + "\n"

// encrypted is plantedList for some keys.
func encrypted(t *testing.T, armored bool, to ...string) []byte {
	t.Helper()
	r, _, err := recipients(to, "")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	l, err := newPairList(&b, r, armored)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.add(plantedKey), l.close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAge: what is written for two keys opens with each, and with the program age.
func TestAge(t *testing.T) {
	t.Parallel()
	file1, public1 := keyPair(t)
	file2, public2 := keyPair(t)
	stranger, _ := keyPair(t)
	for _, armored := range []bool{false, true} {
		b := encrypted(t, armored, public1, public2, public1)
		if !isAge(b) || bytes.Contains(b, []byte("037M")) || bytes.HasPrefix(b, []byte("-----BEGIN")) != armored {
			t.Errorf("armored %v: it begins with %q", armored, b[:30])
		}
		for _, key := range []string{file1, file2} {
			r, err := openAge(bytes.NewReader(b), "f.age", key)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != plantedList {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if _, err := openAge(bytes.NewReader(b), "f.age", stranger); err == nil || !strings.Contains(err.Error(), "none of the secret keys of") {
			t.Errorf("a stranger: got %v", err)
		}
		opensWithAge(t, b, file2)
	}
	var b bytes.Buffer
	l, err := newPairList(&b, nil, false)
	if err := errors.Join(err, l.add(plantedKey), l.close()); err != nil || b.String() != plantedList || isAge(b.Bytes()) {
		t.Errorf("plain: got %q, %v", b.String(), err)
	}
}

func opensWithAge(t *testing.T, b []byte, key string) {
	t.Helper()
	if _, err := exec.LookPath("age"); err != nil {
		if os.Getenv("AMTSCS_REQUIRE_PEERS") == "1" {
			t.Fatal("age is not installed, and AMTSCS_REQUIRE_PEERS=1")
		}
		t.Log("age is not installed: apt install age to open the file with it, too")
		return
	}
	cmd := exec.CommandContext(t.Context(), "age", "-d", "-i", key)
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != plantedList {
		t.Errorf("age -d: got %q, %v", out, err)
	}
}

// TestAgeDamaged cuts and changes a file at each of its bytes: none opens to the
// end, and no error shows what was within.
func TestAgeDamaged(t *testing.T) {
	t.Parallel()
	key, public := keyPair(t)
	good := encrypted(t, false, public)
	try := func(what string, i int, b []byte) {
		r, err := openAge(bytes.NewReader(b), "f.age", key)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("%s at %d of %d: it opened", what, i, len(good))
		} else if strings.Contains(err.Error(), "NKLD") || !strings.Contains(err.Error(), "f.age") {
			t.Errorf("%s at %d: got %v", what, i, err)
		}
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		try("changed", i, changed)
		try("cut", i, good[:i])
	}
	try("longer", len(good), append(bytes.Clone(good), 'x'))
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	secret, public := keyPair(t)
	_, other := keyPair(t)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "keys.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := write("# ours\n\n " + other + " \r\n" + public + "\n")
	r, texts, err := recipients([]string{public}, list)
	if err != nil || len(r) != 2 || texts[0] != public || texts[1] != other {
		t.Errorf("got %v, %v", texts, err)
	}
	b, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	identity := strings.TrimSpace(string(b))
	for _, c := range []struct {
		name  string
		flags []string
		file  string
		want  string
	}{
		{"a secret key", []string{identity}, "", "--recipient: this is a secret key"},
		{"a file of secret keys", nil, secret, "key:1: this is a secret key"},
		{"an SSH key", []string{"ssh-ed25519 AAAAC3Nz"}, "", "no public X25519 key of age"},
		{"a mistyped key", []string{public[:20] + "x" + public[21:] + "x"}, "", "no public X25519 key"},
		{"line 2", nil, write(public + "\nage1\n"), "keys.txt:2: no public X25519 key"},
		{"an empty file", nil, write("# none\n"), "has no public key"},
		{"no file", nil, filepath.Join(t.TempDir(), "none"), "no such file"},
		{"a large file", nil, write(strings.Repeat("#", maxKeyFile+1)), "more than 1048576 bytes"},
	} {
		_, _, err := recipients(c.flags, c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), identity) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	many := ""
	for range 11 {
		_, public := keyPair(t)
		many += public + "\n"
	}
	if _, _, err := recipients(nil, write(many)); err == nil || !strings.Contains(err.Error(), "11 recipients, want at most 10") {
		t.Errorf("got %v", err)
	}
}

func TestOpenAgeRefuses(t *testing.T) {
	t.Parallel()
	key, public := keyPair(t)
	noKey := filepath.Join(t.TempDir(), "no.key")
	if err := os.WriteFile(noKey, []byte("Pl4nted.Passw0rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, key, want string
	}{
		{"plain text", plantedList, key, "list.csv: not encrypted by age"},
		{"nothing", "", key, "not encrypted by age"},
		{"no key file", string(encrypted(t, false, public)), noKey, "no.key: no file of secret keys of age"},
		{"none there", "", filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		_, err := openAge(strings.NewReader(c.file), "list.csv", c.key)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "Pl4nted") {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestPlainly(t *testing.T) {
	t.Parallel()
	key, public := keyPair(t)
	broken := errors.New("read error")
	for _, c := range []struct {
		name, key, want string
		file            io.Reader
	}{
		{"plain", "", "", strings.NewReader(plantedList)},
		{"encrypted", key, "", bytes.NewReader(encrypted(t, false, public))},
		{"armored", key, "", bytes.NewReader(encrypted(t, true, public))},
		{"encrypted without a key", "", "f.csv: encrypted by age", bytes.NewReader(encrypted(t, false, public))},
		{"armored without a key", "", "f.csv: encrypted by age", bytes.NewReader(encrypted(t, true, public))},
		{"plain with a key", key, "f.csv: not encrypted by age", strings.NewReader(plantedList)},
		{"unreadable", "", "reading f.csv: read error", iotest.ErrReader(broken)},
		{"unreadable with a key", key, "reading f.csv: read error", iotest.ErrReader(broken)},
	} {
		r, err := plainly(c.file, "f.csv", c.key)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != plantedList {
			t.Errorf("%s: got %q, %v", c.name, b, err)
		}
	}
}

// FuzzPairList: keys import reads what keys export writes as the same, or names
// the field that no MEBx can have.
func FuzzPairList(f *testing.F) {
	f.Add("admin", "P@ssw0rd")
	f.Add(`ad"m,in;`, "P@ss w0rd\t'")
	f.Add("=cmd|' /C calc'!A0", "")
	f.Add(" lead", "trail ")
	f.Fuzz(func(t *testing.T, current, next string) {
		var b bytes.Buffer
		l, err := newPairList(&b, nil, false)
		k := &scsv1.ExportedKey{Pid: plantedKey.GetPid(), Pps: plantedPPS, CurrentPassword: current, NewPassword: next}
		if err := errors.Join(err, l.add(k), l.close()); err != nil {
			t.Fatal(err)
		}
		var got []batch.Row
		err = batch.Read("f.csv", &b, func(r batch.Row) error {
			got = append(got, r)
			return nil
		})
		if err != nil {
			if strings.ContainsAny(current+next, "\x00\n\r") || errors.Is(err, batch.ErrRows) && !mebx(current, next) {
				return
			}
			t.Fatalf("%q, %q: %v", current, next, err)
		}
		if len(got) != 1 || string(got[0].CurrentPassword.Reveal()) != current || string(got[0].NewPassword.Reveal()) != next {
			t.Fatalf("%q, %q: got %d rows, other passwords", current, next, len(got))
		}
	})
}

// mebx reports whether MEBx may have these passwords: then a list of them must
// be read.
func mebx(current, next string) bool {
	for _, s := range []string{current, next} {
		if len(s) > amt.PasswordMax || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
	}
	return next == "" || amt.CheckPassword(amt.NewSecretString(next)) == nil
}
