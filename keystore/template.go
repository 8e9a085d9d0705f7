package keystore

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// The fields of scsstorev1.Key in which the new pairs of an import differ. All
// others are alike, and encoded once.
const (
	fieldPID     protowire.Number = 1
	fieldPPS     protowire.Number = 9
	fieldCurrent protowire.Number = 10
	fieldNew     protowire.Number = 11
)

// template is the stored form of the new pairs of an import with the same flags.
// It does not change.
type template struct {
	number     int
	state      State
	placement  kv.Placement
	head, tail []byte // the encoded fields 2 to 8, and those from 12
}

// newTemplates makes the templates by the flags of records in clear.
func newTemplates(im Import, model amt.Model, job uint64) ([]*template, error) {
	var all []*template
	for flags := range flagUsed | flagExported + 1 {
		p := Prepared{used: flags&flagUsed != 0, exported: flags&flagExported != 0}
		k := p.record(im.Batch.Name, model)
		k.Pid, k.ImportId = nil, job
		if err := begin(k, beginning(p.used), amt.UUID{}, im.Move); err != nil {
			return nil, err
		}
		t := &template{number: flags, state: State(k.GetState()), placement: keysTable.Place(k)}
		var err error
		if t.head, err = encodeFields(k, fieldPID, fieldPPS); err == nil {
			t.tail, err = encodeFields(k, fieldNew, protowire.MaxValidNumber)
		}
		if err != nil {
			return nil, fmt.Errorf("encoding a pair: %w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

// encodeFields encodes the fields of k with numbers between after and before.
func encodeFields(k *scsstorev1.Key, after, before protowire.Number) ([]byte, error) {
	part := proto.CloneOf(k)
	m := part.ProtoReflect()
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if f.Number() <= after || f.Number() >= before {
			m.Clear(f)
		}
		return true
	})
	return proto.MarshalOptions{Deterministic: true}.Marshal(part)
}

// size is about how long append makes buf longer, not less.
func (t *template) size(r rawRecord) int { return len(t.head) + len(t.tail) + len(r) + 16 }

// append adds the encoded pair of r, which is sealed: what proto.Marshal makes of it.
func (t *template) append(buf []byte, r rawRecord) []byte {
	pps, current, next := r.fields()
	buf = appendField(buf, fieldPID, r[:amt.PIDLen])
	buf = append(buf, t.head...)
	buf = appendField(buf, fieldPPS, pps)
	buf = appendField(buf, fieldCurrent, current)
	buf = appendField(buf, fieldNew, next)
	return append(buf, t.tail...)
}

// appendField adds a field of bytes, unless it is empty.
func appendField(buf []byte, n protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return buf
	}
	return protowire.AppendBytes(protowire.AppendTag(buf, n, protowire.BytesType), b)
}
