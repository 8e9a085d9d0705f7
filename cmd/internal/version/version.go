// Package version knows which build of amtscs a program is. It reads what the Go
// tool chain recorded, and checks for no newer one.
package version

import "runtime/debug"

// set is given by the linker: -X github.com/amtscs/amtscs/cmd/internal/version.set=v1.2.3
var set string

// String is the release, or "devel" with the commit where the build knows it.
func String() string {
	if set != "" {
		return set
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return describe(info)
}

func describe(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = "-" + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return "devel" + revision + dirty
}
