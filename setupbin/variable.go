package setupbin

// Kind is the form of a variable's value.
type Kind uint8

// The kinds.
const (
	Text  Kind = 1 // ASCII
	Byte  Kind = 2 // 1 byte
	Word  Kind = 3 // 2 bytes
	Dword Kind = 4 // 4 bytes
	GUID  Kind = 5 // 16 bytes
	Bytes Kind = 6 // a structure
)

// Variable is one row of the table of variables.
type Variable struct {
	Module, Variable uint16
	Name             string
	Kind             Kind
	MinLen, MaxLen   int
	Since            Version // the first version that has it
	Secret           bool    // the value is a password or a key
	Unverified       bool    // Since, or the layout, rests on a weak source
}
