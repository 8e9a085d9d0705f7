// Package contextfile reads and writes the context file of scsctl: where the
// server is, which CA it must be of, and the client certificate and private key
// that make the user known to it. It also makes such keys and the requests for
// their certificates.
//
// It connects to nothing, and the CA's side of a request is elsewhere.
package contextfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/goccy/go-yaml"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
)

// Errors of context files.
var (
	// ErrMode is returned for a file that others than its owner may read.
	ErrMode = errors.New("others may read it: it holds a private key")
	// ErrContent is returned for a file that does not say what it must.
	ErrContent = errors.New("not a context file")
)

// maxSize bounds what is read: a context file has about 4 KiB.
const maxSize = 1 << 18

// File is a context file. Key is the private key in PKCS #8 PEM.
type File struct {
	Address     string // host:port of the gRPC API
	ServerName  string // the name in the server's certificate; empty: the host of Address
	CA          []byte // PEM: the CA's root
	Certificate []byte // PEM: the user's certificate, then its intermediate
	Key         amt.Secret
}

// document is the file's form.
type document struct {
	Address     string `yaml:"address"`
	ServerName  string `yaml:"server_name,omitempty"`
	CA          string `yaml:"ca"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Load reads and checks a context file, which must be readable by its owner only.
func Load(path string) (*File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the context file: %w", err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("context file %s has mode %04o: %w", path, fi.Mode().Perm(), ErrMode)
	}
	if fi.Size() > maxSize {
		return nil, fmt.Errorf("context file %s: %w: it has %d bytes", path, ErrContent, fi.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the context file: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("context file %s: %w", path, err)
	}
	return f, nil
}

// Parse reads the document and checks that its parts fit together. Its errors
// show nothing of the document.
func Parse(b []byte) (*File, error) {
	var d document
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrContent, sourceless(err))
	}
	f := &File{
		Address: d.Address, ServerName: d.ServerName, CA: []byte(d.CA),
		Certificate: []byte(d.Certificate), Key: amt.NewSecretString(d.Key),
	}
	if _, _, err := net.SplitHostPort(f.Address); err != nil {
		return nil, fmt.Errorf("%w: address %q is not host:port", ErrContent, f.Address)
	}
	if _, err := f.TLS(); err != nil {
		return nil, err
	}
	return f, nil
}

// sourceless gives an error's place and message without the lines around it:
// they may be lines of a private key.
func sourceless(err error) string {
	var ye yaml.Error
	if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
		return fmt.Sprintf("line %d: %s", ye.GetToken().Position.Line, ye.GetMessage())
	}
	return "it is not a YAML document of the right form"
}

// Save writes the file with mode 0600. A file that is there is replaced.
func (f *File) Save(path string) error {
	b, err := f.encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b, 0o600)
}

// Create is Save for a file that must not be there.
func (f *File) Create(path string) error {
	b, err := f.encode()
	if err != nil {
		return err
	}
	return atomicfile.Create(path, b, 0o600)
}

func (f *File) encode() ([]byte, error) {
	b, err := yaml.MarshalWithOptions(document{
		Address: f.Address, ServerName: f.ServerName, CA: string(f.CA),
		Certificate: string(f.Certificate), Key: string(f.Key.Reveal()),
	}, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, errors.New("writing the context file: it does not encode")
	}
	return b, nil
}

// Leaf is the user's certificate.
func (f *File) Leaf() (*x509.Certificate, error) {
	block, _ := pem.Decode(f.Certificate)
	if block == nil {
		return nil, fmt.Errorf("%w: certificate is not PEM", ErrContent)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrContent, err)
	}
	return leaf, nil
}

// TLS is the configuration of a client that is this user and trusts this CA only.
func (f *File) TLS() (*tls.Config, error) {
	key := f.Key.Reveal()
	defer clear(key)
	cert, err := tls.X509KeyPair(f.Certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate and key do not make a pair", ErrContent)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(f.CA) {
		return nil, fmt.Errorf("%w: ca has no certificate in PEM", ErrContent)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		RootCAs:      roots,
		ServerName:   f.ServerName,
		Certificates: []tls.Certificate{cert},
	}, nil
}

// NewKey draws a private key (ECDSA P-256) and returns it in PEM with a
// certificate request in DER that names the user.
func NewKey(user string) (key amt.Secret, request []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return amt.Secret{}, nil, fmt.Errorf("drawing a key: %w", err)
	}
	request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user}}, k)
	if err != nil {
		return amt.Secret{}, nil, fmt.Errorf("making a certificate request: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return amt.Secret{}, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return amt.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), request, nil
}
