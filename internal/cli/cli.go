// Package cli holds what the commands of both programs have in common: JSON or
// text for people, errors with the next step, exit status, and an environment
// variable for every flag. A command prints with Print and returns an error;
// Main does the rest.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"licet/refusal"
)

// The exit statuses.
const (
	StatusDone    = 0
	StatusRefused = 1 // refused or failed
	StatusUsage   = 2 // wrong usage
)

// Streams is what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv finds an environment variable; nil is the process's own.
	Getenv func(name string) string
}

// System is the process's own streams.
func System() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}
}

// Main runs the command that args (without the program's name) ask for, prints
// its error, if any, and returns the exit status. The flag --json is added to
// every command, and environment variables stand in for flags that are absent.
func Main(ctx context.Context, root *cobra.Command, args []string, s Streams) int {
	if s.Getenv == nil {
		s.Getenv = os.Getenv
	}
	prepare(root, s.Getenv)
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's arguments
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return StatusDone
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.status
	}
	writeError(s.Err, err, wantsJSON(root, args, s.Getenv))
	var usage *usageError
	if errors.As(err, &usage) {
		return StatusUsage
	}
	return StatusRefused
}

// JSON reports whether the command was asked for JSON.
func JSON(cmd *cobra.Command) bool {
	f := cmd.Flag("json")
	return f != nil && f.Value.String() == "true"
}

// Print writes what a command has to say to standard output: value as one JSON
// document with --json, otherwise what people writes on the page.
func Print(cmd *cobra.Command, value any, people func(p *Page)) error {
	if JSON(cmd) {
		return writeJSON(cmd.OutOrStdout(), value)
	}
	p := &Page{}
	people(p)
	return p.writeTo(cmd.OutOrStdout())
}

// Progress tells a person at a terminal what takes its time; in a pipe and with
// --json it says nothing.
func Progress(cmd *cobra.Command, format string, args ...any) {
	if JSON(cmd) || !Terminal(cmd.ErrOrStderr()) {
		return
	}
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// Terminal reports whether a person is likely to watch w.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

// Usage is an error of the kind "wrong usage": exit status 2.
func Usage(format string, args ...any) error {
	return &usageError{refusal.New(refusal.InvalidInput, format, args...)}
}

// Args checks a command's arguments against their names as help shows them:
// "FILE" must be given, "[FILE]" may be, and "TICKET…" stands for one or more. A
// command without Args takes none.
func Args(names ...string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.HasSuffix(strings.TrimSuffix(name, "]"), "…") {
			most = 1 << 30
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage(cmd, "%s needs %s.", cmd.CommandPath(), strings.Join(names[len(args):least], " and "))
		case len(args) > most && most == 0:
			return usage(cmd, "%s takes no arguments, but got %q.", cmd.CommandPath(), args[0])
		case len(args) > most:
			return usage(cmd, "%s does not know what to do with %q.", cmd.CommandPath(), args[most])
		}
		return nil
	}
}

// Exit is an error that ends the program with a status and prints nothing: the
// command has said all there is to say.
func Exit(status int) error { return &exitError{status} }

type usageError struct{ refusal *refusal.Refusal }

func (e *usageError) Error() string { return e.refusal.Error() }
func (e *usageError) Unwrap() error { return e.refusal }

type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// prepare gives every command of the tree the habits of Main.
func prepare(root *cobra.Command, getenv func(string) string) {
	root.SilenceErrors, root.SilenceUsage = true, true
	if root.PersistentFlags().Lookup("json") == nil {
		root.PersistentFlags().Bool("json", false, "print one JSON document")
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, "%s", sentence(err.Error()))
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, Run: func(cmd *cobra.Command, args []string) {
		if c, _, err := cmd.Root().Find(args); err == nil {
			cmd = c
		}
		_ = cmd.Help() // nothing can be done when help cannot be written
	}})
	// Cobra lists the command help even where it is hidden.
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		for _, sub := range cmd.Commands() {
			if sub.Name() == "help" && sub.Hidden {
				cmd.RemoveCommand(sub)
			}
		}
		show(cmd, args)
	})
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		prepareOne(cmd, getenv)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

