package setupbin_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/setupbin"
)

// A file with one record for set-up by PID and PPS, written and read again.
func Example() {
	pid, err := amt.ParsePID("0000-037M")
	if err != nil {
		log.Fatal(err)
	}
	pps, err := amt.ParsePPS("NKLD-G5DC-RRNQ-E9YZ-ZIJL-7LFL-VJED-69XJ")
	if err != nil {
		log.Fatal(err)
	}
	setup := setupbin.SetupRecord{
		NewPassword: amt.NewSecretString("P@ssw0rd"),
		Pair:        amt.Pair{PID: pid, PPS: pps},
		FQDN:        "scs.corp.example",
	}
	record, err := setup.Record(setupbin.V2)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	w, err := setupbin.NewWriter(&file, setupbin.V2, 0, 1)
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Write(record); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	f, err := setupbin.Parse(file.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(&f.Header)
	for _, e := range f.Records[0].Entries {
		fmt.Println(e)
	}
	// Output:
	// setup.bin version 2: 1 records, 0 consumed
	// 1/1 Current MEBx password (5 bytes)
	// 1/2 New MEBx password (8 bytes)
	// 1/3 Manageability feature selection (1 bytes)
	// 2/1 PID (8 bytes)
	// 2/2 PPS (32 bytes)
	// 2/4 Configuration server FQDN (16 bytes)
}
