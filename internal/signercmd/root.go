// Package signercmd is the command tree of licet-signer.
package signercmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/signer"
	"licet/internal/signerlink"
	"licet/internal/web"
	"licet/refusal"
)

// Env is what the commands take from their surroundings.
type Env struct {
	cli.Streams
	Now     func() time.Time
	Random  io.Reader
	Serving func(socket string) // told once serve listens; may be nil
}

// System is the surroundings of a shipped program.
func System() Env { return Env{Streams: cli.System(), Now: time.Now, Random: rand.Reader} }

// Main runs the program and returns its exit status.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, System(), os.Args[1:])
}

// Run runs the command that args ask for and returns the exit status.
func Run(ctx context.Context, env Env, args []string) int {
	return cli.Main(ctx, Root(env), args, env.Streams)
}

// The files of a signer's folder.
const (
	fileConfig = "signer.json"
	fileSocket = "signer.sock"
	fileLock   = "lock"
)

// config is signer.json: where the keys are.
type config struct {
	Module string `json:"pkcs11_module,omitempty"` // library of the token; empty for a file
	Token  string `json:"token,omitempty"`         // its label
}

// Root is the command tree.
func Root(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "licet-signer",
		Short: "Keeps the keys that sign licenses, and signs for licet-central",
		Long: "Keeps the keys that sign licenses, and signs for licet-central.\n\n" +
			"It is a process, and best a user, of its own. Keys are in a PKCS#11 token, such as an HSM, or in a file under a passphrase. It signs only what such a key signs, counts, keeps a log, and can be stopped.",
		Example: `  licet-signer init --data /var/lib/licet-signer --pkcs11 /usr/lib/softhsm/libsofthsm2.so --token licet
  licet-signer serve --data /var/lib/licet-signer --pin-file /etc/licet-signer.pin
  licet-central init --data ./central --vendor "Example Software" --signer unix:/var/lib/licet-signer/signer.sock`,
	}
	cmd.PersistentFlags().String("data", "", "folder of the signer")
	cmd.AddCommand(initCommand(env), serveCommand(env), statusCommand(env), logCommand(env),
		turnCommand("stop", "Stop signing at once", "The signer is stopped.", signerlink.PathStop),
		turnCommand("resume", "Let it sign again", "The signer signs again.", signerlink.PathResume),
		cli.VersionCommand("licet-signer"))
	return cmd
}

func folder(cmd *cobra.Command) (string, error) {
	dir, _ := cmd.Flags().GetString("data")
	if dir == "" {
		return "", cli.Usage("%s needs --data, the folder of the signer.", cmd.CommandPath())
	}
	return dir, nil
}

func initCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --data DIR [--pkcs11 MODULE --token LABEL]",
		Short: "Set a signer up",
		Long: "Set a signer up. Nothing secret is asked: keys are made when licet-central asks for one.\n\n" +
			"With --pkcs11 keys are made in the token with that label, and cannot be read out of it. Without, they are in a file of the folder, encrypted under the passphrase that serve is given.",
		Example: `  licet-signer init --data /var/lib/licet-signer --pkcs11 /usr/lib/softhsm/libsofthsm2.so --token licet
  licet-signer init --data /var/lib/licet-signer`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := folder(cmd)
			if err != nil {
				return err
			}
			var c config
			c.Module, _ = cmd.Flags().GetString("pkcs11")
			c.Token, _ = cmd.Flags().GetString("token")
			if (c.Module == "") != (c.Token == "") {
				return cli.Usage("--pkcs11 and --token belong together.")
			}
			var disk durable.Disk
			if err := disk.MkdirAll(path, durable.PrivateDir); err != nil {
				return err
			}
			dir, err := os.OpenRoot(path)
			if err != nil {
				return err
			}
			defer dir.Close()
			text, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				return err
			}
			err = disk.CreateFile(dir, fileConfig, append(text, '\n'), durable.PrivateFile)
			if errors.Is(err, fs.ErrExist) {
				return refusal.New(refusal.AlreadyInitialized, "%s is a signer's folder already. Nothing was touched.", path)
			}
			if err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"data": path, "config": c}, func(p *cli.Page) {
				p.Line("A signer is set up in %s.", path)
				p.Next("licet-signer serve --data "+path+" --pin-file FILE  starts it; FILE holds the token's PIN, or the passphrase of the keys' file",
					"licet-central init --signer "+signerlink.Scheme+filepath.Join(path, fileSocket)+"  or, of a vendor that there is, keys rotate --signer with the same address")
			})
		},
	}
	cmd.Flags().String("pkcs11", "", "PKCS#11 module of the token: a library `FILE`")
	cmd.Flags().String("token", "", "label of the token")
	return cmd
}

