package batch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amtscs/amtscs/amt"
)

// Names of the fields of a PC, in the order of a file without a header; profile
// and batch need one.
const (
	FieldName          = "name"
	FieldFQDN          = "fqdn"
	FieldUUID          = "uuid"
	FieldMAC           = "mac"
	FieldMEBxPassword  = "mebx_password"
	FieldAdminPassword = "admin_password"
	FieldProfile       = "profile"
	FieldBatch         = "batch"
)

// Device is one PC of a list: what is to be its name, profile and batch, and what
// its passwords are. Empty fields say nothing.
type Device struct {
	Line          int // from 1
	Name          string
	FQDN          string // in lower case, without a dot at its end
	UUID          amt.UUID
	MAC           net.HardwareAddr
	MEBxPassword  amt.Secret
	AdminPassword amt.Secret // of the digest user admin
	Profile       string
	Batch         string
	Raw           amt.Secret // its line, when Options asked for it
}

// Encoding is the form of the passwords in a list of PCs.
type Encoding uint8

// The encodings.
const (
	// UnsaidText is plain text; a value that may as well be base64 is refused.
	UnsaidText Encoding = 0
	PlainText  Encoding = 1
	Base64     Encoding = 2 // of the plain text, with padding
)

// ParseEncoding reads plain, base64, or nothing for UnsaidText.
func ParseEncoding(s string) (Encoding, error) {
	switch s {
	case "":
		return UnsaidText, nil
	case "plain":
		return PlainText, nil
	case "base64":
		return Base64, nil
	}
	return 0, fmt.Errorf("passwords %q: want plain or base64", s)
}

// Errors of fields of a PC.
var (
	// ErrAbsent is returned for a UUID that means that a board has none.
	ErrAbsent = errors.New("it means that the PC has none")
	// ErrNothing is returned for a row that says nothing of its PC.
	ErrNothing = errors.New("the row gives the PC nothing")
	// ErrBase64 is returned for a password that is not base64 of a password.
	ErrBase64 = errors.New("not base64 of a password")
	// ErrEncoding is returned for a password that may be base64 or plain text.
	ErrEncoding = errors.New("plain text or base64?")
	// ErrText is returned for a name that is too long or does not print.
	ErrText = errors.New("no name")
	// ErrMAC is returned for what is no MAC address.
	ErrMAC = errors.New("not a MAC address")
)

// pcs are lists of PCs. The names of ConfigMgr's list for out-of-band computers
// stand beside ours.
var pcs = kind{
	names: map[string]string{
		FieldName: FieldName, "computer_name": FieldName, FieldFQDN: FieldFQDN, FieldUUID: FieldUUID, "smbios_guid": FieldUUID, "guid": FieldUUID,
		FieldMAC: FieldMAC, "mac_address": FieldMAC, FieldMEBxPassword: FieldMEBxPassword, "mebx_pwd": FieldMEBxPassword, "mebx": FieldMEBxPassword,
		FieldAdminPassword: FieldAdminPassword, "remote_admin_pwd": FieldAdminPassword, "remote_admin_password": FieldAdminPassword,
		FieldProfile: FieldProfile, FieldBatch: FieldBatch,
	},
	need:   []string{FieldUUID},
	want:   "name, fqdn, uuid, mac, mebx_password, admin_password, profile and batch, of which uuid must be there",
	usual:  usualDevices,
	likely: func(_, cell string) bool { return form(braceless(cell), 32) || strings.Count(cell, "-") == 4 },
}

var deviceShape = columns{fields: []string{FieldName, FieldFQDN, FieldUUID, FieldMAC, FieldMEBxPassword, FieldAdminPassword}}

// usualDevices is the one shape without a header. The MAC may be left out between
// UUID and passwords.
func usualDevices(cells []string) columns {
	if len(cells) > 3 && cells[3] != "" {
		if _, err := net.ParseMAC(cells[3]); err != nil && len(cells) < len(deviceShape.fields) {
			return columns{fields: slices.Delete(slices.Clone(deviceShape.fields), 3, 4)}
		}
	}
	return deviceShape
}

// ReadDevices reads a table of PCs: name,FQDN,UUID, and perhaps MAC, MEBx
// password and administrator's password, as ConfigMgr has them for out-of-band
// management. A header may put them in another order and add profile and batch;
// other tables need a Layout. Lines, good rows and bad rows are as with ReadTable.
// Whether a name is one for a host, and free, is not asked here.
func ReadDevices(name string, r io.Reader, passwords Encoding, opts Options, fn func(Device) error) error {
	if err := opts.Layout.CheckDevices(); err != nil {
		return err
	}
	t := &table{collector: collector{file: name}, kind: &pcs, opts: opts}
	t.take = func(line int, cells []string, cols columns) error {
		row := map[string]string{}
		for i, cell := range cells[:min(len(cells), len(cols.fields))] {
			row[cols.fields[i]] = cell
		}
		d, bad := deviceRow(row, passwords)
		if bad != nil {
			t.fault(line, bad.Field, bad.Err, bad.Cure)
			return nil
		}
		d.Line = line
		if t.keep {
			d.Raw = amt.NewSecret(t.raw)
		}
		t.errs.Good++
		return fn(d)
	}
	return t.read(r)
}

