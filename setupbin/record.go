package setupbin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/amtscs/amtscs/amt"
)

// Sizes of a record of one chunk, in bytes.
const (
	// RecordHeaderLen is what stands before the entries.
	RecordHeaderLen = 24
	// Capacity is the space for entries.
	Capacity = ChunkLen - RecordHeaderLen

	entryHeaderLen = 8
	scramble       = 0x11
)

// Record types.
const (
	TypeInvalid uint32 = 0
	TypeData    uint32 = 1
)

// Record flags.
const (
	FlagValid     uint32 = 1 // cleared by the firmware that consumes the record
	FlagScrambled uint32 = 2 // version 4
)

// ErrCapacity is returned for entries that do not fit their record.
var ErrCapacity = errors.New("too many bytes")

// Raw is bytes of a file, which may hold passwords: it prints as its length in
// every verb and log, and does not marshal as text.
type Raw []byte

// Format implements fmt.Formatter for every verb.
func (r Raw) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "(%d bytes)", len(r)) }

// LogValue implements slog.LogValuer.
func (r Raw) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("(%d bytes)", len(r))) }

// MarshalText refuses, and with it encoding/json.
func (r Raw) MarshalText() ([]byte, error) { return nil, amt.ErrSecretEncoding }

// keep copies b, or gives nil when it is all zeros: the length follows from the
// layout.
func keep(b []byte) Raw {
	for _, c := range b {
		if c != 0 {
			return append(Raw{}, b...)
		}
	}
	return nil
}

// Entry is one variable of a record.
type Entry struct {
	Module, Variable uint16
	Value            Raw
	Reserved         uint16 // 0
	Pad              Raw    // the 0 to 3 bytes behind the value; nil when they are zeros
}

// ID names the entry as in "2/1".
func (e Entry) ID() string { return fmt.Sprintf("%d/%d", e.Module, e.Variable) }

// Format implements fmt.Formatter for every verb: number, name and length.
func (e Entry) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s %v", e.Describe(), e.Value) }

// size is the entry's length in a record.
func (e Entry) size() int { return entryHeaderLen + (len(e.Value)+3)&^3 }

// Record is one data record. Its zero value is neither valid nor of any type:
// NewRecord makes one to be written.
type Record struct {
	Type        uint32
	Flags       uint32
	Reserved    [8]byte
	Chunks      uint16
	HeaderBytes uint16 // 24
	Number      uint32 // from 1 in a file
	// Entries holds the variables in the order of the file. A record that is not
	// valid may hold anything; when that is no list of entries, it is in Rest.
	Entries []Entry
	// Rest is what follows the entries, plain also in a scrambled record: nil
	// when it is all zeros, and cut to the record's size otherwise.
	Rest Raw
}

// NewRecord gives a valid record with these entries; its number comes from the
// Writer.
func NewRecord(entries ...Entry) *Record {
	return &Record{Type: TypeData, Flags: FlagValid, Chunks: 1, HeaderBytes: RecordHeaderLen, Entries: entries}
}

// Valid reports whether firmware would take the record.
func (r *Record) Valid() bool { return r.Type == TypeData && r.Flags&FlagValid != 0 }

// Scrambled reports whether the record stands scrambled in its file.
func (r *Record) Scrambled() bool { return r.Flags&FlagScrambled != 0 }

// Get returns the first value of a variable.
func (r *Record) Get(module, variable uint16) (Raw, bool) {
	for _, e := range r.Entries {
		if e.Module == module && e.Variable == variable {
			return e.Value, true
		}
	}
	return nil, false
}

// Size is the number of bytes that the entries take, at most Capacity in a
// record of one chunk.
func (r *Record) Size() int {
	n := 0
	for _, e := range r.Entries {
		n += e.size()
	}
	return n
}

// Format implements fmt.Formatter for every verb: number, flags and the entries
// without their values.
func (r Record) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "record %d (type %d, flags %d): %v", r.Number, r.Type, r.Flags, r.Entries)
	if len(r.Rest) > 0 {
		fmt.Fprintf(f, " and %v", r.Rest)
	}
}

