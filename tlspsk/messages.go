package tlspsk

import (
	"encoding/binary"
)

// Handshake message types (RFC 5246 section 7.4).
const (
	typeHelloRequest      uint8 = 0
	typeClientHello       uint8 = 1
	typeServerHello       uint8 = 2
	typeCertificate       uint8 = 11
	typeServerKeyExchange uint8 = 12
	typeServerHelloDone   uint8 = 14
	typeClientKeyExchange uint8 = 16
	typeFinished          uint8 = 20
)

// maxMessage bounds the body of a handshake message: a chain of four certificates
// fits, and so does every ClientHello seen.
const maxMessage = 16384

// maxSessionID is the longest session identifier (RFC 5246 section 7.4.1.2).
const maxSessionID = 32

// extRenegotiationInfo is the only extension that is understood (RFC 5746).
const extRenegotiationInfo uint16 = 0xFF01

var messageNames = map[uint8]string{
	typeHelloRequest: "HelloRequest", typeClientHello: "ClientHello", typeServerHello: "ServerHello",
	typeCertificate: "Certificate", typeServerKeyExchange: "ServerKeyExchange",
	typeServerHelloDone: "ServerHelloDone", typeClientKeyExchange: "ClientKeyExchange", typeFinished: "Finished",
}

func messageName(t uint8) string {
	if s, ok := messageNames[t]; ok {
		return s
	}
	return "handshake message of unknown type"
}

// cursor reads fields in sequence; after the first that does not fit it gives
// zeros and bad stays set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) bytes(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	part := c.b[:n:n]
	c.b = c.b[n:]
	return part
}

// number reads a big-endian integer of n bytes, 1 to 3.
func (c *cursor) number(n int) int {
	v := 0
	for _, b := range c.bytes(n) {
		v = v<<8 | int(b)
	}
	return v
}

// vector reads a vector whose length is written in n bytes.
func (c *cursor) vector(n int) []byte { return c.bytes(c.number(n)) }

// end reports whether all fields were there and nothing is left over.
func (c *cursor) end() bool { return !c.bad && len(c.b) == 0 }

// appendVector appends b behind its length in n bytes, 1 to 3.
func appendVector(dst []byte, n int, b []byte) []byte {
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(len(b)>>(8*i)))
	}
	return append(dst, b...)
}

// appendMessage appends a handshake message: type, length in three bytes, body.
func appendMessage(dst []byte, typ uint8, body []byte) []byte {
	return appendVector(append(dst, typ), 3, body)
}

// extension is one entry of a hello's extension block.
type extension struct {
	typ  uint16
	data []byte
}

// readExtensions reads the optional block at the end of a hello. Nil means that
// there is none, empty that it is there and holds nothing.
func readExtensions(c *cursor) []extension {
	if c.bad || len(c.b) == 0 {
		return nil
	}
	block := cursor{b: c.vector(2)}
	list := []extension{}
	for len(block.b) > 0 && !block.bad {
		list = append(list, extension{uint16(block.number(2)), block.vector(2)})
	}
	c.bad = c.bad || block.bad
	return list
}

func appendExtensions(dst []byte, list []extension) []byte {
	if list == nil {
		return dst
	}
	var block []byte
	for _, e := range list {
		block = binary.BigEndian.AppendUint16(block, e.typ)
		block = appendVector(block, 2, e.data)
	}
	return appendVector(dst, 2, block)
}

// clientHello is RFC 5246 section 7.4.1.2: version 2, random 32, session
// identifier 1+n, suites 2+2n, compression methods 1+n, extensions 2+n or none.
type clientHello struct {
	version     uint16
	random      [randomLen]byte
	sessionID   []byte
	suites      []uint16
	compression []byte
	extensions  []extension
}

func parseClientHello(body []byte) (*clientHello, error) {
	c := cursor{b: body}
	m := &clientHello{version: uint16(c.number(2))}
	copy(m.random[:], c.bytes(randomLen))
	m.sessionID = c.vector(1)
	list := cursor{b: c.vector(2)}
	for len(list.b) > 0 && !list.bad {
		m.suites = append(m.suites, uint16(list.number(2)))
	}
	m.compression = c.vector(1)
	m.extensions = readExtensions(&c)
	if !c.end() || list.bad || len(m.sessionID) > maxSessionID || len(m.suites) == 0 || len(m.compression) == 0 {
		return nil, failf(AlertDecodeError, "malformed ClientHello")
	}
	return m, nil
}

