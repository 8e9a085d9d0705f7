package amtsim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Always is the count of a trouble that never ends.
const Always = -1

// CallTrouble is something that strikes a call. Call is the method or operation
// ("AddKey", "Put"), with or without its class ("AMT_TLSSettingData.Put"), or "*".
type CallTrouble struct {
	Call  string
	Times int // how often; Always for ever; 0 never
}

// Refusal makes a call fail: a method answers Status as its ReturnValue, any other
// operation a fault that holds it.
type Refusal struct {
	CallTrouble
	Status Status
}

// Latency delays the answers to a call.
type Latency struct {
	Call string
	Wait time.Duration
}

// Trouble is what goes wrong with a device. The zero value is a device without
// faults; each field says what it adds.
type Trouble struct {
	// BusyKeys makes that many GenerateKeyPair calls answer 2082, operation in
	// progress.
	BusyKeys int
	// Refuse holds calls to refuse, the first that matches first.
	Refuse []Refusal
	// DropBefore closes the connection after the request was read and before it
	// is carried out; DropAfter after it was carried out, without an answer.
	DropBefore, DropAfter []CallTrouble
	// CommitIgnored answers that many CommitChanges with success and does nothing.
	CommitIgnored int
	// Latency delays answers, the first that matches.
	Latency []Latency
	// WrongPPS serves TLS-PSK with another key than the pair's.
	WrongPPS bool
	// WrongUUID makes GetUuid name another board than the hello.
	WrongUUID bool
	// Tarpit accepts connections and never says a word.
	Tarpit bool
	// Garbage answers every authenticated request with bytes that are no SOAP.
	Garbage bool
	// Endless never ends the body of an answer.
	Endless bool
	// StrictNonce refuses a nonce count that is not one more than the last.
	StrictNonce bool
	// NonceReset forgets its nonces after every that many requests; 0 never does.
	NonceReset int
	// StaleFalse says stale="false" where RFC 2617 wants "true".
	StaleFalse bool
	// LoginLock refuses every log-in after that many failed ones in a row, until
	// the device restarts; 0 never does.
	LoginLock int
}

// ErrTrouble is returned by ParseTrouble for text it does not know.
var ErrTrouble = errors.New("no such trouble")

// troubleFlags sets the troubles that have no value.
var troubleFlags = map[string]func(*Trouble){
	"wrong-pps":    func(t *Trouble) { t.WrongPPS = true },
	"wrong-uuid":   func(t *Trouble) { t.WrongUUID = true },
	"tarpit":       func(t *Trouble) { t.Tarpit = true },
	"garbage":      func(t *Trouble) { t.Garbage = true },
	"endless":      func(t *Trouble) { t.Endless = true },
	"strict-nonce": func(t *Trouble) { t.StrictNonce = true },
	"stale-false":  func(t *Trouble) { t.StaleFalse = true },
	"commit-drops": func(t *Trouble) {
		t.DropAfter = append(t.DropAfter, CallTrouble{Call: "CommitChanges", Times: 1})
	},
}

// troubleCounts finds the troubles that have a number.
var troubleCounts = map[string]func(*Trouble) *int{
	"busy-keys":      func(t *Trouble) *int { return &t.BusyKeys },
	"commit-ignored": func(t *Trouble) *int { return &t.CommitIgnored },
	"nonce-reset":    func(t *Trouble) *int { return &t.NonceReset },
	"login-lock":     func(t *Trouble) *int { return &t.LoginLock },
}

// ParseTrouble adds to t the troubles of a comma-separated list, for the device
// with the given index. An item may begin with the devices it is for, "3:" or
// "0-4:"; the rest is one of
//
//	CALL=STATUS[*TIMES]        refuse a call: AddKey=2, Put=38*1, AMT_TLSSettingData.Put=1
//	drop-before=CALL[*TIMES]   close before carrying out; TIMES is 1 if left out
//	drop-after=CALL[*TIMES]    close after carrying out
//	latency=[CALL/]DURATION    delay answers: latency=50ms, latency=AddKey/2s
//	busy-keys=N  commit-ignored=N  nonce-reset=N  login-lock=N
//	commit-drops  wrong-pps  wrong-uuid  tarpit  garbage  endless  strict-nonce  stale-false
func ParseTrouble(s string, index int, t *Trouble) error {
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		mine, rest, err := forDevice(item, index)
		if err != nil {
			return fmt.Errorf("trouble %q: %w", item, err)
		}
		into := t
		if !mine {
			into = new(Trouble) // still checked
		}
		if err := parseTrouble(rest, into); err != nil {
			return fmt.Errorf("trouble %q: %w", item, err)
		}
	}
	return nil
}

