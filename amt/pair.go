package amt

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Sizes of a pair without its dashes (Intel pidppschecksum page).
const (
	PIDLen = 8
	PPSLen = 32
)

// PID is the public half of a pair: eight characters of A-Z and 0-9, the last a
// checksum. It holds the bytes as they came: those of a hello may be anything,
// and Check says whether they are well formed.
type PID [PIDLen]byte

// Pair is a PID and the pre-shared key that belongs to it. PPS holds the 32
// characters without dashes.
type Pair struct {
	PID PID
	PPS Secret
}

// LogValue logs a pair by its public half.
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.PID.String()) }

// String is the public half.
func (p Pair) String() string { return p.PID.String() }

// Errors of PIDs and PPSs.
var (
	// ErrPairLength is returned for a PID or PPS of the wrong length.
	ErrPairLength = errors.New("wrong length")
	// ErrPairAlphabet is returned for a character outside A-Z and 0-9.
	ErrPairAlphabet = errors.New("only A-Z and 0-9 are allowed")
	// ErrPairChecksum is returned when a check character does not match.
	ErrPairChecksum = errors.New("the check character does not match: is there a typing error?")
	// ErrPairDashes is returned for dashes in other places than AMT shows them.
	ErrPairDashes = errors.New("a dash belongs behind each fourth character or nowhere")
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checksum is Intel's check character: the sum of the ASCII codes modulo 36, in
// digits and then letters (pidppschecksum page). It is blind to transposition.
func checksum(b []byte) byte {
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	return alphabet[sum%len(alphabet)]
}

func inAlphabet(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' }

// upper is upper case for ASCII alone: Unicode has letters such as U+017F whose
// upper case is in the alphabet.
func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// undash upper-cases s and strips dashes that stand behind each fourth character.
func undash(s string, want int) ([]byte, error) {
	s = strings.Trim(s, " \t\r\n")
	dashed := want + want/4 - 1
	if len(s) != want && len(s) != dashed {
		return nil, fmt.Errorf("%w: %d characters, want %d (%d with dashes)", ErrPairLength, len(s), want, dashed)
	}
	b := make([]byte, 0, want)
	for i := range len(s) {
		if len(s) == dashed && i%5 == 4 {
			if s[i] != '-' {
				return nil, ErrPairDashes
			}
			continue
		}
		b = append(b, upper(s[i]))
	}
	return b, nil
}

// ParsePID reads a PID with or without its dash, in either case, and checks it.
func ParsePID(s string) (PID, error) {
	b, err := undash(s, PIDLen)
	if err != nil {
		return PID{}, fmt.Errorf("PID: %w", err)
	}
	p := PID(b)
	if err := p.Check(); err != nil {
		return PID{}, err
	}
	return p, nil
}

// Check reports what is wrong with p: ErrPairAlphabet or ErrPairChecksum.
func (p PID) Check() error {
	for i, c := range p {
		if !inAlphabet(c) {
			return fmt.Errorf("PID: character %d: %w", i+1, ErrPairAlphabet)
		}
	}
	if checksum(p[:PIDLen-1]) != p[PIDLen-1] {
		return fmt.Errorf("PID %v: %w", p, ErrPairChecksum)
	}
	return nil
}

// String is the form MEBx shows, XXXX-XXXX; bytes outside the alphabet print as
// a quoted string, so that a forged hello cannot write into a log.
func (p PID) String() string {
	for _, c := range p {
		if !inAlphabet(c) {
			return fmt.Sprintf("%q", p[:])
		}
	}
	return string(p[:4]) + "-" + string(p[4:])
}

// Wire is the form of hello messages, setup.bin and TLS-PSK: no dash.
func (p PID) Wire() string { return string(p[:]) }

// ParsePPS reads a PPS with or without dashes, in either case, and checks the
// check character of each of its eight groups. Its errors name the group, never
// the characters.
func ParsePPS(s string) (Secret, error) {
	b, err := undash(s, PPSLen)
	if err != nil {
		return Secret{}, fmt.Errorf("PPS: %w", err)
	}
	if err := checkPPS(b); err != nil {
		return Secret{}, err
	}
	return NewSecret(b), nil
}

// CheckPPS reports what is wrong with what should be the 32 characters of a PPS
// without dashes: ErrPairLength, ErrPairAlphabet or ErrPairChecksum. Its errors
// name the group, never the characters.
func CheckPPS(pps Secret) error {
	if n := pps.Len(); n != PPSLen {
		return fmt.Errorf("PPS: %w: %d characters, want %d without dashes", ErrPairLength, n, PPSLen)
	}
	return checkPPS(pps.Reveal())
}

// checkPPS looks at 32 characters.
func checkPPS(b []byte) error {
	for i, c := range b {
		if !inAlphabet(c) {
			return fmt.Errorf("PPS: group %d: %w", i/4+1, ErrPairAlphabet)
		}
	}
	for g := 0; g < PPSLen; g += 4 {
		if checksum(b[g:g+3]) != b[g+3] {
			return fmt.Errorf("PPS: group %d: %w", g/4+1, ErrPairChecksum)
		}
	}
	return nil
}

// RevealPPS returns the form MEBx shows, eight groups of four with dashes.
func RevealPPS(pps Secret) string {
	b := pps.Reveal()
	var sb strings.Builder
	for i := 0; i < len(b); i += 4 {
		if i > 0 {
			sb.WriteByte('-')
		}
		sb.Write(b[i:min(i+4, len(b))])
	}
	return sb.String()
}

// DrawPID draws a PID from rand: 36^7 values.
func DrawPID(rand io.Reader) (PID, error) {
	var p PID
	if err := draw(rand, p[:PIDLen-1], alphabet); err != nil {
		return PID{}, fmt.Errorf("drawing a PID: %w", err)
	}
	p[PIDLen-1] = checksum(p[:PIDLen-1])
	return p, nil
}

// DrawPair draws a pair from rand, which must be cryptographically strong: 124
// bits of PPS. Whether the PID is new is for the store to say.
func DrawPair(rand io.Reader) (Pair, error) {
	var free [PIDLen - 1 + PPSLen/4*3]byte // the others are checksums
	if err := draw(rand, free[:], alphabet); err != nil {
		return Pair{}, fmt.Errorf("drawing a pair: %w", err)
	}
	var pid PID
	rest := free[copy(pid[:PIDLen-1], free[:]):]
	pid[PIDLen-1] = checksum(pid[:PIDLen-1])
	var pps [PPSLen]byte
	for g := 0; g < PPSLen; g += 4 {
		rest = rest[copy(pps[g:g+3], rest):]
		pps[g+3] = checksum(pps[g : g+3])
	}
	return Pair{PID: pid, PPS: NewSecret(pps[:])}, nil
}

// draw fills dst with characters of set, each equally likely, by rejecting the
// bytes that would favour the first characters.
func draw(rand io.Reader, dst []byte, set string) error {
	limit := 256 - 256%len(set)
	buf := make([]byte, len(dst)+8)
	for i := 0; i < len(dst); {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return err
		}
		for _, c := range buf {
			if int(c) < limit && i < len(dst) {
				dst[i] = set[int(c)%len(set)]
				i++
			}
		}
	}
	return nil
}
