package amtsim

import (
	"strings"
)

// Namespaces and actions of the messages (SOAP 1.2, WS-Addressing 2004/08,
// DSP0226 for the rest).
const (
	nsSOAP        = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing  = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsWSMan       = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
	nsEnumeration = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
	nsTransfer    = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	nsEventing    = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
	nsTrust       = "http://schemas.xmlsoap.org/ws/2005/02/trust"
	nsSecurity    = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsBinding     = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
	nsCommon      = "http://schemas.dmtf.org/wbem/wscim/1/common"
	nsXSI         = "http://www.w3.org/2001/XMLSchema-instance"
	nsIdentify    = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
	anonymous     = nsAddressing + "/role/anonymous"

	// minEnvelope is the least MaxEnvelopeSize that is taken (Intel AMT
	// Implementation and Reference Guide, "DSP0226 support").
	minEnvelope = 50000
)

// envelope is a request whose header is in order.
type envelope struct {
	action, resource, messageID string
	selectors                   []selector
	body                        *element // the only child of Body; nil if it is empty
	identify                    bool
}

// selector names one key of an object. Its value is text or, for associations,
// an endpoint reference.
type selector struct {
	name, value string
	ref         *reference
}

// reference is an endpoint reference to an object of a class.
type reference struct {
	resource  string
	selectors []selector
}

// parseEnvelope reads a request. The envelope comes with the fault as far as it
// was read, so that the answer can name the message.
func parseEnvelope(body string) (*envelope, *fault) {
	env := new(envelope)
	root, err := parseXML(body)
	if err != nil {
		return env, faultSchema(err.Error())
	}
	if root.name != "Envelope" || root.space != nsSOAP {
		if root.name == "Envelope" {
			return env, &fault{code: "a:VersionMismatch", reason: reasonVersion, status500: true}
		}
		return env, faultSchema("the root is no SOAP envelope")
	}
	var header, content *element
	switch {
	case len(root.kids) == 2 && isSOAP(root.kids[0], "Header") && isSOAP(root.kids[1], "Body"):
		header, content = root.kids[0], root.kids[1]
	case len(root.kids) == 1 && isSOAP(root.kids[0], "Body"):
		header, content = new(element), root.kids[0]
	default:
		return env, faultSchema("an envelope without Header and Body")
	}
	if len(content.kids) > 1 || len(content.kids) == 0 && strings.TrimSpace(content.text) != "" {
		return env, faultSchema("a Body with more than one element")
	}
	if len(content.kids) == 1 {
		env.body = content.kids[0]
		env.identify = env.body.space == nsIdentify && env.body.name == "Identify"
	}
	return env, env.parseHeader(header)
}

func isSOAP(e *element, name string) bool { return e.space == nsSOAP && e.name == name }

// headerParsers take the header blocks that are known; "seen" keeps a second one
// out.
var headerParsers = map[[2]string]func(*envelope, *element) *fault{
	{nsAddressing, "Action"}: func(env *envelope, e *element) *fault { return text(e, &env.action) },
	{nsAddressing, "To"}: func(env *envelope, e *element) *fault {
		var to string
		if f := text(e, &to); f != nil {
			return f
		}
		if !strings.HasSuffix(to, "/wsman") && to != anonymous {
			return faultUnreachable("To names another place")
		}
		return nil
	},
	{nsAddressing, "MessageID"}: func(env *envelope, e *element) *fault { return text(e, &env.messageID) },
	{nsAddressing, "ReplyTo"}:   (*envelope).replyTo,
	{nsAddressing, "From"}:      ignore,
	{nsWSMan, "ResourceURI"}:    func(env *envelope, e *element) *fault { return text(e, &env.resource) },
	{nsWSMan, "OperationTimeout"}: func(_ *envelope, e *element) *fault {
		var s string
		if f := text(e, &s); f != nil {
			return f
		}
		if !isDuration(s) {
			return faultHeader("OperationTimeout")
		}
		return nil
	},
	{nsWSMan, "MaxEnvelopeSize"}: func(_ *envelope, e *element) *fault {
		if n, ok := parseUint(e.text, 32); !ok || len(e.kids) > 0 {
			return faultHeader("MaxEnvelopeSize")
		} else if n < minEnvelope {
			return &fault{code: sender, subcode: "e:EncodingLimit", reason: reasonEncoding}
		}
		return nil
	},
	{nsWSMan, "Locale"}:      ignore,
	{nsWSMan, "SelectorSet"}: (*envelope).selectorSet,
	{nsWSMan, "OptionSet"}: func(_ *envelope, e *element) *fault {
		if mustUnderstand(e) {
			return &fault{code: sender, subcode: "e:InvalidOptions", reason: reasonOptions}
		}
		return nil
	},
	{nsWSMan, "FragmentTransfer"}: func(*envelope, *element) *fault { return faultUnsupported("fragment transfer") },
}

func ignore(*envelope, *element) *fault { return nil }