// maxSecret bounds a PIN or passphrase with its file's white space, in bytes.
const maxSecret = 4096

// secretOf reads a PIN or a passphrase: the first line of a file that only its owner
// may read.
func secretOf(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, refusal.New(refusal.InvalidInput, "%s may be read by others than its owner.", path).Hinted("chmod 600 %s", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return nil, refusal.New(refusal.InvalidInput, "%s is empty.", path)
	}
	return line, nil
}

// lock makes sure that one signer works in a folder.
func lock(path string) (*flock.Flock, error) {
	l := flock.New(filepath.Join(path, fileLock))
	switch got, err := l.TryLock(); {
	case err != nil:
		return nil, err
	case !got:
		return nil, refusal.New(refusal.Conflict, "A signer runs in %s.", path).Hinted("Ask it with licet-signer status, or stop the process first.")
	}
	return l, nil
}

func readConfig(path string) (c config, err error) {
	text, err := os.ReadFile(filepath.Join(path, fileConfig))
	if errors.Is(err, fs.ErrNotExist) {
		return c, refusal.New(refusal.NotFound, "%s is no signer's folder: there is no %s in it.", path, fileConfig).Hinted("licet-signer init --data %s makes one.", path)
	}
	if err != nil {
		return c, err
	}
	if json.Unmarshal(text, &c) != nil {
		return c, refusal.New(refusal.DamagedFile, "%s is damaged.", filepath.Join(path, fileConfig))
	}
	return c, nil
}

func serveCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --data DIR --pin-file FILE",
		Short: "Run the signer",
		Long: "Run the signer. It listens on a Unix socket in its folder, to which whoever may enter the folder may speak: give licet-central's user and nobody else the right.\n\n" +
			"The file holds the PIN of the token, or the passphrase of the keys' file.",
		Example: `  licet-signer serve --data /var/lib/licet-signer --pin-file /etc/licet-signer.pin`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return serve(cmd, env) },
	}
	cmd.Flags().String("pin-file", "", "`FILE` with the token's PIN or the passphrase, readable by its owner alone")
	cmd.Flags().String("socket", "", "Unix socket to listen on (default: signer.sock in the folder)")
	cmd.Flags().Int64("per-hour", signer.PerHour, "signatures in an hour at most; more stop the signer, because nobody sells that many")
	_ = cmd.MarkFlagRequired("pin-file") // the flag is there
	return cmd
}

func serve(cmd *cobra.Command, env Env) error {
	path, err := folder(cmd)
	if err != nil {
		return err
	}
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	perHour, _ := cmd.Flags().GetInt64("per-hour")
	if perHour <= 0 {
		return cli.Usage("--per-hour is a number above 0.")
	}
	held, err := lock(path)
	if err != nil {
		return err
	}
	defer held.Unlock() //nolint:errcheck // it goes with the process
	pinFile, _ := cmd.Flags().GetString("pin-file")
	secret, err := secretOf(pinFile)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	var keeper signer.Keeper
	if c.Module != "" {
		keeper, err = signer.OpenToken(c.Module, c.Token, string(secret), env.Random)
	} else {
		keeper, err = signer.OpenFile(dir, env.Random, secret)
	}
	if err != nil {
		return err
	}
	s, err := signer.Open(signer.Config{Dir: dir, Keeper: keeper, Now: env.Now, Random: env.Random, PerHour: perHour})
	if err != nil {
		return errors.Join(err, keeper.Close())
	}
	defer s.Close()
	socket, _ := cmd.Flags().GetString("socket")
	if socket == "" {
		socket = filepath.Join(path, fileSocket)
	}
	// One that a killed signer left; the lock says that nobody listens there.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o660); err != nil { // its folder decides who gets there
		return errors.Join(err, listener.Close())
	}
	status := s.Status()
	err = cli.Print(cmd, map[string]any{"socket": socket, "status": status}, func(p *cli.Page) {
		p.Line("Signing at %s%s, with %d keys.", signerlink.Scheme, socket, len(status.Keys))
		if status.Stopped != nil {
			p.Line("IT IS STOPPED since %s: %s", status.Stopped.Since, status.Stopped.Reason)
		}
	})
	if err != nil {
		return err
	}
	if env.Serving != nil {
		env.Serving(socket)
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	return web.Serve(cmd.Context(), listener, s.Handler(), log)
}

