package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
)

// upload is a stream to the server whose one answer is waited for from its
// beginning: a server that goes away is noticed though nothing is being sent.
type upload[Req, Resp any] struct {
	stream grpc.ClientStreamingClient[Req, Resp]
	done   chan struct{}
	resp   *Resp // behind done
	err    error // behind done
}

// begin waits for the answer; ended is called when the stream ends with an error.
func begin[Req, Resp any](stream grpc.ClientStreamingClient[Req, Resp], ended context.CancelFunc) *upload[Req, Resp] {
	u := &upload[Req, Resp]{stream: stream, done: make(chan struct{}), resp: new(Resp)}
	go func() {
		defer close(u.done)
		if u.err = stream.RecvMsg(u.resp); u.err != nil {
			ended()
		}
	}()
	return u
}

// send gives the server's error where the stream only says that it has ended.
func (u *upload[Req, Resp]) send(m *Req) error {
	err := u.stream.Send(m)
	if errors.Is(err, io.EOF) {
		<-u.done
		err = u.err
	}
	return err
}

// finish ends the list and returns the answer.
func (u *upload[Req, Resp]) finish() (*Resp, error) {
	if err := u.stream.CloseSend(); err != nil {
		return nil, err
	}
	<-u.done
	return u.resp, u.err
}

// cause is why reading or sending stopped: the stream's error if that ended it.
func (u *upload[Req, Resp]) cause(err error) error {
	select {
	case <-u.done:
		if u.err != nil {
			return u.err
		}
	default:
	}
	return err
}

// gathered is rows on their way, importRows of them in a message.
type gathered[T any] struct {
	rows []T
	send func([]T) error
}

func (g *gathered[T]) add(row T) error {
	if g.rows = append(g.rows, row); len(g.rows) < importRows {
		return nil
	}
	return g.flush()
}

// flush sends what is left.
func (g *gathered[T]) flush() error {
	if len(g.rows) == 0 {
		return nil
	}
	rows := g.rows
	g.rows = nil
	return g.send(rows)
}
