package batch_test

import (
	"fmt"
	"strings"

	"github.com/amtscs/amtscs/keystore/batch"
)

// A supplier's list with a typing error in its second row.
func ExampleRead() {
	list := `pid,pps,current_password,new_password
0000-037M,NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ,admin,P@ssw0rd
ABCD-EFG9,AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-AAAF-0000,admin,P@ssw0rd
`
	err := batch.Read("oem.csv", strings.NewReader(list), func(r batch.Row) error {
		fmt.Println(r.Line, r.Pair)
		return nil
	})
	fmt.Println(err)
	// Output:
	// 2 0000-037M
	// bad rows: 1, and 1 good ones
	// oem.csv:3: pid: the check character does not match: is there a typing error? compare the PID with the supplier's list, and check that this column holds the PID
}
