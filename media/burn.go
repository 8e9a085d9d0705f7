package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrVerify is returned when a disk does not give back what was written.
var ErrVerify = errors.New("the disk gives back something else than was written")

// Burn overwrites the begin of a disk with an image and compares what it reads
// then. content is read twice. Unless force is given, the system is asked for the
// disk alone, and refuses when it is mounted. The end of the disk, where a GPT has
// its copy, is zeroed. Callers ask Allow first.
func (d *Disk) Burn(i *Image, content io.ReadSeeker, force bool) (err error) {
	mode := os.O_RDWR
	if !force {
		mode |= os.O_EXCL
	}
	f, err := os.OpenFile(d.Path, mode, 0)
	if err != nil {
		return fmt.Errorf("opening the disk: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("writing %s: %w", d.Path, cerr)
		}
	}()
	const gpt = 34 * sector
	if end := d.Size - gpt; end >= i.Size() {
		if _, err := f.WriteAt(make([]byte, gpt), end); err != nil {
			return fmt.Errorf("writing %s: %w", d.Path, err)
		}
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 1<<20)
	if err := i.Write(w, content); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return fmt.Errorf("writing %s: %w", d.Path, err)
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	forget(f)
	c := &comparer{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, i.Size()), 1<<20)}
	if err := i.Write(c, content); err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	reread(f)
	return nil
}

// comparer takes what should be there and compares it with what is.
type comparer struct {
	r  io.Reader
	at int64
}

func (c *comparer) Write(b []byte) (int, error) {
	have := make([]byte, len(b))
	if _, err := io.ReadFull(c.r, have); err != nil {
		return 0, err
	}
	if !bytes.Equal(have, b) {
		return 0, fmt.Errorf("%w, from offset %d on: use another one", ErrVerify, c.at)
	}
	c.at += int64(len(b))
	return len(b), nil
}
