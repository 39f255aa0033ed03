package licetcmd

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/discovery"
	"licet/internal/seatpage"
	"licet/internal/seatserver"
	"licet/license"
	"licet/seats"
)

// seatFlags say whether and how the seats of this machine's licenses are shared.
type seatFlags struct {
	listen      []string
	noDiscovery bool
	noLoans     bool
	session     durationFlag
	longest     durationFlag
	longestLoan durationFlag
	lazy        bool
}

func (f *seatFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.listen, "listen", nil, "share the seats of this machine's licenses at `ADDRESS`, such as 192.168.1.5, 0.0.0.0:47120 or localhost; may be repeated")
	flags.BoolVar(&f.noDiscovery, "no-discovery", false, "do not announce the license server on the network (DNS-SD)")
	flags.Var(&f.session, "session", "how long a seat lasts without being extended (default "+license.FormatDuration(seats.Defaults.Session)+")")
	flags.Var(&f.longest, "longest-session", "longest that a program may ask for (default "+license.FormatDuration(seats.Defaults.Longest)+")")
	flags.BoolVar(&f.noLoans, "no-loans", false, "lend and transfer nothing, except by an administrator's own hand")
	flags.Var(&f.longestLoan, "longest-loan", "longest loan, where the vendor allows a longer one")
	flags.BoolVar(&f.lazy, "lazy", false, "let an overdue session keep its seat until somebody needs it")
}

func (f *seatFlags) limits() seats.Limits {
	l := seats.Defaults
	if f.session.Duration > 0 {
		l.Session = f.session.Duration
		l.Longest = max(l.Longest, l.Session)
	}
	if f.longest.Duration > 0 {
		l.Longest = max(f.longest.Duration, l.Session)
	}
	l.NoLoans, l.LongestLoan, l.Lazy = f.noLoans, f.longestLoan.Duration, f.lazy
	return l
}

// sharing is a license server that is about to run beside the agent.
type sharing struct {
	server    *seatserver.Server
	listeners []seatserver.Listener
	announce  bool
	log       *slog.Logger
}

// sharing makes the license server that the flags ask for; nil for none. The ports
// are taken at once, so that one that is in use is told before anything is said to
// serve.
func (f *seatFlags) sharing(a *agent.Agent, c *commands, log *slog.Logger) (*sharing, error) {
	if len(f.listen) == 0 {
		return nil, nil
	}
	s := &sharing{server: seatserver.New(a, c.config(log), f.limits()), announce: !f.noDiscovery, log: log}
	pages, err := seatpage.New(s.server, c.env.Now, log)
	if err != nil {
		return nil, err
	}
	s.server.ShowPages(pages)
	for _, address := range f.listen {
		l, err := seatserver.Listen(address)
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
	}
	return s, nil
}

const gcPercent = 400

// handler answers what is asked through the agent's socket; nil for nothing.
func (s *sharing) handler() http.Handler {
	if s == nil {
		return nil
	}
	return s.server.Local()
}

func (s *sharing) close() {
	if s == nil {
		return
	}
	for _, l := range s.listeners {
		l.Close() // one that served is closed already
	}
}

// run shares seats until ctx ends. What keeps it from beginning ends the agent too.
func (s *sharing) run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if err := s.server.Open(ctx); err != nil {
		s.close()
		return err
	}
	// What a server holds is little beside what each request makes and drops: collecting
	// that less often costs some megabytes and saves a tenth of the processor.
	debug.SetGCPercent(gcPercent)
	var running sync.WaitGroup
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	running.Go(func() { s.reload(stop) })
	if port := s.public(); s.announce && port > 0 {
		running.Go(func() { discovery.Watch(stop, s.server.Announcement(port), s.server.Met, s.log) })
	}
	running.Go(func() { s.server.Serve(stop, s.listeners) })
	served := make(chan struct{})
	go func() { running.Wait(); close(served) }()
	s.server.Run(ctx, served)
	return nil
}

// public is the port that others can reach; 0 where only this machine can.
func (s *sharing) public() int {
	for _, l := range s.listeners {
		if at, ok := l.Addr().(*net.TCPAddr); ok && !l.Plain() {
			return at.Port
		}
	}
	return 0
}

// reload reads the rules of access anew at each hang-up signal.
func (s *sharing) reload(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			s.server.ReloadRules()
		case <-ctx.Done():
			return
		}
	}
}
