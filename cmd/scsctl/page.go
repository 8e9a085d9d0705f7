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
	if limit < 0 {
		return nil, usage("--limit %d: want 0 or more", limit)
	}
	var all []T
	for token := ""; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		rows, next, err := page(int32(size), token)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if next == "" {
			return all, nil
		}
		if limit > 0 && len(all) >= limit {
			_, _ = fmt.Fprintf(a.stderr, "scsctl: note: only the first %d are shown: --limit 0 shows all\n", len(all))
			return all, nil
		}
		token = next
	}
}
