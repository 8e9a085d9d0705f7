package wsman

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// recorded is where replies of real devices may lie. They are not part of the
// project; without them the tests below are skipped.
const recorded = "../../shared/recorded"

// recordedFiles calls f with each file below dir that ends in ext.
func recordedFiles(t *testing.T, dir, ext string, f func(name string, b []byte)) {
	t.Helper()
	root := filepath.Join(recorded, dir)
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no recorded replies in %s", root)
	}
	n := 0
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(p) != ext {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		n++
		rel, _ := filepath.Rel(root, p)
		f(filepath.ToSlash(rel), b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatalf("no %s files in %s", ext, root)
	}
}

// TestRecordedReplies decodes every recorded reply, and its object again from
// what we would send in a Put.
func TestRecordedReplies(t *testing.T) {
	t.Parallel()
	empty := map[string]bool{}
	recordedFiles(t, "wsman", ".xml", func(name string, b []byte) {
		r, err := parseReply(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if r.relatesTo == "" || !strings.HasSuffix(r.action, "Response") {
			t.Errorf("%s: RelatesTo %q, Action %q", name, r.relatesTo, r.action)
		}
		if r.body == nil {
			empty[name] = true
			return
		}
		out, err := encodeXML(r.body)
		if err != nil {
			t.Errorf("%s: encoding: %v", name, err)
			return
		}
		if again, err := decodeXML(out); err != nil || !reflect.DeepEqual(again, r.body) {
			t.Errorf("%s: the object is not the same after encoding and decoding (%v)", name, err)
		}
	})
	for name := range empty {
		if !strings.HasSuffix(name, "/delete.xml") && !strings.HasSuffix(name, "/put.xml") {
			t.Errorf("%s: empty body", name)
		}
	}
}

// TestRecordedHTTP reads the recorded HTTP answers: challenges, and the fault and
// the object whose chunks split elements.
func TestRecordedHTTP(t *testing.T) {
	t.Parallel()
	recordedFiles(t, "http", ".http", func(name string, b []byte) {
		if strings.Contains(name, "401") {
			line := regexp.MustCompile(`(?m)^WWW-Authenticate: (.*?)\r?$`).FindSubmatch(b)
			list, err := parseChallenges(string(line[1]))
			if err != nil || len(list) != 1 {
				t.Errorf("%s: %v, %v", name, list, err)
				return
			}
			var l login
			if !l.adopt(list[0]) || !l.qop || CheckRealm(l.realm) != nil {
				t.Errorf("%s: adopted %+v", name, list[0])
			}
			return
		}
		r, err := parseReply(unchunk(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		switch {
		case strings.Contains(name, "AlreadyExists"):
			err := r.check(&request{name: "X.Create", action: actionCreate}, "31", 400)
			var f *Fault
			if !errors.As(err, &f) || f.Code != "Sender" || f.Subcode != "AlreadyExists" || !IsDuplicate(err) {
				t.Errorf("%s: %v", name, err)
			}
		default:
			o, err := r.expect("x", ResourceURI(classGeneral), classGeneral)
			if err != nil || CheckRealm(o.Value("DigestRealm")) != nil {
				t.Errorf("%s: %v, %v", name, o, err)
			}
		}
	})
}

// unchunk joins the chunks of a recorded body; the recordings have no exact line
// ends, so chunk sizes are only looked for.
func unchunk(b []byte) []byte {
	if i := bytes.Index(b, []byte("\n\n")); bytes.HasPrefix(b, []byte("HTTP/")) && i > 0 {
		b = b[i+2:]
	} else if i := bytes.Index(b, []byte("\r\n\r\n")); bytes.HasPrefix(b, []byte("HTTP/")) && i > 0 {
		b = b[i+4:]
	}
	size := regexp.MustCompile(`(^|\r?\n)[0-9A-F]{1,4}\r?\n`)
	b = size.ReplaceAll(b, nil)
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), nil), []byte("\n"), nil)
}
