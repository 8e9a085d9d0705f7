package amtsim

// fault is an answer that refuses a request.
type fault struct {
	code    string // with prefix: a:Sender, a:Receiver, a:MustUnderstand
	subcode string // with the prefixes of faultOpen; may be empty
	reason  string
	detail  string // a:Text in a:Detail, as "AMT-STATUS 36"; empty leaves Detail empty
	status  Status // what detail says, for the log of calls
	why     string // for events and tests; never sent, and never a value
	// status500 answers HTTP 500 for a code that is not a:Receiver.
	status500 bool
}

const (
	sender   = "a:Sender"
	receiver = "a:Receiver"
)

// Reasons in the words of their specifications: DSP0226 chapter 14, WS-Addressing
// section 4, WS-Enumeration and WS-Transfer. Which of them firmware uses beyond
// AlreadyExists, DestinationUnreachable and InternalError is unverified.
const (
	reasonAlreadyExists  = "The sender attempted to create a resource which already exists."
	reasonUnreachable    = "No route can be determined to reach the destination role defined by the WSAddressing To."
	reasonInternal       = "The service cannot comply with the request due to internal processing errors."
	reasonAccess         = "The sender was not authorized to access the resource."
	reasonSelectors      = "The Selectors for the resource were not valid."
	reasonSchema         = "The supplied SOAP violates the corresponding XML Schema definition."
	reasonParameter      = "An operation parameter was not valid."
	reasonRepresentation = "The XML content was not valid."
	reasonAction         = "The action is not supported by the service."
	reasonUnsupported    = "The specified feature is not supported."
	reasonHeader         = "A message information header is not valid and the message cannot be processed."
	reasonRequired       = "A required message information header, To, MessageID, or Action, is not present."
	reasonContext        = "The supplied enumeration context is invalid."
	reasonFilter         = "Filtered enumeration is not supported."
	reasonOptions        = "One or more options were not valid."
	reasonEncoding       = "An internal encoding limit was exceeded in a request or would be violated if the message were processed."
	reasonVersion        = "The message is not of a SOAP version that is supported."
	reasonUnderstand     = "A header that must be understood is not."
)

func faultSchema(why string) *fault {
	return &fault{code: sender, subcode: "e:SchemaValidationError", reason: reasonSchema, why: why}
}

func faultHeader(name string) *fault {
	return &fault{code: sender, subcode: "b:InvalidMessageInformationHeader", reason: reasonHeader, why: "header " + name}
}

// faultParameter refuses a value of a method's input, faultRepresentation one of
// a Put or Create.
func faultParameter(why string) *fault {
	return &fault{code: sender, subcode: "e:InvalidParameter", reason: reasonParameter, why: why}
}

func faultRepresentation(why string) *fault {
	return &fault{code: sender, subcode: "d:InvalidRepresentation", reason: reasonRepresentation, why: why}
}

func faultExists() *fault {
	return &fault{code: sender, subcode: "e:AlreadyExists", reason: reasonAlreadyExists}
}

func faultUnreachable(why string) *fault {
	return &fault{code: sender, subcode: "b:DestinationUnreachable", reason: reasonUnreachable, why: why}
}

func faultSelectors(why string) *fault {
	return &fault{code: sender, subcode: "e:InvalidSelectors", reason: reasonSelectors, why: why}
}

func faultUnsupported(why string) *fault {
	return &fault{code: sender, subcode: "e:UnsupportedFeature", reason: reasonUnsupported, why: why}
}

func faultAction() *fault {
	return &fault{code: sender, subcode: "b:ActionNotSupported", reason: reasonAction}
}

func faultAccess() *fault {
	return &fault{code: sender, subcode: "e:AccessDenied", reason: reasonAccess}
}

func faultContext() *fault {
	return &fault{code: receiver, subcode: "c:InvalidEnumerationContext", reason: reasonContext, why: "unknown enumeration context"}
}

// faultStatus is how an operation that is no method fails with a PT_STATUS.
func faultStatus(s Status) *fault {
	return &fault{
		code: receiver, subcode: "e:InternalError", reason: reasonInternal, status: s,
		detail: "AMT-STATUS " + uintText(uint64(s)),
	}
}

// http is the status line's code: 400 for what the sender did, else 500.
func (f *fault) http() int {
	if f.code == sender && !f.status500 {
		return 400
	}
	return 500
}

// action is the WS-Addressing fault action that goes with the subcode's prefix.
func (f *fault) action() string {
	if len(f.subcode) > 2 && f.subcode[0] == 'b' {
		return nsAddressing + "/fault"
	}
	switch {
	case f.subcode == "":
		return nsAddressing + "/fault"
	case f.subcode[0] == 'c':
		return nsEnumeration + "/fault"
	case f.subcode[0] == 'd':
		return nsTransfer + "/fault"
	}
	return "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
}