func linkTo(cmd *cobra.Command) (*signerlink.Link, error) {
	socket, _ := cmd.Flags().GetString("socket")
	if socket == "" {
		path, err := folder(cmd)
		if err != nil {
			return nil, err
		}
		socket = filepath.Join(path, fileSocket)
	}
	return signerlink.To(signerlink.Scheme + socket)
}

func statusCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status --data DIR", Short: "Show the keys, how often each signed, and whether the signer is stopped",
		Example: "  licet-signer status --data /var/lib/licet-signer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			link, err := linkTo(cmd)
			if err != nil {
				return err
			}
			var s signer.Status
			if err := link.Call(cmd.Context(), http.MethodGet, signerlink.PathStatus, nil, &s); err != nil {
				return err
			}
			return cli.Print(cmd, s, func(p *cli.Page) { showStatus(p, s) })
		},
	}
	cmd.Flags().String("socket", "", "the signer's Unix socket (default: signer.sock in the folder)")
	return cmd
}

func showStatus(p *cli.Page, s signer.Status) {
	if s.Stopped != nil {
		p.Line("IT IS STOPPED since %s: %s", s.Stopped.Since, s.Stopped.Reason)
		if s.Stopped.Alarm {
			p.Line("It stopped by itself, because of what it was asked. Find out who asked before it is resumed.")
		}
		p.Blank()
	}
	var rows [][]string
	for _, k := range s.Keys {
		vendor := "nobody yet"
		if k.Vendor != "" {
			vendor = string(k.Vendor) + ", " + k.Environment
		}
		rows = append(rows, []string{k.ID, vendor, strconv.FormatInt(k.Signatures, 10), strconv.FormatInt(k.Steps, 10)})
	}
	p.Table("There are no keys yet; licet-central asks for the first.", []string{"key", "signs for", "signatures", "of them steps"}, rows)
	p.Field("in the last hour", "%d of %d signatures", s.Lately, s.PerHour)
}

func turnCommand(name, short, done, path string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " --data DIR --reason TEXT", Short: short,
		Example: "  licet-signer " + name + " --data /var/lib/licet-signer --reason 'see ticket 4711'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			link, err := linkTo(cmd)
			if err != nil {
				return err
			}
			reason, _ := cmd.Flags().GetString("reason")
			var s signer.Status
			err = link.Call(cmd.Context(), http.MethodPost, path, signerlink.Reason{Reason: reason}, &s)
			if no, ok := refusal.As(err); ok && no.Code == refusal.AlreadyApplied {
				done := no.Message
				return cli.Print(cmd, map[string]any{"message": done}, func(p *cli.Page) { p.Line("%s", done) })
			}
			if err != nil {
				return err
			}
			return cli.Print(cmd, s, func(p *cli.Page) { p.Line("%s", done) })
		},
	}
	cmd.Flags().String("reason", "", "why; the log keeps it")
	cmd.Flags().String("socket", "", "the signer's Unix socket (default: signer.sock in the folder)")
	_ = cmd.MarkFlagRequired("reason") // the flag is there
	return cmd
}

func logCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "log --data DIR", Short: "Show the log of what was asked and signed, while the signer does not run",
		Example: "  licet-signer log --data /var/lib/licet-signer --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := folder(cmd)
			if err != nil {
				return err
			}
			if _, err := readConfig(path); err != nil {
				return err
			}
			held, err := lock(path)
			if err != nil {
				return err
			}
			defer held.Unlock() //nolint:errcheck // it goes with the process
			dir, err := os.OpenRoot(path)
			if err != nil {
				return err
			}
			defer dir.Close()
			list := []signer.Entry{}
			if err := signer.Entries(dir, func(e signer.Entry) error { list = append(list, e); return nil }); err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"items": list}, func(p *cli.Page) {
				var rows [][]string
				for _, e := range list {
					what := e.Purpose
					if e.Number != 0 {
						what += " " + strconv.FormatUint(e.Number, 10) + " of " + string(e.Container)
					}
					rows = append(rows, []string{e.Time.String(), e.What, what, e.Key, e.Reason})
				}
				p.Table("Nothing was asked yet.", []string{"time", "", "what", "key", "why"}, rows)
			})
		},
	}
}
