package provisioning

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func source(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 32)
}

func TestBoundedMakesRoom(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		set   *bounded[int, string]
		spoil int // key; 0: none
		want  int // key that goes when 4 comes
		from  int // source of 4
		group string
	}{
		{"the oldest of all", newBounded[int, string](3, 0, 0), 0, 1, 9, "other"},
		{"the oldest of its source", newBounded[int, string](9, 2, 0), 0, 2, 1, "other"},
		{"the oldest of the group's busiest source", newBounded[int, string](9, 0, 3), 0, 2, 9, "g"},
		{"what was tried in vain, of that source", newBounded[int, string](9, 0, 3), 3, 3, 9, "g"},
		{"not what another source tried in vain", newBounded[int, string](9, 0, 3), 1, 2, 9, "g"},
		{"its own before that of an equal", newBounded[int, string](9, 0, 3), 3, 1, 7, "g"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.set.touch(1, source(7), "g")
			tt.set.touch(2, source(1), "g")
			tt.set.touch(3, source(1), "g")
			if en, ok := tt.set.get(tt.spoil); ok {
				en.spoiled = true
			}
			_, out := tt.set.touch(4, source(tt.from), tt.group)
			if len(out) != 1 || out[0].key != tt.want {
				t.Errorf("got %v, want %d to go", keysOf(out), tt.want)
			}
			if _, ok := tt.set.get(4); !ok || tt.set.len() != 3 {
				t.Errorf("the set has %d entries, the new one among them: %t", tt.set.len(), ok)
			}
		})
	}
}

// TestBoundedOneSourceCannotFlood fills a group from one source: entries of
// others stay, whether they came before or in between.
func TestBoundedOneSourceCannotFlood(t *testing.T) {
	t.Parallel()
	set := newBounded[int, string](1000, 0, 16)
	set.touch(1, source(1), "g")
	first, _ := set.get(1)
	first.spoiled = true
	for i := range 200 {
		set.touch(100+i, source(2), "g")
		if i == 50 {
			set.touch(2, source(3), "g")
		}
	}
	for _, key := range []int{1, 2} {
		if _, ok := set.get(key); !ok {
			t.Errorf("the entry %d of another source was pushed out", key)
		}
	}
	if n := lenOf(set.groups["g"]); n != 16 {
		t.Errorf("the group has %d entries, want 16", n)
	}
}

func keysOf(list []*entry[int, string]) []int {
	var keys []int
	for _, en := range list {
		keys = append(keys, en.key)
	}
	return keys
}

func TestBoundedTouchKeeps(t *testing.T) {
	t.Parallel()
	set := newBounded[int, string](2, 0, 0)
	first, _ := set.touch(1, source(1), "")
	first.value = "kept"
	set.touch(2, source(2), "")
	set.touch(1, source(1), "")
	if _, out := set.touch(3, source(3), ""); len(out) != 1 || out[0].key != 2 {
		t.Errorf("got %v, want 2 to go", keysOf(out))
	}
	moved, out := set.touch(1, source(9), "")
	if len(out) != 0 || moved.value != "kept" {
		t.Errorf("a changed source: evicted %v, value %q", keysOf(out), moved.value)
	}
}

// TestBoundedModel runs random operations and compares the three lists.
func TestBoundedModel(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	set := newBounded[int, string](50, 10, 7)
	for range 20000 {
		key := rnd.IntN(200)
		if rnd.IntN(5) == 0 {
			set.remove(key)
		} else {
			set.touch(key, source(rnd.IntN(8)), fmt.Sprint(rnd.IntN(12)))
		}
		inSources, inGroups := 0, 0
		for _, l := range set.sources {
			inSources += l.Len()
			if l.Len() > 10 || l.Len() == 0 {
				t.Fatalf("a source has %d entries", l.Len())
			}
		}
		for _, l := range set.groups {
			inGroups += l.Len()
			if l.Len() > 7 || l.Len() == 0 {
				t.Fatalf("a group has %d entries", l.Len())
			}
		}
		if n := set.len(); n > 50 || n != set.all.Len() || n != inSources || n != inGroups {
			t.Fatalf("%d entries, %d in order, %d by source, %d by group", n, set.all.Len(), inSources, inGroups)
		}
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ addr, want string }{
		{"192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"2001:db8::1:2", "2001:db8::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	}
	for _, tt := range tests {
		if got := sourceOf(netip.MustParseAddr(tt.addr)).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addr, got, tt.want)
		}
	}
	if got := sourceOf(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %v", got)
	}
}
