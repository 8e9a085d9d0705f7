package keystore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// all lists page by page and returns the keys and the number of pages.
func (f fixture) all(t testing.TB, filter keystore.Filter, size int) (keys []keystore.Key, pages int) {
	t.Helper()
	page := keystore.Page{Size: size}
	for {
		var some []keystore.Key
		f.view(t, func(r kv.Reader) (err error) {
			some, page.Token, err = f.List(r, filter, page)
			return err
		})
		if len(some) > size && size > 0 {
			t.Errorf("a page has %d keys, want at most %d", len(some), size)
		}
		keys = append(keys, some...)
		if pages++; page.Token == "" || pages > 10_000 {
			return keys, pages
		}
	}
}

func listed(keys []keystore.Key) []amt.PID {
	out := make([]amt.PID, len(keys))
	for i, k := range keys {
		out[i] = k.PID
	}
	return out
}

// mixed fills a store with pairs of all kinds in three batches and none.
func mixed(t testing.TB, f fixture) []keystore.Key {
	t.Helper()
	for _, b := range []string{"B1", "B", "B10"} {
		f.batch(t, b, amt.USBKey)
	}
	i := 0
	for _, b := range []string{"B1", "B", "B10"} {
		prepared := f.draw(t, 24)
		f.update(t, func(tx kv.Tx) error {
			_, err := f.Add(tx, b, prepared, keystore.Move{Who: "anna", At: today.Add(time.Duration(len(b)) * time.Hour)})
			for j, p := range prepared {
				m := by("anna", "")
				switch (i + j) % 6 {
				case 1:
					err = errors.Join(err, f.MarkExported(tx, p.PID(), m))
				case 2:
					err = errors.Join(err, f.Claim(tx, p.PID(), board1, m))
				case 3:
					err = errors.Join(err, f.Claim(tx, p.PID(), board2, m), f.Spend(tx, p.PID(), m))
				case 4:
					err = errors.Join(err, f.MarkExported(tx, p.PID(), m), f.Revoke(tx, p.PID(), m))
				case 5:
					err = errors.Join(err, f.Retire(tx, p.PID(), m))
				}
			}
			return err
		})
		i++
	}
	reserved := f.draw(t, 5)
	f.update(t, func(tx kv.Tx) error {
		for i, p := range reserved {
			if err := f.Reserve(tx, board2, p, []string{"", "B"}[i%2], by("scsd", "next")); err != nil {
				return err
			}
		}
		return nil
	})
	keys, _ := f.all(t, keystore.Filter{}, 1000)
	if len(keys) != 77 {
		t.Fatalf("%d keys, want 77", len(keys))
	}
	return keys
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := mixed(t, f)
	yes, no := true, false
	filters := []keystore.Filter{{}, {Exported: &yes}, {Exported: &no}, {CreatedAfter: today.Add(90 * time.Minute)}, {CreatedBefore: today.Add(90 * time.Minute)}, {Batch: "B9"}, {UUID: amt.UUID{1}}}
	for _, batch := range []string{"", "B", "B1", "B10"} {
		for _, state := range append(keystore.States(), 0) {
			for _, uuid := range []amt.UUID{{}, board1, board2} {
				filters = append(filters, keystore.Filter{Batch: batch, State: state, UUID: uuid}, keystore.Filter{Batch: batch, State: state, UUID: uuid, Exported: &yes})
			}
		}
	}
	for _, filter := range filters {
		var want []amt.PID
		for _, k := range keys {
			if (filter.State == 0 || k.State == filter.State) && (filter.Batch == "" || k.Batch == filter.Batch) &&
				(filter.UUID == amt.UUID{} || k.UUID == filter.UUID) && (filter.Exported == nil || k.Exported == *filter.Exported) &&
				(filter.CreatedAfter.IsZero() || k.CreatedAt.After(filter.CreatedAfter)) &&
				(filter.CreatedBefore.IsZero() || k.CreatedAt.Before(filter.CreatedBefore)) {
				want = append(want, k.PID)
			}
		}
		for _, size := range []int{1, 3, 7, 1000} {
			got, _ := f.all(t, filter, size)
			if !slices.Equal(listed(got), want) {
				t.Errorf("filter %+v, pages of %d: got %d keys, want %d, by PID", filter, size, len(got), len(want))
			}
			for _, k := range got {
				if profile := map[bool]string{true: "profile of " + k.Batch}[k.Batch != ""]; k.Profile != profile {
					t.Errorf("key %v of batch %q has profile %q", k.PID, k.Batch, k.Profile)
				}
			}
		}
	}
}

