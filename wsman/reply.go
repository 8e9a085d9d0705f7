package wsman

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// reply is a decoded envelope. Body is nil if the SOAP body is empty.
type reply struct {
	action    string
	relatesTo string
	body      *Object
}

// parseReply decodes an envelope; every error is ErrUnexpectedReply.
func parseReply(b []byte) (*reply, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrUnexpectedReply)
	}
	root, err := decodeXML(b)
	if err != nil {
		return nil, err
	}
	if !root.Is(nsSOAP, "Envelope") {
		return nil, fmt.Errorf("%w: the root element is %.40q, not a SOAP 1.2 envelope", ErrUnexpectedReply, root.Name)
	}
	r := &reply{}
	header := root.child(nsSOAP, "Header")
	if o := header.child(nsAddressing, "RelatesTo"); o != nil {
		r.relatesTo = strings.TrimSpace(o.Text)
	}
	if o := header.child(nsAddressing, "Action"); o != nil {
		r.action = strings.TrimSpace(o.Text)
	}
	var body *Object
	for _, c := range root.Children {
		switch {
		case c.Is(nsSOAP, "Body") && body == nil:
			body = c
		case c == header && body == nil:
		default:
			return nil, fmt.Errorf("%w: a second or misplaced %.40q in the envelope", ErrUnexpectedReply, c.Name)
		}
	}
	if body == nil {
		return nil, fmt.Errorf("%w: the envelope has no body", ErrUnexpectedReply)
	}
	switch len(body.Children) {
	case 0:
		if strings.TrimSpace(body.Text) != "" {
			return nil, fmt.Errorf("%w: text in the body", ErrUnexpectedReply)
		}
	case 1:
		r.body = body.Children[0]
	default:
		return nil, fmt.Errorf("%w: %d elements in the body", ErrUnexpectedReply, len(body.Children))
	}
	return r, nil
}

// fault returns the fault that the reply is, nil if it is none.
func (r *reply) fault(call string, status int) *Fault {
	f := r.body
	if !f.Is(nsSOAP, "Fault") {
		return nil
	}
	code := f.child(nsSOAP, "Code")
	out := &Fault{
		Call:    call,
		Status:  status,
		Code:    localPart(code.child(nsSOAP, "Value")),
		Subcode: localPart(code.child(nsSOAP, "Subcode").child(nsSOAP, "Value")),
	}
	if t := f.child(nsSOAP, "Reason").child(nsSOAP, "Text"); t != nil {
		out.Reason = shorten(strings.TrimSpace(t.Text))
	}
	f.child(nsSOAP, "Detail").walk(func(o *Object) {
		if m := statusText.FindStringSubmatch(o.Text); m != nil && out.PTStatus == 0 {
			n, _ := strconv.ParseUint(m[1], 10, 16)
			out.PTStatus = PTStatus(n)
		}
	})
	return out
}

// statusText is how a fault's detail names a status (Intel, errors and return
// values).
var statusText = regexp.MustCompile(`AMT-STATUS[ :=]+([0-9]{1,5})\b`)

// localPart is the local name of the QName that o holds.
func localPart(o *Object) string {
	if o == nil {
		return ""
	}
	s := strings.TrimSpace(o.Text)
	return shorten(s[strings.LastIndexByte(s, ':')+1:])
}

// shorten bounds a device's text.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// printable replaces what is not printable ASCII, so that a device cannot write
// into a log or a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// check holds the reply against its request: a fault becomes an error, RelatesTo
// must name the message, the action must be the request's with "Response".
// A fault may lack RelatesTo, since the device may not have read so far.
func (r *reply) check(q *request, messageID string, status int) error {
	if f := r.fault(q.name, status); f != nil {
		if r.relatesTo != "" && r.relatesTo != messageID {
			return fmt.Errorf("%s: %w: a fault that relates to another message", q.name, ErrUnexpectedReply)
		}
		return f
	}
	if status != 200 {
		return fmt.Errorf("%s: %w: HTTP %d without a fault", q.name, ErrUnexpectedReply, status)
	}
	if q.action == "" {
		return nil
	}
	if r.relatesTo != messageID {
		return fmt.Errorf("%s: %w: it relates to another message", q.name, ErrUnexpectedReply)
	}
	if r.action != q.action+"Response" {
		return fmt.Errorf("%s: %w: its action is %.120q", q.name, ErrUnexpectedReply, r.action)
	}
	return nil
}

// expect returns the body if it is that element.
func (r *reply) expect(call, space, name string) (*Object, error) {
	if r.body == nil {
		return nil, fmt.Errorf("%s: %w: its body is empty, want %s", call, ErrUnexpectedReply, name)
	}
	if !r.body.Is(space, name) {
		return nil, fmt.Errorf("%s: %w: its body holds %.40q, want %s", call, ErrUnexpectedReply, r.body.Name, name)
	}
	return r.body, nil
}
