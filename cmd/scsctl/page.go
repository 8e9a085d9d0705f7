package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// pageSize is how many rows are asked for at a time.
const pageSize = 500

// limitFlag bounds what a list command shows.
func limitFlag(c *cobra.Command, limit *int) *cobra.Command {
	c.Flags().IntVar(limit, "limit", 1000, "show at most so many; 0 for all")
	return c
}

// collect reads pages until limit rows are there (0: all) or none are left, and
// says on stderr when it stopped short.
func collect[T any](a *app, limit int, page func(size int32, token string) ([]T, string, error)) ([]T, error) {
	all, next, err := collectFrom(limit, "", page)
	if err == nil && next != "" {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: note: only the first %d are shown: --limit 0 shows all\n", len(all))
	}
	return all, err
}

// collectFrom begins at a page's token, empty for the first, and returns the
// token of what it left.
func collectFrom[T any](limit int, token string, page func(size int32, token string) ([]T, string, error)) ([]T, string, error) {
	if limit < 0 {
		return nil, "", usage("--limit %d: want 0 or more", limit)
	}
	var all []T
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		rows, next, err := page(int32(size), token)
		if err != nil {
			return nil, "", err
		}
		all = append(all, rows...)
		if next == "" || limit > 0 && len(all) >= limit {
			return all, next, nil
		}
		token = next
	}
}
