// Command licet-central is the vendor's server and its command line.
package main

import (
	"os"

	"licet/internal/centralcmd"
	"licet/internal/demo"
)

func main() { os.Exit(centralcmd.Main(demo.Command)) }