// deviceRow checks the fields. The errors show no value.
func deviceRow(row map[string]string, passwords Encoding) (d Device, bad *RowError) {
	for _, f := range []struct {
		field string
		to    *string
	}{{FieldName, &d.Name}, {FieldFQDN, &d.FQDN}, {FieldProfile, &d.Profile}, {FieldBatch, &d.Batch}} {
		if *f.to = strings.TrimSpace(row[f.field]); !printable(*f.to) {
			return Device{}, &RowError{Field: f.field, Err: ErrText, Cure: "want at most 255 printable characters"}
		}
	}
	d.FQDN = strings.ToLower(strings.TrimSuffix(d.FQDN, "."))
	if strings.ContainsAny(d.FQDN, " ") || strings.HasSuffix(d.FQDN, ".") {
		return Device{}, &RowError{Field: FieldFQDN, Err: ErrText, Cure: "want host and domain, as pc1.example.com"}
	}
	if d.UUID, bad = readUUID(row[FieldUUID]); bad != nil {
		return Device{}, bad
	}
	if s := strings.TrimSpace(row[FieldMAC]); s != "" {
		var err error
		if d.MAC, err = readMAC(s); err != nil {
			return Device{}, &RowError{Field: FieldMAC, Err: ErrMAC, Cure: "want twelve hexadecimal digits, as 00:11:22:33:44:55, or nothing"}
		}
	}
	for _, f := range []struct {
		field string
		to    *amt.Secret
	}{{FieldMEBxPassword, &d.MEBxPassword}, {FieldAdminPassword, &d.AdminPassword}} {
		if *f.to, bad = readPassword(f.field, row[f.field], passwords); bad != nil {
			return Device{}, bad
		}
	}
	if d.FQDN == "" && d.Profile == "" && d.Batch == "" && d.MEBxPassword.IsZero() && d.AdminPassword.IsZero() {
		return Device{}, &RowError{Err: ErrNothing, Cure: "want an FQDN, a profile, a batch or a password beside the UUID"}
	}
	return d, nil
}

func printable(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func braceless(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' {
		return s[1 : len(s)-1]
	}
	return s
}

func readUUID(s string) (amt.UUID, *RowError) {
	s = braceless(s)
	if s == "" {
		return amt.UUID{}, &RowError{Field: FieldUUID, Err: ErrMissing, Cure: "scsctl inbox list shows the UUIDs of PCs that said hello"}
	}
	u, err := amt.ParseUUID(s)
	if err != nil {
		return u, &RowError{Field: FieldUUID, Err: amt.ErrUUID, Cure: "check that this column holds the UUID"}
	}
	if !u.Present() {
		return u, &RowError{Field: FieldUUID, Err: ErrAbsent, Cure: "have the mainboard given a UUID with its maker's tool"}
	}
	return u, nil
}

func readMAC(s string) (net.HardwareAddr, error) {
	if form(s, 12) && !strings.Contains(s, "-") {
		s = s[:4] + "." + s[4:8] + "." + s[8:]
	}
	mac, err := net.ParseMAC(s)
	if err == nil && len(mac) != 6 {
		err = ErrMAC
	}
	return mac, err
}

// readPassword wants what a device can have: the factory's, or one that AMT takes.
func readPassword(field, s string, enc Encoding) (amt.Secret, *RowError) {
	if s == "" {
		return amt.Secret{}, nil
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(s)
	coded := err == nil && checkDevicePassword(string(decoded)) == nil
	switch {
	case enc == Base64 && !coded:
		return amt.Secret{}, &RowError{Field: field, Err: ErrBase64, Cure: "encode the password again, or import with --passwords plain"}
	case enc == Base64:
		return amt.NewSecret(decoded), nil
	case enc == UnsaidText && coded:
		return amt.Secret{}, &RowError{Field: field, Err: ErrEncoding, Cure: "say which with --passwords base64 or --passwords plain"}
	}
	if err := checkDevicePassword(s); err != nil {
		return amt.Secret{}, &RowError{Field: field, Err: err, Cure: "no device can have it: check that this column holds the password, or leave the field empty"}
	}
	return amt.NewSecretString(s), nil
}

func checkDevicePassword(s string) error {
	if s == amt.FactoryPassword {
		return nil
	}
	if strings.TrimSpace(s) != s {
		return fmt.Errorf("%w: a space stands first or last", amt.ErrPassword)
	}
	return amt.CheckPassword(amt.NewSecretString(s))
}

// DeviceHeader is the first line of a list that Device.AppendCSV writes, with its
// line end.
const DeviceHeader = FieldName + "," + FieldFQDN + "," + FieldUUID + "," + FieldMAC + "," +
	FieldMEBxPassword + "," + FieldAdminPassword + "," + FieldProfile + "," + FieldBatch + "\n"

// AppendCSV appends the PC as a line of a CSV file behind DeviceHeader, its
// passwords in plain text. Line and Raw are not written.
func (d Device) AppendCSV(b []byte) []byte {
	mac := ""
	if d.MAC != nil {
		mac = d.MAC.String()
	}
	b = appendCells(b, d.Name, d.FQDN, d.UUID.String(), mac,
		string(d.MEBxPassword.Reveal()), string(d.AdminPassword.Reveal()), d.Profile, d.Batch)
	return append(b, '\n')
}