func (m *clientHello) append(dst []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, m.version)
	body = append(body, m.random[:]...)
	body = appendVector(body, 1, m.sessionID)
	var list []byte
	for _, id := range m.suites {
		list = binary.BigEndian.AppendUint16(list, id)
	}
	body = appendVector(body, 2, list)
	body = appendVector(body, 1, m.compression)
	return appendMessage(dst, typeClientHello, appendExtensions(body, m.extensions))
}

// serverHello is RFC 5246 section 7.4.1.3: version 2, random 32, session
// identifier 1+n, suite 2, compression method 1, extensions 2+n or none.
type serverHello struct {
	version     uint16
	random      [randomLen]byte
	sessionID   []byte
	suite       uint16
	compression uint8
	extensions  []extension
}

func parseServerHello(body []byte) (*serverHello, error) {
	c := cursor{b: body}
	m := &serverHello{version: uint16(c.number(2))}
	copy(m.random[:], c.bytes(randomLen))
	m.sessionID = c.vector(1)
	m.suite = uint16(c.number(2))
	m.compression = uint8(c.number(1))
	m.extensions = readExtensions(&c)
	if !c.end() || len(m.sessionID) > maxSessionID {
		return nil, failf(AlertDecodeError, "malformed ServerHello")
	}
	return m, nil
}

func (m *serverHello) append(dst []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, m.version)
	body = append(body, m.random[:]...)
	body = appendVector(body, 1, m.sessionID)
	body = binary.BigEndian.AppendUint16(body, m.suite)
	body = append(body, m.compression)
	return appendMessage(dst, typeServerHello, appendExtensions(body, m.extensions))
}

// parseCertificate reads a chain, leaf first: total 3, then 3+n each.
func parseCertificate(body []byte) ([][]byte, error) {
	c := cursor{b: body}
	list := cursor{b: c.vector(3)}
	var chain [][]byte
	for len(list.b) > 0 && !list.bad {
		chain = append(chain, list.vector(3))
	}
	if !c.end() || list.bad {
		return nil, failf(AlertDecodeError, "malformed Certificate")
	}
	return chain, nil
}

func appendCertificate(dst []byte, chain [][]byte) []byte {
	var list []byte
	for _, der := range chain {
		list = appendVector(list, 3, der)
	}
	return appendMessage(dst, typeCertificate, appendVector(nil, 3, list))
}

// parseServerKeyExchange reads the identity hint: 2+n (RFC 4279 section 2).
func parseServerKeyExchange(body []byte) ([]byte, error) {
	c := cursor{b: body}
	hint := c.vector(2)
	if !c.end() || len(hint) > MaxIdentity {
		return nil, failf(AlertDecodeError, "malformed ServerKeyExchange")
	}
	return hint, nil
}

func appendServerKeyExchange(dst, hint []byte) []byte {
	return appendMessage(dst, typeServerKeyExchange, appendVector(nil, 2, hint))
}

// clientKeyExchange is the identity, 2+n, and for RSA_PSK the encrypted secret,
// 2+n (RFC 4279 sections 2 and 4).
type clientKeyExchange struct {
	identity  []byte
	encrypted []byte // nil unless RSA_PSK
}

func parseClientKeyExchange(body []byte, rsa bool) (*clientKeyExchange, error) {
	c := cursor{b: body}
	m := &clientKeyExchange{identity: c.vector(2)}
	if rsa {
		m.encrypted = c.vector(2)
	}
	if !c.end() || len(m.identity) > MaxIdentity {
		return nil, failf(AlertDecodeError, "malformed ClientKeyExchange")
	}
	return m, nil
}

func (m *clientKeyExchange) append(dst []byte) []byte {
	body := appendVector(nil, 2, m.identity)
	if m.encrypted != nil {
		body = appendVector(body, 2, m.encrypted)
	}
	return appendMessage(dst, typeClientKeyExchange, body)
}
