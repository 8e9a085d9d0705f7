package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// addresses is what scsd writes when it is ready.
type addresses struct {
	Hello   string `json:"hello"`
	GRPC    string `json:"grpc"`
	Metrics string `json:"metrics"`
}

// waitReady waits for scsd's ready file.
func waitReady(ctx context.Context, path string) (addresses, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		var a addresses
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			return a, fmt.Errorf("not ready: %w", err)
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeNetwork draws a /24 of 127.0.0.0/8 and a port that is free on its first n
// addresses. Nothing reserves them, but two demos draw the same one of some
// 60,000 networks very seldom.
func freeNetwork(n int) (prefix string, port int, err error) {
	for range 20 {
		prefix = fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(255))
		port = 20000 + rand.IntN(12000)
		if err = tryNetwork(prefix, port, n); err == nil {
			return prefix, port, nil
		}
	}
	return "", 0, fmt.Errorf("finding a free network in 127.0.0.0/8: %w", err)
}

func tryNetwork(prefix string, port, n int) error {
	for i := 1; i <= n; i++ {
		l, err := net.Listen("tcp", fmt.Sprintf("%s.%d:%d", prefix, i, port))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
