package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) device() *cobra.Command {
	return a.group("device", "PCs, their names, states and passwords",
		a.deviceList(), a.deviceShow(), a.deviceAssign(), a.deviceImport(), a.deviceRetry(), a.devicePause(), a.deviceCancel(), a.devicePassword())
}

func (a *app) deviceList() *cobra.Command {
	var req scsv1.ListDevicesRequest
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List devices and how far they are", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				all, err := listDevices(ctx, a, conn, &req, limit)
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListDevicesResponse{Devices: all}, func(w io.Writer) { a.deviceTable(w, all) })
			})
		},
	}
	f := c.Flags()
	f.Var(&enumFlag[scsv1.WorkflowState]{&req.State, "state"}, "state", "only devices that have come to this state")
	f.Var(&enumFlag[scsv1.WorkflowStatus]{&req.Status, "status"}, "status", "only devices whose set-up has this status")
	f.StringVar(&req.Profile, "profile", "", "only devices of this profile")
	f.StringVar(&req.FqdnPrefix, "fqdn", "", "only devices whose name begins so")
	return limitFlag(c, &limit)
}

func listDevices(ctx context.Context, a *app, conn *grpc.ClientConn, req *scsv1.ListDevicesRequest, limit int) ([]*scsv1.Device, error) {
	client := scsv1.NewDeviceServiceClient(conn)
	return collect(a, limit, func(size int32, token string) ([]*scsv1.Device, string, error) {
		req.PageSize, req.PageToken = size, token
		resp, err := client.ListDevices(ctx, req)
		return resp.GetDevices(), resp.GetNextPageToken(), err
	})
}

func (a *app) deviceTable(w io.Writer, devices []*scsv1.Device) {
	rows := make([][]string, len(devices))
	failed := 0
	for i, d := range devices {
		if d.GetStatus() == scsv1.WorkflowStatus_WORKFLOW_STATUS_FAILED {
			failed++
		}
		rows[i] = []string{d.GetUuid(), d.GetFqdn(), word(d.GetState()), word(d.GetStatus()), when(d.GetSince()), d.GetAmtVersion(), d.GetReason()}
	}
	columns(w, []string{"UUID", "NAME", "STATE", "STATUS", "SINCE", "AMT", "REASON"}, rows)
	if failed > 0 {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: %d failed: scsctl device show UUID says why and what to do\n", failed)
	}
}

func (a *app) deviceShow() *cobra.Command {
	var events int
	c := &cobra.Command{
		Use: "show DEVICE", Short: "Tell a device's whole story and what to do next", Long: theDevice, Args: takes("DEVICE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				uuid, err := deviceUUID(ctx, conn, args[0])
				if err != nil {
					return err
				}
				resp, err := scsv1.NewDeviceServiceClient(conn).GetDevice(ctx, &scsv1.GetDeviceRequest{Uuid: uuid})
				if err != nil {
					return err
				}
				client := scsv1.NewProvisioningServiceClient(conn)
				story, err := collect(a, events, func(size int32, token string) ([]*scsv1.Event, string, error) {
					resp, err := client.ListEvents(ctx, &scsv1.ListEventsRequest{Uuid: resp.GetDevice().GetUuid(), PageSize: size, PageToken: token})
					return resp.GetEvents(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printStory(resp, story)
				}
				return a.print(resp, func(w io.Writer) { showDevice(w, resp.GetDevice(), story) })
			})
		},
	}
	c.Flags().IntVar(&events, "events", 200, "show at most so many events; 0 for all")
	return c
}

// printStory writes the device and then its events, each a JSON document.
func (a *app) printStory(device proto.Message, story []*scsv1.Event) error {
	for _, m := range []proto.Message{device, &scsv1.ListEventsResponse{Events: story}} {
		b, err := encode(m, "  ")
		if err != nil {
			return err
		}
		if err := a.write(b); err != nil {
			return err
		}
	}
	return nil
}

func showDevice(w io.Writer, d *scsv1.Device, story []*scsv1.Event) {
	fields(w, "uuid", d.GetUuid(), "name", d.GetFqdn(), "profile", d.GetProfile(), "batch", d.GetBatch(),
		"state", word(d.GetState()), "status", word(d.GetStatus()), "step", d.GetStep(), "since", when(d.GetSince()),
		"reason", d.GetReason(), "detail", d.GetMessage(), "next try", when(d.GetNextAttemptTime()),
		"address", d.GetAddress(), "amt", d.GetAmtVersion(), "pid", d.GetPid(), "next pid", d.GetNextPid(),
		"certificate", d.GetCertificateSerial(), "valid until", when(d.GetCertificateNotAfter()), "revoked", when(d.GetCertificateRevokeTime()),
		"created", when(d.GetCreateTime()), "last hello", when(d.GetLastHelloTime()))
	if len(story) > 0 {
		_, _ = fmt.Fprintln(w, "\nevents:")
		for _, e := range story {
			_, _ = fmt.Fprintln(w, "  "+printable(eventLine(e, false)))
		}
	}
	if next := d.GetHint(); next != "" {
		_, _ = fmt.Fprintf(w, "\nwhat to do: %s\n", printable(next))
	}
}

