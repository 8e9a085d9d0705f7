package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
)

// Bounds of keys.
const (
	// MinRSABits is the smallest RSA key that is certified.
	MinRSABits = 2048
	// MaxRSABits is the largest: what lies above costs both ends time for nothing.
	MaxRSABits = 4096
	maxCSR     = 16 << 10
)

// smallPrimes is the product of the primes from 3 to 251: a modulus that shares
// a factor with it was not made by a working generator.
var smallPrimes = func() *big.Int {
	product := big.NewInt(1)
	for n := int64(3); n < 256; n += 2 {
		if p := big.NewInt(n); p.ProbablyPrime(0) {
			product.Mul(product, p)
		}
	}
	return product
}()

// CheckDeviceKey reports why a device's or console's key would be refused: it
// must be RSA, because AMT knows nothing else in its TLS certificates, of
// MinRSABits to MaxRSABits, with an odd exponent from 3 and a plausible modulus.
func CheckDeviceKey(pub crypto.PublicKey) error {
	k, ok := pub.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: %T, want an RSA key", ErrKey, pub)
	}
	return checkRSA(k)
}

func checkRSA(k *rsa.PublicKey) error {
	if k == nil || k.N == nil {
		return fmt.Errorf("%w: it is empty", ErrKey)
	}
	bits := k.N.BitLen()
	switch {
	case bits < MinRSABits:
		return fmt.Errorf("%w: RSA with %d bits, want at least %d", ErrKey, bits, MinRSABits)
	case bits > MaxRSABits:
		return fmt.Errorf("%w: RSA with %d bits, want at most %d", ErrKey, bits, MaxRSABits)
	case k.E < 3 || k.E%2 == 0:
		return fmt.Errorf("%w: RSA exponent %d, want an odd one from 3", ErrKey, k.E)
	case k.N.Sign() < 0 || k.N.Bit(0) == 0 || new(big.Int).GCD(nil, nil, k.N, smallPrimes).Cmp(big.NewInt(1)) != 0:
		return fmt.Errorf("%w: the RSA modulus has a small factor", ErrKey)
	}
	return nil
}

// CheckUserKey reports why a key of a user or of the API's server would be
// refused: RSA as CheckDeviceKey, ECDSA on P-256 or P-384, and Ed25519 pass.
func CheckUserKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return checkRSA(k)
	case *ecdsa.PublicKey:
		if k != nil && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384()) {
			return nil
		}
		return fmt.Errorf("%w: ECDSA, want it on P-256 or P-384", ErrKey)
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return nil
		}
		return fmt.Errorf("%w: Ed25519 of %d bytes", ErrKey, len(k))
	}
	return fmt.Errorf("%w: %T, want RSA, ECDSA or Ed25519", ErrKey, pub)
}

// publicKeyOf takes the public key out of a certificate request (DER, or PEM
// with nothing around it) after checking that its private key signed it.
// Nothing else of the request is looked at.
func publicKeyOf(csr []byte) (crypto.PublicKey, error) {
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrRequest, len(csr), maxCSR)
	}
	if block, rest := pem.Decode(csr); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fmt.Errorf("%w: PEM of type %q", ErrRequest, block.Type)
		}
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("%w: something follows the PEM block", ErrRequest)
		}
		csr = block.Bytes
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := CheckUserKey(req.PublicKey); err != nil {
		return nil, err
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: its signature: %w", ErrRequest, err)
	}
	return req.PublicKey, nil
}
