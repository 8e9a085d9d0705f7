package main

import (
	"os"
	"runtime/debug"
)

// collectPercent is how much the heap may grow between two garbage collections,
// in percent of what is in use. Many set-ups at once make much garbage around
// little that stays: twice Go's default costs some 30 MB with 500 of them and
// saves a tenth of the processor time. The variable GOGC counts before it.
const collectPercent = 200

func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
