// Package demo shows the main job from start to end on one machine: an order
// becomes a license that a program runs on, comes back by file, and moves to a
// second machine; that one is lost, the license restored, and in the end
// withdrawn. Every step runs the real commands of both programs and checks
// that they did what the demo says.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/centralcmd"
	"licet/internal/cli"
	"licet/internal/licetcmd"
	"licet/internal/machine"
	"licet/refusal"
	"licet/wire"
)

const catalog = `products:
  - code: CAD-PRO
    name: CAD Professional
    model: perpetual_single
    features: [render, export]
    restore:
      license: {mode: automatic, automatic: 1, per: 365d}
`

// Command is licet-central demo.
func Command(env centralcmd.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job from start to end on this machine",
		Long: "Take an order, activate its license, ask whether a program may run, return the license\n" +
			"by file and activate it on a second machine; lose that machine, restore the license, and\n" +
			"withdraw it. Each step is printed with the command that does it, and checked; the exit\n" +
			"status is 1 if one does not do what it says.",
		Example: "  licet-central demo\n  licet-central demo --keep",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, _ := cmd.Flags().GetBool("keep")
			dir, _ := cmd.Flags().GetString("data")
			return run(cmd, env, dir, keep)
		},
	}
	cmd.Flags().Bool("keep", false, "keep the files and go on serving until interrupted")
	return cmd
}

// stage is a running demo.
type stage struct {
	ctx   context.Context
	env   centralcmd.Env
	out   io.Writer
	quiet bool // with --json: only the result is printed

	dir    string
	url    string
	number int
	steps  []Step
	last   string // what the last command printed
}

// Step is one step of the demo as --json tells it.
type Step struct {
	Title    string   `json:"title"`
	Commands []string `json:"commands"`
}

