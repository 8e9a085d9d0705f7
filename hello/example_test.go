package hello_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
)

// A listener that prints one message and stops.
func ExampleListener() {
	ctx, cancel := context.WithCancel(context.Background())
	l := &hello.Listener{Handle: func(_ context.Context, _ netip.AddrPort, m *hello.Message) error {
		fmt.Println(m)
		cancel()
		return nil
	}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go sayHello(ln.Addr().String())
	if err := l.Serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
	// Output: hello 2 (PSK) uuid d2ffc23e-9dd1-412d-860a-54b2039b72ff pid 0000-037M retry 1
}

func sayHello(addr string) {
	m := hello.Message{Version: hello.PSK, Retry: 1}
	m.UUID, _ = amt.ParseUUID("d2ffc23e-9dd1-412d-860a-54b2039b72ff")
	m.PID, _ = amt.ParsePID("0000-037M")
	b, err := m.AppendBinary(nil)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		log.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		log.Fatal(err)
	}
}
