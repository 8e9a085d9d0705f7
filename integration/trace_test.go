package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// straceArgs records every write to a file with its data, every sync, and every
// write to a socket. -xx prints data as hexadecimal escapes, -yy the far end of
// a socket.
func straceArgs(out string) []string {
	return []string{
		"strace", "-f", "-yy", "-qq", "-xx", "-s", "4194304", "-o", out,
		"-e", "signal=none", "-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write",
	}
}

// An effect is one system call of a trace that matters for what a disk holds
// after a power loss.
type effect struct {
	kind   effectKind
	offset int64  // of a write; the new size of a truncate
	data   []byte // of a write
	peer   string // far end of a socket write, host:port
}

type effectKind uint8

const (
	fileWrite    effectKind = 1
	fileTruncate effectKind = 2
	fileSync     effectKind = 3 // all writes before it are on the disk
	socketWrite  effectKind = 4
)

var (
	callLine   = regexp.MustCompile(`^(\d+) +(\w+)\((\d+)<((?:->|[^>])*)>(.*)$`)
	resumeLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
	tcpPeer    = regexp.MustCompile(`^TCP(?:v6)?:\[.*->(.*)\]$`)
)

// readTrace reads a trace: the effects on the file called name, and the writes to
// sockets, in order. A sync counts when it has returned.
func readTrace(path, name string) ([]effect, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var effects []effect
	syncing := map[string]bool{} // threads within a sync of the file
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if m := resumeLine.FindStringSubmatch(line); m != nil {
			if strings.HasSuffix(m[2], "sync") && syncing[m[1]] {
				delete(syncing, m[1])
				effects = append(effects, effect{kind: fileSync})
			}
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		e, ok, err := parseCall(m[2], unescapeName(m[4]), name, m[5])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if ok && e.kind == fileSync && strings.Contains(line, "<unfinished") {
			syncing[m[1]] = true
			continue
		}
		if ok {
			effects = append(effects, e)
		}
	}
	return effects, lines.Err()
}

// parseCall reads one call on the file or socket called target.
func parseCall(call, target, name, args string) (e effect, ok bool, err error) {
	if m := tcpPeer.FindStringSubmatch(target); m != nil {
		return effect{kind: socketWrite, peer: m[1]}, call == "write", nil
	}
	if !strings.HasSuffix(target, name) {
		return effect{}, false, nil
	}
	args = strings.TrimPrefix(strings.TrimPrefix(args, ","), " ")
	switch call {
	case "fsync", "fdatasync":
		return effect{kind: fileSync}, true, nil
	case "ftruncate":
		size, err := strconv.ParseInt(strings.FieldsFunc(args, notDigit)[0], 10, 64)
		return effect{kind: fileTruncate, offset: size}, err == nil, err
	case "pwrite64":
		return parsePwrite(args)
	}
	return effect{}, false, fmt.Errorf("a %s on the store: the trace cannot tell where it went", call)
}

func parsePwrite(args string) (effect, bool, error) {
	data, rest, ok := strings.Cut(strings.TrimPrefix(args, `"`), `"`)
	numbers := strings.FieldsFunc(rest, notDigit)
	if !ok || strings.HasPrefix(rest, "...") || len(numbers) < 2 {
		return effect{}, false, fmt.Errorf("unreadable pwrite64: %.80s", args)
	}
	b, err := unescape(data)
	if err != nil {
		return effect{}, false, err
	}
	offset, err := strconv.ParseInt(numbers[1], 10, 64)
	if err != nil || numbers[0] != strconv.Itoa(len(b)) {
		return effect{}, false, fmt.Errorf("pwrite64 of %s bytes shows %d", numbers[0], len(b))
	}
	return effect{kind: fileWrite, offset: offset, data: b}, true, nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// unescape reads \xNN escapes.
func unescape(s string) ([]byte, error) {
	b := make([]byte, 0, len(s)/4)
	for i := 0; i < len(s); i += 4 {
		if len(s)-i < 4 || s[i:i+2] != `\x` {
			return nil, fmt.Errorf("unreadable escape %.8q", s[i:])
		}
		v, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return nil, err
		}
		b = append(b, byte(v))
	}
	return b, nil
}

// unescapeName reads the name that -xx may have escaped too.
func unescapeName(s string) string {
	if b, err := unescape(s); err == nil {
		return string(b)
	}
	return s
}

// survive returns what a disk that held before holds after a power loss at
// effects[end]: every write that no later sync before end covers is dropped.
func survive(before []byte, effects []effect, end int) []byte {
	last := -1
	for i, e := range effects[:end] {
		if e.kind == fileSync {
			last = i
		}
	}
	disk := bytes.Clone(before)
	for _, e := range effects[:last+1] {
		switch e.kind {
		case fileWrite:
			if need := int(e.offset) + len(e.data); need > len(disk) {
				disk = append(disk, make([]byte, need-len(disk))...)
			}
			copy(disk[e.offset:], e.data)
		case fileTruncate:
			if int(e.offset) <= len(disk) {
				disk = disk[:e.offset]
			} else {
				disk = append(disk, make([]byte, int(e.offset)-len(disk))...)
			}
		}
	}
	return disk
}

func TestReadTrace(t *testing.T) {
	t.Parallel()
	trace := strings.Join([]string{
		`101  pwrite64(7</d/scs.db>, "\x61\x62", 2, 1) = 2`,
		`101  fdatasync(7</d/scs.db> <unfinished ...>`,
		`102  write(9<TCP:[127.0.0.1:4444->127.9.9.1:16993]>, "\x17", 1) = 1`,
		`101  <... fdatasync resumed>)         = 0`,
		`101  pwrite64(7</d/scs.db>, "\x7a", 1, 0 <unfinished ...>`,
		`101  <... pwrite64 resumed>) = 1`,
		`103  write(2<pipe:[12]>, "\x0a", 1) = 1`,
		`102  write(9<TCP:[127.0.0.1:4444->127.9.9.1:16993]>, "\x17", 1) = 1`,
		`101  ftruncate(7</d/scs.db>, 6) = 0`,
		`101  fsync(7</d/scs.db>) = 0`,
	}, "\n")
	path := t.TempDir() + "/trace"
	if err := os.WriteFile(path, []byte(trace), 0o600); err != nil {
		t.Fatal(err)
	}
	effects, err := readTrace(path, "/scs.db")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []effectKind
	for _, e := range effects {
		kinds = append(kinds, e.kind)
	}
	want := []effectKind{fileWrite, socketWrite, fileSync, fileWrite, socketWrite, fileTruncate, fileSync}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Fatalf("effects: got %v, want %v", kinds, want)
	}
	for _, c := range []struct {
		end  int
		want string
	}{{1, "...."}, {2, "...."}, {3, ".ab."}, {5, ".ab."}, {len(effects), "zab.\x00\x00"}} {
		if got := string(survive([]byte("...."), effects, c.end)); got != c.want {
			t.Errorf("after effect %d: got %q, want %q", c.end, got, c.want)
		}
	}
}
