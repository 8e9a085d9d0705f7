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

// A supplier's own layout, and what is wrong with a row, to be mended.
func ExampleReadTable() {
	list := `Tag;Prov ID;Passphrase
JX1;0000-037M;NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ
JX2;ABCD-EFG8;AAAF-0000-ZZZI-1A2K-9Z9O-ABCI-AAAF-0001
`
	columns, _ := batch.ParseColumns("pid=Prov ID,pps=Passphrase")
	opts := batch.Options{
		Layout: batch.Layout{Columns: columns},
		Bad:    func(e *batch.RowError) { fmt.Println(e) },
	}
	_ = batch.ReadTable("dell.csv", strings.NewReader(list), opts, func(r batch.Row) error {
		fmt.Println(r.Line, r.Pair)
		return nil
	})
	// Output:
	// 2 0000-037M
	// dell.csv:3: pps: PPS: group 8: the check character does not match: is there a typing error? compare this group with the supplier's list
}

// The list that ConfigMgr had for out-of-band management.
func ExampleReadDevices() {
	list := "pc1,pc1.example.com,d2ffc23e-9dd1-412d-860a-54b2039b72ff,00:11:22:33:44:55,F@ctory-1\n"
	_ = batch.ReadDevices("pcs.csv", strings.NewReader(list), batch.UnsaidText, batch.Options{}, func(d batch.Device) error {
		fmt.Println(d.UUID, d.FQDN, d.MEBxPassword)
		return nil
	})
	// Output: d2ffc23e-9dd1-412d-860a-54b2039b72ff pc1.example.com (secret)
}
