package tlspsk

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"hash"
)

// Sizes of derived values (RFC 5246 sections 7.4.9 and 8.1).
const (
	randomLen   = 32
	masterLen   = 48
	finishedLen = 12
)

// Labels of the PRF (RFC 5246 sections 6.3, 7.4.9 and 8.1).
const (
	labelMaster         = "master secret"
	labelKeys           = "key expansion"
	labelClientFinished = "client finished"
	labelServerFinished = "server finished"
)

// pHash XORs P_hash(secret, label + seed) into out (RFC 2246 section 5).
func pHash(out []byte, newHash func() hash.Hash, secret []byte, label string, seed []byte) {
	h := hmac.New(newHash, secret)
	ls := append([]byte(label), seed...)
	var a, block []byte
	h.Write(ls)
	a = h.Sum(a)
	for len(out) > 0 {
		h.Reset()
		h.Write(a)
		h.Write(ls)
		block = h.Sum(block[:0])
		for i := range min(len(out), len(block)) {
			out[i] ^= block[i]
		}
		out = out[min(len(out), len(block)):]
		h.Reset()
		h.Write(a)
		a = h.Sum(a[:0])
	}
	clear(block)
}

// prf is the pseudo-random function: MD5 and SHA-1 over the two halves of the
// secret up to TLS 1.1 (RFC 2246 section 5), SHA-256 from TLS 1.2 on, which the
// CBC-SHA suites keep (RFC 5246 section 5).
func prf(version uint16, secret []byte, label string, seed []byte, n int) []byte {
	out := make([]byte, n)
	if version >= tls.VersionTLS12 {
		pHash(out, sha256.New, secret, label, seed)
		return out
	}
	half := (len(secret) + 1) / 2
	pHash(out, md5.New, secret[:half], label, seed)
	pHash(out, sha1.New, secret[len(secret)-half:], label, seed)
	return out
}

// premaster joins the other secret (zeros for plain PSK, 48 bytes for RSA_PSK)
// and the key, each with its length (RFC 4279 sections 2 and 4).
func premaster(other, key []byte) []byte {
	if other == nil {
		other = make([]byte, len(key))
	}
	out := make([]byte, 0, 4+len(other)+len(key))
	out = binary.BigEndian.AppendUint16(out, uint16(len(other)))
	out = append(out, other...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(key)))
	return append(out, key...)
}

// masterSecret derives the master secret and forgets the premaster.
func masterSecret(version uint16, pms []byte, clientRandom, serverRandom [randomLen]byte) []byte {
	defer clear(pms)
	return prf(version, pms, labelMaster, append(clientRandom[:], serverRandom[:]...), masterLen)
}

// keys are the parts of the key block in its order (RFC 5246 section 6.3); the
// IVs are used by TLS 1.0 alone but cut in every version.
type keys struct {
	block                []byte // what the others lie in
	clientMAC, serverMAC []byte
	clientKey, serverKey []byte
	clientIV, serverIV   []byte
}

func deriveKeys(version uint16, s *suite, master []byte, clientRandom, serverRandom [randomLen]byte) keys {
	n := 2 * (macLen + s.keyLen + s.ivLen)
	block := prf(version, master, labelKeys, append(serverRandom[:], clientRandom[:]...), n)
	cut := func(n int) []byte {
		part := block[:n:n]
		block = block[n:]
		return part
	}
	k := keys{block: block}
	k.clientMAC, k.serverMAC = cut(macLen), cut(macLen)
	k.clientKey, k.serverKey = cut(s.keyLen), cut(s.keyLen)
	k.clientIV, k.serverIV = cut(s.ivLen), cut(s.ivLen)
	return k
}

// transcript is the running hash of all handshake messages.
type transcript struct {
	version uint16
	waiting []byte // what was written before the version was known
	hashes  [2]hash.Hash
}

// start fixes the hash functions.
func (t *transcript) start(version uint16) {
	t.version = version
	if version >= tls.VersionTLS12 {
		t.hashes = [2]hash.Hash{sha256.New()}
	} else {
		t.hashes = [2]hash.Hash{md5.New(), sha1.New()}
	}
	t.write(t.waiting)
	t.waiting = nil
}

func (t *transcript) write(b []byte) {
	if t.version == 0 {
		t.waiting = append(t.waiting, b...)
		return
	}
	for _, h := range t.hashes {
		if h != nil {
			h.Write(b)
		}
	}
}

// finished is the verify_data over what was written so far.
func (t *transcript) finished(master []byte, label string) []byte {
	var sum []byte
	for _, h := range t.hashes {
		if h != nil {
			sum = h.Sum(sum)
		}
	}
	return prf(t.version, master, label, sum, finishedLen)
}
