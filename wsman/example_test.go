package wsman_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/amtscs/amtscs/amt"
	"github.com/amtscs/amtscs/wsman"
)

// A device in set-up is reached over TLS-PSK; here Dial would return such a
// connection.
func Example() {
	c, err := wsman.New(wsman.Config{
		Address:  "192.0.2.1:16993",
		Dial:     func(context.Context) (net.Conn, error) { return nil, fmt.Errorf("no device in an example") },
		Password: amt.NewSecretString("Passw0rd!"),
		Timeout:  time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	s, err := c.SetupService(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.State)
	// Output: AMT_SetupAndConfigurationService.Get: no answer from the device: connecting: no device in an example
}

// A status tells what to do about it.
func ExampleClass() {
	for _, s := range []wsman.PTStatus{2082, 2058, 38, 2057} {
		fmt.Println(s, wsman.Class(s))
	}
	// Output:
	// OPERATION_IN_PROGRESS (2082) Retry
	// DUPLICATE (2058) AlreadyDone
	// FLASH_WRITE_LIMIT_EXCEEDED (38) Operator
	// DATA_MISSING (2057) Bug
}
