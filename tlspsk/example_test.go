package tlspsk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/tlspsk"
)

// examplePair is the pair of Intel's documentation.
func examplePair() amt.Pair {
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		panic(err)
	}
	pps, err := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	if err != nil {
		panic(err)
	}
	return amt.Pair{PID: pid, PPS: pps}
}

// A device serves HTTP under its pair; a set-up server that holds the same pair
// asks it something.
func Example() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	device := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "in set-up")
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = device.Serve(tlspsk.NewListener(inner, tlspsk.PairServerConfig(examplePair()))) }()
	defer func() { _ = device.Close() }()

	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn := tlspsk.Client(raw, tlspsk.PairConfig(examplePair()))
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, err
			}
			s := conn.ConnectionState()
			fmt.Println(tlspsk.VersionName(s.Version), tlspsk.SuiteName(s.CipherSuite), string(s.Hint))
			return conn, nil
		},
	}}
	reply, err := client.Get("https://" + inner.Addr().String() + "/")
	if err != nil {
		panic(err)
	}
	defer func() { _ = reply.Body.Close() }()
	line, _ := bufio.NewReader(reply.Body).ReadString('\n')
	fmt.Println(line)
	// Output:
	// TLS 1.2 TLS_PSK_WITH_AES_128_CBC_SHA 0000037M
	// in set-up
}

// A wrong PPS is an error of its own.
func ExampleConn_HandshakeContext() {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	mistyped := examplePair()
	mistyped.PPS = amt.NewSecretString("AAAF0000ZZZI1A2K9Z9OABCINKLDG5DC")
	go func() { _ = tlspsk.Server(b, tlspsk.PairServerConfig(examplePair())).Handshake() }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := tlspsk.Client(a, tlspsk.PairConfig(mistyped)).HandshakeContext(ctx)
	switch {
	case errors.Is(err, tlspsk.ErrKeyMismatch):
		fmt.Println("the PPS is wrong")
	case errors.Is(err, tlspsk.ErrUnknownIdentity):
		fmt.Println("the device has another PID")
	}
	// Output: the PPS is wrong
}