func (a *app) deviceAssign() *cobra.Command {
	var req scsv1.AssignDeviceRequest
	c := &cobra.Command{
		Use: "assign UUID [--fqdn NAME] [--profile PROFILE] [--batch BATCH]", Short: "Give a device its name and profile, seen or not yet",
		Long: "Give a device its name and profile, whether it has said hello or not. A set-up takes them when it begins or is\n" +
			"retried; a device that is Operational takes them at its next set-up.", Args: takes("UUID"),
		RunE: func(c *cobra.Command, args []string) error {
			if req.GetFqdn() == "" && req.GetProfile() == "" && req.GetBatch() == "" {
				return usage("%s needs --fqdn, --profile or --batch", c.CommandPath())
			}
			req.Uuid = args[0]
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewDeviceServiceClient(conn).AssignDevice(ctx, &req)
				if err != nil {
					return err
				}
				if d := resp.GetDevice(); d.GetState() == scsv1.WorkflowState_WORKFLOW_STATE_OPERATIONAL {
					_, _ = fmt.Fprintln(a.stderr, "scsctl: note: the device is Operational: the name and the profile that were assigned are for its next set-up")
				}
				return a.print(resp, func(w io.Writer) { showDevice(w, resp.GetDevice(), nil) })
			})
		},
	}
	c.Flags().StringVar(&req.Fqdn, "fqdn", "", "the name it gets")
	c.Flags().StringVar(&req.Profile, "profile", "", "the profile it gets")
	c.Flags().StringVar(&req.Batch, "batch", "", "the batch whose profile it gets when it has none of its own")
	return c
}

// eachDevice runs act for every device's UUID and goes on after a refusal.
func (a *app) eachDevice(ctx context.Context, devices []string, done string, act func(context.Context, scsv1.DeviceServiceClient, string) (proto.Message, error)) error {
	return a.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		client := scsv1.NewDeviceServiceClient(conn)
		var last error
		bad := 0
		for _, u := range devices {
			var resp proto.Message
			uuid, err := deviceUUID(ctx, conn, u)
			if err == nil {
				resp, err = act(ctx, client, uuid)
			}
			if err != nil {
				if last, bad = err, bad+1; len(devices) > 1 {
					_, _ = fmt.Fprintf(a.stderr, "scsctl: error: %s\n", explain(err).message)
				}
				continue
			}
			if err := a.printLine(resp, u+" "+done); err != nil {
				return err
			}
		}
		if last != nil && bad < len(devices) {
			return partly(explain(last).hint, "%d of %s refused", bad, plural(len(devices), "device"))
		}
		return last
	})
}

// someDevices wants one device or more.
func someDevices(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return takes("DEVICE")(c, args)
	}
	return nil
}

func (a *app) deviceRetry() *cobra.Command {
	var pid string
	c := &cobra.Command{
		Use: "retry DEVICE...", Short: "Put failed or waiting set-ups back to work", Long: theDevice, Args: someDevices,
		RunE: func(c *cobra.Command, args []string) error {
			if pid != "" && len(args) > 1 {
				return usage("--pid is for one device")
			}
			return a.eachDevice(c.Context(), args, "is tried again", func(ctx context.Context, client scsv1.DeviceServiceClient, u string) (proto.Message, error) {
				return client.RetryDevice(ctx, &scsv1.RetryDeviceRequest{Uuid: u, Pid: pid})
			})
		},
	}
	c.Flags().StringVar(&pid, "pid", "", "let an Operational device in with this new pair, for six hours")
	return c
}

func (a *app) devicePause() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "pause DEVICE...", Short: "Hold running set-ups back until device retry", Long: theDevice, Args: someDevices,
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachDevice(c.Context(), args, "is paused", func(ctx context.Context, client scsv1.DeviceServiceClient, u string) (proto.Message, error) {
				return client.PauseDevice(ctx, &scsv1.PauseDeviceRequest{Uuid: u, Reason: reason})
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the logs")
	return c
}

func (a *app) deviceCancel() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "cancel DEVICE...", Short: "End running set-ups; the devices stay as the last step left them", Long: theDevice, Args: someDevices,
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachDevice(c.Context(), args, "is cancelled", func(ctx context.Context, client scsv1.DeviceServiceClient, u string) (proto.Message, error) {
				return client.CancelDevice(ctx, &scsv1.CancelDeviceRequest{Uuid: u, Reason: reason})
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the logs")
	return c
}

func (a *app) devicePassword() *cobra.Command {
	var req scsv1.RevealDevicePasswordRequest
	c := &cobra.Command{
		Use: "password DEVICE", Short: "Show the passwords of a device (audited)", Long: theDevice, Args: takes("DEVICE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) (err error) {
				if req.Uuid, err = deviceUUID(ctx, conn, args[0]); err != nil {
					return err
				}
				resp, err := scsv1.NewDeviceServiceClient(conn).RevealDevicePassword(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) {
					rows := make([][]string, len(resp.GetPasswords()))
					for i, p := range resp.GetPasswords() {
						rows[i] = []string{p.GetUser(), p.GetVersion(), p.GetPassword()}
					}
					columns(w, []string{"USER", "VERSION", "PASSWORD"}, rows)
				})
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the audit log")
	return c
}

// eventLine is an event for people.
func eventLine(e *scsv1.Event, device bool) string {
	parts := []string{when(e.GetTime())}
	if device {
		name := e.GetFqdn()
		if name == "" {
			name = e.GetUuid()
		}
		parts = append(parts, name)
	}
	parts = append(parts, e.GetType())
	for _, s := range []string{word(e.GetState()), word(e.GetStatus()), e.GetStep(), e.GetReason()} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.GetMessage() != "" {
		parts = append(parts, "("+e.GetMessage()+")")
	}
	return strings.Join(parts, " ")
}
