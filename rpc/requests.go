package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// requestLife is how long a request_id is remembered.
const requestLife = 7 * 24 * time.Hour

// requests are the requests that were carried out, by id and by time.
var requests = kv.Collection[*scsstorev1.ApiRequest]{
	Table: "api_requests",
	Indexes: []kv.Index[*scsstorev1.ApiRequest]{{
		Table: "api_requests_by_time",
		Keys: func(m *scsstorev1.ApiRequest) [][]byte {
			return [][]byte{binary.BigEndian.AppendUint64(nil, uint64(m.GetAt().GetSeconds()))}
		},
	}},
}

// errCarriedOut is returned when the request was carried out before, perhaps a
// moment ago by a call at the same time.
var errCarriedOut = errors.New("the request was carried out before")

// request is a request that may be repeated.
type request struct {
	id     string
	asked  []byte // what was asked for, hashed, without secrets
	object string
	made   int64
}

// key keeps the ids of users apart.
func (r request) key(user string) []byte { return []byte(user + "\x00" + r.id) }

// carriedOut looks whether the request was carried out before, and what it made.
func (s *Server) carriedOut(ctx context.Context, r request) (made int64, ok bool, err error) {
	err = s.cfg.Store.View(ctx, func(rd kv.Reader) error {
		m, err := s.earlier(ctx, rd, r)
		if err != nil || m == nil {
			return err
		}
		made, ok = m.GetMade(), true
		return nil
	})
	return made, ok, err
}

// earlier is the stored request of the same id, nil when there is none.
func (s *Server) earlier(ctx context.Context, rd kv.Reader, r request) (*scsstorev1.ApiRequest, error) {
	c := of(ctx)
	m, err := requests.Get(rd, r.key(c.user.Name))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case m.GetMethod() != shortMethod(c.method) || !bytes.Equal(m.GetAsked(), r.asked):
		return nil, errRepeated
	}
	return m, nil
}

// carry stores the request in the transaction that carries it out, and forgets
// some old ones.
func (s *Server) carry(ctx context.Context, tx kv.Tx, r request) error {
	m, err := s.earlier(ctx, tx, r)
	if err != nil {
		return err
	}
	if m != nil {
		return errCarriedOut
	}
	if err := s.forget(tx); err != nil {
		return err
	}
	c := of(ctx)
	return requests.Put(tx, r.key(c.user.Name), &scsstorev1.ApiRequest{
		Id: r.id, User: c.user.Name, Method: shortMethod(c.method), Asked: r.asked, Object: r.object, Made: r.made, At: stamp(s.cfg.Now()),
	})
}

func (s *Server) forget(tx kv.Tx) error {
	end := binary.BigEndian.AppendUint64(nil, uint64(s.cfg.Now().Add(-requestLife).Unix()))
	var old [][]byte
	err := requests.ScanIndex(tx, requests.Indexes[0].Table, kv.Range{To: end, Limit: 20}, func(_, key []byte, _ *scsstorev1.ApiRequest) error {
		old = append(old, key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := requests.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}
