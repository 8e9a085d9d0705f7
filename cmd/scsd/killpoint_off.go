//go:build !crashtest

package main

import "github.com/amtscs/amtscs/kv/bolt"

// stepHook is nil outside of crash tests.
func stepHook() func(string) { return nil }

// storeOptions are the safe ones outside of crash tests.
func storeOptions() bolt.Options { return bolt.Options{} }
