package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/amtsim"
)

// run starts the fleet and waits for its end.
func (f *flags) run(cmd *cobra.Command) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	out := &printer{w: cmd.OutOrStdout(), json: f.json, calls: f.verbose}
	o.Device.OnEvent = out.print
	if f.stateDir != "" {
		if err := os.MkdirAll(f.stateDir, 0o700); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	fleet, err := amtsim.NewFleet(o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	if f.until == "" {
		return <-ended
	}
	reached := make(chan error, 1)
	go func() { reached <- fleet.WaitPhase(ctx, amt.Operational) }()
	select {
	case err = <-ended:
		stop()
		<-reached
	case err = <-reached:
		stop()
		err = errors.Join(err, <-ended)
	}
	n := fleet.Count(amt.Operational)
	if n == f.count {
		out.line(fmt.Sprintf("%d of %d devices Operational in %.1f s", n, f.count, time.Since(began).Seconds()))
		return nil
	}
	if err != nil && cmd.Context().Err() == nil {
		return err
	}
	return fmt.Errorf("%d of %d devices became Operational", n, f.count)
}

// printer writes events, one a line.
type printer struct {
	json, calls bool

	mu sync.Mutex // guards w
	w  io.Writer
}

func (p *printer) print(e amtsim.Event) {
	if e.Kind == amtsim.EventCall && !p.calls {
		return
	}
	if !p.json {
		p.line(e.Time.Format("15:04:05.000") + " " + e.String())
		return
	}
	m := map[string]any{
		"time": e.Time.Format(time.RFC3339Nano), "device": e.Device, "uuid": e.UUID.String(), "addr": e.Addr,
		"event": string(e.Kind), "phase": e.Phase.String(),
	}
	if e.Text != "" {
		m["text"] = e.Text
	}
	maps.Copy(m, e.Fields)
	b, err := json.Marshal(m)
	if err != nil {
		b = []byte(`{"event":"unprintable"}`)
	}
	p.line(string(b))
}

func (p *printer) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.w, s)
}

// keysCommand makes a file of device keys.
func keysCommand() *cobra.Command {
	var count int
	var out string
	cmd := &cobra.Command{
		Use: "keys", Short: "make device keys beforehand, for --keys",
		Long: "keys makes RSA keys for simulated devices and writes them to a file, in clear, so that key generation\ndoes not weigh on a measurement.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 || out == "" {
				return usage("want -n N and --out FILE")
			}
			w, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("key file: %w", err)
			}
			if err := errors.Join(amtsim.WriteKeys(cmd.Context(), w, nil, count), w.Close()); err != nil {
				_ = os.Remove(out)
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d keys in %s\n", count, out)
			return nil
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 0, "number of keys")
	cmd.Flags().StringVar(&out, "out", "", "file to make")
	return cmd
}
