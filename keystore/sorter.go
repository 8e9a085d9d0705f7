package keystore

import (
	"cmp"
	"encoding/binary"
	"io"
	"slices"
	"sync/atomic"

	"github.com/amtscs/amtscs/amt"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// A long list is sorted outside of memory. Records are collected as bytes, in
// memory and in clear; whenever runLen bytes of them are there they are sorted and
// go to a temporary file as one run, in blocks that are sealed for this process
// (seal.Scratch). As far as there is time meanwhile, secrets are sealed for their
// places in the store already. In the end the runs are merged. A list that fits
// into memory meets no file.
//
// A record, numbers little-endian:
//
//	PID                   8 bytes
//	flags                 1 byte: 0x01 used, 0x02 exported, 0x04 the secrets are sealed
//	length of the PPS     1 byte
//	length of the current password, 2 bytes
//	length of the new one, 2 bytes
//	the three of them
const (
	flagsAt    = amt.PIDLen
	recordHead = amt.PIDLen + 1 + 1 + 2 + 2

	flagUsed     = 0x01
	flagExported = 0x02
	flagSealed   = 0x04

	// runLen is how many bytes of records are held in memory at a time; as many
	// again are being sorted and written meanwhile.
	runLen = 8 << 20
	// maxRecord is the longest record in clear.
	maxRecord = recordHead + amt.PPSLen + 2*maxPassword
)

// rawRecord is a record in that form.
type rawRecord []byte

func appendRaw(buf []byte, pid amt.PID, flags byte, pps, current, next []byte) []byte {
	buf = append(buf, pid[:]...)
	buf = append(buf, flags, byte(len(pps)))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(len(current)))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(len(next)))
	buf = append(buf, pps...)
	buf = append(buf, current...)
	return append(buf, next...)
}

// appendRecord adds a record that was checked, in clear.
func appendRecord(buf []byte, rec Record) []byte {
	flags := byte(0)
	if rec.Used {
		flags |= flagUsed
	}
	if rec.Exported {
		flags |= flagExported
	}
	return appendRaw(buf, rec.Pair.PID, flags, rec.Pair.PPS.Reveal(), rec.CurrentPassword.Reveal(), rec.NewPassword.Reveal())
}

// firstRecord cuts the first record off buf, which holds whole ones.
func firstRecord(buf []byte) (r rawRecord, rest []byte) {
	n := recordHead + int(buf[9]) + int(binary.LittleEndian.Uint16(buf[10:])) + int(binary.LittleEndian.Uint16(buf[12:]))
	return rawRecord(buf[:n:n]), buf[n:]
}

func (r rawRecord) pid() amt.PID { return amt.PID(r[:amt.PIDLen]) }

// order is the PID as a number that sorts as it does.
func (r rawRecord) order() uint64 { return binary.BigEndian.Uint64(r) }

// fields are the secrets, in clear or sealed; nil where there is none.
func (r rawRecord) fields() (pps, current, next []byte) {
	at := recordHead + int(r[9])
	end := at + int(binary.LittleEndian.Uint16(r[10:]))
	pps, current, next = r[recordHead:at:at], r[at:end:end], r[end:]
	if len(current) == 0 {
		current = nil
	}
	if len(next) == 0 {
		next = nil
	}
	return pps, current, next
}

// appendSealed adds r, which is in clear, with its secrets sealed for the pair.
func (s *Store) appendSealed(buf []byte, r rawRecord) ([]byte, error) {
	pid := r.pid()
	pps, current, next := r.fields()
	for _, f := range []struct {
		field  string
		secret *[]byte
	}{{ppsField, &pps}, {currentField, &current}, {newField, &next}} {
		var err error
		if *f.secret, err = s.sealer.SealBytes(*f.secret, identity(pid, f.field)); err != nil {
			return buf, err
		}
	}
	return appendRaw(buf, pid, r[flagsAt]|flagSealed, pps, current, next), nil
}

// secrets of a record in clear.
func (r rawRecord) secrets() Secrets {
	pps, current, next := r.fields()
	return Secrets{PPS: amt.NewSecret(pps), CurrentPassword: amt.NewSecret(current), NewPassword: amt.NewSecret(next)}
}

