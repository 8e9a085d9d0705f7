package ca

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also shows that the embedded authority leaves no goroutine behind but
// the flusher of a log that one of its dependencies brings and nobody writes to.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "30") // unless the command line says otherwise
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}
