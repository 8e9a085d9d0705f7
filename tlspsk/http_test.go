package tlspsk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// echoServer is an HTTP server over our listener that gives back each body, and
// as much again of its own if asked for. It counts the connections it accepts.
func echoServer(t testing.TB, c *Config) (address string, connections *atomic.Int64) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if r.Header.Get("Chunked") == "" {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			}
			_, _ = w.Write(body)
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				connections.Add(1)
			}
		},
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(NewListener(inner, c)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() { _ = server.Close(); wg.Wait() })
	return inner.Addr().String(), connections
}

// httpClient speaks over our client.
func httpClient(t testing.TB, c *Config) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxConnsPerHost:     8,
		MaxIdleConnsPerHost: 8,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			conn := Client(raw, c)
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return conn, nil
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// TestHTTP posts bodies of 0.1 to 60 kB from many goroutines over connections that
// are kept alive.
func TestHTTP(t *testing.T) {
	t.Parallel()
	const workers, posts = 8, 25
	for _, v := range versions {
		t.Run(VersionName(v), func(t *testing.T) {
			t.Parallel()
			client, server := configs(t)
			only(v, SuiteAES128, client, server)
			address, connections := echoServer(t, server)
			hc := httpClient(t, client)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(uint64(w), uint64(v)))
					for range posts {
						if err := post(t.Context(), hc, address, 100+random.IntN(60_000-100), random.IntN(2) == 0); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if n := connections.Load(); n > workers {
				t.Errorf("%d connections for %d workers: they are not kept alive", n, workers)
			}
		})
	}
}

// post sends n bytes and wants them back.
func post(ctx context.Context, hc *http.Client, address string, n int, chunked bool) error {
	body := bytes.Repeat([]byte{byte(n)}, n)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/wsman", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if chunked {
		request.Header.Set("Chunked", "yes")
	}
	response, err := hc.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("sent %d bytes, got %d others", n, len(got))
	}
	return nil
}

// TestHTTPWrongKey checks that the typed error comes through net/http.
func TestHTTPWrongKey(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	client.Key = otherPair(t).PPS
	address, _ := echoServer(t, server)
	if err := post(t.Context(), httpClient(t, client), address, 100, false); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("got %v", err)
	}
}

// TestHTTPTruncated cuts a reply without Content-Length: the client must not take
// it for whole.
func TestHTTPTruncated(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inner.Close() }()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := NewListener(inner, server).Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("HTTP/1.0 200 OK\r\n\r\nhalf of the"))
		_ = conn.(*Conn).NetConn().(*net.TCPConn).CloseWrite() // no close_notify
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	})
	response, err := httpClient(t, client).Get("https://" + inner.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if string(got) != "half of the" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", got, err)
	}
	wg.Wait()
}

// TestHTTPRequestCancelled cancels a request that the server does not answer.
func TestHTTPRequestCancelled(t *testing.T) {
	t.Parallel()
	client, server := configs(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inner.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := NewListener(inner, server).Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 4096))
		cancel()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	})
	if err := post(ctx, httpClient(t, client), inner.Addr().String(), 100, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wg.Wait()
}
