package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var jsonForm = protojson.MarshalOptions{EmitDefaultValues: true}

// encode is protojson with its spacing made stable.
func encode(m proto.Message, indent string) ([]byte, error) {
	b, err := jsonForm.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	var out bytes.Buffer
	if indent == "" {
		err = json.Compact(&out, b)
	} else {
		err = json.Indent(&out, b, "", indent)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// print writes an answer: m for programs, what people makes for people.
func (a *app) print(m proto.Message, people func(w io.Writer)) error {
	if a.output == "json" {
		b, err := encode(m, "  ")
		if err != nil {
			return err
		}
		return a.write(b)
	}
	var b bytes.Buffer
	people(&b)
	return a.write(b.Bytes())
}

func (a *app) write(b []byte) error {
	if _, err := a.stdout.Write(b); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// printLine writes an answer of a stream on one line.
func (a *app) printLine(m proto.Message, line string) error {
	if a.output == "json" {
		b, err := encode(m, "")
		if err != nil {
			return err
		}
		return a.write(b)
	}
	return a.write([]byte(printable(line) + "\n"))
}

// columns writes a table without lines: what awk and eyes like.
func columns(w io.Writer, header []string, rows [][]string) {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name:    "plain",
		Box:     table.BoxStyle{PaddingRight: "  "},
		Options: table.OptionsNoBordersAndSeparators,
	})
	t.AppendHeader(row(header))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	for _, line := range strings.Split(t.Render(), "\n") {
		_, _ = fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		r[i] = printable(c)
	}
	return r
}

// fields writes names and values, leaving out what is empty.
func fields(w io.Writer, pairs ...string) {
	wide := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		wide = max(wide, len(pairs[i]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			_, _ = fmt.Fprintf(w, "%-*s  %s\n", wide+1, pairs[i]+":", printable(pairs[i+1]))
		}
	}
}

// when shows a time in the zone of the person.
func when(t *timestamppb.Timestamp) string {
	if !t.IsValid() || t.AsTime().IsZero() || t.GetSeconds() == 0 {
		return ""
	}
	return t.AsTime().Local().Format(time.DateTime)
}

// plural is a number with its noun: 1 pair, 2 pairs.
func plural[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// word shows an enum's value as people write it: WORKFLOW_STATE_COMMIT_SENT is
// CommitSent; an unspecified one is empty.
func word(e protoreflect.Enum) string {
	v := e.Descriptor().Values().ByNumber(e.Number())
	if v == nil {
		return fmt.Sprintf("unknown (%d)", e.Number())
	}
	if e.Number() == 0 {
		return ""
	}
	return camel(strings.TrimPrefix(string(v.Name()), prefix(e)))
}

// prefix is what all names of an enum's values begin with: WORKFLOW_STATE_.
func prefix(e protoreflect.Enum) string {
	return strings.TrimSuffix(string(e.Descriptor().Values().ByNumber(0).Name()), "UNSPECIFIED")
}

func camel(s string) string {
	var sb strings.Builder
	for _, part := range strings.Split(s, "_") {
		if part == "USB" || part == "OEM" || part == "API" {
			sb.WriteString(part)
			continue
		}
		sb.WriteString(part[:1] + strings.ToLower(part[1:]))
	}
	return sb.String()
}

// enumFlag reads an enum by the word that is shown for it, in any case.
type enumFlag[E protoreflect.Enum] struct {
	value *E
	name  string
}

func (f *enumFlag[E]) String() string {
	if f.value == nil {
		return ""
	}
	return strings.ToLower(word(*f.value))
}

func (f *enumFlag[E]) Type() string { return f.name }

func (f *enumFlag[E]) Set(s string) error {
	var zero E
	values := zero.Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		e := zero.Type().New(values.Get(i).Number()).(E)
		if strings.EqualFold(word(e), strings.ReplaceAll(s, "-", "")) {
			*f.value = e
			return nil
		}
	}
	return fmt.Errorf("no such %s: want %s", f.name, strings.Join(f.words(), ", "))
}

// words are the values.
func (f *enumFlag[E]) words() []string {
	var zero E
	values := zero.Descriptor().Values()
	var list []string
	for i := 1; i < values.Len(); i++ {
		list = append(list, strings.ToLower(word(zero.Type().New(values.Get(i).Number()))))
	}
	return list
}
