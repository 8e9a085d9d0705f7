package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) profile() *cobra.Command {
	return a.group("profile", "What devices are given", a.profileApply(), a.profileList(), a.profileShow())
}

// maxDocument is what the server takes.
const maxDocument = 256 << 10

// readDocument reads a file, or standard input for "-".
func (a *app) readDocument(path string) ([]byte, string, error) {
	var r io.Reader = a.stdin
	name := "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, "", fmt.Errorf("reading the profile: %w", err)
		}
		defer func() { _ = f.Close() }()
		r, name = f, filepath.Base(path)
	}
	doc, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading the profile: %w", err)
	}
	if len(doc) > maxDocument {
		return nil, "", failed("", "%s has more than %d bytes: is it a profile?", name, maxDocument)
	}
	return doc, name, nil
}

func (a *app) profileApply() *cobra.Command {
	var req scsv1.ApplyProfileRequest
	c := &cobra.Command{
		Use: "apply FILE", Short: "Check a profile document (- for standard input) and store it", Args: takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			doc, source, err := a.readDocument(args[0])
			if err != nil {
				return err
			}
			req.Document, req.Source = doc, source
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewProfileServiceClient(conn).ApplyProfile(ctx, &req)
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintln(w, applied(resp, req.GetDryRun())) })
			})
		},
	}
	c.Flags().StringVar(&req.Name, "name", "", "the profile's name (default: the name in the document)")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "check, and store nothing")
	return c
}

func applied(resp *scsv1.ApplyProfileResponse, dry bool) string {
	p := resp.GetProfile()
	switch {
	case dry && resp.GetChanged():
		return fmt.Sprintf("profile %s is good and would become version %d", p.GetName(), p.GetVersion())
	case resp.GetChanged():
		return fmt.Sprintf("profile %s is now version %d", p.GetName(), p.GetVersion())
	}
	return fmt.Sprintf("profile %s is unchanged, version %d", p.GetName(), p.GetVersion())
}

func (a *app) profileList() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List profiles", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewProfileServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.Profile, string, error) {
					resp, err := client.ListProfiles(ctx, &scsv1.ListProfilesRequest{PageSize: size, PageToken: token})
					return resp.GetProfiles(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListProfilesResponse{Profiles: all}, func(w io.Writer) {
					rows := make([][]string, len(all))
					for i, p := range all {
						rows[i] = []string{p.GetName(), strconv.FormatInt(p.GetVersion(), 10), p.GetDescription(), p.GetUpdatedBy(), when(p.GetUpdateTime())}
					}
					columns(w, []string{"PROFILE", "VERSION", "DESCRIPTION", "BY", "APPLIED"}, rows)
				})
			})
		},
	}
	return limitFlag(c, &limit)
}

func (a *app) profileShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a profile's document, passwords left out", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewProfileServiceClient(conn).GetProfile(ctx, &scsv1.GetProfileRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = io.WriteString(w, resp.GetProfile().GetDocument()) })
			})
		},
	}
}
