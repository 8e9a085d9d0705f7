package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt/bolttest"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
	"github.com/amtscs/amtscs/seal/sealtest"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)

func sample(n int) Entry {
	return Entry{
		At: start.Add(time.Duration(n) * time.Minute), Who: fmt.Sprintf("user%d", n%3), Role: "operator",
		Method: fmt.Sprintf("DeviceService/Call%d", n%2), Object: fmt.Sprintf("device%d", n%4), Reason: "because", Outcome: Outcome(n%3 + 1),
	}
}

// newLog returns a log, with entries 1 to n, over a store whose chain is
// verified at the end of the test.
func newLog(t testing.TB, n int) (*Log, kv.Store) {
	t.Helper()
	l := New(sealtest.New(t))
	store := bolttest.New(t, l.CheckInvariants)
	fill(t, l, store, n)
	return l, store
}

func fill(t testing.TB, l *Log, store kv.Store, n int) {
	t.Helper()
	err := store.Update(context.Background(), func(tx kv.Tx) error {
		for i := range n {
			if err := l.Append(tx, sample(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func view[T any](t testing.TB, store kv.Store, fn func(r kv.Reader) (T, error)) T {
	t.Helper()
	var v T
	err := store.View(context.Background(), func(r kv.Reader) error {
		var err error
		v, err = fn(r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAppend(t *testing.T) {
	t.Parallel()
	l, store := newLog(t, 3)
	list := view(t, store, func(r kv.Reader) ([]Entry, error) {
		list, next, err := l.List(r, Filter{}, Page{})
		if next != 0 {
			t.Errorf("got a next page %d", next)
		}
		return list, err
	})
	for i, got := range list {
		want := sample(i)
		want.Sequence, want.Hash = uint64(i+1), got.Hash
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	head := view(t, store, l.Head)
	if len(list) != 3 || head != (Head{3, list[2].Hash}) {
		t.Errorf("got %d entries and the head %+v", len(list), head)
	}
}

// TestHash is a golden value: the sum over the bytes that Entry.hash documents,
// made with printf and sha256sum.
func TestHash(t *testing.T) {
	t.Parallel()
	e := Entry{Sequence: 1, At: time.Unix(0x11223344, 5).UTC(), Who: "anna", Role: "admin", Method: "M", Object: "O", Reason: "", Outcome: Done}
	if got, want := e.hash(Hash{}).String(), "095843be840cd911169b6b0b416a0a7c8465d60dceb4a30f9afe730edfd60b95"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Moving a character from one field to the next is another entry.
	moved := e
	moved.Who, moved.Role = "ann", "aadmin"
	if moved.hash(Hash{}) == e.hash(Hash{}) || e.hash(Hash{1}) == e.hash(Hash{}) {
		t.Error("different entries have one hash")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	l, store := newLog(t, 0)
	secretish := "do-not-repeat-me\n"
	for name, change := range map[string]func(e *Entry){
		"nobody":        func(e *Entry) { e.Who = "" },
		"nothing":       func(e *Entry) { e.Method = "" },
		"never":         func(e *Entry) { e.At = time.Time{} },
		"no outcome":    func(e *Entry) { e.Outcome = 0 },
		"outcome 4":     func(e *Entry) { e.Outcome = 4 },
		"long":          func(e *Entry) { e.Reason = strings.Repeat("x", MaxText+1) },
		"newline":       func(e *Entry) { e.Reason = secretish },
		"zero":          func(e *Entry) { e.Object = "a\x00b" },
		"escape":        func(e *Entry) { e.Who = "\x1b[31m" },
		"C1":            func(e *Entry) { e.Role = "\u009b" },
		"line":          func(e *Entry) { e.Method = "a\u2028b" },
		"not UTF-8":     func(e *Entry) { e.Object = "\xff" },
		"before year 0": func(e *Entry) { e.At = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		err := store.Update(t.Context(), func(tx kv.Tx) error {
			e := sample(0)
			change(&e)
			return l.Append(tx, e)
		})
		if !errors.Is(err, ErrText) || strings.Contains(err.Error(), "repeat-me") {
			t.Errorf("%s: got %v, want %v", name, err, ErrText)
		}
	}
	if head := view(t, store, l.Head); head != (Head{}) {
		t.Errorf("a refused entry was written: %+v", head)
	}
}

func TestOneCommit(t *testing.T) {
	t.Parallel()
	l, store := newLog(t, 2)
	other := errors.New("the change failed")
	err := store.Update(t.Context(), func(tx kv.Tx) error {
		if err := l.Append(tx, sample(9)); err != nil {
			return err
		}
		return other
	})
	if head := view(t, store, l.Head); !errors.Is(err, other) || head.Sequence != 2 {
		t.Errorf("got %v and %d entries", err, head.Sequence)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	l, store := newLog(t, 0)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := store.Update(context.Background(), func(tx kv.Tx) error { return l.Append(tx, sample(i)) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if head := view(t, store, l.Head); head.Sequence != 20 {
		t.Errorf("got %d entries, want 20", head.Sequence)
	}
}

// TestVerify damages a log of nine entries in one way each, as somebody could
// who has the file and not the key, and expects the entry to be named.
func TestVerify(t *testing.T) {
	t.Parallel()
	change := func(n uint64, fn func(m *scsstorev1.AuditEntry)) func(kv.Tx) error {
		return func(tx kv.Tx) error {
			m, err := entries.Get(tx, sequenceKey(n))
			if err != nil {
				return err
			}
			m = proto.Clone(m).(*scsstorev1.AuditEntry)
			fn(m)
			return entries.Put(tx, sequenceKey(n), m)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(tx kv.Tx) error
		want   uint64 // 0: ErrBroken without an entry
	}{
		{"who", change(4, func(m *scsstorev1.AuditEntry) { m.Who = "evil" }), 4},
		{"outcome", change(1, func(m *scsstorev1.AuditEntry) { m.Outcome = 3 }), 1},
		{"time", change(9, func(m *scsstorev1.AuditEntry) { m.At.Nanos++ }), 9},
		{"no time", change(9, func(m *scsstorev1.AuditEntry) { m.At = nil }), 9},
		{"hash", change(5, func(m *scsstorev1.AuditEntry) { m.Hash[0] ^= 1 }), 5},
		{"short hash", change(5, func(m *scsstorev1.AuditEntry) { m.Hash = m.Hash[:31] }), 5},
		{"sequence", change(5, func(m *scsstorev1.AuditEntry) { m.Sequence = 6 }), 5},
		{"previous", change(5, func(m *scsstorev1.AuditEntry) { m.Previous = nil }), 5},
		{"hash made anew", change(4, func(m *scsstorev1.AuditEntry) { rehash(m, "evil", Hash(m.Previous)) }), 5},
		{"first gone", func(tx kv.Tx) error { return entries.Delete(tx, sequenceKey(1)) }, 1},
		{"one gone", func(tx kv.Tx) error { return entries.Delete(tx, sequenceKey(6)) }, 6},
		{"last gone", func(tx kv.Tx) error { return entries.Delete(tx, sequenceKey(9)) }, 9},
		{"unreadable", func(tx kv.Tx) error { return tx.Put(tableEntries, sequenceKey(7), []byte{0xff}) }, 7},
		{"strange key", func(tx kv.Tx) error { return tx.Put(tableEntries, []byte("x"), nil) }, 10},
		{"one more", forge, 10},
		{"all made anew", remake, 9},
		{"head gone", func(tx kv.Tx) error { return tx.Delete(tableHead, headKey) }, 1},
		{"head of another number", head(func(m *scsstorev1.AuditHead) { m.Sequence = 8 }), 0},
		{"head bent", head(func(m *scsstorev1.AuditHead) { m.SealedHash[9] ^= 1 }), 0},
		{"head emptied", head(func(m *scsstorev1.AuditHead) { m.SealedHash = nil }), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, store := New(sealtest.New(t)), bolttest.New(t)
			fill(t, l, store, 9)
			if err := store.View(t.Context(), l.Verify); err != nil {
				t.Fatal(err)
			}
			if err := store.Update(t.Context(), c.damage); err != nil {
				t.Fatal(err)
			}
			err := store.View(t.Context(), l.Verify)
			var broken *BrokenError
			if !errors.Is(err, ErrBroken) || errors.As(err, &broken) != (c.want > 0) || broken != nil && broken.Sequence != c.want {
				t.Errorf("got %v, want entry %d", err, c.want)
			}
			if broken != nil && !strings.Contains(err.Error(), fmt.Sprintf("at entry %d:", c.want)) {
				t.Errorf("%v does not name the entry", err)
			}
		})
	}
}

func head(fn func(m *scsstorev1.AuditHead)) func(kv.Tx) error {
	return func(tx kv.Tx) error {
		m, err := heads.Get(tx, headKey)
		if err != nil {
			return err
		}
		fn(m)
		return heads.Put(tx, headKey, m)
	}
}

// rehash changes an entry and its hash.
func rehash(m *scsstorev1.AuditEntry, who string, previous Hash) {
	m.Who, m.Previous = who, previous[:]
	e := entryOf(m)
	sum := e.hash(previous)
	m.Hash = sum[:]
}

// remake changes an entry and all hashes behind it.
func remake(tx kv.Tx) error {
	previous := Hash{}
	for n := uint64(1); n <= 9; n++ {
		m, err := entries.Get(tx, sequenceKey(n))
		if err != nil {
			return err
		}
		m = proto.Clone(m).(*scsstorev1.AuditEntry)
		who := m.Who
		if n == 3 {
			who = "evil"
		}
		rehash(m, who, previous)
		previous = Hash(m.Hash)
		if err := entries.Put(tx, sequenceKey(n), m); err != nil {
			return err
		}
	}
	return nil
}

// forge adds an entry that follows the last one.
func forge(tx kv.Tx) error {
	last, err := entries.Get(tx, sequenceKey(9))
	if err != nil {
		return err
	}
	e := sample(10)
	e.Sequence = 10
	e.Hash = e.hash(Hash(last.Hash))
	return entries.Put(tx, sequenceKey(10), recordOf(e, Hash(last.Hash)))
}

// TestAppendToBroken: nothing is written behind an end that does not open.
func TestAppendToBroken(t *testing.T) {
	t.Parallel()
	l, store := New(sealtest.New(t)), bolttest.New(t)
	fill(t, l, store, 2)
	if err := store.Update(t.Context(), head(func(m *scsstorev1.AuditHead) { m.SealedHash[0] ^= 1 })); err != nil {
		t.Fatal(err)
	}
	err := store.Update(t.Context(), func(tx kv.Tx) error { return l.Append(tx, sample(3)) })
	if !errors.Is(err, ErrBroken) {
		t.Errorf("got %v, want %v", err, ErrBroken)
	}
	other := New(sealtest.New(t))
	if err := store.View(t.Context(), other.Verify); !errors.Is(err, ErrBroken) {
		t.Errorf("another keyset: got %v, want %v", err, ErrBroken)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	l, store := newLog(t, 24)
	for _, c := range []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", Filter{}, 24},
		{"object", Filter{Object: "device3"}, 6},
		{"who", Filter{Who: "user1"}, 8},
		{"both", Filter{Object: "device3", Who: "user1"}, 2},
		{"method", Filter{Method: "DeviceService/Call1"}, 12},
		{"outcome", Filter{Outcome: Refused}, 8},
		{"role", Filter{Role: "operator"}, 24},
		{"no role", Filter{Role: "admin"}, 0},
		{"from", Filter{From: start.Add(20 * time.Minute)}, 4},
		{"to", Filter{To: start.Add(20 * time.Minute)}, 20},
		{"a prefix of an object", Filter{Object: "device"}, 0},
		{"a row of an object", Filter{Object: "device3\x00"}, 0},
	} {
		for _, newest := range []bool{false, true} {
			got := pages(t, l, store, c.filter, newest)
			if len(got) != c.want {
				t.Errorf("%s, newest %v: got %d, want %d", c.name, newest, len(got), c.want)
			}
			for i := 1; i < len(got); i++ {
				if (got[i-1].Sequence < got[i].Sequence) == newest {
					t.Errorf("%s, newest %v: %d comes before %d", c.name, newest, got[i-1].Sequence, got[i].Sequence)
				}
			}
		}
	}
}

// pages reads a list in pages of five.
func pages(t *testing.T, l *Log, store kv.Store, f Filter, newest bool) (all []Entry) {
	t.Helper()
	page := Page{Limit: 5, Newest: newest}
	for {
		list := view(t, store, func(r kv.Reader) ([]Entry, error) {
			list, next, err := l.List(r, f, page)
			page.After = next
			return list, err
		})
		if len(list) > 5 {
			t.Errorf("a page has %d entries", len(list))
		}
		all = append(all, list...)
		if page.After == 0 {
			return all
		}
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, o := range []Outcome{Done, Refused, Failed} {
		if got, err := ParseOutcome(o.String()); got != o || err != nil {
			t.Errorf("%v: got %v, %v", o, got, err)
		}
	}
	if _, err := ParseOutcome("unknown outcome (0)"); err == nil {
		t.Error("nonsense parses")
	}
	if got := Outcome(9).String(); got != "unknown outcome (9)" {
		t.Errorf("got %q", got)
	}
}

func FuzzCheckText(f *testing.F) {
	for _, s := range []string{"", "plain", "ü", "a\nb", "\x7f", "\xff", "\u2029"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckText(s) == nil && (len(s) > MaxText || strings.ContainsAny(s, "\x00\r\n\x1b\x7f\u0085\u2028")) {
			t.Errorf("%q passed", s)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l, store := newLog(b, 0)
	n := 0
	for b.Loop() {
		n++
		if err := store.Update(context.Background(), func(tx kv.Tx) error { return l.Append(tx, sample(n)) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	l, store := newLog(b, 10_000)
	b.ResetTimer()
	for b.Loop() {
		if err := store.View(context.Background(), l.Verify); err != nil {
			b.Fatal(err)
		}
	}
}
