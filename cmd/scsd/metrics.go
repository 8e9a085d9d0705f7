package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/amtscs/amtscs/cmd/internal/version"
	"github.com/amtscs/amtscs/hello"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/wsman"
)

// metrics are what Prometheus reads. It is the engine's Observer.
type metrics struct {
	registry *prometheus.Registry
	grpc     *grpcprom.ServerMetrics

	connections *prometheus.CounterVec
	hellos      *prometheus.CounterVec
	attempts    *prometheus.HistogramVec
	steps       *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	traffic     *prometheus.CounterVec
}

var _ provisioning.Observer = (*metrics)(nil)

func newMetrics() *metrics {
	seconds := []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		grpc:     grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(seconds))),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amtscs_hello_connections_total", Help: "Connections to the hello port by outcome.",
		}, []string{"outcome"}),
		hellos: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amtscs_hellos_total", Help: "Hello messages by what became of them: attempt, known, queue_full or a reason.",
		}, []string{"outcome"}),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "amtscs_attempt_seconds", Help: "Time of dialling a PC back, by outcome: authenticated or a reason.", Buckets: seconds,
		}, []string{"outcome"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "amtscs_step_seconds", Help: "Time of the steps of set-up, by outcome: done or a reason.", Buckets: seconds,
		}, []string{"step", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amtscs_workflow_failures_total", Help: "Workflows that failed, by step and reason.",
		}, []string{"step", "reason"}),
		traffic: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amtscs_device_traffic_total", Help: "What sessions with devices took: requests, challenges, connections, bytes.",
		}, []string{"what"}),
	}
	for _, o := range hello.Outcomes() {
		m.connections.WithLabelValues(o)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "amtscs_build_info", Help: "1, with the version."}, []string{"version"})
	build.WithLabelValues(version.String()).Set(1)
	m.registry.MustRegister(m.grpc, m.connections, m.hellos, m.attempts, m.steps, m.failures, m.traffic, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) connection(outcome string) { m.connections.WithLabelValues(outcome).Inc() }

// Hello implements provisioning.Observer.
func (m *metrics) Hello(outcome string) { m.hellos.WithLabelValues(outcome).Inc() }

// Attempt implements provisioning.Observer.
func (m *metrics) Attempt(outcome string, took time.Duration) {
	m.attempts.WithLabelValues(outcome).Observe(took.Seconds())
}

// Step implements provisioning.Observer.
func (m *metrics) Step(step, outcome string, took time.Duration) {
	m.steps.WithLabelValues(step, outcome).Observe(took.Seconds())
}

// Failed implements provisioning.Observer.
func (m *metrics) Failed(step string, reason provisioning.Reason) {
	m.failures.WithLabelValues(step, string(reason)).Inc()
}

// Traffic implements provisioning.Observer.
func (m *metrics) Traffic(s wsman.Stats) {
	for what, n := range trafficOf(s) {
		m.traffic.WithLabelValues(what).Add(float64(n))
	}
}

// gauges reads the store when Prometheus asks, but not more often than every few
// seconds: counting devices reads all of them.
type gauges struct {
	parts  *parts
	engine *provisioning.Engine
	api    *identity

	mu   sync.Mutex // guards the rest
	last []prometheus.Metric
	at   time.Time
}

// gaugeLife is how long a count is good for.
const gaugeLife = 5 * time.Second

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("amtscs_"+name, help, labels, nil)
}

var (
	queueGauge       = gauge("queue", "What waits or is worked on: hellos, attempts, attempts_waiting, workflows, workflows_waiting.", "queue")
	inboxGauge       = gauge("inbox", "Rows of the inbox.")
	deviceGauge      = gauge("devices", "Devices by the state and status of their latest workflow.", "state", "status")
	pairGauge        = gauge("pairs", "Pairs by state.", "state")
	certificateGauge = gauge("certificates", "Certificates by purpose and state.", "purpose", "state")
	eventGauge       = gauge("events_last_sequence", "Sequence of the last event.")
	endGauge         = gauge("server_certificate_not_after_seconds", "When the API's certificate ends, in Unix time.")
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueGauge, inboxGauge, deviceGauge, pairGauge, certificateGauge, eventGauge, endGauge} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.at) > gaugeLife {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		list, err := g.count(ctx)
		if err != nil {
			g.parts.log.Warn("metrics are not current", slog.Any("error", err))
		} else {
			g.last, g.at = list, time.Now()
		}
	}
	for _, m := range g.last {
		ch <- m
	}
}
