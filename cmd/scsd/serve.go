package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/cmd/internal/version"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/rpc"
)

const (
	// renewCheck is how often the server looks whether its certificates are due or
	// were revoked.
	renewCheck = time.Minute
	// callsTimeout is how long calls of the API may take at a stop.
	callsTimeout = 5 * time.Second
)

// server is scsd at work. Its parts stop in this order:
//
//  1. the hello listener: no new hello is taken, those taken are stored
//  2. the engine: steps under way end, or are parked after --stop-timeout
//  3. the API: watches end, other calls finish within 5 s
//  4. metrics and the renewal of certificates
//  5. the store
type server struct {
	settings *settings
	parts    *parts
	metrics  *metrics
	engine   *provisioning.Engine
	api      *rpc.Server

	helloLn, apiLn, metricsLn net.Listener

	failed chan error // the first part that ends by itself
}

// serve runs until ctx is done, and then stops everything in order.
func serve(ctx context.Context, s *settings, stdout, stderr io.Writer) (err error) {
	tuneCollector()
	log := newLog(stderr, s)
	takeStandardLog(log)
	p, err := s.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.db.Close()) }()
	removeReady(s.readyFile) // one of a server that was killed: none that runs has this store
	api, err := p.identity(ctx, apiIdentity, s.apiNames())
	if err != nil {
		return err
	}
	console, err := p.identity(ctx, consoleIdentity, nil)
	if err != nil {
		return err
	}
	sv := &server{settings: s, parts: p, metrics: newMetrics(), failed: make(chan error, 4)}
	if err := sv.build(api, console); err != nil {
		return err
	}
	if err := sv.listen(ctx); err != nil {
		return err
	}
	defer sv.closeListeners()

	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	for _, id := range []*identity{api, console} {
		others.Go(func() { id.keep(background, renewCheck, p.log) })
	}
	err = sv.work(ctx, stdout)
	stopBackground()
	others.Wait()
	return err
}

// build makes engine and API.
func (sv *server) build(api, console *identity) error {
	p := sv.parts
	config, err := sv.settings.engine(p, sv.metrics, console)
	if err != nil {
		return err
	}
	if sv.engine, err = provisioning.New(config); err != nil {
		return fmt.Errorf("starting the engine: %w", err)
	}
	sv.api, err = rpc.New(rpc.Config{
		Store: p.db, Keys: p.keys, Engine: sv.engine, CA: p.ca, Users: p.users, Audit: p.audit,
		Log: p.log, Version: version.String(),
		Unary:  []grpc.UnaryServerInterceptor{sv.metrics.grpc.UnaryServerInterceptor()},
		Stream: []grpc.StreamServerInterceptor{sv.metrics.grpc.StreamServerInterceptor()},
	}, rpc.TLS(api.certificate, p.ca.ClientPool()))
	if err != nil {
		return err
	}
	sv.metrics.grpc.InitializeMetrics(sv.api.GRPC())
	sv.metrics.registry.MustRegister(&gauges{parts: p, engine: sv.engine, api: api})
	return nil
}

func (sv *server) listen(ctx context.Context) error {
	// A hello is over long before a keep-alive would be sent.
	hellos := net.ListenConfig{KeepAlive: -1}
	var others net.ListenConfig
	for _, l := range []struct {
		ln         *net.Listener
		lc         *net.ListenConfig
		flag, addr string
	}{
		{&sv.helloLn, &hellos, "hello-addr", sv.settings.helloAddr},
		{&sv.apiLn, &others, "grpc-addr", sv.settings.grpcAddr},
		{&sv.metricsLn, &others, "metrics-addr", sv.settings.metricsAddr},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := l.lc.Listen(ctx, "tcp", l.addr)
		if err != nil {
			sv.closeListeners()
			return listenFault(l.flag, err)
		}
		*l.ln = ln
	}
	return nil
}

func (sv *server) closeListeners() {
	for _, ln := range []net.Listener{sv.helloLn, sv.apiLn, sv.metricsLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// ended notes that a part came to its end while it should serve.
func (sv *server) ended(part string, err error) {
	if err != nil {
		select {
		case sv.failed <- fmt.Errorf("%s: %w", part, err):
		default:
		}
	}
}

// work starts the parts, tells that they are ready, waits for ctx or the first
// failure, and stops them in order.
func (sv *server) work(ctx context.Context, stdout io.Writer) error {
	helloCtx, stopHello := context.WithCancel(context.WithoutCancel(ctx))
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHello()
	defer stopEngine()
	var hellos, engine, api, metrics sync.WaitGroup

	listener := &hello.Listener{
		Handle: sv.engine.Hello, Strange: sv.engine.StrangeHello, Log: sv.parts.log, Observe: sv.metrics.connection,
		MaxConns: sv.settings.helloConns, MaxPerSource: sv.settings.helloPerSource,
	}
	engine.Go(func() { sv.ended("the engine", sv.engine.Run(engineCtx)) })
	api.Go(func() { sv.ended("the API", sv.api.Serve(sv.apiLn)) })
	hellos.Go(func() { sv.ended("the hello listener", listener.Serve(helloCtx, sv.helloLn)) })
	stopMetrics := sv.serveMetrics(&metrics)

	err := sv.ready(stdout)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-sv.failed:
		}
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	if err != nil {
		sv.parts.log.Error("stopping, because a part failed", "error", err)
	} else {
		sv.parts.log.Info("stopping")
	}
	stopHello()
	hellos.Wait()
	stopEngine()
	engine.Wait()
	calls, cancel := context.WithTimeout(context.WithoutCancel(ctx), callsTimeout)
	defer cancel()
	sv.api.Stop(calls)
	api.Wait()
	stopMetrics()
	metrics.Wait()
	removeReady(sv.settings.readyFile)
	if err == nil {
		sv.parts.log.Info("stopped")
	}
	return err
}

func (sv *server) serveMetrics(wg *sync.WaitGroup) (stop func()) {
	if sv.metricsLn == nil {
		return func() {}
	}
	h := metricsServer(sv.metrics.registry)
	wg.Go(func() {
		if err := h.Serve(sv.metricsLn); !errors.Is(err, http.ErrServerClosed) {
			sv.ended("the metrics listener", err)
		}
	})
	return func() { _ = h.Close() }
}

// metricsServer bounds how long anyone keeps a connection, since nobody logs in
// here, and how many are answered at once.
func metricsServer(g prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 8}))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

// addresses is the ready file.
type addresses struct {
	Hello   string `json:"hello"`
	GRPC    string `json:"grpc"`
	Metrics string `json:"metrics"`
}

// ready tells everyone that the server takes connections, and where.
func (sv *server) ready(stdout io.Writer) error {
	a := addresses{Hello: sv.helloLn.Addr().String(), GRPC: sv.apiLn.Addr().String()}
	if sv.metricsLn != nil {
		a.Metrics = sv.metricsLn.Addr().String()
	}
	_, _ = fmt.Fprintf(stdout, "scsd: ready: hello %s, grpc %s, metrics %s\n", a.Hello, a.GRPC, a.Metrics)
	sv.parts.log.Info("ready", "version", version.String(), "hello", a.Hello, "grpc", a.GRPC, "metrics", a.Metrics)
	if path := sv.settings.readyFile; path != "" {
		b, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encoding the ready file: %w", err)
		}
		if err := atomicfile.Write(path, append(b, '\n'), 0o600); err != nil {
			return err
		}
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	return nil
}

// removeReady takes the ready file away, so that nobody takes a stopped server
// for a ready one.
func removeReady(path string) {
	if path != "" {
		_ = os.Remove(path)
	}
}
