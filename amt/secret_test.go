package amt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/amtscs/amtscs/amt"
)

const hush = "Hush-hush-5ecret" // what must not be seen

// forms are the ways in which a careless printer shows bytes.
func forms(s string) []string {
	b := []byte(s)
	dec := strings.Trim(fmt.Sprint(b), "[]")
	return []string{
		s, s[:6], hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), fmt.Sprintf("% x", b), fmt.Sprintf("% X", b),
		base64.StdEncoding.EncodeToString(b)[:16], base64.URLEncoding.EncodeToString(b)[:16], dec, strings.ReplaceAll(dec, " ", ","),
		strings.ReplaceAll(dec, " ", ", "), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
}

func wantHushed(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range forms(hush) {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", how, text)
			return
		}
	}
}

// holder has secrets in every kind of place.
type holder struct {
	Public  amt.Secret
	Pointer *amt.Secret
	Slice   []amt.Secret
	Array   [2]amt.Secret
	Map     map[string]amt.Secret
	Any     any
	Pair    amt.Pair
	private amt.Secret
	pointer *amt.Secret
	slice   []amt.Secret
	inner   struct{ deep amt.Secret }
	any     any
}

type embeds struct{ amt.Secret }

type embedding struct{ S amt.Secret }

func secrets() map[string]any {
	s := amt.NewSecretString(hush)
	h := holder{
		Public: s, Pointer: &s, Slice: []amt.Secret{s}, Array: [2]amt.Secret{s, s}, Map: map[string]amt.Secret{"k": s}, Any: s,
		Pair: amt.Pair{PPS: s}, private: s, pointer: &s, slice: []amt.Secret{s}, inner: struct{ deep amt.Secret }{s}, any: s,
	}
	return map[string]any{
		"secret": s, "pointer": &s, "struct": h, "pointer to struct": &h, "slice": []amt.Secret{s, s}, "map": map[string]amt.Secret{"k": s},
		"pair": amt.Pair{PPS: s}, "pointer to pair": &amt.Pair{PPS: s}, "embedded": embeds{s}, "any": []any{s, &s, h},
		"error": fmt.Errorf("a careless %v %s: %w", s, s, errors.New("error")), "map of structs": map[int]holder{1: h},
		"nested pointers": []*holder{&h}, "channel of it": make(chan amt.Secret),
	}
}

func TestSecretVerbs(t *testing.T) {
	t.Parallel()
	for name, v := range secrets() {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw!" {
			for _, flags := range []string{"", "+", "#", " ", "-", "0", "20", ".3", "+#", "# ", "-40.20"} {
				format := "%" + flags + string(verb)
				wantHushed(t, format+" of "+name, fmt.Sprintf(format, v))
			}
		}
		wantHushed(t, "Sprint of "+name, fmt.Sprint(v))
		wantHushed(t, "Sprintln of "+name, fmt.Sprintln("x", v))
		wantHushed(t, "Errorf of "+name, fmt.Errorf("%v: %s", v, v).Error())
	}
	s := amt.NewSecretString(hush)
	for _, verb := range "vsqxXd" {
		if got := fmt.Sprintf("%"+string(verb), s); got != "(secret)" {
			t.Errorf("%%%c: got %q", verb, got)
		}
	}
	if got := fmt.Sprintf("%#v", s) + s.String() + s.GoString() + fmt.Sprint(&s) + fmt.Sprint([]amt.Secret{s}); got != "(secret)(secret)(secret)(secret)[(secret)]" {
		t.Errorf("got %q", got)
	}
	if got := fmt.Sprint(amt.Secret{}); got != "(secret)" {
		t.Errorf("an empty secret prints as %q, and so tells that it is empty", got)
	}
}

