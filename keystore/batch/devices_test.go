package batch

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

const (
	uuid1 = "d2ffc23e-9dd1-412d-860a-54b2039b72ff"
	uuid2 = "4c4c4544-0042-4c10-8030-b4c04f565831"
)

// showDevices renders PCs with their secrets, without what is empty.
func showDevices(list []Device) string {
	var sb strings.Builder
	for _, d := range list {
		fmt.Fprintf(&sb, "%d %v", d.Line, d.UUID)
		for _, f := range [][2]string{
			{"name", d.Name},
			{"fqdn", d.FQDN},
			{"mac", d.MAC.String()},
			{"mebx", string(d.MEBxPassword.Reveal())},
			{"admin", string(d.AdminPassword.Reveal())},
			{"profile", d.Profile},
			{"batch", d.Batch},
		} {
			if f[1] != "" {
				sb.WriteString(" " + f[0] + "=" + f[1])
			}
		}
		sb.WriteByte('\n')
	}
	return sb.String()
}

func collectDevices(list *[]Device) func(Device) error {
	return func(d Device) error {
		*list = append(*list, d)
		return nil
	}
}

func TestReadDevices(t *testing.T) {
	t.Parallel()
	coded := base64.StdEncoding.EncodeToString([]byte("P@ssw0rd"))
	for _, tt := range []struct {
		name, file, want string
		enc              Encoding
		columns          string
	}{
		{"three columns", "pc1,PC1.example.com.," + strings.ToUpper(uuid1), "1 {} name=pc1 fqdn=pc1.example.com", 0, ""},
		{
			"with MAC and passwords", "pc1,pc1.example.com," + uuid1 + ",00-11-22-33-44-55,P@ssw0rd,Adm1n!xx",
			"1 {} name=pc1 fqdn=pc1.example.com mac=00:11:22:33:44:55 mebx=P@ssw0rd admin=Adm1n!xx", 0, "",
		},
		{"without MAC", "pc1,pc1.example.com," + uuid1 + ",P@ssw0rd", "1 {} name=pc1 fqdn=pc1.example.com mebx=P@ssw0rd", 0, ""},
		{"empty MAC", "pc1,pc1.example.com," + uuid1 + ",,P@ssw0rd", "1 {} name=pc1 fqdn=pc1.example.com mebx=P@ssw0rd", 0, ""},
		{"MAC as digits", "pc1,a.b," + uuid1 + ",00112233445f", "1 {} name=pc1 fqdn=a.b mac=00:11:22:33:44:5f", 0, ""},
		{"base64", "pc1,,{" + uuid1 + "},," + coded, "1 {} name=pc1 mebx=P@ssw0rd", Base64, ""},
		{"plain text that may be base64", "pc1,," + uuid1 + ",," + coded, "1 {} name=pc1 mebx=" + coded, PlainText, ""},
		{"header of ours", "uuid;profile;batch\n" + uuid1 + ";office;dell-1", "2 {} profile=office batch=dell-1", 0, ""},
		{
			"header of ConfigMgr", "Computer Name,FQDN,SMBIOS GUID,MAC Address,MEBx_Pwd,Remote_Admin_Pwd\npc1,a.b," + uuid1 + ",,admin,",
			"2 {} name=pc1 fqdn=a.b mebx=admin", 0, "",
		},
		{"columns", "Tag,Where,Board\nX,a.b," + uuid1, "2 {} fqdn=a.b", 0, "uuid=Board,fqdn=2"},
		{"positions", "a.b," + uuid1, "1 {} fqdn=a.b", 0, "uuid=2,fqdn=1"},
		{"positions and a header", "Where,Board\na.b," + uuid1, "2 {} fqdn=a.b", 0, "uuid=2,fqdn=1"},
	} {
		opts := Options{}
		if tt.columns != "" {
			opts.Layout.Columns = columnsOf(t, tt.columns)
		}
		var list []Device
		if err := ReadDevices("pcs.csv", strings.NewReader(tt.file), tt.enc, opts, collectDevices(&list)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, want := showDevices(list), strings.ReplaceAll(tt.want, "{}", uuid1)+"\n"; got != want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, want)
		}
	}
}