// TestListTokens: a token goes with its list, and is no way in.
func TestListTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mixed(t, f)
	var token, batches string
	f.view(t, func(r kv.Reader) (err error) {
		_, token, err = f.List(r, keystore.Filter{State: keystore.Available}, keystore.Page{Size: 2})
		if err == nil {
			_, batches, err = f.Batches(r, keystore.Page{Size: 1})
		}
		return err
	})
	f.view(t, func(r kv.Reader) error {
		for _, c := range []struct {
			name   string
			filter keystore.Filter
			token  string
			want   error
		}{
			{"its own", keystore.Filter{State: keystore.Available}, token, nil},
			{"of another filter", keystore.Filter{}, token, keystore.ErrPageToken},
			{"of another list", keystore.Filter{}, batches, keystore.ErrPageToken},
			{"text", keystore.Filter{}, "next", keystore.ErrPageToken},
			{"cut", keystore.Filter{State: keystore.Available}, token[:6], keystore.ErrPageToken},
			{"padded", keystore.Filter{State: keystore.Available}, token + "=", keystore.ErrPageToken},
		} {
			if _, _, err := f.List(r, c.filter, keystore.Page{Token: c.token}); !errors.Is(err, c.want) {
				t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
			}
		}
		if _, _, err := f.Batches(r, keystore.Page{Token: token}); !errors.Is(err, keystore.ErrPageToken) {
			t.Errorf("Batches: got error %v", err)
		}
		return nil
	})
}

// TestListBounded: where no index helps a page looks at a bounded number of
// rows, and so may be empty with a token.
func TestListBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	all := f.add(t, "B1", 2500)
	last := all[len(all)-1]
	f.update(t, func(tx kv.Tx) error { return f.MarkExported(tx, last, by("anna", "")) })
	yes := true
	got, pages := f.all(t, keystore.Filter{Exported: &yes}, 10)
	if !slices.Equal(listed(got), []amt.PID{last}) || pages != 3 {
		t.Errorf("got %v in %d pages, want %v in 3", listed(got), pages, last)
	}
	got, pages = f.all(t, keystore.Filter{Exported: &yes, Batch: "B1"}, 10)
	if !slices.Equal(listed(got), []amt.PID{last}) || pages != 1 {
		t.Errorf("with the batch: got %v in %d pages, want %v in one", listed(got), pages, last)
	}
	f.view(t, func(r kv.Reader) error {
		for size, want := range map[int]int{0: 100, -1: 100, 7: 7, 1000: 1000, 5000: 1000} {
			got, _, err := f.List(r, keystore.Filter{}, keystore.Page{Size: size})
			if err != nil || len(got) != want {
				t.Errorf("size %d: got %d keys, %v, want %d", size, len(got), err, want)
			}
		}
		return nil
	})
}

func TestCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := mixed(t, f)
	want := map[keystore.State]int{}
	for _, k := range keys {
		want[k.State]++
	}
	if got := f.counts(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f.view(t, func(r kv.Reader) error {
		batches, next, err := f.Batches(r, keystore.Page{})
		if len(batches) != 3 || next != "" {
			t.Errorf("got %d batches, token %q", len(batches), next)
		}
		for _, b := range batches {
			n := 0
			for _, k := range keys {
				if k.Batch == b.Name {
					n++
				}
			}
			if b.Count() != n {
				t.Errorf("batch %s has %d pairs, want %d", b.Name, b.Count(), n)
			}
		}
		return err
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := keystore.Batch{
		Name: "PO/2026-11 München", Profile: "office", Source: "order.csv", Model: amt.OEM, CreatedAt: today.Add(-time.Hour), CreatedBy: "anna",
		Vendor: "Dell", OrderNumber: "4711", Notes: "first\nsecond", ExpiresAt: today.AddDate(1, 0, 0),
	}
	f.update(t, func(tx kv.Tx) error { return f.CreateBatch(tx, in) })
	get := func() keystore.Batch {
		var b keystore.Batch
		f.view(t, func(r kv.Reader) (err error) { b, err = f.Batch(r, in.Name); b.Counts = nil; return err })
		return b
	}
	if got := get(); fmt.Sprint(got) != fmt.Sprint(in) {
		t.Errorf("got %+v, want %+v", got, in)
	}
	changed := in
	changed.Profile, changed.CreatedBy, changed.CreatedAt, changed.RetiredAt = "lab", "ben", today, today
	f.update(t, func(tx kv.Tx) error { return f.UpdateBatch(tx, changed) })
	if got := get(); got.Profile != "lab" || got.CreatedBy != "anna" || !got.CreatedAt.Equal(in.CreatedAt) || !got.RetiredAt.IsZero() {
		t.Errorf("after an update: %+v", got)
	}
	for _, c := range []struct {
		name string
		fn   func(tx kv.Tx) error
		want error
	}{
		{"a second of the name", func(tx kv.Tx) error { return f.CreateBatch(tx, in) }, keystore.ErrBatchExists},
		{"update of none", func(tx kv.Tx) error { return f.UpdateBatch(tx, keystore.Batch{Name: "none"}) }, keystore.ErrNoBatch},
		{"retire of none", func(tx kv.Tx) error { return f.RetireBatch(tx, "none", by("anna", "")) }, keystore.ErrNoBatch},
		{"retire by nobody", func(tx kv.Tx) error { return f.RetireBatch(tx, in.Name, by("", "")) }, keystore.ErrMove},
		{"read of none", func(tx kv.Tx) error { _, err := f.Batch(tx, "none"); return err }, keystore.ErrNoBatch},
	} {
		if err := f.try(c.fn); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestBatchNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "B1", "PO/2026-11 (2)", "München", string(slices.Repeat([]byte("x"), 100))} {
		if err := keystore.CheckBatchName(name); err != nil {
			t.Errorf("%q: got error %v", name, err)
		}
	}
	for _, name := range []string{"", " a", "a ", "a\x00b", "a\x01", "a\nb", "a\tb", "\xff", "a\u200bb", "a\u00a0b", string(slices.Repeat([]byte("x"), 101))} {
		if err := keystore.CheckBatchName(name); !errors.Is(err, keystore.ErrBatchName) {
			t.Errorf("%q: got error %v", name, err)
		}
	}
}

func TestRetireUnused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.batch(t, "B1", amt.USBKey)
	f.batch(t, "B2", amt.USBKey)
	claimed := bring(t, f, "Claimed")
	f.add(t, "B1", 1200)
	f.add(t, "B2", 3)
	f.update(t, func(tx kv.Tx) error { return f.RetireBatch(tx, "B1", by("anna", "returned")) })
	n, err := f.RetireUnused(t.Context(), f.db, "B1", by("anna", "returned"))
	if err != nil || n != 1200 {
		t.Errorf("retired %d, %v, want 1200", n, err)
	}
	if n, err := f.RetireUnused(t.Context(), f.db, "B1", by("anna", "returned")); err != nil || n != 0 {
		t.Errorf("again: retired %d, %v", n, err)
	}
	if got := f.get(t, claimed); got.State != keystore.Claimed {
		t.Errorf("a claimed pair is now %v", got.State)
	}
	if got := f.counts(t); got[keystore.Available] != 3 || got[keystore.Retired] != 1200 {
		t.Errorf("counts %v", got)
	}
	if _, err := f.RetireUnused(t.Context(), f.db, "none", by("anna", "")); !errors.Is(err, keystore.ErrNoBatch) {
		t.Errorf("no batch: got error %v", err)
	}
}

// FuzzToken: any token is refused, or gives a page of the list.
func FuzzToken(f *testing.F) {
	fix := newFixture(f)
	fix.batch(f, "B1", amt.USBKey)
	fix.add(f, "B1", 10)
	err := fix.db.View(f.Context(), func(r kv.Reader) error {
		_, token, err := fix.List(r, keystore.Filter{}, keystore.Page{Size: 3})
		f.Add(token)
		f.Add(token[:8])
		f.Add("")
		f.Add("AAAA")
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		fix.view(t, func(r kv.Reader) error {
			keys, next, err := fix.List(r, keystore.Filter{}, keystore.Page{Size: 3, Token: token})
			if errors.Is(err, keystore.ErrPageToken) {
				return nil
			}
			if len(keys) > 3 || len(keys) < 3 && next != "" {
				t.Errorf("token %q: got %d keys, next %q", token, len(keys), next)
			}
			return err
		})
	})
}
