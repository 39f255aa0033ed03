package sdk_test

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"licet/sdk"
)

// The vendor's trust file, as licet-central init writes it.
//
//go:embed testdata/vendor.trust
var trust []byte

// A program that asks whether it may run, and decides by itself what follows.
func Example() {
	session, err := sdk.Open(context.Background(), sdk.Product{
		Trust:    trust,
		Code:     "CAD-PRO",
		Features: []string{"render"}, // without it the program is of no use
		Version:  "4.2.1",
	}, sdk.WithHome(machineWithoutLicense()))
	if err != nil {
		fmt.Println(err) // a fault of the program
		return
	}
	defer session.Close()

	if v := session.Verdict(); !v.Valid {
		fmt.Println(v.Code)
		for _, line := range v.Sentences() {
			fmt.Println(line)
		}
		fmt.Println(v.Hint)
	}
	fmt.Println("export:", session.Feature("export"))

	// Output:
	// no_license
	// No license for CAD-PRO is on this machine.
	// Activate a ticket: licet activate TICKET.
	// export: false
}

func machineWithoutLicense() string { return os.DevNull + "-licet" }
