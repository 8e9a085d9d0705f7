package amt

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTypedGroups is returned for a pair typed with dashes or blanks that do not
// part it into groups of four.
var ErrTypedGroups = errors.New("wrong groups")

// LookAlike is a character that another one was probably typed for.
type LookAlike struct {
	Character int  // within its group, from 1
	Typed     byte // what stands there
	Instead   byte // what makes the group right
}

// TypingFault is what is wrong with one group of a PID or PPS that was typed.
type TypingFault struct {
	Group int   // from 1; 0: the whole
	Err   error // shows no character of a PPS
	// LookAlike is set when exactly one exchange of look-alikes makes the check
	// character match. That is a guess: another slip may give the same sum.
	LookAlike *LookAlike
}

// Error names the group and what is wrong with it, and no character of it.
func (f TypingFault) Error() string {
	if f.Group == 0 {
		return f.Err.Error()
	}
	return fmt.Sprintf("group %d: %v", f.Group, f.Err)
}

// Unwrap gives the cause.
func (f TypingFault) Unwrap() error { return f.Err }

// lookAlikes are pairs of characters that people take for one another.
var lookAlikes = [...][2]byte{{'0', 'O'}, {'1', 'I'}, {'2', 'Z'}, {'5', 'S'}, {'8', 'B'}, {'6', 'G'}, {'1', 'L'}}

// TypedPID finds what is wrong with a PID that a person typed, in either case,
// with a dash, a blank or nothing between its groups. None: it is right, as far
// as a check character can tell, which is blind to two characters that changed
// places and to 0 for T, 1 for U, and so on to 6 for Z. Its two groups have one check character: Group is 0 when that does
// not match.
func TypedPID(s string) []TypingFault {
	groups, faults := typedGroups([]byte(s), PIDLen, wholePID)
	if faults != nil {
		return faults
	}
	whole := append([]byte{}, groups[0]...)
	if f, bad := checkGroup(0, append(whole, groups[1]...)); bad {
		return []TypingFault{f}
	}
	return nil
}

// TypedPPS is TypedPID for a PPS, each of whose eight groups has a check
// character of its own.
func TypedPPS(s Secret) []TypingFault {
	groups, faults := typedGroups(s.Reveal(), PPSLen, eachGroup)
	if faults != nil {
		return faults
	}
	return badGroups(groups)
}

func badGroups(groups [][]byte) []TypingFault {
	var faults []TypingFault
	for i, g := range groups {
		if f, bad := checkGroup(i+1, g); bad {
			faults = append(faults, f)
		}
	}
	return faults
}

// typedGroups parts what was typed into groups of four, or says why it cannot.
// locate names the place of missing or surplus characters when there are no
// dashes that show it.
func typedGroups(typed []byte, want int, locate func(typed []byte, want int) TypingFault) ([][]byte, []TypingFault) {
	text := strings.Map(capital, strings.Trim(string(typed), " \t\r\n-"))
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == '-' || r == ' ' || r == '\t' })
	if len(parts) == 0 {
		return nil, []TypingFault{{Err: fmt.Errorf("%w: nothing was typed", ErrPairLength)}}
	}
	if len(parts) == 1 {
		whole := []byte(parts[0])
		if f, bad := strange(0, whole); bad {
			return nil, []TypingFault{f}
		}
		if len(whole) != want {
			return nil, []TypingFault{locate(whole, want)}
		}
		return fours(whole), nil
	}
	var faults []TypingFault
	groups := make([][]byte, len(parts))
	for i, part := range parts {
		groups[i] = []byte(part)
		if f, bad := strange(i+1, groups[i]); bad {
			faults = append(faults, f)
		} else if len(part) != 4 {
			faults = append(faults, TypingFault{Group: i + 1, Err: fmt.Errorf("%w: %d characters, want 4", ErrPairLength, len(part))})
		} else if want == PPSLen {
			if f, bad := checkGroup(i+1, groups[i]); bad {
				faults = append(faults, f)
			}
		}
	}
	if len(parts) != want/4 {
		faults = append(faults, TypingFault{Err: fmt.Errorf("%w: %d of them, want %d", ErrTypedGroups, len(parts), want/4)})
	}
	return groups, faults
}

// capital is upper case for ASCII alone: letters such as U+017F have an upper case
// in the alphabet, and are none of it.
func capital(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}

// strange finds a character that no pair has.
func strange(group int, b []byte) (TypingFault, bool) {
	for i, c := range b {
		if !inAlphabet(c) {
			return TypingFault{Group: group, Err: fmt.Errorf("character %d: %w", i+1, ErrPairAlphabet)}, true
		}
	}
	return TypingFault{}, false
}

// checkGroup compares the last character of a group with its check character.
func checkGroup(number int, g []byte) (TypingFault, bool) {
	if good(g) {
		return TypingFault{}, false
	}
	return TypingFault{Group: number, Err: ErrPairChecksum, LookAlike: mended(g)}, true
}

func good(g []byte) bool { return checksum(g[:len(g)-1]) == g[len(g)-1] }

// mended is the one exchange of look-alikes that makes a group right, nil when
// there is none or more than one.
func mended(g []byte) *LookAlike {
	var found *LookAlike
	try := append([]byte{}, g...)
	for i, c := range g {
		for _, pair := range lookAlikes {
			instead := pair[1]
			switch c {
			case pair[0]:
			case pair[1]:
				instead = pair[0]
			default:
				continue
			}
			try[i] = instead
			if good(try) {
				if found != nil {
					return nil
				}
				found = &LookAlike{Character: i + 1, Typed: c, Instead: instead}
			}
			try[i] = c
		}
	}
	return found
}

func fours(b []byte) [][]byte {
	var groups [][]byte
	for ; len(b) >= 4; b = b[4:] {
		groups = append(groups, b[:4])
	}
	return groups
}

func wholePID(typed []byte, want int) TypingFault {
	return TypingFault{Err: lengthError(typed, want)}
}

func lengthError(typed []byte, want int) error {
	return fmt.Errorf("%w: %d characters, want %d (%d with dashes)", ErrPairLength, len(typed), want, want+want/4-1)
}

// eachGroup finds the group that lacks characters or has too many: all before it
// are right counted from the front, all behind it counted from the back.
func eachGroup(typed []byte, want int) TypingFault {
	front, back := 0, 0
	for front < want/4 && len(typed) >= 4*front+4 && good(typed[4*front:4*front+4]) {
		front++
	}
	for end := len(typed) - 4*back; end >= 4 && back < want/4 && good(typed[end-4:end]); end = len(typed) - 4*back {
		back++
	}
	f := TypingFault{Err: lengthError(typed, want)}
	if front+back >= want/4-1 {
		f.Group = min(front+1, want/4)
	}
	return f
}
