package profile

import (
	"errors"
	"fmt"

	"github.com/amtscs/amtscs/amt"
)

// Parse reads and checks a whole document, YAML or JSON. name is that of the
// file, for errors, which are Errors: every fault found, none of them showing a
// password or a line of the document.
func Parse(name string, doc []byte) (*Profile, error) {
	p, f := read(name, doc)
	if f.err() == nil {
		p.check(f)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Open reads what Encode wrote and puts the secrets back that Secrets gave. Its
// errors are those of Parse and of Attach.
func Open(doc []byte, secrets map[string]amt.Secret) (*Profile, error) {
	p, f := read("", doc)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := p.Attach(secrets); err != nil {
		return nil, err
	}
	if p.check(f); f.err() != nil {
		return nil, f.err()
	}
	return p, nil
}

// read reads the fields of a document onto those of Base.
func read(name string, doc []byte) (*Profile, *faults) {
	f := &faults{doc: name, places: map[string]place{"": {1, 1}}}
	p, schema := Base(), Schema
	tree, err := parseTree(doc)
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		f.reportAt(syntax.at, "", "%s", syntax.problem)
		return p, f
	case err != nil:
		f.reportAt(place{}, "", "%v", err)
		return p, f
	}
	p.fields(&schema).read(f, tree, "")
	if schema != Schema {
		f.report("version", "%d: this program reads version %d of profile documents", schema, Schema)
	}
	return p, f
}

// Encode writes the profile as YAML with every field that has a value, in one
// order, without its fixed passwords. Open and, when there are no fixed
// passwords, Parse give the same profile again.
func (p *Profile) Encode() []byte {
	schema := Schema
	return p.fields(&schema).write().print(nil, "")
}

// Validate reports what AMT, or this product, would refuse, and fixed passwords
// without a value; its errors are Errors with paths and without places.
func (p *Profile) Validate() error {
	f := &faults{places: map[string]place{}}
	p.check(f)
	return f.err()
}

// String names the profile.
func (p *Profile) String() string { return fmt.Sprintf("profile %s", p.Name) }
