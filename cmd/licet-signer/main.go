// Command licet-signer keeps a vendor's issuing keys and signs for licet-central.
package main

import (
	"os"

	"licet/internal/signercmd"
)

func main() { os.Exit(signercmd.Main()) }
