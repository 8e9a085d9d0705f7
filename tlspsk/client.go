package tlspsk

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
)

// client runs a client's handshake (RFC 4279 section 2):
//
//	ClientHello        ->
//	                   <- ServerHello, Certificate (RSA_PSK only),
//	                      ServerKeyExchange (if there is a hint), ServerHelloDone
//	ClientKeyExchange,
//	ChangeCipherSpec,
//	Finished           ->
//	                   <- ChangeCipherSpec, Finished
func (h *handshake) client() error {
	if err := h.sendClientHello(); err != nil {
		return err
	}
	if err := h.readServerHello(); err != nil {
		return err
	}
	if err := h.readServerFlight(); err != nil {
		return err
	}
	if err := h.sendClientKey(); err != nil {
		return err
	}
	if err := h.readFinished(labelServerFinished); err != nil {
		return err
	}
	h.c.state.Complete = true
	return nil
}

// sendClientHello sends the smallest legal one: no session, no extensions.
func (h *handshake) sendClientHello() error {
	h.step = "sending ClientHello"
	config := h.c.config
	random, err := h.random()
	if err != nil {
		return err
	}
	h.clientVersion, h.clientRandom = config.maxVersion(), random
	hello := clientHello{
		version:     h.clientVersion,
		random:      random,
		suites:      append(slices.Clone(config.suites()), scsvRenegotiation),
		compression: []byte{0},
	}
	if err := h.queue(hello.append(nil)); err != nil {
		return err
	}
	return h.send()
}

func (h *handshake) readServerHello() error {
	body, err := h.expect(typeServerHello)
	if err != nil {
		return err
	}
	hello, err := parseServerHello(body)
	if err != nil {
		return err
	}
	config := h.c.config
	if hello.version < config.minVersion() || hello.version > config.maxVersion() {
		return fail(AlertProtocolVersion, fmt.Errorf("%w: the peer chose %s", ErrNoSharedVersion, VersionName(hello.version)))
	}
	if !slices.Contains(config.suites(), hello.suite) {
		return fail(AlertIllegalParameter, fmt.Errorf("%w: it chose %s, which was not offered", ErrNoPSK, tls.CipherSuiteName(hello.suite)))
	}
	if hello.compression != 0 {
		return failf(AlertIllegalParameter, "it chose compression method %d", hello.compression)
	}
	if err := checkServerExtensions(hello.extensions); err != nil {
		return err
	}
	h.suite, h.serverRandom = suiteByID(hello.suite), hello.random
	h.c.version = hello.version
	h.transcript.start(hello.version)
	h.c.state.Version, h.c.state.CipherSuite = hello.version, hello.suite
	return nil
}

// checkServerExtensions allows the one that the SCSV asks for, empty and once.
func checkServerExtensions(list []extension) error {
	for i, e := range list {
		switch {
		case e.typ != extRenegotiationInfo:
			return failf(AlertUnsupportedExtension, "extension %#04x, which was not asked for", e.typ)
		case i > 0:
			return failf(AlertDecodeError, "extension %#04x twice", e.typ)
		case string(e.data) != "\x00":
			return failf(AlertHandshakeFailure, "renegotiation data in a first handshake")
		}
	}
	return nil
}

// readServerFlight reads what stands between ServerHello and ServerHelloDone.
func (h *handshake) readServerFlight() error {
	if h.suite.rsa {
		body, err := h.expect(typeCertificate)
		if err != nil {
			return err
		}
		if err := h.checkCertificate(body); err != nil {
			return err
		}
	}
	h.step = "reading the peer's ServerHelloDone"
	typ, body, err := h.readMessage()
	if err != nil {
		return err
	}
	switch typ {
	case typeCertificate:
		return fail(AlertUnexpectedMessage, fmt.Errorf("%w: it sent a certificate for %s", ErrNoPSK, h.suite.name))
	case typeServerKeyExchange:
		hint, err := parseServerKeyExchange(body)
		if err != nil {
			return err
		}
		h.c.state.Hint = slices.Clone(hint)
		if body, err = h.expect(typeServerHelloDone); err != nil {
			return err
		}
	case typeServerHelloDone:
	default:
		return unexpected(typ)
	}
	if len(body) != 0 {
		return failf(AlertDecodeError, "malformed ServerHelloDone")
	}
	// Nothing may follow it: the server must now wait for us.
	if len(h.c.in.hand) != 0 {
		return failf(AlertUnexpectedMessage, "a handshake message behind ServerHelloDone")
	}
	return nil
}

// checkCertificate parses the chain and asks the configured verifier.
func (h *handshake) checkCertificate(body []byte) error {
	ders, err := parseCertificate(body)
	if err != nil {
		return err
	}
	if len(ders) == 0 {
		return fail(AlertBadCertificate, fmt.Errorf("%w: the chain is empty", ErrCertificate))
	}
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fail(AlertBadCertificate, fmt.Errorf("%w: %w", ErrCertificate, err))
		}
		h.c.state.Certificates = append(h.c.state.Certificates, cert)
	}
	if err := h.c.config.VerifyCertificate(slices.Clone(h.c.state.Certificates)); err != nil {
		return fail(AlertBadCertificate, fmt.Errorf("%w: %w", ErrCertificate, err))
	}
	return nil
}

// sendClientKey sends identity, ChangeCipherSpec and Finished in one write.
func (h *handshake) sendClientKey() error {
	h.step = "sending ClientKeyExchange"
	config := h.c.config
	message := clientKeyExchange{identity: config.Identity}
	var other []byte
	if h.suite.rsa {
		var err error
		if other, message.encrypted, err = h.encryptPremaster(h.c.state.Certificates[0]); err != nil {
			return err
		}
		defer clear(other)
	}
	if err := h.queue(message.append(nil)); err != nil {
		return err
	}
	key := config.Key.Reveal()
	defer clear(key)
	if err := h.deriveKeys(premaster(other, key)); err != nil {
		return err
	}
	h.c.state.Identity = slices.Clone(config.Identity)
	h.keyed = true
	return h.sendFinished(labelClientFinished)
}
