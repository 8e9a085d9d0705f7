package setupbin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ChunkLen is the unit of all sizes in a file.
const ChunkLen = 512

// Version is a file version: the major number in the high byte, the minor in the
// low one. It says which firmware reads the file and which variables it knows;
// it is not an AMT release.
type Version uint16

// The versions, with the first AMT release that reads them (Intel, "Intel AMT
// and USB Versions"; 3 and 4 by the choices of Intel's Configuration Utility).
const (
	V1  Version = 0x0100 // AMT 2.x: passwords and the pair
	V2  Version = 0x0200 // AMT 3.0: remote configuration, SOL/IDER
	V21 Version = 0x0201 // AMT 4.0: all that MEBx can enter
	V3  Version = 0x0300 // AMT 6.0: IPv6, SHA-256 and SHA-384 hashes, KVM
	V4  Version = 0x0400 // AMT 7.0: scrambled records
)

// Versions lists all versions, oldest first.
func Versions() []Version { return []Version{V1, V2, V21, V3, V4} }

// ParseVersion reads 1, 2, 2.1, 3 or 4, also as 1.0, 2.0, 3.0 and 4.0.
func ParseVersion(s string) (Version, error) {
	for _, v := range Versions() {
		if s == v.String() || s == fmt.Sprintf("%d.%d", v.Major(), v.Minor()) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("setup.bin version %q: %w: want 1, 2, 2.1, 3 or 4", s, ErrVersion)
}

// Major is the number before the dot.
func (v Version) Major() uint8 { return uint8(v >> 8) }

// Minor is the number behind the dot.
func (v Version) Minor() uint8 { return uint8(v) }

// String is the shortest form that ParseVersion reads.
func (v Version) String() string {
	if v.Minor() == 0 {
		return fmt.Sprint(v.Major())
	}
	return fmt.Sprintf("%d.%d", v.Major(), v.Minor())
}

func (v Version) known() bool {
	_, ok := fileTypes[v]
	return ok
}

// fileTypes holds the bytes that a file of each version begins with; 2 and 2.1
// share theirs.
var fileTypes = map[Version][16]byte{
	V1:  {0xb5, 0x16, 0xfb, 0x71, 0x87, 0xcb, 0xf9, 0x4a, 0xb4, 0x41, 0xca, 0x7b, 0x38, 0x35, 0x78, 0xf9},
	V2:  {0x96, 0xb2, 0x81, 0x58, 0xcf, 0x6b, 0x72, 0x4c, 0x8b, 0x91, 0xa1, 0x5e, 0x51, 0x2e, 0x99, 0xc4},
	V21: {0x96, 0xb2, 0x81, 0x58, 0xcf, 0x6b, 0x72, 0x4c, 0x8b, 0x91, 0xa1, 0x5e, 0x51, 0x2e, 0x99, 0xc4},
	V3:  {0xa7, 0xf7, 0xf6, 0xc6, 0x89, 0xc4, 0xf6, 0x47, 0x93, 0xed, 0xe2, 0xe5, 0x02, 0x0d, 0xa5, 0x1d},
	V4:  {0xaa, 0xa9, 0x34, 0x52, 0xe1, 0x29, 0xa9, 0x44, 0x8d, 0x4d, 0x08, 0x1c, 0x07, 0xb9, 0x63, 0x53},
}

// FileFlags is the header's flags field.
type FileFlags uint16

// KeepRecords tells firmware not to consume records, so that one record serves
// many PCs. Versions from 2 on have it.
const KeepRecords FileFlags = 1

// Errors of files, in the order in which they are looked for.
var (
	// ErrNotSetupBin is returned when the type UUID is of no known version.
	ErrNotSetupBin = errors.New("not a setup.bin")
	// ErrVersion is returned for a version that is not known, or does not go
	// with the type UUID.
	ErrVersion = errors.New("unknown setup.bin version")
	// ErrFormat is returned when the file breaks a rule of its layout.
	ErrFormat = errors.New("damaged setup.bin")
)

// FormatError says where a file breaks a rule.
type FormatError struct {
	Offset int64  // in the file, in bytes
	Rule   string // what should be there
	Err    error  // ErrNotSetupBin, ErrVersion or ErrFormat
}

// Error names offset and rule; it shows no bytes of the file.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%v: offset %d (0x%x): %s", e.Err, e.Offset, e.Offset, e.Rule)
}

// Unwrap gives the sentinel.
func (e *FormatError) Unwrap() error { return e.Err }

// Header is the first record of a file, in full.
type Header struct {
	Version      Version
	Chunks       uint16 // chunks of the header: 1; a 0, as one old encoder wrote, is read as 1
	HeaderBytes  uint16 // 42 and 2 for each module
	Number       uint32 // 0
	Flags        FileFlags
	Records      uint32 // written when the file was made
	Consumed     uint32 // by firmware since then
	RecordChunks uint16 // chunks of each record: 1; a 0 is read as 1
	Reserved     uint16
	Modules      []uint16 // in the order of their first appearance
	Rest         Raw      // behind the module list; nil when it is all zeros
}

// offsets in the header
const (
	offChunks       = 0x10
	offHeaderBytes  = 0x12
	offNumber       = 0x14
	offMajor        = 0x18
	offMinor        = 0x19
	offFlags        = 0x1A
	offRecords      = 0x1C
	offConsumed     = 0x20
	offRecordChunks = 0x24
	offReserved     = 0x26
	offModules      = 0x28
)

// maxChunks bounds chunk counts; firmware takes 1 and nothing else.
const maxChunks = 16

