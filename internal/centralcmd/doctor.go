package centralcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/refusal"
	"licet/wire"
)

// What the doctor finds too little, too much or too late.
const (
	littleSpace = 1 << 30         // bytes free where the data folder is
	longTail    = 1000            // events not yet in the audit log; a running server takes them in within a second
	wrongClock  = 5 * time.Second // between this machine and the server
	doctorWait  = 10 * time.Second
)

// The states of a finding.
const (
	findingGood = "good"
	findingNote = "note" // worth knowing, nothing is wrong
	findingBad  = "bad"
)

// finding is what the doctor says about one thing.
type finding struct {
	About string `json:"about"`
	State string `json:"state"`
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // what to do
}

// examination is everything that the doctor found.
type examination struct {
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	System   string            `json:"system"`
	Time     time.Time         `json:"time"`
	Findings []finding         `json:"findings"`
	Figures  *registry.Figures `json:"figures,omitempty"`
}

func (e *examination) add(about, state, next, format string, args ...any) {
	e.Findings = append(e.Findings, finding{about, state, fmt.Sprintf(format, args...), next})
}

// failed adds what could not be looked at: not knowing is not good.
func (e *examination) failed(about string, err error) {
	next := ""
	if r, ok := refusal.As(err); ok {
		next = r.NextStep()
	}
	e.add(about, findingBad, next, "%s", err)
}

func (e *examination) bad() (n int) {
	for _, f := range e.Findings {
		if f.State == findingBad {
			n++
		}
	}
	return n
}

func doctorCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{
		Use: "doctor --data DIR [--database URL] [--url URL]", Short: "Look whether the server is in order, and write a report for support",
		Long: "Look whether the server is in order, and write a report for support.\n\n" +
			"It looks at the folder, the keys, the database and the server that runs. It changes nothing, and the report holds no secrets, names or tickets. The exit status is 1 if something is wrong. Whether the database is what the signed steps make of it is the business of licet-central verify.",
		Example: `  licet-central doctor --data ./central
  licet-central doctor --data ./central --json > report.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			url, _ := cmd.Flags().GetString("url")
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*doctorWait)
			defer cancel()
			e := examine(ctx, f, url)
			if err := cli.Print(cmd, e, func(p *cli.Page) { doctorPage(p, e) }); err != nil {
				return err
			}
			if n := e.bad(); n > 0 {
				return refusal.New(refusal.NotInOrder, "%d of %d things are not in order.", n, len(e.Findings)).With("bad", n)
			}
			return nil
		},
	})
	databaseFlag(cmd)
	return cmd
}

func doctorPage(p *cli.Page, e *examination) {
	p.Title("This program")
	p.Field("licet-central", "%s (%s, %s)", e.Version, e.Go, e.System)
	p.Field("Clock", "%s", e.Time.UTC().Format(time.RFC3339))
	p.Title("What was looked at")
	var rows [][]string
	for _, f := range e.Findings {
		rows = append(rows, []string{f.State, f.About, f.Text})
	}
	p.Table("", []string{"", "ABOUT", "FOUND"}, rows)
	var steps []string
	for _, f := range e.Findings {
		if f.Next != "" {
			steps = append(steps, f.About+": "+f.Next)
		}
	}
	p.Next(steps...)
}

// examine looks at everything; what cannot be looked at is a finding too.
func examine(ctx context.Context, f folder, url string) *examination {
	e := &examination{Version: cli.ThisBuild("licet-central").Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Time: f.env.Now()}
	e.folder(f)
	e.record(ctx, f)
	e.server(ctx, f, url)
	return e
}

func (e *examination) folder(f folder) {
	for _, one := range []struct {
		path  string
		perm  fs.FileMode
		about string
	}{
		{f.path, durable.PrivateDir, "data folder"},
		{f.file(fileSecret), durable.PrivateFile, fileSecret},
		{f.file(fileToken), durable.PrivateFile, fileToken},
	} {
		info, err := os.Stat(one.path)
		switch {
		case one.about == fileToken && errors.Is(err, fs.ErrNotExist):
			e.add(one.about, findingGood, "", "It was taken away from the server.")
		case err != nil:
			e.failed(one.about, err)
		case runtime.GOOS != "windows" && info.Mode().Perm()&^one.perm != 0:
			e.add(one.about, findingBad, fmt.Sprintf("chmod %o %s", one.perm, one.path), "Others than its owner may use %s (%o).", one.path, info.Mode().Perm())
		default:
			e.add(one.about, findingGood, "", "%s, for its owner alone.", one.path)
		}
	}
	switch free, all, err := freeSpace(f.path); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		e.failed("disk", err)
	case free < littleSpace:
		e.add("disk", findingBad, "Make room: without it nothing new is acknowledged.", "%s free of %s.", humanize.IBytes(free), humanize.IBytes(all))
	default:
		e.add("disk", findingGood, "", "%s free of %s.", humanize.IBytes(free), humanize.IBytes(all))
	}
}

func (e *examination) record(ctx context.Context, f folder) {
	secret, err := f.secret()
	if err != nil {
		e.failed("keys", err)
		return
	}
	db, err := store.OpenReadOnly(ctx, f.address())
	if err != nil {
		e.failed("database", err)
		return
	}
	defer db.Close()
	reg, err := registry.Open(ctx, f.config(db, secret, slog.New(slog.DiscardHandler)))
	if err != nil {
		e.failed("keys", err)
		return
	}
	e.add("keys", findingGood, "", "%s opens the keys in the database.", fileSecret)
	if reg.HasRoot() {
		e.add("root key", findingNote, "licet-central keys export-root --data "+f.path+" -o FILE --remove", "It is on this server, where whoever takes the server over takes it too.")
	} else {
		e.add("root key", findingGood, "", "It is not on this server.")
	}
	keys, err := reg.Keys(ctx, registry.System)
	if err != nil {
		e.failed("keys", err)
		return
	}
	if s := keys.Stopped; s != nil {
		e.add("issuing", findingNote, "licet-central keys resume --data "+f.path+" --reason TEXT", "It is stopped since %s: nothing is activated or returned.", s.Since)
	}
	for _, w := range keys.Warnings {
		e.add("signer", findingBad, "See docs/keys.md, section 7.", "%s", w)
	}
	figures, err := reg.Figures(ctx)
	if err != nil {
		e.failed("database", err)
		return
	}
	e.Figures = &figures
	licenses := int64(0)
	for _, s := range figures.Licenses {
		licenses += s.Count
	}
	e.add("database", findingGood, "", "%s answers: %d orders, %d licenses, %d containers.", db.Engine(), figures.Orders, licenses, figures.Containers)
	if figures.Tail > longTail {
		e.add("audit log", findingBad, "See the server's log: it says why it does not take them in.", "%d events or more are not in the audit log.", figures.Tail)
	} else {
		e.add("audit log", findingGood, "", "%d events wait to be taken in.", figures.Tail)
	}
	switch gap := figures.Gap; {
	case gap.Outdated != "":
		e.add("record", findingBad, "Use the newer server. If there is none, stop this one and run licet-central gap open.", "It is not the newest one, and nothing is handed out: %s.", gap.Outdated)
	case gap.HeldBack > 0:
		e.add("back-up", findingNote, "licet-central gap show", "Restored from a back-up of %s: %d licenses are held back, %d containers were not in contact since.", gap.Since, gap.HeldBack, gap.Silent)
	case gap.Open:
		e.add("back-up", findingNote, "licet-central gap close", "Restored from a back-up of %s: nothing is held back, %d containers were not in contact since.", gap.Since, gap.Silent)
	}
	switch j := figures.Journal; {
	case j.Fault != "":
		e.add("second journal", findingBad, "Mount its volume, or make room on it: without it nothing leaves the server.", "%s cannot be written: %s.", j.Place, j.Fault)
	case j.On && j.Place == "":
		e.add("second journal", findingBad, "licet-central journal begin FOLDER --data "+f.path, "The record has one, and this data folder does not say where.")
	case j.On:
		switch free, _, err := freeSpace(j.Place); {
		case err == nil && free < littleSpace:
			e.add("second journal", findingBad, "Make room: without it nothing leaves the server. licet-central journal trim deletes what no back-up needs.", "%s free in %s.", humanize.IBytes(free), j.Place)
		default:
			e.add("second journal", findingGood, "", "It is in %s: %d commits.", j.Place, j.Frames)
		}
	}
	if figures.Flagged > 0 {
		e.add("containers", findingNote, "Look at them on the console, or with licet-central container show SERIAL.", "%d contradict the record and wait for a decision.", figures.Flagged)
	}
	if figures.Recoveries > 0 {
		e.add("recoveries", findingNote, "licet-central recovery list", "%d reports of lost licenses wait.", figures.Recoveries)
	}
	if n := figures.Webhooks.Failing + figures.Webhooks.Stopped; n > 0 {
		e.add("webhooks", findingNote, "licet-central webhook list", "Nothing gets through to %d of %d.", n, figures.Webhooks.Webhooks)
	}
	if figures.Webhooks.Failed > 0 {
		e.add("webhooks", findingNote, "licet-central webhook deliveries ID --state failed", "%d events were given up.", figures.Webhooks.Failed)
	}
}

// server asks the server that runs.
func (e *examination) server(ctx context.Context, f folder, url string) {
	ctx, cancel := context.WithTimeout(ctx, doctorWait)
	defer cancel()
	url = strings.TrimSuffix(url, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+wire.PathReady, nil)
	if err != nil {
		e.failed("server", err)
		return
	}
	c := f.env.HTTP
	if c == nil {
		c = http.DefaultClient
	}
	sent := f.env.Now()
	res, err := c.Do(req)
	if err != nil {
		e.add("server", findingBad, "Start it with licet-central serve, or name its address with --url.", "Nothing answers at %s.", url)
		return
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		e.add("server", findingBad, "The server's log says why.", "%s answers that it is not ready (%d).", url, res.StatusCode)
		return
	}
	e.add("server", findingGood, "", "%s is ready.", url)
	// The header has whole seconds.
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if off := at.Sub(sent).Abs(); off > wrongClock {
			e.add("clock", findingBad, "Let both machines keep the time of the network (NTP).", "The server's clock is %s away from this machine's.", off.Round(time.Second))
			return
		}
		e.add("clock", findingGood, "", "The server's clock and this machine's agree.")
	}
}
