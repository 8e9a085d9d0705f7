package tlspsk

import (
	"errors"
	"fmt"
	"slices"
)

// server runs a server's handshake; see client for the messages.
func (h *handshake) server() error {
	if err := h.readClientHello(); err != nil {
		return err
	}
	if err := h.sendServerFlight(); err != nil {
		return err
	}
	if err := h.readClientKey(); err != nil {
		return err
	}
	h.keyed = true
	if err := h.readFinished(labelClientFinished); err != nil {
		return err
	}
	h.step = "sending Finished"
	if err := h.sendFinished(labelServerFinished); err != nil {
		return err
	}
	h.c.state.Complete = true
	return nil
}

func (h *handshake) readClientHello() error {
	body, err := h.expect(typeClientHello)
	if err != nil {
		return err
	}
	if len(h.c.in.hand) != 0 {
		return failf(AlertUnexpectedMessage, "a handshake message behind ClientHello")
	}
	hello, err := parseClientHello(body)
	if err != nil {
		return err
	}
	version, err := h.chooseVersion(hello)
	if err != nil {
		return err
	}
	if !slices.Contains(hello.compression, 0) {
		return failf(AlertIllegalParameter, "it offers no null compression")
	}
	if err := h.chooseSuite(hello); err != nil {
		return err
	}
	secure, err := renegotiationInfo(hello)
	if err != nil {
		return err
	}
	h.clientVersion, h.clientRandom = hello.version, hello.random
	h.c.version = version
	h.transcript.start(version)
	h.c.state.Version, h.c.state.CipherSuite = version, h.suite.id
	return h.queueServerHello(secure)
}

func (h *handshake) chooseVersion(hello *clientHello) (uint16, error) {
	config := h.c.config
	if hello.version < config.minVersion() {
		return 0, fail(AlertProtocolVersion, fmt.Errorf("%w: the peer offers no more than %s", ErrNoSharedVersion, VersionName(hello.version)))
	}
	if slices.Contains(hello.suites, scsvFallback) && hello.version < config.maxVersion() {
		return 0, failf(AlertInappropriateFallback, "it fell back to %s without need", VersionName(hello.version))
	}
	return min(hello.version, config.maxVersion()), nil
}

// chooseSuite takes the first of the server's list that the client offers.
func (h *handshake) chooseSuite(hello *clientHello) error {
	for _, id := range h.c.config.suites() {
		if slices.Contains(hello.suites, id) {
			h.suite = suiteByID(id)
			return nil
		}
	}
	if slices.ContainsFunc(hello.suites, usesPSK) {
		return fail(AlertHandshakeFailure, ErrNoSharedSuite)
	}
	return fail(AlertHandshakeFailure, ErrNoPSK)
}

// usesPSK reports whether a suite is one of the pre-shared key suites of
// RFC 4279, 4785, 5487 and 5489.
func usesPSK(id uint16) bool {
	return id >= 0x008A && id <= 0x0095 || id >= 0x002C && id <= 0x002E ||
		id >= 0x00A8 && id <= 0x00B9 || id >= 0xC033 && id <= 0xC03B
}

// renegotiationInfo reports whether the client asks for the extension, by the
// SCSV or by the extension itself (RFC 5746 section 3.6). All others are ignored.
func renegotiationInfo(hello *clientHello) (bool, error) {
	asked := slices.Contains(hello.suites, scsvRenegotiation)
	for _, e := range hello.extensions {
		if e.typ != extRenegotiationInfo {
			continue
		}
		if string(e.data) != "\x00" {
			return false, failf(AlertHandshakeFailure, "renegotiation data in a first handshake")
		}
		asked = true
	}
	return asked, nil
}

func (h *handshake) queueServerHello(secure bool) error {
	h.step = "sending ServerHello"
	random, err := h.random()
	if err != nil {
		return err
	}
	h.serverRandom = random
	hello := serverHello{version: h.c.version, random: random, suite: h.suite.id}
	if secure {
		hello.extensions = []extension{{extRenegotiationInfo, []byte{0}}}
	}
	return h.queue(hello.append(nil))
}

// sendServerFlight sends ServerHello and what belongs to it in one write.
func (h *handshake) sendServerFlight() error {
	config := h.c.config
	if h.suite.rsa {
		if err := h.queue(appendCertificate(nil, config.Certificate.Certificate)); err != nil {
			return err
		}
	}
	if len(config.IdentityHint) > 0 {
		h.c.state.Hint = slices.Clone(config.IdentityHint)
		if err := h.queue(appendServerKeyExchange(nil, config.IdentityHint)); err != nil {
			return err
		}
	}
	if err := h.queue(appendMessage(nil, typeServerHelloDone, nil)); err != nil {
		return err
	}
	return h.send()
}

// readClientKey reads the identity, asks for its key and derives the rest.
func (h *handshake) readClientKey() error {
	body, err := h.expect(typeClientKeyExchange)
	if err != nil {
		return err
	}
	message, err := parseClientKeyExchange(body, h.suite.rsa)
	if err != nil {
		return err
	}
	key, err := h.lookUp(message.identity)
	if err != nil {
		return err
	}
	defer clear(key)
	var other []byte
	if h.suite.rsa {
		if other, err = h.decryptPremaster(message.encrypted); err != nil {
			return err
		}
		defer clear(other)
	}
	h.c.state.Identity = slices.Clone(message.identity)
	return h.deriveKeys(premaster(other, key))
}

// lookUp asks GetKey, and turns its refusal into an alert.
func (h *handshake) lookUp(identity []byte) ([]byte, error) {
	key, err := h.c.config.GetKey(slices.Clone(identity))
	switch {
	case errors.Is(err, ErrUnknownIdentity):
		return nil, fail(AlertUnknownPSKIdentity, err)
	case err != nil:
		return nil, fail(AlertInternalError, err)
	case key.IsZero():
		return nil, fail(AlertUnknownPSKIdentity, fmt.Errorf("%w: %.64q has no key", ErrUnknownIdentity, identity))
	case key.Len() > MaxKey:
		return nil, fail(AlertInternalError, fmt.Errorf("%w: a key of %d bytes", ErrConfig, key.Len()))
	}
	return key.Reveal(), nil
}