// forDevice splits the devices off an item.
func forDevice(item string, index int) (mine bool, rest string, err error) {
	devices, rest, found := strings.Cut(item, ":")
	if !found {
		return true, item, nil
	}
	from, to, ranged := strings.Cut(devices, "-")
	if !ranged {
		to = from
	}
	lo, err1 := strconv.Atoi(from)
	hi, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || lo < 0 || hi < lo {
		return false, "", errors.New("want device numbers such as 3: or 0-4: first")
	}
	return index >= lo && index <= hi, rest, nil
}

func parseTrouble(item string, t *Trouble) error {
	name, value, valued := strings.Cut(item, "=")
	if set, ok := troubleFlags[name]; ok && !valued {
		set(t)
		return nil
	}
	if !valued || value == "" {
		return ErrTrouble
	}
	if field, ok := troubleCounts[name]; ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return errors.New("want a number that is not negative")
		}
		*field(t) = n
		return nil
	}
	switch name {
	case "drop-before", "drop-after":
		return parseDrop(name, value, t)
	case "latency":
		return parseLatency(value, t)
	}
	return parseRefusal(name, value, t)
}

func parseDrop(name, value string, t *Trouble) error {
	call, times, err := cutTimes(value, 1)
	if err != nil {
		return err
	}
	if !knownCall(call) {
		return fmt.Errorf("%w: no call is named %q", ErrTrouble, call)
	}
	if name == "drop-before" {
		t.DropBefore = append(t.DropBefore, CallTrouble{call, times})
	} else {
		t.DropAfter = append(t.DropAfter, CallTrouble{call, times})
	}
	return nil
}

func parseLatency(value string, t *Trouble) error {
	call, wait, found := strings.Cut(value, "/")
	if !found {
		call, wait = "*", value
	}
	dur, err := time.ParseDuration(wait)
	if err != nil || dur < 0 {
		return errors.New("want a duration such as 50ms")
	}
	if !knownCall(call) {
		return fmt.Errorf("%w: no call is named %q", ErrTrouble, call)
	}
	t.Latency = append(t.Latency, Latency{call, dur})
	return nil
}

func parseRefusal(call, value string, t *Trouble) error {
	if !knownCall(call) {
		return ErrTrouble
	}
	value, times, err := cutTimes(value, Always)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n == 0 {
		return errors.New("want a PT_STATUS such as 2, not 0")
	}
	t.Refuse = append(t.Refuse, Refusal{CallTrouble{call, times}, Status(n)})
	return nil
}

// cutTimes splits "*3" off the end.
func cutTimes(s string, def int) (rest string, times int, err error) {
	i := strings.LastIndexByte(s, '*')
	if i <= 0 {
		return s, def, nil
	}
	times, err = strconv.Atoi(s[i+1:])
	if err != nil || times < 1 {
		return "", 0, errors.New("want *TIMES with a number above 0 at the end")
	}
	return s[:i], times, nil
}

// matches reports whether pattern names the operation op of class.
func matches(pattern, class, op string) bool {
	if pattern == "*" || pattern == op {
		return true
	}
	c, o, found := strings.Cut(pattern, ".")
	return found && c == class && o == op
}

// strike finds the first trouble of list that matches and counts it down.
func strike(list []CallTrouble, class, op string) bool {
	for i := range list {
		if matches(list[i].Call, class, op) && spend(&list[i].Times) {
			return true
		}
	}
	return false
}

// spend takes one from a count that is not used up.
func spend(times *int) bool {
	if *times == 0 {
		return false
	}
	if *times > 0 {
		*times--
	}
	return true
}

// clone gives t lists of its own, since counts are counted down in them.
func (t Trouble) clone() Trouble {
	t.Refuse = append([]Refusal(nil), t.Refuse...)
	t.DropBefore = append([]CallTrouble(nil), t.DropBefore...)
	t.DropAfter = append([]CallTrouble(nil), t.DropAfter...)
	t.Latency = append([]Latency(nil), t.Latency...)
	return t
}
