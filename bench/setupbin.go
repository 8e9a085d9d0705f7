package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/integration/peers"
	"github.com/amtscs/amtscs/setupbin"
)

// What each record of the measured files holds; the pair is Intel's example.
const (
	stickPID      = "0000037M"
	stickPPS      = "NKLDG5DCRRNQE9YZZIJL7LFLVJED69XJ"
	stickPassword = "N3w.Passw0rd0"
)

// stickWritten is what a process tells that wrote a file.
type stickWritten struct {
	Seconds   float64 `json:"seconds"`
	Kilobytes int64   `json:"kilobytes"` // resident, the most there was
	Error     string  `json:"error,omitempty"`
}

// runSetupBin is a process that writes a setup.bin: "setupbin COUNT FILE". Each
// record is made and checked as usb write does.
func runSetupBin(_ context.Context, args []string, stdout io.Writer) error {
	if len(args) != 2 {
		return errors.New("want a count and a file")
	}
	count, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := writeStick(args[1], uint32(count)); err != nil {
		return err
	}
	took := time.Since(begun)
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(stickWritten{Seconds: took.Seconds(), Kilobytes: peak >> 10})
}

func writeStick(path string, count uint32) error {
	pid, err := amt.ParsePID(stickPID)
	if err != nil {
		return err
	}
	pps, err := amt.ParsePPS(stickPPS)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w, err := setupbin.NewWriter(buffered, setupbin.V2, 0, count)
	if err != nil {
		return err
	}
	for range count {
		s := setupbin.SetupRecord{Pair: amt.Pair{PID: pid, PPS: pps}, NewPassword: amt.NewSecretString(stickPassword)}
		r, err := s.Record(setupbin.V2)
		if err != nil {
			return err
		}
		if err := w.Write(r); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), buffered.Flush(), f.Close())
}

// peakMemory is the most resident memory that this process ever had, in bytes.
func peakMemory() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	return parsePeak(string(b))
}

// parsePeak reads VmHWM, in bytes, from /proc/PID/status.
func parsePeak(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 40); err == nil && n >= 0 {
				return n << 10, nil
			}
			return 0, fmt.Errorf("status: %w: %q", errProc, strings.TrimSpace(line))
		}
	}
	return 0, fmt.Errorf("status: %w: no VmHWM", errProc)
}

// stickRounds is how often this side writes; the other, which takes a hundred
// times as long, writes once.
const stickRounds = 5

// sticks measures writing a large setup.bin beside MeshCentral's encoder.
func (b *bencher) sticks(ctx context.Context) ([]row, error) {
	count := 100_000
	if b.quick {
		count = 1000
	}
	dir, err := b.sub("setupbin")
	if err != nil {
		return nil, err
	}
	ours, theirs := filepath.Join(dir, "ours.bin"), filepath.Join(dir, "theirs.bin")
	var seconds []float64
	var peak int64
	for range stickRounds {
		w, err := b.stick(ctx, count, ours)
		if err != nil {
			return nil, err
		}
		seconds, peak = append(seconds, w.Seconds), max(peak, w.Kilobytes)
	}
	name := fmt.Sprintf("setup.bin of %d records", count)
	mine := median(seconds...)
	memory := row{name + ": highest memory", float64(peak) / 1000, "MB", atMost(200), "resident, all of the process"}
	other, err := theirStick(ctx, count, theirs)
	if err != nil {
		b.note("nothing to compare setup.bin with: %v", err)
		return []row{{name + ": time", mine * 1000, "ms", aim{}, "no encoder to compare with: it needs node and npm"}, memory}, nil
	}
	if err := sameFiles(ours, theirs); err != nil {
		return nil, err
	}
	note := fmt.Sprintf("%.3f s beside %.1f s and %.1f GB, the same bytes; median of %d", mine, other.Seconds, float64(other.Kilobytes)/1e6, stickRounds)
	return []row{{name + ": time beside MeshCentral's encoder", mine / other.Seconds, "x", atMost(0.05), note}, memory}, nil
}

// stick runs runSetupBin in a process of its own.
func (b *bencher) stick(ctx context.Context, count int, path string) (stickWritten, error) {
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.self, "setupbin", strconv.Itoa(count), path)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return stickWritten{}, fmt.Errorf("writing a setup.bin: %w\n%s", err, stderr.String())
	}
	var w stickWritten
	err := json.Unmarshal(out.Bytes(), &w)
	return w, err
}

func theirStick(ctx context.Context, count int, path string) (stickWritten, error) {
	var w stickWritten
	file, err := peers.Codec(ctx)
	if err != nil {
		return w, err
	}
	codec, err := peers.Start(ctx, file)
	if err != nil {
		return w, err
	}
	err = codec.Call(map[string]any{
		"act": "measure", "version": 2, "count": count, "out": path,
		"password": stickPassword, "pid": stickPID, "pps": stickPPS,
	}, &w)
	if err = errors.Join(err, codec.Close()); err == nil && w.Error != "" {
		err = errors.New(w.Error)
	}
	return w, err
}

// sameFiles makes sure that both wrote the same.
func sameFiles(a, b string) error {
	var sums [2][sha256.Size]byte
	for i, path := range []string{a, b} {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sums[i] = sha256.Sum256(content)
	}
	if sums[0] != sums[1] {
		return errors.New("the two encoders wrote different files of the same pairs")
	}
	return nil
}
