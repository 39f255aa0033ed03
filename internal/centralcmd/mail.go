package centralcmd

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/notify"
	"licet/internal/registry"
)

// mailEvery is how often the server looks for messages to send.
const mailEvery = 5 * time.Second

func mailFlags(cmd *cobra.Command) {
	cmd.Flags().String("smtp", "", "mail server, as `smtp://user:password@host:587` or smtps://; without one nobody is told by e-mail")
	cmd.Flags().String("mail-from", "", "sender `ADDRESS` of e-mail")
	cmd.Flags().String("mail-staff", "", "`ADDRESS` that is told of lost licenses that wait for a decision")
}

// mailUntil sends e-mail until ctx ends, if a mail server is configured; the
// function it returns waits for that.
func mailUntil(ctx context.Context, cmd *cobra.Command, reg *registry.Registry, log *slog.Logger) (stopped func(), err error) {
	server, _ := cmd.Flags().GetString("smtp")
	from, _ := cmd.Flags().GetString("mail-from")
	staff, _ := cmd.Flags().GetString("mail-staff")
	switch {
	case server == "" && from == "" && staff == "":
		return func() {}, nil
	case server == "" || from == "":
		return nil, cli.Usage("--smtp and --mail-from belong together.")
	}
	n, err := notify.New(notify.Config{Server: server, From: from, Staff: staff, Vendor: reg.WellKnown().Vendor, Address: reg.Address()}, reg, log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx, mailEvery) })
	return func() { cancel(); running.Wait() }, nil
}
