package provisioning

import (
	"crypto/rand"
	"net/netip"
	"testing"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
)

// quietPairs generates n pairs in the store of an engine that does not run.
func quietPairs(t *testing.T, e *Engine, keys *keystore.Store, n int) []amt.PID {
	t.Helper()
	im := keystore.Import{Batch: keystore.Batch{Name: "quiet", Model: amt.USBKey}, Move: keystore.Move{Who: "test"}}
	_, err := keys.Generate(t.Context(), e.cfg.Store, im, n, func() (amt.Secret, error) { return amt.DrawPassword(rand.Reader, 12) })
	if err != nil {
		t.Fatal(err)
	}
	var pids []amt.PID
	err = e.cfg.Store.View(t.Context(), func(r kv.Reader) error {
		pids = nil
		list, _, err := keys.List(r, keystore.Filter{Batch: "quiet"}, keystore.Page{Size: n})
		for _, k := range list {
			pids = append(pids, k.PID)
		}
		return err
	})
	if err != nil || len(pids) != n {
		t.Fatalf("got %d pairs, %v, want %d", len(pids), err, n)
	}
	return pids
}

func helloFrom(peer string, uuid amt.UUID, pid amt.PID) arrival {
	return arrival{peer: netip.AddrPortFrom(netip.MustParseAddr(peer), 7), msg: pskHello(uuid, pid), count: 1}
}

// TestFloodOfOneSource stores a real hello and many forged ones with its PID in
// one batch: the real one is still there to be dialled.
func TestFloodOfOneSource(t *testing.T) {
	t.Parallel()
	e, keys := quiet(t, nil)
	pid := quietPairs(t, e, keys, 1)[0]
	real := randomUUID()
	batch := []arrival{helloFrom("198.51.100.10", real, pid)}
	for range 200 {
		batch = append(batch, helloFrom("198.51.100.66", randomUUID(), pid))
	}
	e.take(t.Context(), batch)
	key := attemptKey{pid: pid, uuid: real, peer: netip.MustParseAddr("198.51.100.10")}
	if _, ok := e.soft.attempt(key); !ok {
		t.Error("forged hellos of one source pushed the real one's attempt out")
	}
	// The same for the places where a device is looked for.
	batch = nil
	for i := range 200 {
		peer := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}).String()
		batch = append(batch, helloFrom(peer, real, pid))
	}
	e.take(t.Context(), batch)
	found := false
	for _, h := range e.soft.hints(real, pid) {
		found = found || h.peer == key.peer
	}
	if !found {
		t.Error("forged hellos of one network pushed the real address out")
	}
}

// TestQueuedHelloIsBrief wants a queued hello to leave its hashes behind.
func TestQueuedHelloIsBrief(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	m := &hello.Message{
		Version: hello.PKI, UUID: randomUUID(), Retry: 3,
		Hashes: []hello.Hash{{Algorithm: 2, Sum: make([]byte, 32)}}, Trailing: []byte{0},
	}
	if err := e.Hello(t.Context(), netip.MustParseAddrPort("198.51.100.1:9"), m); err != nil {
		t.Fatal(err)
	}
	a := <-e.hellos
	if a.msg.Hashes != nil || a.msg.Trailing != nil || a.msg.UUID != m.UUID || a.msg.Retry != 3 || a.msg.Version != hello.PKI {
		t.Errorf("queued %+v", a.msg)
	}
	if len(m.Hashes) != 1 || len(m.Trailing) != 1 {
		t.Error("the caller's message was changed")
	}
}

// TestDamagedRecordCostsOneHello judges a hello whose device has a damaged record
// together with others: those are followed.
func TestDamagedRecordCostsOneHello(t *testing.T) {
	t.Parallel()
	e, keys := quiet(t, nil)
	pids := quietPairs(t, e, keys, 2)
	bad, good := randomUUID(), randomUUID()
	damage := func(change func(tx kv.Tx) error) {
		if err := e.cfg.Store.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	damage(func(tx kv.Tx) error { return tx.Put(tableDevices, bad[:], []byte{0xff, 0xff}) })
	e.take(t.Context(), []arrival{helloFrom("198.51.100.1", bad, pids[0]), helloFrom("198.51.100.2", good, pids[1])})
	damage(func(tx kv.Tx) error { return tx.Delete(tableDevices, bad[:]) })
	if len(e.soft.hints(good, pids[1])) != 1 {
		t.Error("the hello of another device was dropped with it")
	}
	if len(e.soft.hints(bad, pids[0])) != 0 {
		t.Error("a hello that cannot be judged was followed")
	}
}

// TestPeerShare has one IPv6 network hold its share of the dials, and no more.
func TestPeerShare(t *testing.T) {
	t.Parallel()
	p := peerLocks{share: 3}
	key := func(net, host byte) attemptKey {
		return attemptKey{peer: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: net, 15: host})}
	}
	for host := range byte(10) {
		if got := p.acquire(key(1, host)); got != (host < 3) {
			t.Errorf("dial %d of one network: got %t", host, got)
		}
	}
	if !p.acquire(key(2, 1)) {
		t.Error("another network has to wait")
	}
	if p.acquire(key(2, 1)) {
		t.Error("a peer is dialled twice at once")
	}
	if waiting := p.release(key(1, 0).peer); len(waiting) != 7 {
		t.Errorf("%d attempts may try again, want the 7 that wait", len(waiting))
	}
	if !p.acquire(key(1, 5)) || p.acquire(key(1, 6)) {
		t.Error("after one ended, exactly one of the network may dial")
	}
	for _, k := range []attemptKey{key(1, 1), key(1, 2), key(1, 5), key(2, 1)} {
		p.release(k.peer)
	}
	if len(p.busy) != 0 || len(p.sources) != 0 {
		t.Errorf("%d peers and %d sources are remembered after the last dial", len(p.busy), len(p.sources))
	}
}
