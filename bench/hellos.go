package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/hello"
)

// runHellos is a process of clients: "hellos FILE ADDRESS" says one hello with
// each PID of the file, 8 bytes each, and each from an address of its own.
func runHellos(ctx context.Context, args []string, _ io.Writer) error {
	if len(args) != 2 {
		return errors.New("want a file of PIDs and an address")
	}
	pids, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if len(pids)%amt.PIDLen != 0 {
		return fmt.Errorf("%s: %d bytes are no PIDs", args[0], len(pids))
	}
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	var next atomic.Int64
	var work sync.WaitGroup
	errs := make(chan error, intakeClients)
	count := len(pids) / amt.PIDLen
	for range intakeClients {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				pid := amt.PID(pids[i*amt.PIDLen : (i+1)*amt.PIDLen])
				if err := sayHello(ctx, i, pid, to); err != nil {
					errs <- fmt.Errorf("hello %d: %w", i, err)
					return
				}
			}
		})
	}
	work.Wait()
	close(errs)
	return <-errs // nil of a closed channel
}

// sayHello sends the hello of device number i and waits until the server has
// closed the connection. Without that the clients fill the listener's backlog,
// and what is measured is how long the kernel waits before it repeats a SYN.
func sayHello(ctx context.Context, i int, pid amt.PID, to netip.AddrPort) error {
	m := hello.Message{Version: hello.PSK, UUID: clientUUID(i), PID: pid}
	b, err := m.AppendBinary(nil)
	if err != nil {
		return err
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddr(i).AsSlice()}}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	_, err = c.Write(b)
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		err = tcp.CloseWrite()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	return errors.Join(err, c.Close())
}

// clientUUID is a UUID of its own for each number.
func clientUUID(i int) amt.UUID {
	u := amt.UUID{0: 0x42, 6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(u[12:], uint32(i)+1)
	return u
}

// clientAddr is the i-th address of 127.64.0.0/10.
func clientAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 64 | byte(i>>16)&0x3f, byte(i >> 8), byte(i)})
}
