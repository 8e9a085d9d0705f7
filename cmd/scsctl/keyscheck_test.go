package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// check runs keys check on what is typed.
func check(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), append([]string{"keys", "check"}, args...), strings.NewReader(input), &out, &errs)
	return status, out.String(), errs.String()
}

func TestKeysCheck(t *testing.T) {
	t.Parallel()
	const pid, pps = "0000-037M", plantedPPS
	const right = "PID: right\nPPS: right\n"
	wrong := strings.Replace(pps, "G5DC", "GSDC", 1)
	for _, c := range []struct {
		name, input string
		status      int
		stdout      string
	}{
		{"two lines", pid + "\n" + pps + "\n", 0, right},
		{"one line", pid + " " + pps, 0, right},
		{"as in a list", "\n" + pid + "," + pps + "\r\n", 0, right},
		{"groups with blanks", "0000 037m\n" + strings.ReplaceAll(pps, "-", " "), 0, right},
		{"groups with blanks in one line", "0000 037m " + strings.ReplaceAll(pps, "-", " "), 0, right},
		{"no dashes", "0000037M " + strings.ReplaceAll(pps, "-", ""), 0, right},
		{"a look-alike", pid + "\n" + wrong, 1, "PID: right\nPPS, group 2: the check character does not match: is there a typing error? Perhaps character 2 is 5, not S\n"},
		{"both", "OOOO-037M\n" + strings.Replace(wrong, "RRNQ", "RRNR", 1), 1, "PID: the check character does not match: is there a typing error?\n" +
			"PPS, group 2: the check character does not match: is there a typing error? Perhaps character 2 is 5, not S\n" +
			"PPS, group 3: the check character does not match: is there a typing error?\n"},
		{"a short group", pid + "\n" + strings.Replace(pps, "G5DC", "G5D", 1), 1, "PID: right\nPPS, group 2: wrong length: 3 characters, want 4\n"},
		{"exchanged", pps + "\n" + pid + "\n", 1, "PID: this is the PPS\nPPS: this is the PID\n"},
		{"exchanged in one line", pps + "," + pid + "\n", 1, "PID: this is the PPS\nPPS: this is the PID\n"},
		{"only a PID", pid + "\n", 1, ""},
		{"nothing", "", 1, ""},
		{"two pairs", pid + "\n" + pps + "\n" + pid + "\n" + pps + "\n", 1, ""},
		{"much", strings.Repeat(pid+"\n", 1000), 1, ""},
	} {
		status, stdout, stderr := check(t, c.input)
		if status != c.status || stdout != c.stdout {
			t.Errorf("%s: got status %d and\n%swant %d and\n%s%s", c.name, status, stdout, c.status, c.stdout, stderr)
		}
		if (status == 0) != (stderr == "") {
			t.Errorf("%s: status %d, and on stderr %q", c.name, status, stderr)
		}
		for _, secret := range []string{"NKLD", "GSDC", "G5DC", "69XJ"} {
			if strings.Contains(stdout+stderr, secret) {
				t.Errorf("%s: a group of the PPS is shown:\n%s%s", c.name, stdout, stderr)
			}
		}
	}
	// A shell keeps its arguments: the pair does not belong there, and is not repeated.
	if status, _, stderr := check(t, "", pid, pps); status != 2 || !strings.Contains(stderr, "takes no arguments") || strings.Contains(stderr, "NKLD") {
		t.Errorf("a pair among the arguments: got %d, %s", status, stderr)
	}
}

func TestKeysCheckJSON(t *testing.T) {
	t.Parallel()
	type answer struct {
		Right  bool
		Faults []typingFault
	}
	for input, want := range map[string]answer{
		"0000-037M " + plantedPPS: {Right: true, Faults: []typingFault{}},
		"0000-037M " + strings.Replace(plantedPPS, "ZIJL", "Z1JL", 1): {Faults: []typingFault{
			{Part: "PPS", Group: 5, Message: "the check character does not match: is there a typing error?", Character: 2, Typed: "1", Instead: "I"},
		}},
	} {
		_, stdout, _ := check(t, input, "-o", "json")
		var got answer
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Faults == nil || got.Right != want.Right || len(got.Faults) != len(want.Faults) {
			t.Fatalf("got %s, %v", stdout, err)
		}
		for i := range got.Faults {
			if got.Faults[i] != want.Faults[i] {
				t.Errorf("got %+v, want %+v", got.Faults[i], want.Faults[i])
			}
		}
	}
}

func TestTimeOrAge(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, zone),
		"2026-11-20T08:30":     time.Date(2026, 11, 20, 8, 30, 0, 0, zone),
		"2026-11-20 08:30:15":  time.Date(2026, 11, 20, 8, 30, 15, 0, zone),
		"2026-11-20T08:30:15Z": time.Date(2026, 11, 20, 8, 30, 15, 0, time.UTC),
		"90m":                  now.Add(-90 * time.Minute),
		"36h":                  now.Add(-36 * time.Hour),
		"30d":                  now.AddDate(0, 0, -30),
		"4w":                   now.AddDate(0, 0, -28),
		"0d":                   now,
	} {
		if got, err := timeOrAge(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "-3d", "-3h", "65535w", "1.5d", "999999d", "d", "9000000h"} {
		if got, err := timeOrAge(text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