func (env *envelope) parseHeader(header *element) *fault {
	seen := make(map[[2]string]bool, len(header.kids))
	var first *fault
	for _, e := range header.kids {
		id := [2]string{e.space, e.name}
		parse, known := headerParsers[id]
		var f *fault
		switch {
		case seen[id]:
			f = faultHeader(e.name)
		case known:
			f = parse(env, e)
		case mustUnderstand(e):
			f = &fault{code: "a:MustUnderstand", reason: reasonUnderstand, status500: true}
		}
		seen[id] = true
		if first == nil {
			first = f // read on: a later MessageID belongs into the answer
		}
	}
	if first != nil || env.identify {
		return first
	}
	for _, need := range [][2]string{
		{nsAddressing, "Action"}, {nsAddressing, "To"}, {nsAddressing, "MessageID"}, {nsAddressing, "ReplyTo"},
	} {
		if !seen[need] {
			return &fault{code: sender, subcode: "b:MessageInformationHeaderRequired", reason: reasonRequired, why: "no " + need[1]}
		}
	}
	if !seen[[2]string{nsWSMan, "ResourceURI"}] {
		return faultUnreachable("no ResourceURI")
	}
	return nil
}

func mustUnderstand(e *element) bool {
	for _, a := range e.attrs {
		if a.space == nsSOAP && a.name == "mustUnderstand" {
			return a.value == "true" || a.value == "1"
		}
	}
	return false
}

// text reads a header block that holds a word.
func text(e *element, into *string) *fault {
	*into = strings.TrimSpace(e.text)
	if *into == "" || len(e.kids) > 0 {
		return faultHeader(e.name)
	}
	return nil
}

func (env *envelope) replyTo(e *element) *fault {
	a := e.kid(nsAddressing, "Address")
	if a == nil || strings.TrimSpace(a.text) != anonymous {
		return faultHeader("ReplyTo")
	}
	return nil
}

func (env *envelope) selectorSet(e *element) *fault {
	list, ok := parseSelectors(e)
	if !ok {
		return faultSelectors("a SelectorSet that cannot be read")
	}
	env.selectors = list
	return nil
}

// parseSelectors reads the children of a SelectorSet: at least one.
func parseSelectors(set *element) ([]selector, bool) {
	var list []selector
	for _, e := range set.kids {
		name, named := e.attr("Name")
		if e.space != nsWSMan || e.name != "Selector" || !named || name == "" {
			return nil, false
		}
		s := selector{name: name, value: e.text}
		for _, other := range list {
			if other.name == name {
				return nil, false
			}
		}
		if len(e.kids) > 0 {
			if len(e.kids) != 1 || e.kids[0].space != nsAddressing || e.kids[0].name != "EndpointReference" {
				return nil, false
			}
			if s.ref = parseReference(e.kids[0]); s.ref == nil {
				return nil, false
			}
		}
		list = append(list, s)
	}
	return list, len(list) > 0
}

// parseReference reads the inside of an endpoint reference: Address, then
// ReferenceParameters with ResourceURI and SelectorSet. It is nil for another.
func parseReference(e *element) *reference {
	if len(e.kids) != 2 || e.kids[0].space != nsAddressing || e.kids[0].name != "Address" ||
		e.kids[1].space != nsAddressing || e.kids[1].name != "ReferenceParameters" {
		return nil
	}
	if a := strings.TrimSpace(e.kids[0].text); a != anonymous && !strings.HasSuffix(a, "/wsman") {
		return nil
	}
	params := e.kids[1].kids
	if len(params) != 2 || params[0].space != nsWSMan || params[0].name != "ResourceURI" ||
		params[1].space != nsWSMan || params[1].name != "SelectorSet" {
		return nil
	}
	list, ok := parseSelectors(params[1])
	if !ok {
		return nil
	}
	return &reference{resource: strings.TrimSpace(params[0].text), selectors: list}
}

// id is the reference's only selector if it points to an object of the class with
// this URI by a key of this name.
func (r *reference) id(uri, key string) (string, bool) {
	if r == nil || r.resource != uri || len(r.selectors) != 1 || r.selectors[0].name != key || r.selectors[0].ref != nil {
		return "", false
	}
	return r.selectors[0].value, true
}

// isDuration reports whether s is an xs:duration of days and times that is not
// negative, such as PT60S or PT60.000S.
func isDuration(s string) bool {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return false
	}
	units := "DT"
	for rest != "" {
		if rest[0] == 'T' && strings.Contains(units, "T") && len(rest) > 1 {
			rest, units = rest[1:], "HMS"
			continue
		}
		i := strings.IndexAny(rest, "DHMS")
		if i < 1 {
			return false
		}
		at := strings.IndexByte(units, rest[i])
		if at < 0 || !isNumber(rest[:i], rest[i] == 'S') {
			return false
		}
		units, rest = units[at+1:], rest[i+1:]
	}
	return true
}

// isNumber reports whether s is digits, with a fraction if allowed.
func isNumber(s string, fraction bool) bool {
	whole, part, dotted := strings.Cut(s, ".")
	if dotted && (!fraction || !isDigits(part)) {
		return false
	}
	return isDigits(whole)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
