package amtsim_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
	"github.com/amtscs/amtscs/hello"
)

// A device is given a pair and a password as if typed into MEBx, and says hello.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // in place of a set-up server
	if err != nil {
		panic(err)
	}
	pid, _ := amt.ParsePID("0000-037M")
	pps, _ := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	d, err := amtsim.New(amtsim.Options{
		Generation:    amtsim.AMT90,
		Addr:          netip.MustParseAddr("127.0.66.1"),
		EphemeralPort: true,
		Server:        ln.Addr().String(),
		Setup:         amtsim.Setup{Pair: amt.Pair{PID: pid, PPS: pps}, NewPassword: amt.NewSecretString("Staging1!")},
	})
	if err != nil {
		panic(err)
	}
	ctx, switchOff := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()

	conn, err := ln.Accept()
	if err != nil {
		panic(err)
	}
	b := make([]byte, hello.PSKLen)
	_, _ = conn.Read(b)
	m, err := hello.Parse(b)
	fmt.Println(m.PID, m.UUID == d.UUID(), d.Phase(), err)
	_ = conn.Close()
	switchOff()
	fmt.Println(<-done)
	// Output:
	// 0000-037M true In-Setup <nil>
	// <nil>
}
