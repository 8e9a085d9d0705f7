//go:build !crashtest

package main

// stepHook is nil outside of crash tests.
func stepHook() func(string) { return nil }