func TestSecretLogs(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	text := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	jsonl := slog.New(slog.NewJSONHandler(&buf, nil))
	std := log.New(&buf, "", 0)
	for name, v := range secrets() {
		buf.Reset()
		for _, l := range []*slog.Logger{text, jsonl} {
			l.Info("m", "k", v)
			l.Info("m", slog.Group("g", slog.Any("k", v)))
			l.With("k", v).Warn("m")
			l.WithGroup("g").Error("m", "k", []any{v})
		}
		std.Println(v)
		std.Printf("%v %+v %#v", v, v, v)
		wantHushed(t, "a log of "+name, buf.String())
	}
	buf.Reset()
	text.Info("m", "s", amt.NewSecretString(hush))
	if !strings.Contains(buf.String(), "s=(secret)") {
		t.Errorf("slog prints %s", buf.String())
	}
}

func TestSecretEncodings(t *testing.T) {
	t.Parallel()
	for name, v := range secrets() {
		j, jerr := json.Marshal(v)
		i, _ := json.MarshalIndent(v, "", " ")
		x, xerr := xml.Marshal(v)
		y, _ := yaml.Marshal(v)
		var g bytes.Buffer
		gerr := gob.NewEncoder(&g).Encode(v)
		var tmpl bytes.Buffer
		_ = template.Must(template.New("").Parse("{{.}} {{printf `%v %s` . .}}")).Execute(&tmpl, v)
		for how, out := range map[string][]byte{"json": j, "indented json": i, "xml": x, "yaml": y, "gob": g.Bytes(), "template": tmpl.Bytes()} {
			wantHushed(t, how+" of "+name, string(out))
		}
		for how, err := range map[string]error{"json": jerr, "xml": xerr, "gob": gerr} {
			if err != nil {
				wantHushed(t, "the error of "+how+" of "+name, err.Error())
			}
		}
	}
	s := amt.NewSecretString(hush)
	_, jerr := json.Marshal(struct{ S amt.Secret }{s})
	_, merr := json.Marshal(map[string]*amt.Secret{"s": &s})
	_, xerr := xml.Marshal(embedding{s})
	_, yerr := yaml.Marshal(struct{ S amt.Secret }{s})
	gerr := gob.NewEncoder(&bytes.Buffer{}).Encode(struct{ S amt.Secret }{s})
	_, terr := s.MarshalText()
	_, berr := s.MarshalBinary()
	for how, err := range map[string]error{"json": jerr, "json map": merr, "xml": xerr, "yaml": yerr, "gob": gerr, "text": terr, "binary": berr} {
		if err == nil || !strings.Contains(err.Error(), amt.ErrSecretEncoding.Error()) {
			t.Errorf("%s: got error %v, want a refusal", how, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"S": "x"}`), &embedding{}); err == nil {
		t.Error("a secret reads from JSON")
	}
}

func TestSecretPanic(t *testing.T) {
	t.Parallel()
	for name, v := range secrets() {
		func() {
			defer func() { wantHushed(t, "a panic with "+name, fmt.Sprint(recover())) }()
			panic(v)
		}()
	}
}

func TestSecretValues(t *testing.T) {
	t.Parallel()
	b := []byte(hush)
	s := amt.NewSecret(b)
	b[0] = 'X'
	out := s.Reveal()
	out[1] = 'X'
	if got := string(s.Reveal()); got != hush {
		t.Errorf("got %q: the bytes are shared", got)
	}
	if s.Len() != len(hush) || s.IsZero() {
		t.Errorf("Len %d, IsZero %v", s.Len(), s.IsZero())
	}
	for _, empty := range []amt.Secret{{}, amt.NewSecret(nil), amt.NewSecret([]byte{}), amt.NewSecretString("")} {
		if !empty.IsZero() || empty.Len() != 0 || empty.Reveal() != nil || !empty.Equal(amt.Secret{}) || empty.Equal(s) || s.Equal(empty) {
			t.Error("an empty secret is not the zero one")
		}
	}
	for text, want := range map[string]bool{hush: true, hush + "x": false, hush[1:]: false, strings.ToLower(hush): false, "\x00": false} {
		if got := s.Equal(amt.NewSecretString(text)); got != want {
			t.Errorf("Equal to %q: got %v", text, got)
		}
	}
}
