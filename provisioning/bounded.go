package provisioning

import (
	"container/list"
	"net/netip"
)

// bounded is a set of entries that outsiders can make come to exist, bounded in
// all, per source and per group; what is touched last stays. It is the working
// copy of a table whose rows are loaded at the start, and is not safe for
// concurrent use.
type bounded[K comparable, V any] struct {
	max, maxSource, maxGroup int // 0: no bound

	entries map[K]*entry[K, V]
	all     *list.List
	sources map[netip.Prefix]*list.List
	groups  map[string]*list.List
}

// entry is an element of a bounded set, and of three lists in the order of
// touching.
type entry[K comparable, V any] struct {
	key    K
	source netip.Prefix
	group  string
	// spoiled entries were tried in vain: of their source and group they go first.
	spoiled bool
	value   V

	inAll, inSource, inGroup *list.Element
}

func newBounded[K comparable, V any](limit, perSource, perGroup int) *bounded[K, V] {
	return &bounded[K, V]{
		max: limit, maxSource: perSource, maxGroup: perGroup,
		entries: map[K]*entry[K, V]{}, all: list.New(),
		sources: map[netip.Prefix]*list.List{}, groups: map[string]*list.List{},
	}
}

func (b *bounded[K, V]) get(key K) (*entry[K, V], bool) {
	en, ok := b.entries[key]
	return en, ok
}

func (b *bounded[K, V]) len() int { return len(b.entries) }

// touch makes or finds the entry of key, now the latest, and returns what had to
// go for it. A changed source moves the entry.
func (b *bounded[K, V]) touch(key K, source netip.Prefix, group string) (en *entry[K, V], evicted []*entry[K, V]) {
	if old, ok := b.entries[key]; ok {
		if old.source == source && old.group == group {
			b.all.MoveToBack(old.inAll)
			b.sources[source].MoveToBack(old.inSource)
			b.groups[group].MoveToBack(old.inGroup)
			return old, nil
		}
		b.remove(key)
		en = old
	} else {
		en = &entry[K, V]{key: key}
	}
	en.source, en.group = source, group
	for b.maxGroup > 0 && lenOf(b.groups[group]) >= b.maxGroup {
		evicted = append(evicted, b.evictFrom(b.groups[group], source))
	}
	for b.maxSource > 0 && lenOf(b.sources[source]) >= b.maxSource {
		evicted = append(evicted, b.evict(oldest[K, V](b.sources[source])))
	}
	for b.max > 0 && len(b.entries) >= b.max {
		evicted = append(evicted, b.evict(oldest[K, V](b.all)))
	}
	b.entries[key] = en
	en.inAll = b.all.PushBack(en)
	en.inSource = listOf(b.sources, source).PushBack(en)
	en.inGroup = listOf(b.groups, group).PushBack(en)
	return en, evicted
}

// evictFrom makes room in a group for an entry of the source newcomer. It takes
// from the source that would have the most entries in the group, so that one
// source never pushes others out; there a spoiled entry goes before the oldest.
func (b *bounded[K, V]) evictFrom(group *list.List, newcomer netip.Prefix) *entry[K, V] {
	counts := map[netip.Prefix]int{}
	for el := group.Front(); el != nil; el = el.Next() {
		counts[el.Value.(*entry[K, V]).source]++
	}
	if counts[newcomer] > 0 {
		counts[newcomer]++
	}
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	var victim *entry[K, V]
	for el := group.Front(); el != nil; el = el.Next() {
		en := el.Value.(*entry[K, V])
		if counts[en.source] != most || counts[newcomer] == most && en.source != newcomer {
			continue
		}
		if victim == nil || en.spoiled && !victim.spoiled {
			victim = en
		}
	}
	return b.evict(victim)
}

func oldest[K comparable, V any](l *list.List) *entry[K, V] {
	return l.Front().Value.(*entry[K, V])
}

func (b *bounded[K, V]) evict(victim *entry[K, V]) *entry[K, V] {
	b.remove(victim.key)
	return victim
}

func (b *bounded[K, V]) remove(key K) (*entry[K, V], bool) {
	en, ok := b.entries[key]
	if !ok {
		return nil, false
	}
	delete(b.entries, key)
	b.all.Remove(en.inAll)
	dropFrom(b.sources, en.source, en.inSource)
	dropFrom(b.groups, en.group, en.inGroup)
	return en, true
}

func lenOf(l *list.List) int {
	if l == nil {
		return 0
	}
	return l.Len()
}

func listOf[K comparable](m map[K]*list.List, key K) *list.List {
	l, ok := m[key]
	if !ok {
		l = list.New()
		m[key] = l
	}
	return l
}

func dropFrom[K comparable](m map[K]*list.List, key K, el *list.Element) {
	l := m[key]
	l.Remove(el)
	if l.Len() == 0 {
		delete(m, key)
	}
}

// sourceOf is what counts as one source: an IPv4 address or an IPv6 /64.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() && !a.Is4In6() {
		bits = 64
	}
	p, err := a.Unmap().WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
