// Package centralcmd is the command tree of licet-central. Whatever comes from
// the surroundings is in Env, so that tests and the demo run it in their own
// process.
package centralcmd

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
)

// Env is what the commands take from their surroundings.
type Env struct {
	cli.Streams
	Now     func() time.Time
	Random  func([]byte)     // fills with random bytes
	HTTP    *http.Client     // calls central; nil for one of its own
	Serving func(url string) // told once serve listens; may be nil
}

// System is the surroundings of a shipped program.
func System() Env {
	return Env{
		Streams: cli.System(),
		Now:     time.Now,
		Random:  func(b []byte) { _, _ = rand.Read(b) }, // never fails: it ends the program instead
	}
}

// Main runs the program and returns its exit status. The first interrupt stops
// it gracefully, the second at once.
//
// More are commands made elsewhere, out of those here.
func Main(more ...func(Env) *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, System(), os.Args[1:], more...)
}

// Run runs the command that args ask for and returns the exit status.
func Run(ctx context.Context, env Env, args []string, more ...func(Env) *cobra.Command) int {
	root := Root(env)
	for _, command := range more {
		root.AddCommand(command(env))
	}
	return cli.Main(ctx, root, args, env.Streams)
}

// Root is the command tree.
func Root(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "licet-central",
		Short: "The vendor's license server and its command line",
		Example: `  licet-central init --data ./central --vendor "Example Software"
  licet-central serve --data ./central`,
	}
	root.PersistentFlags().String("data", "", "folder of the server: keys, and the database unless it is elsewhere")
	root.AddCommand(
		initCommand(env), serveCommand(env), keysCommand(env),
		applyCommand(env), productCommand(env),
		orderCommand(env), subscriptionCommand(env), importCommand(env), bulkCommand(env), ticketCommand(env), licenseCommand(env), containerCommand(env),
		pendingCommand(env), reportCommand(env), recoveryCommand(env), blockListCommand(env), settingsCommand(env),
		webhookCommand(env), auditCommand(env), verifyCommand(env), backupCommand(env), journalCommand(env), checkBackupCommand(env), restoreBackupCommand(env), gapCommand(env), doctorCommand(env), tokenCommand(env), staffCommand(env),
		cli.VersionCommand("licet-central"),
	)
	return root
}
