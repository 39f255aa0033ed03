// Licet keeps the licenses of a machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"licet/internal/licetcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := licetcmd.Main(ctx, licetcmd.Env{}, os.Args[1:])
	stop()
	os.Exit(status)
}
