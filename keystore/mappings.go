package keystore

import (
	"errors"
	"fmt"
	"time"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// Mapping is the layout of a supplier's lists, kept under a name. What its fields
// mean is keystore/batch's matter.
type Mapping struct {
	Name      string
	Columns   []MappingColumn
	Separator byte // 0: whichever the first line has
	Skip      int  // lines before the header or the first row
	Notes     string
	ChangedAt time.Time
	ChangedBy string
}

// MappingColumn is the place of a field: a position from 1, or a name.
type MappingColumn struct {
	Field    string
	Position int
	Name     string
}

// Errors of mappings.
var (
	// ErrNoMapping is returned when the store has no such mapping.
	ErrNoMapping = errors.New("no mapping of this name is in the store")
	// ErrMappingName is returned for a name that a mapping cannot have.
	ErrMappingName = errors.New("mapping name refused")
)

var mappingTable = kv.Collection[*scsstorev1.KeyMapping]{Table: "key_mappings"}

// CheckMappingName wants 1 to 64 letters, digits, hyphens, underscores and dots.
// The error is ErrMappingName.
func CheckMappingName(name string) error {
	if len(name) < 1 || len(name) > 64 {
		return fmt.Errorf("%w: it has %d bytes, want 1 to 64", ErrMappingName, len(name))
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			continue
		}
		return fmt.Errorf("%w: want letters, digits, hyphens, underscores and dots", ErrMappingName)
	}
	return nil
}

// SetMapping stores a mapping in place of one of its name, with the move's time
// and user. Errors: ErrMappingName, ErrMove.
func (s *Store) SetMapping(tx kv.Tx, m Mapping, move Move) (Mapping, error) {
	move, err := s.dated(move)
	if err != nil {
		return Mapping{}, err
	}
	if err := CheckMappingName(m.Name); err != nil {
		return Mapping{}, err
	}
	m.ChangedAt, m.ChangedBy = move.At, move.Who
	rec := &scsstorev1.KeyMapping{
		Name: m.Name, Separator: uint32(m.Separator), Skip: uint32(m.Skip), Notes: m.Notes,
		ChangedAt: stamp(m.ChangedAt), ChangedBy: m.ChangedBy,
	}
	for _, c := range m.Columns {
		rec.Columns = append(rec.Columns, &scsstorev1.KeyMappingColumn{Field: c.Field, Position: uint32(c.Position), Name: c.Name})
	}
	return m, mappingTable.Put(tx, []byte(m.Name), rec)
}

// Mapping returns a mapping, or ErrNoMapping.
func (s *Store) Mapping(r kv.Reader, name string) (Mapping, error) {
	rec, err := mappingTable.Get(r, []byte(name))
	if errors.Is(err, kv.ErrNotFound) {
		return Mapping{}, fmt.Errorf("mapping %q: %w", name, ErrNoMapping)
	}
	return viewMapping(rec), err
}

// DeleteMapping removes a mapping. The error is ErrNoMapping.
func (s *Store) DeleteMapping(tx kv.Tx, name string) error {
	if _, err := s.Mapping(tx, name); err != nil {
		return err
	}
	return mappingTable.Delete(tx, []byte(name))
}

// Mappings lists mappings by name, and returns the token of the next page, empty
// after the last.
func (s *Store) Mappings(r kv.Reader, p Page) ([]Mapping, string, error) {
	recs, next, err := byName(r, mappingTable, p)
	if err != nil {
		return nil, "", err
	}
	out := make([]Mapping, len(recs))
	for i, m := range recs {
		out[i] = viewMapping(m)
	}
	return out, next, nil
}

func viewMapping(rec *scsstorev1.KeyMapping) Mapping {
	m := Mapping{
		Name: rec.GetName(), Separator: byte(rec.GetSeparator()), Skip: int(rec.GetSkip()), Notes: rec.GetNotes(),
		ChangedAt: moment(rec.GetChangedAt()), ChangedBy: rec.GetChangedBy(),
	}
	for _, c := range rec.GetColumns() {
		m.Columns = append(m.Columns, MappingColumn{Field: c.GetField(), Position: int(c.GetPosition()), Name: c.GetName()})
	}
	return m
}
