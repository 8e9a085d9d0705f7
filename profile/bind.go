package profile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/amtscs/amtscs/amt"
)

// field is one row of a section's table, which serves reading and writing.
type field struct {
	name  string
	value value
	// omit leaves the field out of what is written.
	omit bool
}

// value reads itself from a document and writes itself into one.
type value interface {
	read(f *faults, n *node, path string)
	write() *node // nil: nothing to write
}

// wants reports a node of another kind.
func wants(f *faults, n *node, path string, k kind, what string) bool {
	if n.kind == k {
		return true
	}
	if n.kind == kindNull {
		f.report(path, "it is empty: give it %s or leave it out", what)
	} else {
		f.report(path, "want %s, found %s", what, kindNames[n.kind])
	}
	return false
}

// text is a string.
type text struct{ p *string }

func (v text) read(f *faults, n *node, path string) {
	if n.kind == kindNumber || n.kind == kindFlag {
		f.report(path, "want text, found %s: put it in quotes", kindNames[n.kind])
		return
	}
	if wants(f, n, path, kindText, "text") {
		*v.p = n.text
	}
}

func (v text) write() *node { return &node{kind: kindText, text: *v.p} }

// flag is true or false.
type flag struct{ p *bool }

func (v flag) read(f *faults, n *node, path string) {
	if wants(f, n, path, kindFlag, "true or false") {
		*v.p = n.text == "true"
	}
}

func (v flag) write() *node { return &node{kind: kindFlag, text: strconv.FormatBool(*v.p)} }

// number is a whole number.
type number struct{ p *int }

func (v number) read(f *faults, n *node, path string) {
	if !wants(f, n, path, kindNumber, "a whole number") {
		return
	}
	i, err := strconv.ParseInt(n.text, 10, 32)
	if err != nil {
		f.report(path, "want a whole number in decimal digits")
		return
	}
	*v.p = int(i)
}

func (v number) write() *node { return &node{kind: kindNumber, text: strconv.Itoa(*v.p)} }

// parsed is text, or a number taken as text, that stands for something.
type parsed[T any] struct {
	p     *T
	parse func(string) (T, error) // its errors tell what is wanted
	print func(T) string
}

func (v parsed[T]) read(f *faults, n *node, path string) {
	if n.kind != kindNumber && !wants(f, n, path, kindText, "text") {
		return
	}
	got, err := v.parse(n.text)
	if err != nil {
		f.report(path, "%v", err)
		return
	}
	*v.p = got
}

func (v parsed[T]) write() *node { return &node{kind: kindText, text: v.print(*v.p)} }

// word is one value of a choice and its name in documents.
type word[T comparable] struct {
	value T
	name  string
}

// enum is a type whose values have words.
type enum interface{ ~uint8 | ~uint32 }

// choice is one of some words; its errors do not show another one.
func choice[T enum](p *T, words []word[T]) value {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = w.name
	}
	return parsed[T]{
		p: p,
		parse: func(s string) (T, error) {
			for _, w := range words {
				if w.name == s {
					return w.value, nil
				}
			}
			var none T
			return none, fmt.Errorf("want one of %s", strings.Join(names, ", "))
		},
		print: func(v T) string { return wordOf(v, words) },
	}
}

func wordOf[T enum](v T, words []word[T]) string {
	for _, w := range words {
		if w.value == v {
			return w.name
		}
	}
	return fmt.Sprintf("unknown (%d)", v) // %v would call String again
}

// quote shows a value of no secret field, when it is a single short word: a
// document whose indentation or quotes are broken may have a password in it.
func quote(s string) string {
	const most = 40
	for _, c := range s {
		if len(s) > most || !letterOrDigit(c) && !strings.ContainsRune("-_./{}", c) {
			return "this value"
		}
	}
	return strconv.Quote(s)
}

// secret is a password. It is read and never written.
type secret struct{ p *amt.Secret }

func (v secret) read(f *faults, n *node, path string) {
	if n.kind == kindNumber || n.kind == kindFlag {
		f.report(path, "want text, found %s: put the password in quotes", kindNames[n.kind])
		return
	}
	if wants(f, n, path, kindText, "a password") {
		*v.p = amt.NewSecretString(n.text)
	}
}

func (v secret) write() *node { return nil }

// group is a mapping with known fields. A group that may hold a password does
// not show the names of unknown ones.
type group struct {
	fields []field
	hide   bool
}

func (v group) read(f *faults, n *node, path string) {
	if !wants(f, n, path, kindMapping, "a group of fields") {
		return
	}
	for _, k := range n.keys {
		p := join(path, k.name)
		row := v.find(k.name)
		if row == nil {
			v.unknown(f, k, path)
			continue
		}
		f.places[p] = k.value.at
		if k.value.at == (place{}) {
			f.places[p] = k.at
		}
		row.value.read(f, k.value, p)
	}
}

func (v group) find(name string) *field {
	for i := range v.fields {
		if v.fields[i].name == name {
			return &v.fields[i]
		}
	}
	return nil
}

func (v group) unknown(f *faults, k key, path string) {
	names := make([]string, len(v.fields))
	for i, row := range v.fields {
		names[i] = row.name
	}
	if !v.hide && plain(k.name) && len(k.name) <= maxNameLen {
		path = join(path, k.name)
	}
	f.reportAt(k.at, path, "unknown field: want one of %s", strings.Join(names, ", "))
}

func (v group) write() *node {
	n := &node{kind: kindMapping}
	for _, row := range v.fields {
		if row.omit {
			continue
		}
		if value := row.value.write(); value != nil {
			n.keys = append(n.keys, key{name: row.name, value: value})
		}
	}
	return n
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// list is a list of values of one form.
type list[T any] struct {
	p    *[]T
	item func(*T) value // what reads and writes one item, beginning with its zero value
	zero T
}

func (v list[T]) read(f *faults, n *node, path string) {
	if !wants(f, n, path, kindList, "a list") {
		return
	}
	items := make([]T, len(n.items))
	for i, item := range n.items {
		p := fmt.Sprintf("%s[%d]", path, i)
		f.places[p] = item.at
		items[i] = v.zero
		v.item(&items[i]).read(f, item, p)
	}
	*v.p = items
}

func (v list[T]) write() *node {
	n := &node{kind: kindList}
	for i := range *v.p {
		n.items = append(n.items, v.item(&(*v.p)[i]).write())
	}
	return n
}

// optional is a value that a nil pointer stands for the lack of.
type optional[T any] struct {
	p    **T
	some func(*T) value
}

func (v optional[T]) read(f *faults, n *node, path string) {
	*v.p = new(T)
	v.some(*v.p).read(f, n, path)
}

func (v optional[T]) write() *node {
	if *v.p == nil {
		return nil
	}
	return v.some(*v.p).write()
}
