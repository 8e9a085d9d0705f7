package provisioning

import (
	"errors"
	"fmt"
	"testing"

	"github.com/amtscs/amtscs/profile"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

func TestProfileCache(t *testing.T) {
	t.Parallel()
	var c profileCache
	parsed := 0
	parse := func(rec *pb.Profile) (*profile.Profile, error) {
		parsed++
		return &profile.Profile{Name: rec.GetName()}, nil
	}
	rec := func(name, doc string, version uint64) *pb.Profile {
		return &pb.Profile{Name: name, Version: version, Document: []byte(doc)}
	}
	get := func(r *pb.Profile) *profile.Profile {
		t.Helper()
		p, err := c.get(r, parse)
		if err != nil || p.Name != r.GetName() {
			t.Fatalf("got %v, %v", p, err)
		}
		return p
	}
	first := get(rec("a", "x", 1))
	if again := get(rec("a", "x", 1)); again != first || parsed != 1 {
		t.Errorf("the same record was parsed %d times", parsed)
	}
	if other := get(rec("a", "x", 2)); other == first {
		t.Error("another version gives the profile of the first")
	}
	if other := get(rec("a", "y", 1)); other == first {
		t.Error("another document gives the profile of the first")
	}
	for i := range 3 * maxParsed {
		get(rec(fmt.Sprint(i), "x", 1))
	}
	if len(c.parsed) > maxParsed {
		t.Errorf("%d profiles are kept, want %d at most", len(c.parsed), maxParsed)
	}
	broken := errors.New("broken")
	fail := func(*pb.Profile) (*profile.Profile, error) { return nil, broken }
	for range 2 {
		if _, err := c.get(rec("b", "x", 1), fail); !errors.Is(err, broken) {
			t.Errorf("got %v, want the error of parsing", err)
		}
	}
}
