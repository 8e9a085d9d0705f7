package peers

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

//go:embed setupbin.js
var driver string

// SetupBin is MeshCentral's codec, running.
type SetupBin struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// Start runs the codec that Codec found. End it with Close.
func Start(ctx context.Context, codec string) (*SetupBin, error) {
	// 100,000 records need 2.6 GB.
	cmd := exec.CommandContext(ctx, "node", "--max-old-space-size=6144", "-e", driver, "--", codec)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting node: %w", err)
	}
	return &SetupBin{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
}

// Call sends a request and reads its answer; setupbin.js tells their fields.
func (s *SetupBin) Call(request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := s.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("asking node: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("node's answer: %w", err)
	}
	return json.Unmarshal(line, answer)
}

// Close ends the program.
func (s *SetupBin) Close() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }
