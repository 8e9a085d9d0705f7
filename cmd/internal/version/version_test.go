package version

import (
	"runtime/debug"
	"testing"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{}
	if got := describe(info); got != "devel" {
		t.Errorf("got %q", got)
	}
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	if got := describe(info); got != "devel-0123456789ab-dirty" {
		t.Errorf("got %q", got)
	}
	info.Main.Version = "v1.2.3"
	if got := describe(info); got != "v1.2.3" {
		t.Errorf("got %q", got)
	}
	if String() == "" {
		t.Error("a program has no version")
	}
}
