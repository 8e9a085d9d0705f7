package main

import (
	"fmt"
	"syscall"
)

// protect keeps secrets from leaving by the back door: no core files, and no
// file that others may read.
func protect() error {
	syscall.Umask(0o077)
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	return nil
}