// LogValue implements slog.LogValuer.
func (r Record) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// parseRecord reads a record of len(b) bytes that stands at offset in its file.
// It may unscramble b in place. When only the entries are damaged, the record
// comes with the error, its entries up to there and the bytes from there in Rest.
func parseRecord(b []byte, offset int64) (*Record, error) {
	le := binary.LittleEndian
	r := &Record{
		Type: le.Uint32(b), Flags: le.Uint32(b[4:]), Reserved: [8]byte(b[8:16]),
		Chunks: le.Uint16(b[16:]), HeaderBytes: le.Uint16(b[18:]), Number: le.Uint32(b[20:]),
	}
	body := b[RecordHeaderLen:]
	if r.Scrambled() {
		for i := range body {
			body[i] -= scramble
		}
	}
	used, err := r.parseEntries(body, offset+RecordHeaderLen)
	if err != nil && !r.Valid() {
		r.Entries, used, err = nil, 0, nil
	}
	r.Rest = keep(body[used:])
	return r, err
}

// parseEntries reads entries up to module 0 or the end of body; used is the
// number of bytes of the whole ones.
func (r *Record) parseEntries(body []byte, offset int64) (used int, err error) {
	le := binary.LittleEndian
	for used+2 <= len(body) && le.Uint16(body[used:]) != 0 {
		b, at := body[used:], offset+int64(used)
		if len(b) < entryHeaderLen {
			return used, formatError(at, ErrFormat, "an entry should have 8 bytes before its value; only "+fmt.Sprint(len(b))+" are left")
		}
		e := Entry{Module: le.Uint16(b), Variable: le.Uint16(b[2:]), Reserved: le.Uint16(b[6:])}
		n := int(le.Uint16(b[4:]))
		if n > len(b)-entryHeaderLen {
			return used, formatError(at+4, ErrFormat, fmt.Sprintf("the value of %s should end within its record: %d bytes, %d are left", e.ID(), n, len(b)-entryHeaderLen))
		}
		end := entryHeaderLen + n
		padded := min((end+3)&^3, len(b))
		e.Value, e.Pad = append(Raw{}, b[entryHeaderLen:end]...), keep(b[end:padded])
		r.Entries = append(r.Entries, e)
		used += padded
	}
	return used, nil
}

// AppendBinary appends the record in size bytes, as Header.RecordLen tells. It
// checks nothing but the room: Check knows the rules for new records.
func (r *Record) AppendBinary(b []byte, size int64) ([]byte, error) {
	need := int64(RecordHeaderLen + r.Size() + len(r.Rest))
	if need > size {
		return b, fmt.Errorf("writing record %d: %w: %d, at most %d", r.Number, ErrCapacity, need, size)
	}
	le := binary.LittleEndian
	end := len(b) + int(size)
	b = le.AppendUint32(b, r.Type)
	b = le.AppendUint32(b, r.Flags)
	b = append(b, r.Reserved[:]...)
	b = le.AppendUint16(b, r.Chunks)
	b = le.AppendUint16(b, r.HeaderBytes)
	b = le.AppendUint32(b, r.Number)
	body := len(b)
	for _, e := range r.Entries {
		b = le.AppendUint16(b, e.Module)
		b = le.AppendUint16(b, e.Variable)
		b = le.AppendUint16(b, uint16(len(e.Value)))
		b = le.AppendUint16(b, e.Reserved)
		b = append(b, e.Value...)
		var pad [3]byte
		copy(pad[:], e.Pad)
		b = append(b, pad[:e.size()-entryHeaderLen-len(e.Value)]...)
	}
	b = append(b, r.Rest...)
	b = append(b, make([]byte, end-len(b))...)
	if r.Scrambled() {
		for i := body; i < len(b); i++ {
			b[i] += scramble
		}
	}
	return b, nil
}
