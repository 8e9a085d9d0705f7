package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amtscs/amtscs/keystore/batch"
	scsv1 "github.com/amtscs/amtscs/proto/scs/v1"
)

func (a *app) keysMapping() *cobra.Command {
	return a.group("mapping", "Layouts of suppliers' lists, kept on the server for keys import --mapping",
		a.mappingSet(), a.mappingList(), a.mappingShow(), a.mappingDelete())
}

// layoutOf is a mapping as lists are read with it.
func layoutOf(m *scsv1.KeyMapping) (batch.Layout, error) {
	l := batch.Layout{Skip: int(m.GetSkip())}
	var err error
	if l.Separator, err = batch.ParseSeparator(m.GetSeparator()); err != nil {
		return l, fmt.Errorf("mapping %s: %w", m.GetName(), err)
	}
	for _, c := range m.GetColumns() {
		l.Columns = append(l.Columns, batch.Column{Field: c.GetField(), Position: int(c.GetPosition()), Name: c.GetColumn()})
	}
	if err := l.CheckPairs(); err != nil {
		return l, fmt.Errorf("mapping %s: %w", m.GetName(), err)
	}
	return l, nil
}

// columnsText is what --columns would say.
func columnsText(m *scsv1.KeyMapping) string {
	parts := make([]string, len(m.GetColumns()))
	for i, c := range m.GetColumns() {
		parts[i] = batch.Column{Field: c.GetField(), Position: int(c.GetPosition()), Name: c.GetColumn()}.String()
	}
	return strings.Join(parts, ",")
}

func (a *app) mappingSet() *cobra.Command {
	m := &scsv1.KeyMapping{}
	var columns string
	c := &cobra.Command{
		Use: "set NAME --columns FIELD=COLUMN,...", Short: "Keep a layout, in place of an earlier one of the name", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			m.Name = args[0]
			cols, err := batch.ParseColumns(columns)
			if err != nil {
				return usage("--columns: %v", err)
			}
			for _, col := range cols {
				m.Columns = append(m.Columns, &scsv1.KeyMappingColumn{Field: col.Field, Position: int32(min(col.Position, 1<<30)), Column: col.Name})
			}
			if _, err := layoutOf(m); err != nil {
				return usage("%v", err)
			}
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).SetKeyMapping(ctx, &scsv1.SetKeyMappingRequest{Mapping: m})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { showMapping(w, resp.GetMapping()) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&columns, "columns", "", "where the fields "+strings.Join(batch.Fields(), ", ")+" stand, by position from 1 or by the header's name")
	f.StringVar(&m.Separator, "separator", "", "comma, tab, semicolon or blank (default: whichever the first line has)")
	f.Int32Var(&m.Skip, "skip-lines", 0, "pass over so many lines before the header or the first row")
	f.StringVar(&m.Notes, "notes", "", "free text")
	return require(c, "columns")
}

func showMapping(w io.Writer, m *scsv1.KeyMapping) {
	skip := ""
	if m.GetSkip() > 0 {
		skip = strconv.Itoa(int(m.GetSkip()))
	}
	fields(w, "name", m.GetName(), "columns", columnsText(m), "separator", m.GetSeparator(), "lines to skip", skip,
		"notes", m.GetNotes(), "changed", when(m.GetChangeTime()), "changed by", m.GetChangedBy())
}

func (a *app) mappingList() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List layouts", Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.stream(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				client := scsv1.NewKeyServiceClient(conn)
				all, err := collect(a, limit, func(size int32, token string) ([]*scsv1.KeyMapping, string, error) {
					resp, err := client.ListKeyMappings(ctx, &scsv1.ListKeyMappingsRequest{PageSize: size, PageToken: token})
					return resp.GetMappings(), resp.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				return a.print(&scsv1.ListKeyMappingsResponse{Mappings: all}, func(w io.Writer) {
					rows := make([][]string, len(all))
					for i, m := range all {
						rows[i] = []string{m.GetName(), columnsText(m), m.GetSeparator(), m.GetChangedBy(), when(m.GetChangeTime()), m.GetNotes()}
					}
					columns(w, []string{"MAPPING", "COLUMNS", "SEPARATOR", "BY", "CHANGED", "NOTES"}, rows)
				})
			})
		},
	}
	return limitFlag(c, &limit)
}

func (a *app) mappingShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a layout", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).GetKeyMapping(ctx, &scsv1.GetKeyMappingRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { showMapping(w, resp.GetMapping()) })
			})
		},
	}
}

func (a *app) mappingDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Remove a layout", Args: takes("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.call(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				resp, err := scsv1.NewKeyServiceClient(conn).DeleteKeyMapping(ctx, &scsv1.DeleteKeyMappingRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return a.print(resp, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is removed\n", printable(args[0])) })
			})
		},
	}
}
