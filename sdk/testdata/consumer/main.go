// Consumer is the least that a licensed program is. A test looks at what is
// compiled into it, and how long its check takes.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"licet/sdk"
)

func main() {
	start := time.Now()
	trust, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	session, err := sdk.Open(context.Background(), sdk.Product{Trust: trust, Code: os.Args[2]})
	if err != nil {
		panic(err)
	}
	defer session.Close()
	fmt.Println(session.Verdict().Code, time.Since(start).Microseconds())
}
