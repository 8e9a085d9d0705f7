package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// findOwn is Find for those who write: what is found may be overwritten without
// touching anything else of the file system, however wrong its tables are.
func findOwn(r io.ReaderAt, size int64) (*Found, error) {
	v, err := open(r, size)
	if err != nil {
		return nil, err
	}
	found, err := v.find()
	if err != nil {
		return nil, err
	}
	return found, v.own()
}

// shared is the fault of a file whose clusters are not its own.
func shared(at int64, what string) error {
	return broken(at, "%s: nothing is written: let the system check the stick (fsck), or make another with scsctl usb image", what)
}

// own wants the file's clusters to be allocated, in all tables, and no other
// chain, and no other entry of the root folder, to lead to them. Entries of other
// folders are not looked at.
func (v *volume) own() error {
	last := v.first + v.need - 1
	if _, _, err := v.next(last); err != nil {
		return shared(v.table+last*v.entrySize(), fmt.Sprintf("cluster %d should be allocated to setup.bin", last))
	}
	if err := v.eachEntry(func(n, next int64) error {
		if v.mine(next) && (!v.mine(n) || next != n+1) {
			return shared(v.table+n*v.entrySize(), "another chain of clusters leads into setup.bin")
		}
		return nil
	}); err != nil {
		return err
	}
	if err := v.agree(); err != nil {
		return err
	}
	if v.found.FAT == FAT32 && v.mine(v.root) {
		return shared(v.found.Start+44, "the root folder lies in setup.bin")
	}
	return v.eachRoot(v.ownEntries)
}

// mine reports whether a cluster is the file's.
func (v *volume) mine(n int64) bool { return n >= v.first && n < v.first+v.need }

// ownEntries looks for other entries in a part of the root folder.
func (v *volume) ownEntries(at, size int64) (over bool, err error) {
	b := make([]byte, size)
	if err := readAt(v.r, b, at); err != nil {
		return true, err
	}
	for ; len(b) >= dirEntry; b, at = b[dirEntry:], at+dirEntry {
		e := b[:dirEntry]
		switch {
		case e[0] == 0:
			return true, nil
		case e[0] == 0xe5 || e[11]&0x08 != 0 || at == v.entry:
		case v.mine(v.starts(e)):
			return true, shared(at, "another file begins in setup.bin")
		}
	}
	return false, nil
}

// eachEntry hands each cluster and the one that the first table has behind it to
// do.
func (v *volume) eachEntry(do func(n, next int64) error) error {
	width := v.entrySize()
	const many = 1 << 18
	b := make([]byte, many*width)
	for from := int64(2); from < v.count+2; from += many {
		b = b[:min(many, v.count+2-from)*width]
		if err := readAt(v.r, b, v.table+from*width); err != nil {
			return err
		}
		for i := int64(0); i < int64(len(b))/width; i++ {
			next := int64(0)
			if width == 2 {
				next = int64(binary.LittleEndian.Uint16(b[2*i:]))
			} else {
				next = int64(binary.LittleEndian.Uint32(b[4*i:]) & 0x0fffffff)
			}
			if err := do(from+i, next); err != nil {
				return err
			}
		}
	}
	return nil
}

// agree wants the second table to say the same of the file's clusters.
func (v *volume) agree() error {
	if v.tables < 2 {
		return nil
	}
	at, n := v.table+v.first*v.entrySize(), v.need*v.entrySize()
	one, two := make([]byte, n), make([]byte, n)
	if err := readAt(v.r, one, at); err != nil {
		return err
	}
	if err := readAt(v.r, two, at+v.tableBytes); err != nil {
		return err
	}
	if !bytes.Equal(one, two) {
		return shared(at+v.tableBytes, "the two file allocation tables should agree")
	}
	return nil
}
