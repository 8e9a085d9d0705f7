package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/media"
	"github.com/amtscs/amtscs/setupbin"
)

// printJSON writes an answer that comes from no server: v for programs, what
// people makes for people.
func (a *app) printJSON(v any, people func(w io.Writer)) error {
	if a.output != "json" {
		var sb strings.Builder
		people(&sb)
		return a.write([]byte(sb.String()))
	}
	var sb strings.Builder
	enc := json.NewEncoder(&sb)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return a.write([]byte(sb.String()))
}

// shownFile is a setup.bin as usb show tells it.
type shownFile struct {
	File          string        `json:"file"`
	Image         *shownImage   `json:"image,omitempty"`
	Header        shownHeader   `json:"header"`
	Records       []shownRecord `json:"records"`
	TrailingBytes int64         `json:"trailing_bytes"`
}

type shownImage struct {
	FileSystem string `json:"file_system"`
	Offset     int64  `json:"offset"` // of setup.bin in the image, in bytes
	Size       int64  `json:"size"`   // of setup.bin, in bytes
	OtherFiles int    `json:"other_files"`
}

type shownHeader struct {
	Version      string   `json:"version"`
	Major        uint8    `json:"major"`
	Minor        uint8    `json:"minor"`
	Chunks       uint16   `json:"chunks"`
	HeaderBytes  uint16   `json:"header_bytes"`
	Flags        uint16   `json:"flags"`
	Consumable   bool     `json:"consumable"`
	Records      uint32   `json:"records"`
	Consumed     uint32   `json:"consumed"`
	RecordChunks uint16   `json:"record_chunks"`
	Modules      []uint16 `json:"modules"`
}

type shownRecord struct {
	Place     int             `json:"place"` // in the file, from 1
	Number    uint32          `json:"number"`
	Offset    int64           `json:"offset"` // in the file, in bytes
	Type      uint32          `json:"type"`
	Flags     uint32          `json:"flags"`
	Valid     bool            `json:"valid"`
	Scrambled bool            `json:"scrambled"`
	Variables []shownVariable `json:"variables"`
	RestBytes int             `json:"rest_bytes"` // behind the variables, when they are not zero
}

type shownVariable struct {
	Module   uint16 `json:"module"`
	Variable uint16 `json:"variable"`
	Name     string `json:"name"` // "unknown" for one that is not known
	Length   int    `json:"length"`
	Secret   bool   `json:"secret"`
	Hidden   bool   `json:"hidden"`
	Value    string `json:"value"`    // as it is where the variable is text, else hex digits
	Encoding string `json:"encoding"` // text or hex
	Meaning  string `json:"meaning"`  // the value for people
}

