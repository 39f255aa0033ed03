// Speed measures the product beside the work that nobody can avoid, and prints
// a table: real programs in processes of their own, closed-loop clients, ours
// and bare in turns, medians over the rounds. docs/performance.md explains the
// figures.
//
//	go run ./internal/speed                           everything but a million licenses
//	go run ./internal/speed -only activation,bulk     some parts
//	go run ./internal/speed -only scale -licenses 1000000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"licet/internal/speed/bare"
)

// stage is where everything happens.
type stage struct {
	dir, central, licet, self string
	rounds, requests          int
	licenses                  int
	quiet                     time.Duration
	table                     table
	folders                   int
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve-bare" {
		exit(serveBare(os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 4 && os.Args[1] == "serve-bare-seats" {
		exit(serveBareSeats(os.Args[2], os.Args[3]))
	}
	var s stage
	only := flag.String("only", strings.Join(parts(), ","), "parts to measure")
	dir := flag.String("dir", os.TempDir(), "folder for databases; its disk is measured too")
	out := flag.String("json", "", "file for every round's figures")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds, each with ours and bare in turns")
	flag.IntVar(&s.requests, "requests", 1500, "requests per round at 64 clients")
	flag.IntVar(&s.licenses, "licenses", 100_000, "licenses of the large database; 1000000 takes minutes to make")
	flag.DurationVar(&s.quiet, "quiet", 15*time.Second, "how long to wait at most, before each round, for a quiet machine")
	flag.Parse()
	exit(s.run(strings.Split(*only, ","), *dir, *out))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type part struct {
	name string
	run  func(*stage, context.Context) error
}

func all() []part {
	return []part{
		{"activation", (*stage).activation},
		{"postgres", (*stage).postgres},
		{"servers", (*stage).servers},
		{"api", (*stage).api},
		{"scale", (*stage).scale},
		{"bulk", (*stage).bulk},
		{"sdk", (*stage).sdk},
		{"seats", (*stage).seats},
	}
}

func parts() (names []string) {
	for _, p := range all() {
		names = append(names, p.name)
	}
	return names
}

func (s *stage) run(only []string, dir, out string) (err error) {
	for _, name := range only {
		if !slices.Contains(parts(), name) {
			return fmt.Errorf("there is no part %q; there are %s", name, strings.Join(parts(), ", "))
		}
	}
	if s.dir, err = os.MkdirTemp(dir, "licet-speed-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.dir+"/", "./cmd/licet", "./cmd/licet-central")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs, from the repository's folder: %w: %s", err, text)
	}
	s.central, s.licet = filepath.Join(s.dir, "licet-central"), filepath.Join(s.dir, "licet")
	for _, p := range all() {
		if !slices.Contains(only, p.name) || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		if e := p.run(s, ctx); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, e)) // the other parts are still worth having
		}
		fmt.Fprintf(os.Stderr, "speed: %s took %s\n", p.name, time.Since(began).Round(time.Second))
	}
	s.table.print(os.Stdout)
	if out != "" {
		err = errors.Join(err, s.table.save(out))
	}
	return errors.Join(err, ctx.Err())
}

// hush waits for a quiet machine, and says so where it stays loud.
func (s *stage) hush() {
	if busy := waitQuiet(25, s.quiet); busy > 25 {
		fmt.Fprintf(os.Stderr, "speed: the machine is %d %% busy with something else; processor time holds, rates do not\n", busy)
	}
}

// folder is a path that is not used yet.
func (s *stage) folder(name string) string {
	s.folders++
	return filepath.Join(s.dir, fmt.Sprintf("%s-%d", name, s.folders))
}

// bare starts a bare server with so many licenses.
func (s *stage) bare(licenses int) (*process, error) {
	path := s.folder("bare")
	return start(path+".log", "/ready", s.self, "serve-bare", path+".db", fmt.Sprint(licenses))
}

func serveBare(path, licenses string) error {
	var n int
	if _, err := fmt.Sscan(licenses, &n); err != nil {
		return err
	}
	server, err := bare.NewServer(path, n)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("bare at http://%s\n", listener.Addr())
	return server.Serve(listener)
}

func serveBareSeats(path, seats string) error {
	var n int
	if _, err := fmt.Sscan(seats, &n); err != nil {
		return err
	}
	server, err := bare.NewSeats(path, n)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("bare at http://%s\n", listener.Addr())
	return server.Serve(listener)
}
