package amtsim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
)

// URIs that references name.
const (
	uriCertificate = baseAMT + "AMT_PublicKeyCertificate"
	uriKeyPair     = baseAMT + "AMT_PublicPrivateKeyPair"
)

func certID(handle int) string { return fmt.Sprintf("Intel(r) AMT Certificate: Handle: %d", handle) }

func keyID(handle int) string { return fmt.Sprintf("Intel(r) AMT Key: Handle: %d", handle) }

// classKeyService is AMT_PublicKeyManagementService.
var classKeyService = newClass(baseAMT, "AMT_PublicKeyManagementService", class{
	common: true,
	props: append([]field{
		{name: "CreationClassName", kind: kString, key: true, need: true},
		{name: "ElementName", kind: kString},
		{name: "EnabledDefault", kind: kUint16},
		{name: "EnabledState", kind: kUint16},
		{name: "Name", kind: kString, key: true, need: true},
		{name: "RequestedState", kind: kUint16},
	}, serviceKeys...),
	list: one(keyService),
	methods: map[string]*method{
		"AddKey":                    {in: []field{{name: "KeyBlob", kind: kBase64, need: true, max: 4096}}, run: addKey},
		"AddCertificate":            {in: blobField, run: addCertificate},
		"AddTrustedRootCertificate": {in: blobField, run: addTrustedRoot},
		"GenerateKeyPair": {
			in:   []field{{name: "KeyAlgorithm", kind: kUint32, need: true}, {name: "KeyLength", kind: kUint32, need: true}},
			gate: makesKeys, run: generateKeyPair,
		},
		"GeneratePKCS10RequestEx": {
			in: []field{
				{name: "KeyPair", kind: kRef, need: true},
				{name: "SigningAlgorithm", kind: kUint32, need: true},
				{name: "NullSignedCertificateRequest", kind: kBase64, need: true, max: 4096},
			},
			gate: makesKeys, run: signRequest,
		},
	},
})

// blobField is the certificate's DER; the device's own bound is checked later.
var blobField = []field{{name: "CertificateBlob", kind: kBase64, need: true, max: 16 << 10}}

func makesKeys(d *Device) bool { return d.opt.Generation.GenerateKeyPair }

func keyService(*Device) object {
	var o object
	o.str("CreationClassName", "AMT_PublicKeyManagementService")
	o.str("ElementName", "Intel(r) AMT Certificate Store Service")
	o.num("EnabledDefault", 5)
	o.num("EnabledState", 5)
	o.str("Name", "Intel(r) AMT Public Key Management Service")
	o.num("RequestedState", 12)
	o.str("SystemCreationClassName", systemClass)
	o.str("SystemName", systemName)
	return o
}

// addKey takes a PKCS#1 private key from the server. A recorded device names the
// created key under the resource of certificates; so does this one.
func addKey(d *Device, x *exchange, in *input) Status {
	der, ok := in.bytes("KeyBlob")
	if !ok {
		return InvalidKey
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	clear(der)
	if err != nil || key.N.BitLen() < 1024 || key.N.BitLen() > KeyBits {
		return InvalidKey
	}
	for _, k := range d.flash.Keys {
		if k.Key.Equal(key) {
			return Duplicate
		}
	}
	id, status := d.storeKey(key)
	if status == Success {
		x.out.point("CreatedKey", pointTo(uriCertificate, "InstanceID", id))
	}
	return status
}

func (d *Device) storeKey(key *rsa.PrivateKey) (string, Status) {
	f := &d.flash
	if len(f.Keys) >= d.opt.Limits.Keys {
		return "", MaxLimitReached
	}
	f.Keys = append(f.Keys, keyPair{f.NextKey, key})
	f.NextKey++
	return keyID(f.NextKey - 1), Success
}

// willMakeKey says whether a key is worth making before GenerateKeyPair runs.
func (d *Device) willMakeKey() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opt.Trouble.BusyKeys == 0 && len(d.flash.Keys) < d.opt.Limits.Keys
}

func generateKeyPair(d *Device, x *exchange, in *input) Status {
	if in.num("KeyAlgorithm") != 0 || in.num("KeyLength") != KeyBits {
		return InvalidParameter
	}
	if spend(&d.opt.Trouble.BusyKeys) {
		return OperationInProgress
	}
	if x.key == nil {
		if len(d.flash.Keys) >= d.opt.Limits.Keys {
			return MaxLimitReached
		}
		return NotReady
	}
	id, status := d.storeKey(x.key)
	if status == Success {
		x.out.point("KeyPair", pointTo(uriKeyPair, "InstanceID", id))
	}
	return status
}

// signRequest signs a PKCS#10 request whose signature is a dummy with a key pair
// of the device; its own public key must stand in it. SHA-256 only.
func signRequest(d *Device, x *exchange, in *input) Status {
	id, ok := in.ref("KeyPair").id(uriKeyPair, "InstanceID")
	i := slices.IndexFunc(d.flash.Keys, func(k keyPair) bool { return keyID(k.Handle) == id })
	der, isBase64 := in.bytes("NullSignedCertificateRequest")
	if !ok || i < 0 || !isBase64 || in.num("SigningAlgorithm") != 1 {
		return InvalidParameter
	}
	key := d.flash.Keys[i].Key
	req, err := x509.ParseCertificateRequest(der)
	if err != nil || !key.PublicKey.Equal(req.PublicKey) {
		return InvalidParameter
	}
	sum := sha256.Sum256(req.RawTBSCertificateRequest)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return InternalError
	}
	signed, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: req.RawTBSCertificateRequest},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)},
	})
	if err != nil {
		return InternalError
	}
	x.out.str("SignedCertificateRequest", base64.StdEncoding.EncodeToString(signed))
	return Success
}

