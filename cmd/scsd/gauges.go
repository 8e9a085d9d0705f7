package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amtscs/amtscs/ca"
	"github.com/amtscs/amtscs/keystore"
	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/provisioning"
	"github.com/amtscs/amtscs/wsman"
)

// trafficOf names the numbers of a session.
func trafficOf(s wsman.Stats) map[string]int64 {
	return map[string]int64{
		"requests": s.Requests, "challenges": s.Challenges, "connections": s.Connections,
		"bytes_sent": s.BytesOut, "bytes_received": s.BytesIn,
	}
}

func constant(d *prometheus.Desc, v int64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

// count reads every number.
func (g *gauges) count(ctx context.Context) ([]prometheus.Metric, error) {
	st, err := g.engine.Statistics(ctx)
	if err != nil {
		return nil, err
	}
	list := []prometheus.Metric{
		constant(queueGauge, int64(st.HelloQueue), "hellos"), constant(queueGauge, int64(st.Attempts), "attempts"),
		constant(queueGauge, int64(st.AttemptQueue), "attempts_waiting"), constant(queueGauge, int64(st.Workers), "workflows"),
		constant(queueGauge, int64(st.WorkflowQueue), "workflows_waiting"),
		constant(inboxGauge, int64(st.Inbox)), constant(eventGauge, int64(st.LastEvent)),
	}
	for _, state := range append([]provisioning.State{0}, provisioning.States()...) {
		for _, status := range append([]provisioning.Status{0}, provisioning.Statuses()...) {
			if n := st.Devices[state][status]; n > 0 || state > 0 && status > 0 {
				list = append(list, constant(deviceGauge, int64(n), state.String(), status.String()))
			}
		}
	}
	if c, err := g.api.certificate(); err == nil {
		list = append(list, constant(endGauge, c.Leaf.NotAfter.Unix()))
	}
	stored, err := g.stored(ctx)
	return append(list, stored...), err
}

func (g *gauges) stored(ctx context.Context) ([]prometheus.Metric, error) {
	var list []prometheus.Metric
	err := g.parts.db.View(ctx, func(r kv.Reader) error {
		pairs, err := g.parts.keys.Counts(r)
		if err != nil {
			return err
		}
		for _, s := range keystore.States() {
			list = append(list, constant(pairGauge, int64(pairs[s]), s.String()))
		}
		certs, err := g.parts.ca.Counts(r)
		if err != nil {
			return err
		}
		for _, p := range []ca.Purpose{ca.Device, ca.Server, ca.Client, ca.Console} {
			n := certs[p]
			list = append(list, constant(certificateGauge, n.Unfinished, p.String(), "unfinished"),
				constant(certificateGauge, n.Issued, p.String(), "issued"), constant(certificateGauge, n.Revoked, p.String(), "revoked"))
		}
		return nil
	})
	return list, err
}
