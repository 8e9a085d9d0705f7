package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amtscs/amtscs/cmd/internal/atomicfile"
	"github.com/amtscs/amtscs/media"
)

// stick is an image or a disk to be made.
type stick struct {
	out, device     string
	fat             int
	size, partition string
	force, yes      bool

	options media.Options
}

// madeStick is what usb image tells programs.
type madeStick struct {
	Image      string `json:"image"` // the file, or the disk
	FileSystem string `json:"file_system"`
	Size       int64  `json:"size"`   // in bytes
	Offset     int64  `json:"offset"` // of setup.bin, in bytes
	Partition  bool   `json:"partition"`
	Records    uint32 `json:"records"`
}

func (a *app) usbImage() *cobra.Command {
	s := &stick{}
	c := &cobra.Command{
		Use: "image SETUPBIN --out FILE", Short: "Make a disk image, or a USB key, with a setup.bin (needs no server)", Args: takes("SETUPBIN"),
		Long: "Make a disk image whose first and only file is the setup.bin, contiguous, as firmware of every age reads it:\n" +
			"FAT16 and 32 MiB with one partition unless told otherwise. With --out it is a file of mode 0600; with --device\n" +
			"it overwrites a USB key, after showing what it is and asking. A disk that is mounted, or that the system works\n" +
			"on, is always refused: unmount it. One that is not removable, as some large USB keys, is refused without\n" +
			"--force, which overrules nothing else. It needs no server.",
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.check(); err != nil {
				return err
			}
			return a.image(c.Context(), args[0], s)
		},
	}
	f := c.Flags()
	f.StringVar(&s.out, "out", "", "the image file to make")
	f.StringVar(&s.device, "device", "", "the disk to overwrite, as /dev/sdX (Linux)")
	f.IntVar(&s.fat, "fat", 16, "16, which all firmware reads, or 32")
	f.StringVar(&s.size, "size", "", "size of the image, as 32M: 17M to 2000M (default 32M; 64M with --fat 32)")
	f.StringVar(&s.partition, "partition", "mbr", "mbr: one partition; none: the file system begins at sector 0")
	f.BoolVar(&s.force, "force", false, "overwrite a disk that is not removable; never one that is mounted or in use")
	f.BoolVar(&s.yes, "yes", false, "do not ask")
	return c
}

func (s *stick) check() error {
	switch {
	case (s.out == "") == (s.device == ""):
		return usage("want --out FILE or --device DISK, one of them")
	case s.fat != 16 && s.fat != 32:
		return usage("--fat %d: want 16 or 32", s.fat)
	case s.partition != "mbr" && s.partition != "none":
		return usage("--partition %q: want mbr or none", s.partition)
	}
	size, err := parseSize(s.size)
	if err != nil {
		return err
	}
	var serial [4]byte
	_, _ = rand.Read(serial[:]) // it never fails
	s.options = media.Options{
		Size: size, FAT: media.FAT(s.fat), NoMBR: s.partition == "none", Serial: binary.BigEndian.Uint32(serial[:]), Time: time.Now(),
	}
	return nil
}

// parseSize reads bytes, or a number with K, M or G for powers of 1024, also as
// KiB, MiB and GiB. Empty is 0.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	digits, factor := strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i"), int64(1)
	for i, unit := range []string{"K", "M", "G"} {
		if d, ok := strings.CutSuffix(digits, unit); ok {
			digits, factor = d, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 1 {
		return 0, usage("--size %q: want a number with M, as 32M", s)
	}
	return n * factor, nil
}

func (a *app) image(ctx context.Context, name string, s *stick) error {
	f, rd, err := openSetup(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := *rd.Header()
	for {
		if _, err := rd.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return layoutFailure(name, err)
		}
	}
	i, err := media.New(s.options, f.Size())
	if errors.Is(err, media.ErrSize) {
		return &failure{code: exitUsage, message: err.Error(), hint: "choose another --size, or --fat", cause: err}
	}
	if err != nil {
		return err
	}
	if s.out != "" {
		err = atomicfile.CreateFrom(s.out, func(w io.Writer) error { return i.Write(w, io.NewSectionReader(f, 0, f.Size())) }, 0o600)
	} else {
		err = a.burn(ctx, s, i, io.NewSectionReader(f, 0, f.Size()))
	}
	if err != nil {
		return err
	}
	m := &madeStick{
		Image: s.out + s.device, FileSystem: s.options.FAT.String(), Size: i.Size(), Offset: i.Offset(), Partition: !s.options.NoMBR, Records: h.Records,
	}
	return a.printJSON(m, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s written to %s (%v)\n", plural(int64(m.Records), "record"), printable(m.Image), i)
	})
}

// burn shows the disk, asks, and writes.
func (a *app) burn(ctx context.Context, s *stick, i *media.Image, content io.ReadSeeker) error {
	d, err := a.disks.Inspect(s.device)
	if err != nil {
		return diskFailure(err)
	}
	_, _ = fmt.Fprintf(a.stderr, "scsctl: %s\n", printable(d.String()))
	if err := d.Allow(i.Size(), s.force); err != nil {
		return diskFailure(err)
	}
	for _, h := range d.Holds {
		_, _ = fmt.Fprintf(a.stderr, "scsctl: warning: it holds %s\n", printable(h))
	}
	question := fmt.Sprintf("all that is on %s will be lost; type %s to go on: ", printable(d.Title()), printable(d.Name))
	if err := a.confirm(ctx, s.yes, d.Name, question); err != nil {
		return err
	}
	return diskFailure(d.Burn(i, content, s.force)) // which looks whether it is still that disk
}

// diskFailure adds the way out.
func diskFailure(err error) error {
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, media.ErrForce):
		hint = "make sure that it is the key: lsblk lists disks; --force overwrites it all the same"
	case errors.Is(err, media.ErrMounted):
		hint = "make sure that it is the key, and unmount it"
	case errors.Is(err, media.ErrChanged):
		hint = "look at it again"
	case errors.Is(err, media.ErrInUse):
		hint = "name the USB key: lsblk lists disks; findmnt, swapon and lsblk tell what works on one"
	case errors.Is(err, media.ErrDisk):
		hint = "name a whole disk, as /dev/sdX: lsblk lists them"
	}
	return failed(hint, "%w", err)
}