// readCertificate decodes the blob and applies what holds for every certificate.
func (d *Device) readCertificate(in *input) (*x509.Certificate, Status) {
	der, ok := in.bytes("CertificateBlob")
	if !ok || len(der) > MaxCertificate {
		return nil, InvalidCertificate
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, InvalidCertificate
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || pub.N.BitLen() > 4096 {
		return nil, InvalidCertificate
	}
	sha1 := cert.SignatureAlgorithm == x509.SHA1WithRSA || cert.SignatureAlgorithm == x509.MD5WithRSA
	if !sha1 && d.opt.RefuseSHA256 && !d.opt.Generation.SHA256 {
		return nil, InvalidCertificate
	}
	for _, c := range d.flash.Certs {
		if bytes.Equal(c.DER, der) {
			return nil, Duplicate
		}
	}
	return cert, Success
}

func (d *Device) storeCertificate(x *exchange, c certificate) Status {
	f := &d.flash
	n, limit := 0, d.opt.Limits.Certificates
	if c.Root {
		limit = d.opt.Limits.Roots
	}
	for _, other := range f.Certs {
		if other.Root == c.Root {
			n++
		}
	}
	if n >= limit {
		return MaxLimitReached
	}
	c.Handle = f.NextCert
	f.NextCert++
	f.Certs = append(f.Certs, c)
	x.out.point("CreatedCertificate", pointTo(uriCertificate, "InstanceID", certID(c.Handle)))
	return Success
}

// addCertificate takes a certificate for one of the device's keys.
func addCertificate(d *Device, x *exchange, in *input) Status {
	cert, status := d.readCertificate(in)
	if status != Success {
		return status
	}
	for _, k := range d.flash.Keys {
		if k.Key.PublicKey.Equal(cert.PublicKey) {
			return d.storeCertificate(x, certificate{DER: cert.Raw, Key: k.Handle})
		}
	}
	return KeyNotMatched
}

// addTrustedRoot takes a self-signed CA. While authentication is mutual it is
// refused (Intel AMT Implementation and Reference Guide, "Add a Trusted Root
// Certificate").
func addTrustedRoot(d *Device, x *exchange, in *input) Status {
	if d.flash.TLS.Remote.Mutual && d.flash.TLS.Remote.Enabled {
		return NotPermitted
	}
	cert, status := d.readCertificate(in)
	if status != Success {
		return status
	}
	if !cert.IsCA || !bytes.Equal(cert.RawIssuer, cert.RawSubject) || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
		return InvalidCertificate
	}
	return d.storeCertificate(x, certificate{DER: cert.Raw, Root: true, Key: -1})
}

// classKeyPair is AMT_PublicPrivateKeyPair.
var classKeyPair = newClass(baseAMT, "AMT_PublicPrivateKeyPair", class{
	common: true,
	props: []field{
		{name: "DERKey", kind: kBase64},
		{name: "ElementName", kind: kString},
		{name: "InstanceID", kind: kString, key: true, need: true},
	},
	list: func(d *Device) []object {
		var list []object
		for _, k := range d.flash.Keys {
			var o object
			o.str("DERKey", base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&k.Key.PublicKey)))
			o.str("ElementName", "Intel(r) AMT Key")
			o.str("InstanceID", keyID(k.Handle))
			list = append(list, o)
		}
		return list
	},
	del: func(d *Device, x *exchange) *fault {
		f := &d.flash
		handle := f.Keys[x.index].Handle
		if slices.ContainsFunc(f.Certs, func(c certificate) bool { return !c.Root && c.Key == handle }) {
			return faultStatus(NotPermitted)
		}
		f.Keys = slices.Delete(f.Keys, x.index, x.index+1)
		return nil
	},
})

// classCertificate is AMT_PublicKeyCertificate; TrustedRootCertficate is spelled
// as devices spell it.
var classCertificate = newClass(baseAMT, "AMT_PublicKeyCertificate", class{
	common: true,
	props: []field{
		{name: "ElementName", kind: kString},
		{name: "InstanceID", kind: kString, key: true, need: true},
		{name: "Issuer", kind: kString},
		{name: "Subject", kind: kString},
		{name: "TrustedRootCertficate", kind: kBool},
		{name: "X509Certificate", kind: kBase64, max: MaxCertificate},
	},
	list: func(d *Device) []object {
		var list []object
		for _, c := range d.flash.Certs {
			list = append(list, c.object())
		}
		return list
	},
	del: deleteCertificate,
})

func (c certificate) object() object {
	var issuer, subject string
	if cert, err := x509.ParseCertificate(c.DER); err == nil {
		issuer, subject = nameText(cert.RawIssuer), nameText(cert.RawSubject)
	}
	var o object
	o.str("ElementName", "Intel(r) AMT Certificate")
	o.str("InstanceID", certID(c.Handle))
	o.str("Issuer", issuer)
	o.str("Subject", subject)
	o.bool("TrustedRootCertficate", c.Root)
	o.str("X509Certificate", base64.StdEncoding.EncodeToString(c.DER))
	return o
}

// nameText is a distinguished name, the last part first (RFC 2253).
func nameText(raw []byte) string {
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &rdns); err != nil {
		return ""
	}
	return rdns.String()
}

// deleteCertificate refuses what TLS still needs.
func deleteCertificate(d *Device, x *exchange) *fault {
	f := &d.flash
	c := f.Certs[x.index]
	roots := 0
	for _, other := range f.Certs {
		if other.Root {
			roots++
		}
	}
	if f.Credential == certID(c.Handle) || c.Root && roots == 1 && f.TLS.Remote.Enabled && f.TLS.Remote.Mutual {
		return faultStatus(NotPermitted)
	}
	f.Certs = slices.Delete(f.Certs, x.index, x.index+1)
	return nil
}