func TestReadDevicesFaults(t *testing.T) {
	t.Parallel()
	const leak = "Pl4nted.Passw0rd"
	coded := base64.StdEncoding.EncodeToString([]byte(leak))
	for _, tt := range []struct {
		row  string
		enc  Encoding
		want error
		text string
	}{
		{"pc1,a.b,", 0, ErrMissing, "pcs.csv:2: uuid: it is missing; scsctl inbox list shows"},
		{"pc1,a.b,d2ffc23e", 0, amt.ErrUUID, "uuid: not a UUID"},
		{"pc1,a.b," + leak, 0, amt.ErrUUID, "uuid: not a UUID"},
		{"pc1,a.b,ffffffff-ffff-ffff-ffff-ffffffffffff", 0, ErrAbsent, "uuid: it means that the PC has none"},
		{"pc1,," + uuid1, 0, ErrNothing, "pcs.csv:2: the row gives the PC nothing; want an FQDN"},
		{"pc1,a b," + uuid1, 0, ErrText, "fqdn: no name"},
		{"pc1,a.b..," + uuid1, 0, ErrText, "fqdn: no name"},
		{"p\x01c,a.b," + uuid1, 0, ErrText, "name: no name; want at most 255 printable characters"},
		{"pc1,a.b," + uuid1 + ",00:11,,", 0, ErrMAC, "mac: not a MAC address; want twelve"},
		{"pc1,a.b," + uuid1 + ",00:11:22:33:44:55:66:77,,", 0, ErrMAC, "mac: not a MAC address"},
		{"pc1,a.b," + uuid1 + ",,leakleak", 0, amt.ErrPassword, "mebx_password: password refused: it needs a digit; no device can have it"},
		{"pc1,a.b," + uuid1 + ",,,\" " + leak + "\"", PlainText, amt.ErrPassword, "admin_password: password refused: a space stands"},
		{"pc1,a.b," + uuid1 + ",," + coded, 0, ErrEncoding, "mebx_password: plain text or base64? say which with --passwords"},
		{"pc1,a.b," + uuid1 + ",," + leak, Base64, ErrBase64, "mebx_password: not base64 of a password; encode"},
		{"pc1,a.b," + uuid1 + ",,bGVhaw==", Base64, ErrBase64, "mebx_password: not base64"},
		{"pc1", 0, ErrMissing, "uuid: it is missing"},
		{"pc1,a.b," + uuid1 + ",,,,7", 0, ErrColumns, "7 fields, want name,fqdn,uuid,mac,mebx_password,admin_password"},
	} {
		file := "ok,ok.example.com," + uuid2 + ",,,\n" + tt.row + "\n"
		var list []Device
		err := ReadDevices("pcs.csv", strings.NewReader(file), tt.enc, Options{}, collectDevices(&list))
		var bad *RowErrors
		if !errors.As(err, &bad) || len(bad.Rows) != 1 || !errors.Is(bad.Rows[0], tt.want) || !strings.Contains(err.Error(), tt.text) || len(list) != 1 {
			t.Errorf("%s: got %v, %d PCs, want %s", tt.row, err, len(list), tt.text)
		}
		if err != nil && (strings.Contains(err.Error(), "Pl4n") || strings.Contains(err.Error(), coded)) {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	err := ReadDevices("pcs.csv", strings.NewReader("fqdn,mac\n"), 0, Options{}, nil)
	if !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "pcs.csv:1: wrong columns: uuid is not among them; want name, fqdn, uuid") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseEncoding("rot13"); err == nil {
		t.Error("rot13 was taken")
	}
}

func TestDeviceRaw(t *testing.T) {
	t.Parallel()
	var list []Device
	line := "pc1,a.b," + uuid1 + ",,P@ssw0rd"
	opts := Options{Raw: true, Head: func(amt.Secret) { t.Error("there is no header") }}
	if err := ReadDevices("pcs.csv", strings.NewReader(line+"\n"), 0, opts, collectDevices(&list)); err != nil || len(list) != 1 {
		t.Fatal(err, len(list))
	}
	if string(list[0].Raw.Reveal()) != line || strings.Contains(fmt.Sprintf("%+v", list[0]), "P@ss") {
		t.Errorf("got %+v", list[0])
	}
}

// FuzzReadDevices: PCs that are written are read as the same.
func FuzzReadDevices(f *testing.F) {
	f.Add([]byte("pc1,pc1.example.com,"+uuid1+",00:11:22:33:44:55,P@ssw0rd,admin\n"), uint8(0))
	f.Add([]byte("UUID;Profile;Batch\n{"+uuid2+"};office;\"a;b\"\n"), uint8(1))
	f.Add([]byte("x,,"+uuid2+",,UEBzc3cwcmQ=\n"), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, enc uint8) {
		var list, again []Device
		_ = ReadDevices("f", bytes.NewReader(b), Encoding(enc%3), Options{}, collectDevices(&list))
		file := []byte(DeviceHeader)
		for i := range list {
			list[i].Line = i + 2
			file = list[i].AppendCSV(file)
		}
		if err := ReadDevices("again", bytes.NewReader(file), PlainText, Options{}, collectDevices(&again)); err != nil {
			t.Fatal(err)
		}
		if showDevices(again) != showDevices(list) {
			t.Fatalf("PCs that were written are read as others:\n%s%s", showDevices(list), showDevices(again))
		}
	})
}