func (a *app) usbShow() *cobra.Command {
	var reveal bool
	var limit int
	c := &cobra.Command{
		Use: "show FILE", Short: "Show what a setup.bin, or one in a disk image, holds (needs no server)", Args: takes("FILE"),
		Long: "Show the header and the variables of every record, of a setup.bin or of the one in a disk image or on a\n" +
			"disk. Passwords and PPSs are hidden unless --reveal is given. A file that cannot be read ends with status 1,\n" +
			"and its name, the offset and the rule that it breaks. It needs no server.",
		RunE: func(_ *cobra.Command, args []string) error {
			if limit < 0 {
				return usage("--limit %d: want 0 or more", limit)
			}
			f, err := a.readSetup(args[0], limit, reveal)
			if err != nil {
				return err
			}
			return a.printJSON(f, f.table)
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show passwords and PPSs, too")
	return limitFlag(c, &limit)
}

// openSetup opens a setup.bin for reading, and its header.
func openSetup(name string) (*media.File, *setupbin.Reader, error) {
	f, err := media.Open(name, false)
	if err != nil {
		return nil, nil, imageFailure(name, err)
	}
	rd, err := setupbin.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, nil, layoutFailure(name, err)
	}
	return f, rd, nil
}

// layoutFailure names the file, the offset and the rule.
func layoutFailure(name string, err error) error {
	var fe *setupbin.FormatError
	if !errors.As(err, &fe) {
		return fmt.Errorf("%s: %w", name, err)
	}
	hint := "scsctl usb lint tells all that is wrong with it"
	if errors.Is(err, setupbin.ErrNotSetupBin) {
		hint = "name a setup.bin, or a disk image that holds one"
	}
	return failed(hint, "%s: %w", name, fe)
}

// imageFailure tells what to do about an image.
func imageFailure(name string, err error) error {
	switch {
	case errors.Is(err, media.ErrNoFile):
		return failed("put it there, or make an image with scsctl usb image", "%w", err)
	case errors.Is(err, media.ErrImage):
		return failed("copy setup.bin off the key, or make an image anew with scsctl usb image", "%w", err)
	}
	return err
}

// readSetup reads a whole file, and keeps its first limit records (0: all).
func (a *app) readSetup(name string, limit int, reveal bool) (*shownFile, error) {
	f, rd, err := openSetup(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	h := rd.Header()
	s := &shownFile{File: name, Records: []shownRecord{}, Header: shownHeader{
		Version: h.Version.String(), Major: h.Version.Major(), Minor: h.Version.Minor(), Chunks: h.Chunks, HeaderBytes: h.HeaderBytes,
		Flags: uint16(h.Flags), Consumable: h.Consumable(), Records: h.Records, Consumed: h.Consumed, RecordChunks: h.RecordChunks,
		Modules: append([]uint16{}, h.Modules...),
	}}
	if v := f.Found(); v != nil {
		s.Image = &shownImage{FileSystem: v.FAT.String(), Offset: v.Offset, Size: v.Size, OtherFiles: v.Others}
	}
	for place := 1; ; place++ {
		r, err := rd.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, layoutFailure(name, err)
		}
		if limit == 0 || place <= limit {
			s.Records = append(s.Records, shown(r, place, rd.Offset(), reveal))
		}
	}
	if n := int(h.Records); n > len(s.Records) {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: only the first %d of %d records are shown: --limit 0 shows all\n", len(s.Records), n)
	}
	s.TrailingBytes = f.Size() - h.Offset(h.Records)
	return s, nil
}

func shown(r *setupbin.Record, place int, offset int64, reveal bool) shownRecord {
	s := shownRecord{
		Place: place, Number: r.Number, Offset: offset, Type: r.Type, Flags: r.Flags, Valid: r.Valid(), Scrambled: r.Scrambled(),
		Variables: []shownVariable{}, RestBytes: len(r.Rest),
	}
	for _, e := range r.Entries {
		s.Variables = append(s.Variables, shownEntry(e, reveal))
	}
	return s
}

func shownEntry(e setupbin.Entry, reveal bool) shownVariable {
	v := shownVariable{Module: e.Module, Variable: e.Variable, Name: "unknown", Length: len(e.Value), Secret: e.Secret(), Encoding: "hex"}
	if row, ok := setupbin.Lookup(e.Module, e.Variable); ok {
		v.Name = row.Name
	}
	if e.Printable() {
		v.Encoding = "text"
	}
	if v.Secret && !reveal {
		v.Hidden = true
		return v
	}
	v.Value, v.Meaning = hex.EncodeToString(e.Value), e.Text()
	if v.Encoding == "text" {
		v.Value = string(e.Value)
	}
	if e.ID() == "2/1" {
		if pid, err := amt.ParsePID(v.Value); err == nil {
			v.Meaning = pid.String()
		}
	}
	return v
}

// state is what became of the record.
func (r *shownRecord) state() string {
	switch {
	case r.Type != setupbin.TypeData:
		return fmt.Sprintf("of type %d", r.Type)
	case r.Valid:
		return "valid"
	}
	return "consumed"
}

func (s *shownFile) table(w io.Writer) {
	h := s.Header
	kept, where := "", ""
	if !h.Consumable {
		kept = "kept by firmware, not consumed"
	}
	if i := s.Image; i != nil {
		where = fmt.Sprintf("%s, setup.bin at offset %d, %s beside it", i.FileSystem, i.Offset, plural(i.OtherFiles, "file"))
	}
	fields(w, "file", s.File, "image", where, "version", h.Version, "records", fmt.Sprint(h.Records), "consumed", fmt.Sprint(h.Consumed),
		"flags", kept, "modules", strings.Trim(fmt.Sprint(h.Modules), "[]"))
	if s.TrailingBytes > 0 {
		fields(w, "trailing", plural(s.TrailingBytes, "byte"))
	}
	for i := range s.Records {
		s.Records[i].table(w)
	}
}

func (r *shownRecord) table(w io.Writer) {
	state := r.state()
	if r.Scrambled {
		state += ", scrambled"
	}
	_, _ = fmt.Fprintf(w, "\nrecord %d: %s\n", r.Place, state)
	rows := make([][]string, len(r.Variables))
	for i, v := range r.Variables {
		value := v.Meaning
		if v.Hidden {
			value = "(hidden)"
		}
		rows[i] = []string{fmt.Sprintf("%d/%d", v.Module, v.Variable), v.Name, value}
	}
	columns(w, []string{"VARIABLE", "NAME", "VALUE"}, rows)
	if r.RestBytes > 0 {
		_, _ = fmt.Fprintf(w, "%s behind the variables\n", plural(r.RestBytes, "byte"))
	}
}
