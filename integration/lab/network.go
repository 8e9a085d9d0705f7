package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// FreeNetwork draws a /24 of 127.0.0.0/8 and a port that is free on its first n
// addresses (1 to 254). Nothing reserves them, but two runs draw the same one of
// some 60,000 networks very seldom.
func FreeNetwork(n int) (prefix string, port int, err error) {
	for range 20 {
		prefix = fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), rand.IntN(255))
		port = 20000 + rand.IntN(12000)
		if err = tryNetwork(prefix, port, n); err == nil {
			return prefix, port, nil
		}
	}
	return "", 0, fmt.Errorf("finding a free network in 127.0.0.0/8: %w", err)
}

// freeAddress draws a port of 127.0.0.1 that is free and that the system gives to
// no connection (those have ports from 32768 on), so that a server that was
// stopped finds it free when it starts again.
func freeAddress() (string, error) {
	var err error
	for range 50 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("finding a free port: %w", err)
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
