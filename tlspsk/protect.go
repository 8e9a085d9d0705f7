package tlspsk

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// macLen is the size of HMAC-SHA1.
const macLen = sha1.Size

// errSequence is returned when a direction has used all its sequence numbers,
// which must not wrap (RFC 5246 section 6.1).
var errSequence = errors.New("the sequence numbers are used up")

// errRandom is returned when the source of randomness fails. It hides that
// source's io.EOF, which here would speak of the peer.
var errRandom = errors.New("reading randomness")

// draw fills b from rand.
func draw(rand io.Reader, b []byte) error {
	if _, err := io.ReadFull(rand, b); err != nil {
		return fmt.Errorf("%w: %v", errRandom, err)
	}
	return nil
}

// constantTimeHash is what sha1's digest offers beside Sum: the same result in a
// time that does not depend on how many bytes are in the last block.
type constantTimeHash interface {
	hash.Hash
	ConstantTimeSum(b []byte) []byte
}

// steadySHA1 is SHA-1 whose Sum is ConstantTimeSum.
type steadySHA1 struct{ constantTimeHash }

// Sum appends the digest.
func (s steadySHA1) Sum(b []byte) []byte { return s.ConstantTimeSum(b) }

func newSteadySHA1() hash.Hash { return &steadySHA1{sha1.New().(constantTimeHash)} }

// protection seals or opens the records of one direction under one set of keys:
// MAC, then pad, then encrypt (RFC 5246 section 6.2.3). A nil protection passes
// plain records.
type protection struct {
	version uint16
	mac     hash.Hash
	seq     uint64
	cbc     cipher.BlockMode // nil for a stream cipher
	stream  cipher.Stream    // nil for CBC
	prefix  int              // bytes of explicit IV: a block from TLS 1.1 on, else 0
	head    [13]byte         // scratch: what the MAC covers before the payload
	sum     [macLen]byte     // scratch
}

// newProtection keys one direction; seal says which of the two.
func newProtection(version uint16, s *suite, macKey, key, iv []byte, seal bool) (*protection, error) {
	p := &protection{version: version, mac: hmac.New(newSteadySHA1, macKey)}
	if s.newBlock == nil {
		stream, err := rc4Stream(key)
		p.stream = stream
		return p, err
	}
	block, err := s.newBlock(key)
	if err != nil {
		return nil, err
	}
	if seal {
		p.cbc = cipher.NewCBCEncrypter(block, iv)
	} else {
		p.cbc = cipher.NewCBCDecrypter(block, iv)
	}
	if version >= tls.VersionTLS11 {
		p.prefix = s.ivLen
	}
	return p, nil
}

// header starts the MAC of a payload of n bytes.
func (p *protection) header(typ uint8, n int) {
	binary.BigEndian.PutUint64(p.head[0:], p.seq)
	p.head[8] = typ
	binary.BigEndian.PutUint16(p.head[9:], p.version)
	binary.BigEndian.PutUint16(p.head[11:], uint16(n))
	p.mac.Reset()
	p.mac.Write(p.head[:])
}

// seal appends the protected form of payload to dst.
//
// The explicit IV of TLS 1.1 and later is a random block that is encrypted with
// the rest, going on with the chain, as RFC 4346 section 6.2.3.2 (2)(b) has it:
// what leaves is as unpredictable as the random block.
func (p *protection) seal(dst []byte, typ uint8, payload []byte, rand io.Reader) ([]byte, error) {
	if p.seq == math.MaxUint64 {
		return nil, errSequence
	}
	start := len(dst)
	var iv [16]byte
	if p.prefix > 0 {
		if err := draw(rand, iv[:p.prefix]); err != nil {
			return nil, err
		}
	}
	dst = append(dst, iv[:p.prefix]...)
	dst = append(dst, payload...)
	p.header(typ, len(payload))
	p.mac.Write(payload)
	dst = p.mac.Sum(dst)
	p.seq++
	if p.stream != nil {
		p.stream.XORKeyStream(dst[start:], dst[start:])
		return dst, nil
	}
	size := p.cbc.BlockSize()
	pad := size - (len(dst)-start)%size
	for range pad {
		dst = append(dst, byte(pad-1))
	}
	p.cbc.CryptBlocks(dst[start:], dst[start:])
	return dst, nil
}

// open checks and decrypts body in place and returns the payload within it.
// Whatever is wrong, length, padding or MAC, is ErrRecord.
func (p *protection) open(typ uint8, body []byte) ([]byte, error) {
	if p.seq == math.MaxUint64 {
		return nil, errSequence
	}
	trailer, good := 0, 1
	if p.stream != nil {
		if len(body) < macLen {
			return nil, ErrRecord
		}
		p.stream.XORKeyStream(body, body)
	} else {
		size := p.cbc.BlockSize()
		if len(body)%size != 0 || len(body) < p.prefix+macLen+1 {
			return nil, ErrRecord
		}
		p.cbc.CryptBlocks(body, body)
		body = body[p.prefix:]
		trailer, good = padding(body)
	}
	n := len(body) - macLen - trailer
	p.header(typ, n)
	p.mac.Write(body[:n])
	sum := p.mac.Sum(p.sum[:0])
	// The bytes behind the MAC are hashed too, for nothing: then the number of
	// SHA-1 blocks depends on the record's length alone.
	p.mac.Write(body[n+macLen:])
	if subtle.ConstantTimeCompare(sum, body[n:n+macLen])&good != 1 {
		return nil, ErrRecord
	}
	p.seq++
	return body[:n], nil
}

// maxPadding is the longest padding with its length byte.
const maxPadding = 256

// padding returns how many bytes to take off the end of a decrypted CBC body and
// 1, or 1 and 0 when the padding is wrong or would reach into the MAC. body must
// hold a MAC and one byte more. The time depends on len(body) alone: the walk is
// over the last 256 bytes, or all of a shorter body, whatever the length byte.
func padding(body []byte) (trailer, good int) {
	length := int(body[len(body)-1])
	good = subtle.ConstantTimeLessOrEq(length+1+macLen, len(body))
	for i := range min(maxPadding, len(body)) {
		inside := subtle.ConstantTimeLessOrEq(i, length)
		equal := subtle.ConstantTimeByteEq(body[len(body)-1-i], byte(length))
		good &= subtle.ConstantTimeSelect(inside, equal, 1)
	}
	return subtle.ConstantTimeSelect(good, length+1, 1), good
}