// newHeader is the header of a new file.
func newHeader(v Version, flags FileFlags, records uint32, modules []uint16) Header {
	return Header{
		Version: v, Chunks: 1, HeaderBytes: uint16(offModules + 2*len(modules) + 2), Flags: flags,
		Records: records, RecordChunks: 1, Modules: modules,
	}
}

// Consumable reports whether firmware marks the records it took.
func (h *Header) Consumable() bool { return h.Flags&KeepRecords == 0 }

// Len is the number of bytes of the header in its file.
func (h *Header) Len() int64 { return ChunkLen * int64(max(h.Chunks, 1)) }

// RecordLen is the number of bytes of each record.
func (h *Header) RecordLen() int64 { return ChunkLen * int64(max(h.RecordChunks, 1)) }

// Offset is where record i begins, from 0.
func (h *Header) Offset(i uint32) int64 { return h.Len() + int64(i)*h.RecordLen() }

// String is one line for people.
func (h *Header) String() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "setup.bin version %v: %d records, %d consumed", h.Version, h.Records, h.Consumed)
	if !h.Consumable() {
		sb.WriteString(", kept by firmware")
	}
	return sb.String()
}

// parseHeader reads a header from its first chunk; more gives the bytes of
// further chunks, if it has any.
func parseHeader(b []byte, more func(n int) ([]byte, error)) (Header, error) {
	var h Header
	if err := h.parseFixed(b); err != nil {
		return Header{}, err
	}
	if n := int(h.Len()) - len(b); n > 0 {
		rest, err := more(n)
		if err != nil {
			return Header{}, err
		}
		b = append(b[:len(b):len(b)], rest...)
	}
	at := offModules
	for {
		if at+2 > len(b) {
			return Header{}, formatError(int64(at), ErrFormat, "the module list should end with a 0 within the header")
		}
		m := binary.LittleEndian.Uint16(b[at:])
		at += 2
		if m == 0 {
			break
		}
		h.Modules = append(h.Modules, m)
	}
	h.Rest = keep(b[at:])
	return h, nil
}

func (h *Header) parseFixed(b []byte) error {
	le := binary.LittleEndian
	kind := [16]byte(b)
	h.Version = Version(b[offMajor])<<8 | Version(b[offMinor])
	switch {
	case !Is(b):
		return formatError(0, ErrNotSetupBin, "the first 16 bytes should be the type UUID of a known version")
	case !h.Version.known():
		return formatError(offMajor, ErrVersion, fmt.Sprintf("%d.%d: 1, 2, 2.1, 3 and 4 are known", h.Version.Major(), h.Version.Minor()))
	case fileTypes[h.Version] != kind:
		return formatError(offMajor, ErrVersion, fmt.Sprintf("version %v does not go with the type UUID", h.Version))
	}
	h.Chunks, h.HeaderBytes = le.Uint16(b[offChunks:]), le.Uint16(b[offHeaderBytes:])
	h.Number, h.Flags = le.Uint32(b[offNumber:]), FileFlags(le.Uint16(b[offFlags:]))
	h.Records, h.Consumed = le.Uint32(b[offRecords:]), le.Uint32(b[offConsumed:])
	h.RecordChunks, h.Reserved = le.Uint16(b[offRecordChunks:]), le.Uint16(b[offReserved:])
	if h.Chunks > maxChunks {
		return formatError(offChunks, ErrFormat, fmt.Sprintf("the header should have 1 chunk, not %d", h.Chunks))
	}
	if h.RecordChunks > maxChunks {
		return formatError(offRecordChunks, ErrFormat, fmt.Sprintf("a record should have 1 chunk, not %d", h.RecordChunks))
	}
	return nil
}

// AppendBinary appends the header as it stands in a file. It fails when the
// version is unknown or modules and rest do not fit.
func (h *Header) AppendBinary(b []byte) ([]byte, error) {
	kind, ok := fileTypes[h.Version]
	switch size := offModules + 2*len(h.Modules) + 2 + len(h.Rest); {
	case !ok:
		return b, fmt.Errorf("writing a setup.bin header: %w %d.%d", ErrVersion, h.Version.Major(), h.Version.Minor())
	case int64(size) > h.Len():
		return b, fmt.Errorf("writing a setup.bin header: %w: %d bytes, at most %d", ErrCapacity, size, h.Len())
	}
	le := binary.LittleEndian
	end := len(b) + int(h.Len())
	b = append(b, kind[:]...)
	b = le.AppendUint16(b, h.Chunks)
	b = le.AppendUint16(b, h.HeaderBytes)
	b = le.AppendUint32(b, h.Number)
	b = append(b, h.Version.Major(), h.Version.Minor())
	b = le.AppendUint16(b, uint16(h.Flags))
	b = le.AppendUint32(b, h.Records)
	b = le.AppendUint32(b, h.Consumed)
	b = le.AppendUint16(b, h.RecordChunks)
	b = le.AppendUint16(b, h.Reserved)
	for _, m := range h.Modules {
		if m == 0 {
			return b, fmt.Errorf("writing a setup.bin header: %w: 0 ends the module list and cannot be in it", ErrFormat)
		}
		b = le.AppendUint16(b, m)
	}
	b = append(append(b, 0, 0), h.Rest...)
	return append(b, make([]byte, end-len(b))...), nil
}

func formatError(offset int64, err error, rule string) error {
	return &FormatError{Offset: offset, Rule: rule, Err: err}
}

// Is reports whether b begins as a setup.bin of a known version does; 16 bytes
// tell.
func Is(b []byte) bool {
	for _, t := range fileTypes {
		if len(b) >= len(t) && [16]byte(b) == t {
			return true
		}
	}
	return false
}
