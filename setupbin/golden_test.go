package setupbin

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func golden(t testing.TB, v Version) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "v"+v.String()+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pair(t testing.TB, pid, pps string) amt.Pair {
	t.Helper()
	id, err := amt.ParsePID(pid)
	if err != nil {
		t.Fatal(err)
	}
	key, err := amt.ParsePPS(pps)
	if err != nil {
		t.Fatal(err)
	}
	return amt.Pair{PID: id, PPS: key}
}

// setups are the two records of every golden file, as far as v has their variables.
func setups(t testing.TB, v Version) []SetupRecord {
	t.Helper()
	list := []SetupRecord{
		{Pair: pair(t, "0000-037M", "NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")},
		{Pair: pair(t, "ABCD-EFG8", "AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-AAAF-0000")},
	}
	for i := range list {
		s := &list[i]
		s.CurrentPassword = amt.NewSecretString("admin")
		s.NewPassword = amt.NewSecretString("N3w.Passw0rd" + string(rune('0'+i)))
		if v >= V2 {
			s.FQDN = "scs.corp.example"
		}
		if v >= V21 {
			s.Server, s.Port = netip.MustParseAddr("192.0.2.10"), 9971
		}
	}
	return list
}

func records(t testing.TB, v Version) []*Record {
	t.Helper()
	var list []*Record
	for _, s := range setups(t, v) {
		r, err := s.Record(v)
		if err != nil {
			t.Fatal(err)
		}
		if v == V4 {
			r.Flags |= FlagScrambled
		}
		list = append(list, r)
	}
	return list
}

func TestGoldenWrite(t *testing.T) {
	t.Parallel()
	for _, v := range Versions() {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			f, err := New(v, 0, records(t, v)...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.AppendBinary([]byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			if want := golden(t, v); !bytes.Equal(got[1:], want) {
				t.Errorf("New: got\n%swant\n%s", hex.Dump(got[1:]), hex.Dump(want))
			}
		})
	}
}

func TestGoldenParse(t *testing.T) {
	t.Parallel()
	for _, v := range Versions() {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			f, err := Parse(golden(t, v))
			if err != nil {
				t.Fatal(err)
			}
			if h := f.Header; h.Version != v || h.Records != 2 || h.Consumed != 0 || !h.Consumable() || h.HeaderBytes != 46 {
				t.Errorf("header: got %+v", h)
			}
			for i, want := range setups(t, v) {
				sameSetup(t, f.Records[i], want)
				if n := f.Records[i].Number; n != uint32(i+1) || !f.Records[i].Valid() || f.Records[i].Scrambled() != (v == V4) {
					t.Errorf("record %d: number %d, flags %d", i+1, n, f.Records[i].Flags)
				}
			}
		})
	}
}

func sameSetup(t *testing.T, r *Record, want SetupRecord) {
	t.Helper()
	got, err := ParseSetup(r)
	if err != nil {
		t.Fatal(err)
	}
	if !got.CurrentPassword.Equal(want.CurrentPassword) || !got.NewPassword.Equal(want.NewPassword) {
		t.Error("passwords differ")
	}
	if got.Pair.PID != want.Pair.PID || !got.Pair.PPS.Equal(want.Pair.PPS) {
		t.Errorf("pair: got %v, want %v", got.Pair, want.Pair)
	}
	if got.FQDN != want.FQDN || got.Server != want.Server || got.Port != want.Port || got.NoAMT != want.NoAMT {
		t.Errorf("setup: got %+v, want %+v", got, want)
	}
}

// TestACUBytes holds the fixed parts of a file that Intel's Configuration Utility
// 12.1 made: version 4, scrambled, 1/1 "admin" and the power package.
func TestACUBytes(t *testing.T) {
	t.Parallel()
	power, err := amt.ParsePowerPackage("desktop-wake-s5")
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecord(
		Entry{Module: 1, Variable: 1, Value: Raw("admin")},
		Entry{Module: 1, Variable: 2, Value: Raw("HeyH0Password!")},
		Entry{Module: 1, Variable: 6, Value: power[:]},
	)
	r.Flags |= FlagScrambled
	f, err := New(V4, 0, r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := b[ChunkLen+RecordHeaderLen:]
	for i := range body {
		body[i] -= 0x11
	}
	want := "0100010005000000" + hex.EncodeToString([]byte("admin")) + "000000" +
		"010002000e000000" + hex.EncodeToString([]byte("HeyH0Password!")) + "0000" +
		"0100060010000000" + "7322734623dc432fa98a13d37982d855" + "0000"
	if got := hex.EncodeToString(body[:len(want)/2]); got != want {
		t.Errorf("entries: got  %s\nwant %s", got, want)
	}
	if body[len(body)-1] != 0 {
		t.Error("the padding is not scrambled")
	}
}

func TestVersionGates(t *testing.T) {
	t.Parallel()
	base := setups(t, V1)[0]
	tests := []struct {
		name string
		set  func(*SetupRecord)
		v    Version
		want string
	}{
		{"FQDN in 1", func(s *SetupRecord) { s.FQDN = "scs.example" }, V1, "2/4 Configuration server FQDN: variable refused: file version 1 does not have it; version 2 is the first"},
		{"address in 2", func(s *SetupRecord) { s.Server = netip.MustParseAddr("192.0.2.1") }, V2, "2/17 Provisioning server IPv4: variable refused: file version 2 does not have it; version 2.1"},
		{"port in 2", func(s *SetupRecord) { s.Port = 1 }, V2, "2/18 Provisioning server port"},
		{"IPv6 address", func(s *SetupRecord) { s.Server = netip.MustParseAddr("2001:db8::1") }, V4, "no IPv4 address"},
		{"weak password", func(s *SetupRecord) { s.NewPassword = amt.NewSecretString("hunter2AAAA") }, V4, "1/2 New MEBx password: variable refused: password refused: it needs a special"},
		{"no password", func(s *SetupRecord) { s.NewPassword = amt.Secret{} }, V4, "1/2 New MEBx password: variable refused: it is empty"},
		{"no PPS", func(s *SetupRecord) { s.Pair.PPS = amt.Secret{} }, V4, "2/2 PPS"},
		{"bad PPS", func(s *SetupRecord) { s.Pair.PPS = amt.NewSecretString(strings.Repeat("A", 32)) }, V4, "2/2 PPS: variable refused: PPS: group 1: the check character"},
		{"bad PID", func(s *SetupRecord) { s.Pair.PID[7] = 'N' }, V4, "2/1 PID: variable refused: PID 0000-037N: the check character"},
		{"bad FQDN", func(s *SetupRecord) { s.FQDN = "a b" }, V4, "character 2 is no letter"},
		{"long FQDN", func(s *SetupRecord) { s.FQDN = strings.Repeat("a.", 128) + "a" }, V4, "257 bytes, want 1 to 255"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := base
			tt.set(&s)
			_, err := s.Record(tt.v)
			if !errors.Is(err, ErrVariable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AAAA")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}
