package provisioning

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/kv"
	pb "github.com/amtscs/amtscs/proto/scsstore/v1"
)

const (
	pageDefault = 100
	pageMax     = 1000
	// scanFactor bounds the records looked at for a page: filters without an
	// index then give a short page.
	scanFactor = 20
)

func (p Page) size() int {
	if p.Size <= 0 {
		return pageDefault
	}
	return min(p.Size, pageMax)
}

// after is the place from which a page goes on, nil for the first.
func (p Page) after() ([]byte, error) {
	if p.Token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("page token %q: %w", p.Token, ErrPageToken)
	}
	return b, nil
}

// pageOf collects a page of the messages of rg for which keep is true. With an
// index it goes through that. The token it returns is empty after the last page.
func pageOf[M proto.Message](r kv.Reader, c *kv.Collection[M], index kv.Table, rg kv.Range, p Page, keep func(M) bool) ([]M, string, error) {
	place, err := p.after()
	if err != nil {
		return nil, "", err
	}
	switch {
	case place != nil && rg.Reverse:
		rg.To = place
	case place != nil:
		rg.From = append(place, 0)
	}
	size := p.size()
	rg.Limit = size * scanFactor
	var page []M
	var row []byte
	seen, full := 0, false
	step := func(at, _ []byte, m M) error {
		if len(page) == size {
			full = true
			return kv.ErrStop
		}
		seen++
		row = at
		if keep(m) {
			page = append(page, m)
		}
		return nil
	}
	if index == "" {
		err = c.Scan(r, rg, func(key []byte, m M) error { return step(key, key, m) })
	} else {
		err = c.ScanIndex(r, index, rg, step)
	}
	if err != nil {
		return nil, "", err
	}
	if full || seen == rg.Limit {
		return page, pageToken(row), nil
	}
	return page, "", nil
}

// Device returns a device, or ErrNoDevice.
func (e *Engine) Device(ctx context.Context, uuid amt.UUID) (Device, error) {
	var dev Device
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		d, err := getDevice(r, uuid)
		if err != nil {
			return err
		}
		if d == nil {
			return fmt.Errorf("device %v: %w", uuid, ErrNoDevice)
		}
		dev = deviceOf(d)
		return nil
	})
	return dev, err
}

// DevicePage is a page of devices.
type DevicePage struct {
	Devices  []Device
	Next     string // token of the next page; empty after the last
	Sequence uint64 // of the last event when the page was read
}

// Devices lists devices by UUID (by FQDN when FQDNPrefix is set).
func (e *Engine) Devices(ctx context.Context, f DeviceFilter, p Page) (DevicePage, error) {
	var page DevicePage
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		page = DevicePage{}
		var index kv.Table
		var rg kv.Range
		prefix := strings.ToLower(f.FQDNPrefix)
		switch {
		case prefix != "":
			index, rg = tableDevicesByFQDN, kv.Prefix([]byte(prefix))
		case f.State != 0 || f.Status != 0:
			index, rg = tableDevicesByState, kv.IndexKey(stateKey(f.State, f.Status))
		}
		found, next, err := pageOf(r, &devices, index, rg, p, func(d *pb.Device) bool {
			return f.keep(d, prefix)
		})
		if err != nil {
			return err
		}
		for _, d := range found {
			page.Devices = append(page.Devices, deviceOf(d))
		}
		page.Next = next
		page.Sequence, err = readSequence(r, lastEvent)
		return err
	})
	if err != nil {
		return DevicePage{}, fmt.Errorf("listing devices: %w", err)
	}
	return page, nil
}

func (f DeviceFilter) keep(d *pb.Device, prefix string) bool {
	return (f.State == 0 || f.State == State(d.GetState())) &&
		(f.Status == 0 || f.Status == Status(d.GetStatus())) &&
		(f.Profile == "" || f.Profile == shownProfile(d)) &&
		strings.HasPrefix(strings.ToLower(shownName(d)), prefix)
}

// Workflow returns a workflow by its ID, or a device's latest by its UUID.
// Errors: ErrNoWorkflow.
func (e *Engine) Workflow(ctx context.Context, id string) (Workflow, error) {
	var wf Workflow
	err := e.cfg.Store.View(ctx, func(r kv.Reader) error {
		uuid, n, err := parseWorkflowID(id)
		if err != nil {
			return err
		}
		if n == 0 {
			d, err := getDevice(r, uuid)
			if err != nil {
				return err
			}
			n = d.GetWorkflow()
		}
		w, err := getWorkflow(r, uuid, n)
		if err != nil {
			return err
		}
		if w == nil {
			return fmt.Errorf("workflow %s: %w", id, ErrNoWorkflow)
		}
		wf = workflowOf(w)
		return nil
	})
	return wf, err
}

// Workflows lists workflows by UUID and number.
func (e *Engine) Workflows(ctx context.Context, f WorkflowFilter, p Page) (page []Workflow, next string, err error) {
	err = e.cfg.Store.View(ctx, func(r kv.Reader) error {
		page = nil
		var index kv.Table
		var rg kv.Range
		switch {
		case f.UUID != amt.UUID{}:
			rg = kv.Prefix(f.UUID[:])
		case f.State != 0 || f.Status != 0:
			index, rg = tableWorkflowsByState, kv.IndexKey(stateKey(f.State, f.Status))
		}
		var found []*pb.Workflow
		var err error
		found, next, err = pageOf(r, &workflows, index, rg, p, func(w *pb.Workflow) bool {
			return (f.State == 0 || f.State == State(w.GetState())) && (f.Status == 0 || f.Status == Status(w.GetStatus()))
		})
		for _, w := range found {
			page = append(page, workflowOf(w))
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing workflows: %w", err)
	}
	return page, next, nil
}

func workflowID(uuid amt.UUID, n uint64) string {
	return uuid.String() + "/" + strconv.FormatUint(n, 10)
}

// parseWorkflowID reads what workflowID writes, or a UUID alone: number 0.
func parseWorkflowID(id string) (amt.UUID, uint64, error) {
	head, tail, numbered := strings.Cut(id, "/")
	uuid, err := amt.ParseUUID(head)
	if err != nil {
		return amt.UUID{}, 0, fmt.Errorf("workflow %q: %w", id, ErrNoWorkflow)
	}
	if !numbered {
		return uuid, 0, nil
	}
	n, err := strconv.ParseUint(tail, 10, 64)
	if err != nil || n == 0 {
		return amt.UUID{}, 0, fmt.Errorf("workflow %q: %w", id, ErrNoWorkflow)
	}
	return uuid, n, nil
}

func pageToken(row []byte) string { return base64.RawURLEncoding.EncodeToString(row) }
