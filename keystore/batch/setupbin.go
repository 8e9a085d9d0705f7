package batch

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// ErrNoPair is returned for a record that is valid and holds no PID and PPS.
var ErrNoPair = errors.New("the record holds no PID and PPS")

// ReadSetupBin reads the records of a setup.bin of any version. Consumed ones
// whose pair can still be read are Used; other records that are not valid are
// passed over. Errors are as with ReadCSV, with the record's place for the line;
// a file that is no setup.bin is setupbin's error.
func ReadSetupBin(name string, r io.Reader, fn func(Row) error) error {
	return readSetupBin(name, r, Options{}, fn)
}

func readSetupBin(name string, r io.Reader, opts Options, fn func(Row) error) error {
	sr, err := setupbin.NewReader(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if opts.Begun != nil {
		opts.Begun(SetupBin.String())
	}
	if opts.Head != nil {
		opts.Head(amt.NewSecretString(strings.TrimSuffix(Header, "\n")))
	}
	c := &collector{file: name, each: opts.Bad, keep: opts.Raw}
	for n := 1; ; n++ {
		rec, err := sr.Next()
		var damage *setupbin.FormatError
		switch {
		case errors.Is(err, io.EOF):
			return c.err()
		case errors.As(err, &damage):
			c.bad(&RowError{File: name, Line: n, Err: err, Cure: "leave the record out, or have the file made again"}, nil)
		case err != nil:
			return fmt.Errorf("%s: record %d: %w", name, n, err)
		default:
			if err := c.record(n, rec, fn); err != nil {
				return err
			}
		}
	}
}

// record takes one record. The error is fn's. Its line is what WriteRow would
// write of it, so that bad ones can be mended.
func (c *collector) record(n int, r *setupbin.Record, fn func(Row) error) error {
	f, whole := recordFields(r)
	var raw []byte
	if c.keep {
		raw = f.append(nil)
	}
	if r.Valid() {
		if !whole {
			c.bad(&RowError{File: c.file, Line: n, Err: ErrNoPair, Cure: "it is not for set-up by PID and PPS: remove it from the file"}, raw)
			return nil
		}
		return c.pair(n, f, raw, fn)
	}
	if r.Type != setupbin.TypeData || !whole {
		return nil // whatever a consumed record holds
	}
	f.used = "1"
	if _, bad := f.row(); bad != nil {
		return nil
	}
	return c.pair(n, f, raw, fn)
}

// recordFields reads the variables of one pair; whole says that there is one.
func recordFields(r *setupbin.Record) (f *fields, whole bool) {
	pid, hasPID := r.Get(setupbin.ModuleAMT, 1)
	pps, hasPPS := r.Get(setupbin.ModuleAMT, 2)
	current, _ := r.Get(setupbin.ModuleME, 1)
	next, _ := r.Get(setupbin.ModuleME, 2)
	return &fields{record: true, pid: string(pid), pps: string(pps), current: string(current), next: string(next)}, hasPID && hasPPS
}
