package provisioning

import (
	"math/rand/v2"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestScheduleOrder(t *testing.T) {
	t.Parallel()
	s := newSchedule[string]()
	s.at("late", noon.Add(time.Hour))
	s.at("soon", noon.Add(time.Minute))
	s.at("soon", noon.Add(time.Second)) // earlier wins
	s.at("soon", noon.Add(time.Hour))
	if _, wait, ok := s.take(noon); ok || wait != time.Second {
		t.Errorf("before the time: got %v, %t, want to wait 1s", wait, ok)
	}
	key, _, ok := s.take(noon.Add(time.Second))
	if !ok || key != "soon" {
		t.Fatalf("got %q, %t, want soon", key, ok)
	}
	if _, wait, ok := s.take(noon.Add(time.Second)); ok || wait != time.Minute {
		t.Errorf("got %v, %t: no wait is longer than a minute", wait, ok)
	}
}

func TestScheduleRunsAKeyOnce(t *testing.T) {
	t.Parallel()
	s := newSchedule[int]()
	s.at(1, noon)
	s.take(noon)
	s.at(1, noon) // while it is worked on
	if _, _, ok := s.take(noon); ok {
		t.Fatal("a key that is worked on was handed out again")
	}
	if running, due := s.counts(noon); running != 1 || due != 0 {
		t.Errorf("got %d running, %d due", running, due)
	}
	s.done(1, noon.Add(time.Hour))
	if _, _, ok := s.take(noon); !ok {
		t.Error("what was asked for meanwhile was forgotten")
	}
	s.done(1, time.Time{})
	if _, _, ok := s.take(noon.Add(time.Hour)); ok {
		t.Error("a key without a next time came back")
	}
}

func TestScheduleDrop(t *testing.T) {
	t.Parallel()
	s := newSchedule[int]()
	s.at(1, noon)
	s.at(2, noon.Add(1))
	s.drop(1)
	s.drop(3)
	if key, _, ok := s.take(noon.Add(2)); !ok || key != 2 {
		t.Errorf("got %d, %t, want 2", key, ok)
	}
	s.drop(2) // worked on: stays until done
	s.done(2, noon)
	if _, _, ok := s.take(noon); !ok {
		t.Error("dropping a key that is worked on must not lose it")
	}
}

// TestScheduleModel compares random use with a map.
func TestScheduleModel(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	s, model := newSchedule[int](), map[int]time.Time{}
	now := noon
	for range 20000 {
		now = now.Add(time.Duration(rnd.IntN(10)) * time.Millisecond)
		if rnd.IntN(2) == 0 {
			key, at := rnd.IntN(40), now.Add(time.Duration(rnd.IntN(100))*time.Millisecond)
			s.at(key, at)
			if old, ok := model[key]; !ok || at.Before(old) {
				model[key] = at
			}
			continue
		}
		var first time.Time
		for _, at := range model {
			if first.IsZero() || at.Before(first) {
				first = at
			}
		}
		key, _, ok := s.take(now)
		if want := !first.IsZero() && !first.After(now); ok != want {
			t.Fatalf("take: got %t, want %t", ok, want)
		}
		if ok {
			if !model[key].Equal(first) {
				t.Fatalf("got the key of %v, want that of %v", model[key], first)
			}
			delete(model, key)
			s.done(key, time.Time{})
		}
	}
}
