package batch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/amt"
)

func columnsOf(t testing.TB, s string) []Column {
	t.Helper()
	cols, err := ParseColumns(s)
	if err != nil {
		t.Fatal(err)
	}
	return cols
}

func TestParseColumns(t *testing.T) {
	t.Parallel()
	got := columnsOf(t, "PID=3, pps = Provisioning Passphrase,used=7")
	want := []Column{{Field: "pid", Position: 3}, {Field: "pps", Name: "Provisioning Passphrase"}, {Field: "used", Position: 7}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, s := range []string{"", "pid", "pid=", "=3", "pid=3,", "pid=3x", "pid=3,pps=99999999999999999999"} {
		if _, err := ParseColumns(s); !errors.Is(err, ErrLayout) {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func TestCheckLayout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ columns, text string }{
		{"pid=1", "pps has no column"},
		{"pid=1,pps=2,colour=3", `there is no field "colour": want pid, pps,`},
		{"pid=1,pps=2,id=3", `there is no field "id"`},
		{"pid=1,pps=2,pid=3", "pid is there twice"},
		{"pid=1,pps=1", "pid and pps are in the same column"},
		{"pid=A b,pps=a_B", "pid and pps are in the same column"},
		{"pid=0,pps=2", "pid: want a position from 1 to 1000"},
		{"pid=1,pps=1001", "pps: want a position from 1 to 1000"},
		{"pid=1,pps=" + strings.Repeat("x", 101), "a name has at most 100 bytes"},
	} {
		l := Layout{Columns: columnsOf(t, tt.columns)}
		if err := l.CheckPairs(); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %s", tt.columns, err, tt.text)
		}
	}
	for _, l := range []Layout{{Skip: -1}, {Skip: MaxSkip + 1}, {Separator: '|'}} {
		if err := l.CheckDevices(); !errors.Is(err, ErrLayout) {
			t.Errorf("%+v: got %v", l, err)
		}
		if err := ReadTable("x", strings.NewReader(""), Options{Layout: l}, nil); !errors.Is(err, ErrLayout) {
			t.Errorf("%+v: ReadTable: got %v", l, err)
		}
	}
	if err := (Layout{Columns: columnsOf(t, "name=1")}).CheckDevices(); !errors.Is(err, ErrLayout) {
		t.Errorf("a list of PCs without UUIDs: got %v", err)
	}
}

func TestSeparators(t *testing.T) {
	t.Parallel()
	for _, s := range []Separator{0, Comma, Tab, Semicolon, Blank} {
		if got, err := ParseSeparator(s.String()); err != nil || got != s {
			t.Errorf("%v: got %v, %v", s, got, err)
		}
	}
	if _, err := ParseSeparator("|"); !errors.Is(err, ErrLayout) {
		t.Errorf("got %v", err)
	}
}

// TestReadLayout reads the private layouts of suppliers.
func TestReadLayout(t *testing.T) {
	t.Parallel()
	short := strings.ReplaceAll(pps1, "-", "")
	good := "0000-037M " + short + " admin"
	for _, tt := range []struct {
		name, columns, file, want string
		layout                    Layout
	}{
		{"positions", "pid=3,pps=2,current_password=5", "Service Tag,PP,ID,Model,MEBx,More\nJX1,{pps},{pid},E6400,admin,x,y,z\n", "2 " + good, Layout{}},
		{"positions without a header", "pid=1,pps=3,current_password=2", "{pid};admin;{pps}\n", "1 " + good, Layout{}},
		{"names", "pid=Prov ID,pps=pass PHRASE,current_password=MEBx", "Tag\tMEBX\tProv_ID\tPass Phrase\nJX1\tadmin\t{pid}\t{pps}\n", "2 " + good, Layout{}},
		{"name and position", "pid=PID,pps=1,current_password=3", "x,PID,y\n{pps},{pid},admin\n", "2 " + good, Layout{}},
		{"lines before", "pid=1,pps=2,current_password=3", "\xef\xbb\xbfShipment 4711, \"of\nMay,,\n{pid},{pps},admin\n", "3 " + good, Layout{Skip: 2}},
		{"a separator that is elsewhere too", "pid=1,pps=2,current_password=3", "{pid};{pps};admin;a,b\n", "1 " + good, Layout{Separator: Semicolon}},
	} {
		tt.layout.Columns = columnsOf(t, tt.columns)
		file := strings.NewReplacer("{pid}", pid1, "{pps}", pps1).Replace(tt.file)
		var rows []Row
		if err := ReadTable("dell.csv", strings.NewReader(file), Options{Layout: tt.layout}, collect(&rows)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := show(rows); got != tt.want+"  false\n" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestReadLayoutFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ columns, file, text string }{
		{"pid=Code,pps=Phrase", "Code,Word\n", `dell.csv:1: wrong columns: the header has no column "Phrase"; want pid, pps`},
		{"pid=Code,pps=Phrase", "Code,Phrase,code\n", `the header has two columns "Code"`},
		{"pid=Code,pps=1", "Code,Phrase\n", "pid and pps are in the same column"},
		{"pid=1,pps=3", pid1 + ",x\n", "dell.csv:1: pps: it is missing"},
		{"pid=2,pps=1", pid1 + "," + pps1 + "\n" + pid1 + "," + pps1 + "\n", "dell.csv:1: the columns of PID and PPS are exchanged; exchange them, or say where they stand with --columns"},
	} {
		err := ReadTable("dell.csv", strings.NewReader(tt.file), Options{Layout: Layout{Columns: columnsOf(t, tt.columns)}}, func(Row) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %s", tt.columns, err, tt.text)
		}
	}
}

// TestHeaderGuess: of a table with positions, a first row with typing errors is a
// row, and what is taken for a header is told.
func TestHeaderGuess(t *testing.T) {
	t.Parallel()
	opts := Options{Layout: Layout{Columns: columnsOf(t, "pid=1,pps=2")}}
	var notes []string
	opts.Note = func(line int, text string) { notes = append(notes, fmt.Sprint(line, " ", text)) }
	for _, tt := range []struct {
		first string
		head  bool
	}{
		{"PID,PPS", true},
		{"PROVISION,Provisioning Passphrase of PC", true},
		{"Prov-ID,x", true},
		{pid1[:8] + "," + pps1[:30], false},
		{"," + pps1, false},
		{pid1 + ",", false},
		{pps1 + "," + pid1, false},
	} {
		notes = nil
		err := ReadTable("x", strings.NewReader(tt.first+"\n"), opts, func(Row) error { return nil })
		if tt.head != (len(notes) == 1) || tt.head != (err == nil) {
			t.Errorf("%s: got %v, %v", tt.first, err, notes)
		}
	}
}

// TestRaw: what was passed over and what was refused can be written again, to be
// mended and read in the same layout.
func TestRaw(t *testing.T) {
	t.Parallel()
	file := "\xef\xbb\xbfshipment\nID;Phrase\n# comment\n" + pid1 + ";" + pps1 + "\r\n" + pid1 + ";\"" + pps1[:20] + "\"\n" + strings.Repeat("x", 5000) + "\n\"open\n"
	opts := Options{Layout: Layout{Columns: columnsOf(t, "pid=ID,pps=Phrase"), Skip: 1}, Raw: true}
	var head, bad []string
	opts.Head = func(line amt.Secret) { head = append(head, string(line.Reveal())) }
	opts.Bad = func(e *RowError) { bad = append(bad, fmt.Sprintf("%d %s", e.Line, e.Raw.Reveal())) }
	var rows []Row
	err := ReadTable("x", strings.NewReader(file), opts, collect(&rows))
	var list *RowErrors
	if !errors.As(err, &list) || len(list.Rows) != 3 || !list.Rows[0].Raw.IsZero() {
		t.Errorf("got %v", err)
	}
	if want := []string{"shipment", "ID;Phrase"}; !slices.Equal(head, want) {
		t.Errorf("head: got %q", head)
	}
	if want := []string{"5 " + pid1 + ";\"" + pps1[:20] + "\"", "6 ", "7 \"open"}; !slices.Equal(bad, want) {
		t.Errorf("bad rows: got %q", bad)
	}
	if len(rows) != 1 || string(rows[0].Raw.Reveal()) != pid1+";"+pps1 {
		t.Errorf("got %s", show(rows))
	}
	if s := fmt.Sprintf("%v %+v", rows, list.Rows[0]); strings.Contains(s, "NKLD") {
		t.Error("a row prints its secrets")
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	file := pid1 + "," + pps1[:38] + "X\n" + pid1 + "," + pps1 + ",,weak\n" + pid1 + ",x\n" + pid1 + "," + pps1 + ",\"a \"\n"
	var list *RowErrors
	if err := ReadCSV("x", strings.NewReader(file), func(Row) error { return nil }); !errors.As(err, &list) {
		t.Fatal(err)
	}
	if list.Checksums != 1 || list.Passwords != 2 || len(list.Rows) != 4 {
		t.Errorf("got %+v", list)
	}
}

// FuzzColumns: what is read is written as what reads the same.
func FuzzColumns(f *testing.F) {
	for _, s := range []string{"pid=3,pps=4", "PID = Prov ID,pps=Pass", "x==,y=1", "a=0012"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cols, err := ParseColumns(s)
		if err != nil {
			return
		}
		var parts []string
		for _, c := range cols {
			if c.Position == 0 && c.Name == "" {
				return // a position of 0 is refused by the checks
			}
			parts = append(parts, c.String())
		}
		again, err := ParseColumns(strings.Join(parts, ","))
		if err != nil || !slices.Equal(again, cols) {
			t.Fatalf("%q: got %v, then %v, %v", s, cols, again, err)
		}
		_ = Layout{Columns: cols}.CheckPairs()
	})
}
