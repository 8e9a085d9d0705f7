package provisioning

import (
	"slices"
	"sync"
)

// logins counts how many more logins a device may refuse, because firmware may
// lock the account after some in a row. An attempt has one, and a run of a
// workflow, wherever it looks for the device.
type logins struct {
	limit int

	mu   sync.Mutex
	left int // guarded by mu
}

func newLogins(limit int) *logins { return &logins{limit: limit, left: limit} }

// take asks for a login.
func (l *logins) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left <= 0 {
		return false
	}
	l.left--
	return true
}

// giveBack says that a login was not refused: nobody answered it.
func (l *logins) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = min(l.left+1, l.limit)
}

// taken says that the device took a login: refused ones are counted anew.
func (l *logins) taken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = l.limit
}

// refused says that the device refused a password that it took before.
func (l *logins) refused() { l.take() }

// loginRefused reports whether err is the device's own refusal of every password
// that was tried. Looking for it elsewhere would only lock it.
func loginRefused(err error) bool {
	f := classify(err)
	return f.reason == LoginFailed && f.proven
}

// inTurn is the list to try when n of it are tried at once: the turn-th time those
// behind the ones of the time before.
func inTurn(list []candidate, turn, n int) []candidate {
	if len(list) <= n {
		return list
	}
	at := turn * n % len(list)
	return slices.Concat(list[at:], list[:at])
}
