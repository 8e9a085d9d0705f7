//go:build !benchprofile

package main

// profile does nothing outside of measurements.
func profile() (end func()) { return func() {} }