func prepareOne(cmd *cobra.Command, getenv func(string) string) {
	cmd.DisableFlagsInUseLine = true
	describe := func(f *pflag.Flag) {
		if variable := Variable(f.Name); f.Name != "help" && !strings.Contains(f.Usage, variable) {
			f.Usage += " [$" + variable + "]"
		}
	}
	cmd.LocalFlags().VisitAll(describe)
	if !cmd.Runnable() && cmd.HasSubCommands() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = group
		return
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := fromEnvironment(cmd, getenv); err != nil {
			return err
		}
		if missing := missingFlags(cmd); len(missing) > 0 {
			return usage(cmd, "%s needs %s.", cmd.CommandPath(), strings.Join(missing, " and "))
		}
		if check == nil {
			check = Args()
		}
		if err := check(cmd, args); err != nil {
			if _, ok := refusal.As(err); ok {
				return err
			}
			return usage(cmd, "%s", sentence(err.Error()))
		}
		return nil
	}
}

// group is what a command does that only has commands below it.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		if cmd.HasParent() {
			return usage(cmd, "%s needs one of its commands: %s.", cmd.CommandPath(), strings.Join(names(cmd), ", "))
		}
		return cmd.Help()
	}
	message := fmt.Sprintf("%s has no command %q.", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message = strings.TrimSuffix(message, ".") + fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usage(cmd, "%s", message)
}

func names(cmd *cobra.Command) []string {
	var list []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			list = append(list, c.Name())
		}
	}
	return list
}

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{refusal.New(refusal.InvalidInput, format, args...).
		Hinted("%s --help shows how.", cmd.CommandPath())}
}

// Variable is the environment variable of a flag: LICET_DRY_RUN for dry-run.
func Variable(flag string) string {
	return "LICET_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given from the environment.
func fromEnvironment(cmd *cobra.Command, getenv func(string) string) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := getenv(Variable(f.Name))
		if f.Changed || value == "" || f.Name == "help" || err != nil {
			return
		}
		if cmd.Flags().Set(f.Name, value) != nil {
			err = usage(cmd, "%s is no value for --%s.", Variable(f.Name), f.Name)
		}
	})
	return err
}

// missingFlags finds required flags before cobra does, whose message has no
// next step.
func missingFlags(cmd *cobra.Command) []string {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	return missing
}

// Error is an error as JSON has it.
type Error struct {
	Code    refusal.Code   `json:"code"`
	Message string         `json:"message"`
	Hint    string         `json:"hint,omitempty"`
	Details map[string]any `json:"details,omitempty"`
}

// Explain turns any error into what is shown of it. A fault keeps its text: it
// happened on this machine, and whoever runs the command must see what it was.
func Explain(err error) Error {
	if r, ok := refusal.As(err); ok {
		return Error{Code: r.Code, Message: r.Error(), Hint: r.NextStep(), Details: r.Details}
	}
	if errors.Is(err, context.Canceled) {
		return Error{Code: refusal.Internal, Message: "Interrupted before it was done.", Hint: "Run it again; nothing is done twice."}
	}
	return Error{Code: refusal.Internal, Message: sentence(err.Error()), Hint: refusal.Lookup(refusal.Internal).Hint}
}

func writeError(w io.Writer, err error, asJSON bool) {
	e := Explain(err)
	if asJSON {
		// Nothing is left to tell it to when standard error is gone.
		_ = writeJSON(w, map[string]Error{"error": e})
		return
	}
	p := &Page{}
	// A message may go on in further lines, one for each problem of a file.
	for i, line := range strings.Split("Error: "+e.Message, "\n") {
		if i > 0 {
			line = "  " + strings.TrimSpace(line)
		}
		p.Line("%s", line)
	}
	if e.Hint != "" {
		p.Line("Hint: %s", e.Hint)
	}
	_ = p.writeTo(w)
}

func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// wantsJSON looks at the arguments themselves, because they may be what could
// not be read.
func wantsJSON(root *cobra.Command, args []string, getenv func(string) string) bool {
	if v := getenv(Variable("json")); v == "true" || v == "1" {
		return true
	}
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return JSON(root) || slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// sentence makes a library's error text a sentence.
func sentence(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if text == "" {
		return text
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") && !strings.HasSuffix(text, "!") {
		text += "."
	}
	return text
}
