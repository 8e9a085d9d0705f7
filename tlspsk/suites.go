package tlspsk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rc4"
	"crypto/tls"
	"fmt"
)

// Cipher suites (RFC 4279 sections 2 and 4). All authenticate by HMAC-SHA1.
const (
	SuiteAES128    uint16 = 0x008C // TLS_PSK_WITH_AES_128_CBC_SHA
	SuiteAES256    uint16 = 0x008D // TLS_PSK_WITH_AES_256_CBC_SHA
	Suite3DES      uint16 = 0x008B // TLS_PSK_WITH_3DES_EDE_CBC_SHA; weak, only if named
	SuiteRC4       uint16 = 0x008A // TLS_PSK_WITH_RC4_128_SHA; broken, only if named
	SuiteRSAAES128 uint16 = 0x0094 // TLS_RSA_PSK_WITH_AES_128_CBC_SHA; only if named, with a verifier
)

// Signalling values among the suites of a ClientHello: no suites.
const (
	scsvRenegotiation uint16 = 0x00FF // RFC 5746 section 3.3
	scsvFallback      uint16 = 0x5600 // RFC 7507 section 2
)

// suite is what a cipher suite consists of.
type suite struct {
	id       uint16
	name     string
	keyLen   int
	ivLen    int // block size of CBC, 0 for a stream cipher
	rsa      bool
	newBlock func(key []byte) (cipher.Block, error) // nil for RC4
}

var suites = [...]suite{
	{SuiteAES128, "TLS_PSK_WITH_AES_128_CBC_SHA", 16, aes.BlockSize, false, aes.NewCipher},
	{SuiteAES256, "TLS_PSK_WITH_AES_256_CBC_SHA", 32, aes.BlockSize, false, aes.NewCipher},
	{Suite3DES, "TLS_PSK_WITH_3DES_EDE_CBC_SHA", 24, des.BlockSize, false, des.NewTripleDESCipher},
	{SuiteRC4, "TLS_PSK_WITH_RC4_128_SHA", 16, 0, false, nil},
	{SuiteRSAAES128, "TLS_RSA_PSK_WITH_AES_128_CBC_SHA", 16, aes.BlockSize, true, aes.NewCipher},
}

func suiteByID(id uint16) *suite {
	for i := range suites {
		if suites[i].id == id {
			return &suites[i]
		}
	}
	return nil
}

// SuiteName is the IANA name of a suite, or its number.
func SuiteName(id uint16) string {
	if s := suiteByID(id); s != nil {
		return s.name
	}
	return fmt.Sprintf("unknown (%#04x)", id)
}

// VersionName is the name of a version, such as "TLS 1.0".
func VersionName(v uint16) string { return tls.VersionName(v) }

// rc4Stream makes the only stream cipher.
func rc4Stream(key []byte) (cipher.Stream, error) { return rc4.NewCipher(key) }