func run(cmd *cobra.Command, env centralcmd.Env, dir string, keep bool) error {
	began := time.Now()
	made := dir == ""
	if made {
		var err error
		if dir, err = os.MkdirTemp("", "licet-demo-"); err != nil {
			return err
		}
	} else {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return refusal.New(refusal.AlreadyInitialized, "The folder %s is not empty; it was not touched.", dir)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return refusal.New(refusal.InvalidInput, "The folder %s cannot be made: %v.", dir, err).Hinted("Name a folder that can be made, or none.")
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if made && !keep {
		defer os.RemoveAll(dir)
	}
	s := &stage{ctx: cmd.Context(), env: env, out: cmd.OutOrStdout(), quiet: cli.JSON(cmd), dir: dir}
	stop, err := s.play()
	defer stop()
	if err != nil {
		return err
	}
	took := time.Since(began)
	if s.quiet {
		err = cli.Print(cmd, map[string]any{"steps": s.steps, "folder": dir, "kept": keep || !made, "seconds": took.Seconds()}, nil)
	} else {
		s.say("\nAll %d steps did what they say, in %.1f seconds.\n", s.number, took.Seconds())
	}
	if err != nil || !keep {
		return err
	}
	if !s.quiet {
		s.say("Serving at %s from %s until you press Ctrl-C. Try:\n\n   export LICET_URL=%s LICET_DATA=%s\n   licet-central order list\n", s.url, dir, s.url, filepath.Join(dir, "central"))
	}
	<-cmd.Context().Done()
	return nil
}

// play runs the whole demo. The function it returns stops the server.
func (s *stage) play() (stop func(), err error) {
	stop = func() {}
	s.say("One license: from the order to a program, back, on to a second machine, lost, restored, withdrawn.\n")
	s.say("Two folders play two machines here; nothing leaves this computer.\n")

	s.step("The vendor sets up a server.")
	address, err := freeAddress()
	if err != nil {
		return stop, err
	}
	if err := s.central(0, "init", "--data", s.path("central"), "--vendor", "Example Software", "--address", "http://"+address); err != nil {
		return stop, err
	}
	if stop, err = s.serve(address); err != nil {
		return stop, err
	}

	s.step("The vendor describes a product.")
	if err := os.WriteFile(s.path("catalog.yaml"), []byte(catalog), 0o600); err != nil {
		return stop, err
	}
	s.command("cat catalog.yaml")
	s.output(catalog)
	if err := s.central(0, "apply", "-f", s.path("catalog.yaml")); err != nil {
		return stop, err
	}

	s.step("A customer buys it: the order yields a ticket.")
	if err := s.central(0, "order", "create", "--customer", "Ada Lovelace", "--number", "1001", "--item", "CAD-PRO"); err != nil {
		return stop, err
	}
	var order wire.Order
	if err := s.ask(&order, "order", "show", "1001"); err != nil {
		return stop, err
	}
	if order.Ticket == "" || len(order.Licenses) != 1 {
		return stop, s.failed("the order has no ticket or license:\n%s", s.last)
	}
	ticket, license := string(order.Ticket), string(order.Licenses[0].ID)

	return stop, s.machines(ticket, license)
}

// machines is the users' part.
func (s *stage) machines(ticket, license string) error {
	return s.inOrder(
		func() error {
			s.step("Ada's machine trusts the vendor and activates the ticket, online.")
			return s.licet(0, "laptop", "trust", "add", s.path("central/vendor.trust"))
		},
		func() error { return s.licet(0, "laptop", "activate", ticket) },
		func() error {
			s.step("A program asks: may I run? The answer needs no server.")
			return s.licet(0, "laptop", "check", "CAD-PRO", "--feature", "render")
		},
		func() error {
			s.step("The same ticket on a second machine is refused, and the answer says where the license is.")
			return s.licet(0, "desktop", "trust", "add", s.path("central/vendor.trust"))
		},
		func() error {
			if err := s.licet(1, "desktop", "activate", ticket); err != nil {
				return err
			}
			return s.expect("is activated in container")
		},
		func() error {
			s.step("Back by file: the laptop has no network, so three files are carried by hand. First the request,")
			return s.licet(0, "laptop", "request", "-o", s.path("return.licet-request"), "--deactivate", license)
		},
		func() error { return s.carry("return.licet-request", wire.PathProgram, "return.licet-update") },
		func() error {
			s.step("then the update, which takes the license out,")
			return s.licet(0, "laptop", "import", s.path("return.licet-update"))
		},
		func() error {
			if err := s.licet(1, "laptop", "check", "CAD-PRO"); err != nil {
				return err
			}
			return s.expect("No license")
		},
		func() error {
			s.step("and the receipt, which proves it. Only now is the license free again.")
			return s.licet(0, "laptop", "receipt", "-o", s.path("return.licet-receipt"))
		},
		func() error { return s.carry("return.licet-receipt", wire.PathReceipt, "") },
		func() error {
			s.step("Now the second machine gets it.")
			return s.licet(0, "desktop", "activate", ticket)
		},
		func() error { return s.licet(0, "desktop", "check", "CAD-PRO", "--feature", "render") },
		func() error { return s.lost(ticket) },
		func() error { return s.withdrawn(license) },
		func() error {
			s.step("The vendor sees the license's whole life, and the audit trail proves that nothing was changed.")
			return s.central(0, "license", "history", license)
		},
		func() error { return s.central(0, "audit", "verify") },
	)
}

// lost is the part in which the second machine is stolen.
func (s *stage) lost(ticket string) error {
	return s.inOrder(
		func() error {
			s.step("The desktop is stolen. The product's policy restores its license at once, on the laptop.")
			return s.licet(0, "laptop", "restore", ticket, "--reason", "desktop stolen")
		},
		func() error { return s.expect("the lost copy may no longer be used") },
		func() error { return s.licet(0, "laptop", "check", "CAD-PRO") },
		func() error {
			s.step("The desktop's old copy is on the vendor's block list,")
			return s.central(0, "blocklist", "list")
		},
		func() error { return s.expect("copy of a license (generation 1)") },
		func() error {
			s.step("and goes at the first contact that the desktop makes. It does not come back.")
			return s.licet(0, "desktop", "update")
		},
		func() error { return s.expect("Removed by the vendor") },
		func() error { return s.licet(1, "desktop", "check", "CAD-PRO") },
		func() error { return s.expect("No license") },
		func() error { return s.licet(1, "desktop", "activate", ticket) },
		func() error { return s.expect("is activated in container") },
	)
}

// withdrawn is the part in which the vendor takes the license back.
func (s *stage) withdrawn(license string) error {
	return s.inOrder(
		func() error {
			s.step("Ada wants her money back: the vendor withdraws the license. The laptop has it until its next contact,")
			return s.central(0, "license", "withdraw", license, "--reason", "refund")
		},
		func() error { return s.expect("goes at the next contact") },
		func() error { return s.licet(0, "laptop", "check", "CAD-PRO") },
		func() error {
			s.step("which nobody has to ask for: the agent makes it by itself, here a command does.")
			return s.licet(0, "laptop", "update")
		},
		func() error { return s.expect("Removed by the vendor") },
		func() error { return s.licet(1, "laptop", "check", "CAD-PRO") },
		func() error { return s.expect("No license") },
	)
}

// inOrder runs the parts up to the first that fails.
func (s *stage) inOrder(parts ...func() error) error {
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// failed is the error of a step that did not do what it says.
func (s *stage) failed(format string, args ...any) error {
	return refusal.New(refusal.Internal, "Step %d did not do what it says: %s", s.number, strings.TrimRight(s.short(fmt.Sprintf(format, args...)), "\n")).
		Hinted("Run the demo with --data DIR in an empty folder to keep its files, and look at them.")
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) say(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(s.out, format, args...)
	}
}

func (s *stage) step(title string) {
	s.number++
	s.steps = append(s.steps, Step{Title: title})
	s.say("\n%2d  %s\n", s.number, title)
}

func (s *stage) command(text string) {
	if n := len(s.steps) - 1; n >= 0 {
		s.steps[n].Commands = append(s.steps[n].Commands, text)
	}
	s.say("    $ %s\n", text)
}

func (s *stage) output(text string) {
	for line := range strings.Lines(strings.TrimRight(s.short(text), "\n")) {
		s.say("      %s", strings.TrimRight(line, "\n")+"\n")
	}
}

// short writes paths as somebody in the demo's folder would.
func (s *stage) short(text string) string {
	return strings.ReplaceAll(text, s.dir+string(filepath.Separator), "")
}

// central runs a command of the vendor and checks its exit status.
func (s *stage) central(want int, args ...string) error {
	env := s.env
	vars := map[string]string{"LICET_DATA": s.path("central"), "LICET_URL": s.url}
	return s.both(want, "licet-central", args, func(args []string, streams cli.Streams) int {
		streams.Getenv = func(name string) string { return vars[name] }
		env.Streams = streams
		return centralcmd.Run(s.ctx, env, args)
	})
}

// licet runs a command on one of the machines and checks its exit status.
func (s *stage) licet(want int, home string, args ...string) error {
	return s.both(want, "licet --home "+home, args, func(args []string, streams cli.Streams) int {
		streams.Getenv = func(string) string { return "" }
		env := licetcmd.Env{Now: s.env.Now, Random: s.env.Random, Streams: streams, Traits: func() []machine.Trait { return traits(home) }}
		return licetcmd.Main(s.ctx, env, append([]string{"--home", s.path(home)}, args...))
	})
}

// both runs a command, shows it as people see it, and checks its exit status.
func (s *stage) both(want int, name string, args []string, run func([]string, cli.Streams) int) error {
	s.command(s.short(name + " " + quoted(args)))
	var out, errs bytes.Buffer
	got := run(args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	s.last = out.String() + errs.String()
	s.output(s.last)
	if got != want {
		return s.failed("%s %s ended with status %d, not %d:\n%s", name, quoted(args), got, want, s.last)
	}
	return nil
}

// ask runs a command of the vendor for its JSON, without showing it.
func (s *stage) ask(answer any, args ...string) error {
	quiet, steps := s.quiet, len(s.steps)
	s.quiet = true
	err := s.central(0, append(args, "--json")...)
	s.quiet = quiet
	last := &s.steps[steps-1]
	last.Commands = last.Commands[:len(last.Commands)-1]
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(s.last), answer)
}

// expect checks that the last command said what the step promises.
func (s *stage) expect(sentence string) error {
	if !strings.Contains(s.last, sentence) {
		return s.failed("the answer does not say %q:\n%s", sentence, s.last)
	}
	return nil
}

// freeAddress finds a free port of this machine.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// serve starts the server in this process; stop ends it and waits.
func (s *stage) serve(address string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	env := s.env
	listening := make(chan string, 1)
	env.Serving = func(url string) { listening <- url }
	var errs bytes.Buffer
	env.Streams = cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs, Getenv: func(string) string { return "" }}
	ended := make(chan int, 1)
	args := []string{"serve", "--data", s.path("central"), "--listen", address}
	s.command(s.short("licet-central " + quoted(args) + " &"))
	go func() { ended <- centralcmd.Run(ctx, env, append(args, "--log-level", "error")) }()
	stop = func() { cancel(); <-ended }
	select {
	case s.url = <-listening:
		s.output("Serving Example Software at " + s.url)
		return stop, nil
	case status := <-ended:
		cancel()
		return func() {}, s.failed("the server ended with status %d:\n%s", status, errs.String())
	}
}

// carry takes a file to the server as a person with a browser or curl would,
// and brings the answer back, if a file is wanted.
func (s *stage) carry(file, path, answer string) error {
	text := "curl --data-binary @" + file + " " + s.url + path
	if answer != "" {
		text += " -o " + answer
	}
	s.command(text)
	body, err := os.ReadFile(s.path(file))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return s.failed("%s answered %s: %s", path, resp.Status, got)
	}
	if answer == "" {
		s.output(string(got))
		return nil
	}
	return os.WriteFile(s.path(answer), got, 0o600)
}

// traits imitates a machine: the demo plays two of them on one.
func traits(machineName string) []machine.Trait {
	return []machine.Trait{
		{Name: machine.MachineID, Value: "demo machine " + machineName, Weight: 3},
		{Name: machine.NetworkAddress, Value: "demo network of " + machineName, Weight: 2},
		{Name: machine.DiskID, Value: "demo disk of " + machineName, Weight: 2},
		{Name: machine.Processor, Value: "demo processor", Weight: 1},
	}
}

// quoted writes arguments as a shell would need them.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		if strings.ContainsAny(a, " \"'$&;|<>*?()") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
