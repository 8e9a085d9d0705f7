package main

import (
	"io"

	"github.com/spf13/cobra"
)

func doctorCommand(_, _ io.Writer) *cobra.Command { return &cobra.Command{Use: "doctor"} }
