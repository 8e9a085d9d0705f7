package amtsim

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Times and sizes of a connection.
const (
	handshakeTimeout = 20 * time.Second
	idleTimeout      = 90 * time.Second
	writeTimeout     = 30 * time.Second
	maxHeader        = 8 << 10
	httpPath         = "/wsman"
)

// httpRequest is a request whose body was read.
type httpRequest struct {
	method, uri, authorization, contentType string
	body                                    string
	close                                   bool // the client wants the connection closed
}

// Errors of reading a request, each with its own answer.
var (
	errBadRequest = errors.New("not an HTTP/1.1 request")
	errTooLarge   = errors.New("the request is too large")
)

// bounded ends a reader after a number of bytes that is renewed for each request.
type bounded struct {
	conn net.Conn
	left int
}

// Read implements io.Reader.
func (r *bounded) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, errTooLarge
	}
	n, err := r.conn.Read(b[:min(len(b), r.left)])
	r.left -= n
	return n, err
}

// readers holds the read buffers of connections.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

// readRequest reads one request, header and body.
func readRequest(br *bufio.Reader, lim *bounded) (*httpRequest, error) {
	lim.left = maxHeader + maxBody
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil, requestError(err)
	}
	// The body is not closed: that would read the rest of one that is too large.
	if req.ProtoMajor != 1 || req.ProtoMinor != 1 || req.Host == "" {
		return nil, errBadRequest
	}
	if req.ContentLength > maxBody {
		return nil, errTooLarge
	}
	var body bytes.Buffer
	if req.ContentLength > 0 {
		body.Grow(int(req.ContentLength))
	}
	if _, err := io.Copy(&body, io.LimitReader(req.Body, maxBody+1)); err != nil {
		return nil, requestError(err)
	}
	if body.Len() > maxBody {
		return nil, errTooLarge
	}
	return &httpRequest{
		method: req.Method, uri: req.RequestURI, authorization: req.Header.Get("Authorization"),
		contentType: req.Header.Get("Content-Type"), body: body.String(), close: req.Close,
	}, nil
}

// requestError tells a broken request from a broken connection.
func requestError(err error) error {
	var netErr net.Error
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge
	case err == io.EOF, errors.Is(err, net.ErrClosed), errors.As(err, &netErr): //nolint:errorlint // a clean end
		return err
	}
	return errBadRequest
}

// soapType reports whether a content type is that of SOAP 1.2 in UTF-8. None at all
// is taken, since MeshCentral sends none to real devices.
func soapType(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/soap+xml" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// statusLines are the codes that a device answers.
var statusLines = map[int]string{
	200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
	413: "Request Entity Too Large", 415: "Unsupported Media Type", 500: "Internal Server Error",
}

// appendPage appends an answer of HTML, after which the connection closes: what a
// device sends for everything that is not SOAP. challenge is the value of
// WWW-Authenticate, or empty.
func appendPage(b []byte, code int, server, challenge, text string) []byte {
	title := statusLines[code]
	page := `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">` + "\n<html><head><title>" + title +
		"</title></head>\n<body><h2>" + text + "</h2></body></html>\n"
	b = appendStatus(b, code)
	if challenge != "" {
		b = append(append(append(b, "WWW-Authenticate: "...), challenge...), "\r\n"...)
	}
	b = append(append(append(b, "Content-Type: text/html\r\nServer: "...), server...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(page)), 10)
	b = append(b, "\r\nConnection: close\r\n\r\n"...)
	return append(b, page...)
}

func appendStatus(b []byte, code int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	return append(append(append(b, ' '), statusLines[code]...), "\r\n"...)
}

// appendSOAPHeader appends the header of a SOAP answer, whose body follows in
// chunks.
func appendSOAPHeader(b []byte, code int, server string, now time.Time) []byte {
	b = appendStatus(b, code)
	b = append(b, "Date: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(append(b, "\r\nServer: "...), server...)
	return append(b, "\r\nX-Frame-Options: DENY\r\nContent-Type: application/soap+xml; charset=UTF-8\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n"...)
}

// The chunk sizes of recorded answers: a short first one, then long ones, which
// end wherever they end.
const (
	firstChunk = 544
	nextChunk  = 762
)

// lastChunk ends a body.
const lastChunk = "0\r\n\r\n"

// appendChunks appends body in chunks, the first of that size; sizes are written
// as four upper-case hex digits.
func appendChunks(b, body []byte, size int) []byte {
	for len(body) > 0 {
		n := min(size, len(body))
		b = appendHex(b, uint64(n), 4)
		b = append(b, "\r\n"...)
		b = append(b, body[:n]...)
		b = append(b, "\r\n"...)
		body, size = body[n:], nextChunk
	}
	return b
}
