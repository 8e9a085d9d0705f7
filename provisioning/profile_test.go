package provisioning

import (
	"errors"
	"strings"
	"testing"

	"github.com/amtscs/amtscs/kv"
)

func doc(text string) ProfileDocument {
	return ProfileDocument{Source: "test.yaml", YAML: []byte(text)}
}

func TestProfileVersions(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	ctx := t.Context()
	fixed := strings.Replace(basicProfile, "name: default", "name: lab", 1) + "admin_password: {policy: fixed, value: \"Secret1!pass\"}\n"
	if v, err := e.Profile(ctx, "default"); err != nil || v.Version != 0 || len(v.Document) == 0 {
		t.Errorf("the built-in default: got %+v, %v", v, err)
	}
	if _, err := e.Profile(ctx, "lab"); !errors.Is(err, ErrNoProfile) {
		t.Errorf("before it is applied: got %v", err)
	}
	dry := doc(fixed)
	dry.DryRun = true
	if v, changed, err := e.ApplyProfile(ctx, operatorAct, dry); err != nil || !changed || v.Version != 1 {
		t.Errorf("a dry run: got %+v, %t, %v", v, changed, err)
	}
	for i, tt := range []struct {
		text    string
		version uint64
		changed bool
	}{
		{fixed, 1, true},
		{fixed, 1, false},
		{strings.Replace(fixed, "Secret1!", "Secret2!", 1), 2, true},
		{fixed + "description: another\n", 3, true},
	} {
		v, changed, err := e.ApplyProfile(ctx, operatorAct, doc(tt.text))
		if err != nil || v.Version != tt.version || changed != tt.changed || v.Who != "alice" {
			t.Errorf("document %d: got %+v, %t, %v", i, v, changed, err)
		}
		if strings.Contains(string(v.Document), "Secret") {
			t.Error("a password stays in the document")
		}
	}
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		for version, want := range map[uint64]string{0: "Secret1!pass", 1: "Secret1!pass", 2: "Secret2!pass"} {
			p, _, err := e.openProfile(r, "lab", version)
			if err != nil {
				return err
			}
			if got := string(p.Admin.Fixed.Reveal()); got != want {
				t.Errorf("version %d: the password is another", version)
			}
		}
		_, _, err := e.openProfile(r, "lab", 9)
		return err
	})
	if !errors.Is(err, ErrNoProfile) {
		t.Errorf("version 9: got %v", err)
	}
}

func TestApplyProfileRefuses(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	named := doc(basicProfile)
	named.Name = "other"
	undone := errors.New("no audit")
	for _, tt := range []struct {
		name string
		doc  ProfileDocument
		also func(kv.Tx) error
		want error
	}{
		{"no YAML", doc("{"), nil, ErrProfile},
		{"an unknown field", doc(basicProfile + "colour: red\n"), nil, ErrProfile},
		{"two names", named, nil, ErrProfile},
		{"not audited", doc(basicProfile), func(kv.Tx) error { return undone }, undone},
	} {
		if _, _, err := e.ApplyProfile(t.Context(), Act{Who: "alice", Also: tt.also}, tt.doc); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if list, _, err := e.Profiles(t.Context(), Page{}); err != nil || len(list) != 1 || list[0].Version != 0 {
		t.Errorf("something was stored: %+v, %v", list, err)
	}
}

func TestProfileList(t *testing.T) {
	t.Parallel()
	e, _ := quiet(t, nil)
	for _, name := range []string{"a", "a-b", "b", "default", "z"} {
		for _, note := range []string{"first", "second"} {
			text := strings.Replace(basicProfile, "name: default", "name: "+name, 1) + "description: " + note + "\n"
			if _, _, err := e.ApplyProfile(t.Context(), operatorAct, doc(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, size := range []int{1, 2, 0} {
		var got []string
		p := Page{Size: size}
		for first := true; first || p.Token != ""; first = false {
			list, next, err := e.Profiles(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range list {
				got = append(got, v.Name)
				if v.Version != 2 || v.Description != "second" || v.Document != nil {
					t.Errorf("got %+v", v)
				}
			}
			p.Token = next
		}
		if strings.Join(got, " ") != "a a-b b default z" {
			t.Errorf("by pages of %d: got %v", size, got)
		}
	}
}