// secretsOf opens a record if it is sealed.
func (s *Store) secretsOf(r rawRecord) (Secrets, error) {
	if r[flagsAt]&flagSealed == 0 {
		return r.secrets(), nil
	}
	pps, current, next := r.fields()
	return s.open(&scsstorev1.Key{Pid: r[:amt.PIDLen], Pps: pps, CurrentPassword: current, NewPassword: next})
}

// sorter sorts records by PID, those of one PID in the order in which they came.
// Its methods are called by one goroutine.
type sorter struct {
	dir   string // of the temporary file
	seal  func(buf []byte, r rawRecord) ([]byte, error)
	limit int // bytes of records before they are spilled
	now   heap
	spare heap        // of the run that was spilled last
	busy  chan error  // the outcome of the spill under way; nil: there is none
	file  *spill      // nil until the first spill
	hurry atomic.Bool // somebody waits for the spill
}

// heap is records in memory.
type heap struct {
	bytes []byte
	index []place
}

// place is where a record begins.
type place struct {
	order uint64
	at    uint32
}

// add takes a checked record.
func (s *sorter) add(rec Record) error {
	at := len(s.now.bytes)
	if at > 0 && at+maxRecord > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
		at = 0
	}
	if s.now.bytes == nil {
		s.now.bytes = make([]byte, 0, min(s.limit, 1<<20))
	}
	s.now.bytes = appendRecord(s.now.bytes, rec)
	s.now.index = append(s.now.index, place{rawRecord(s.now.bytes[at:]).order(), uint32(at)})
	return nil
}

// sort brings the index into order; records of one PID stay as they came.
func (h *heap) sort() {
	slices.SortFunc(h.index, func(a, b place) int {
		if c := cmp.Compare(a.order, b.order); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
}

// empty forgets the records and keeps the memory.
func (h *heap) empty() {
	clear(h.bytes)
	h.bytes, h.index = h.bytes[:0], h.index[:0]
}

// spill begins to write what is in memory, once the last spill is done.
func (s *sorter) spill() error {
	if err := s.wait(); err != nil {
		return err
	}
	if s.file == nil {
		f, err := newSpill(s.dir)
		if err != nil {
			return err
		}
		s.file = f
	}
	s.now, s.spare = s.spare, s.now
	s.busy = make(chan error, 1)
	go func(busy chan<- error) {
		s.spare.sort()
		err := s.file.write(&s.spare, s.encode)
		s.spare.empty()
		busy <- err
	}(s.busy)
	return nil
}

// encode adds a record to a block: sealed, unless somebody waits.
func (s *sorter) encode(buf []byte, r rawRecord) ([]byte, error) {
	if s.hurry.Load() {
		return append(buf, r...), nil
	}
	return s.seal(buf, r)
}

// wait waits for the spill under way.
func (s *sorter) wait() error {
	if s.busy == nil {
		return nil
	}
	s.hurry.Store(true)
	err := <-s.busy
	s.hurry.Store(false)
	s.busy = nil
	return err
}

// sorted ends the adding and returns the records in order. When some were
// spilled all are, to have the memory back.
func (s *sorter) sorted() (source, error) {
	if s.file == nil {
		s.now.sort()
		return &memory{heap: s.now}, nil
	}
	if len(s.now.index) > 0 {
		if err := s.spill(); err != nil {
			return nil, err
		}
	}
	err := s.wait()
	s.now, s.spare = heap{}, heap{}
	if err != nil {
		return nil, err
	}
	return s.file.merge()
}

// close removes the temporary file and forgets the records.
func (s *sorter) close() {
	_ = s.wait() // its error was returned, or something else ended the import
	s.now.empty()
	s.spare.empty()
	if s.file != nil {
		s.file.close()
	}
}

// source gives records one by one; io.EOF ends them. A record is good until the
// next call.
type source interface{ next() (rawRecord, error) }

// memory is the source of a sorted heap.
type memory struct{ heap }

func (m *memory) next() (rawRecord, error) {
	if len(m.index) == 0 {
		return nil, io.EOF
	}
	r, _ := firstRecord(m.bytes[m.index[0].at:])
	m.index = m.index[1:]
	return r, nil
}
