package centralcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/verify"
	"licet/license"
	"licet/refusal"
)

func verifyCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [--data DIR] [--database URL] [--every 1m]",
		Short: "Prove that the database is what the signed steps and the events make of it",
		Long: "Prove that the database is what the signed steps and the events make of it, and name every row that is not.\n\n" +
			"It opens the database itself and only reads: a role that may do no more is enough, and the server may run meanwhile. " +
			"With --data it also holds the database against the keys in that folder.",
		Example: `  licet-central verify --data ./central
  licet-central verify --database 'postgres://reader@db.example.com/licet' --every 1m`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, env) },
	}
	databaseOnly(cmd)
	cmd.Flags().Duration("every", 0, "verify again and again, this long from start to start, and print what changes; until interrupted")
	return cmd
}

func runVerify(cmd *cobra.Command, env Env) error {
	every, _ := cmd.Flags().GetDuration("every")
	if every < 0 {
		return cli.Usage("--every %s is not a time from now on.", every)
	}
	c := &checker{cmd: cmd, f: folder{env: env}}
	c.f.path, _ = cmd.Flags().GetString("data")
	c.f.database, _ = cmd.Flags().GetString("database")
	if c.f.path == "" && c.f.database == "" {
		return cli.Usage("%s needs --data, the folder of the server, or --database.", cmd.CommandPath())
	}
	if every == 0 {
		r, err := c.once(cmd.Context())
		if err != nil {
			return err
		}
		if err := cli.Print(cmd, r, func(p *cli.Page) { verifyPage(p, r) }); err != nil {
			return err
		}
		return broken(r)
	}
	return c.forever(cmd.Context(), every)
}

// verification is a report with the time it took.
type verification struct {
	Time    license.Time `json:"time"` // when it began
	Seconds float64      `json:"seconds"`
	verify.Report
}

func broken(r verification) error {
	if r.OK() {
		return nil
	}
	return refusal.New(refusal.VerifyFailed, "The database is not what it should be: %d rows.", r.Bad).With("rows", r.Bad)
}

// checker verifies one database.
type checker struct {
	cmd *cobra.Command
	f   folder
}

func (c *checker) once(ctx context.Context) (verification, error) {
	out := verification{Time: license.At(c.f.env.Now())}
	if _, err := os.Stat(c.f.file(fileDatabase)); c.f.database == "" && errors.Is(err, fs.ErrNotExist) {
		return out, refusal.New(refusal.NotFound, "There is no database in %s.", c.f.path).
			Hinted("If the database is elsewhere, name it with --database.")
	}
	db, err := store.OpenReadOnly(ctx, c.f.address())
	if err != nil {
		return out, err
	}
	defer db.Close()
	opt := verify.Options{}
	if err := c.outside(ctx, db, &opt); err != nil {
		return out, err
	}
	told := c.f.env.Now()
	opt.Progress = func(table string, rows int64) {
		if now := c.f.env.Now(); now.Sub(told) > 2*time.Second {
			told = now
			cli.Progress(c.cmd, "%d rows; at %s", rows, table)
		}
	}
	out.Report, err = verify.Run(ctx, db, opt)
	if errors.Is(err, store.ErrNotFound) {
		return out, refusal.New(refusal.NotFound, "The database holds no vendor yet.").Hinted("Run licet-central init first.")
	}
	out.Seconds = c.f.env.Now().Sub(out.Time.Go()).Seconds()
	return out, err
}

// outside finds what the folder knows without the database: the trust file, and
// the secret with which the audit key opens.
func (c *checker) outside(ctx context.Context, db *store.DB, opt *verify.Options) error {
	if c.f.path == "" {
		return nil
	}
	trust, err := os.ReadFile(c.f.file(fileTrust))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	opt.Trust = trust
	if _, err := os.Stat(c.f.file(fileSecret)); errors.Is(err, fs.ErrNotExist) {
		return nil // a verifier may well run where the secret is not
	}
	secret, err := c.f.secret()
	if err != nil {
		return err
	}
	reg, err := registry.Open(ctx, c.f.config(db, secret, slog.New(slog.DiscardHandler)))
	switch _, refused := refusal.As(err); {
	case err == nil:
		opt.Audit = reg.AuditKey()
	case refused || ctx.Err() != nil:
		return err
	default:
		opt.Keys = err
	}
	return nil
}

// verifyChange is what one run found other than the run before.
type verifyChange struct {
	Time license.Time     `json:"time"`
	Good int64            `json:"good"`
	Bad  int64            `json:"bad"`
	New  []verify.Finding `json:"new"`
	Gone []verify.Finding `json:"gone"`
}

// forever verifies until it is interrupted, and tells what changes.
func (c *checker) forever(ctx context.Context, every time.Duration) error {
	var last verification
	var fault error
	for first := true; ; first = false {
		began := time.Now()
		r, err := c.once(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if _, refused := refusal.As(err); refused && first {
				return err
			}
			// It could not be told; that is no finding, and no all-clear.
			fmt.Fprintf(c.cmd.ErrOrStderr(), "%s could not verify, and tries again: %v\n", license.At(c.f.env.Now()), err)
			fault = err
		default:
			change := verifyChange{r.Time, r.Good, r.Bad, missing(r.Findings, last.Findings), missing(last.Findings, r.Findings)}
			if first || fault != nil || len(change.New)+len(change.Gone) > 0 {
				if err := cli.Print(c.cmd, change, func(p *cli.Page) { changePage(p, change) }); err != nil {
					return err
				}
			}
			last, fault = r, nil
		}
		timer := time.NewTimer(max(every-time.Since(began), 0))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if fault != nil {
				return fault
			}
			return broken(last)
		}
	}
}

// missing gives the findings of a that are not in b.
func missing(a, b []verify.Finding) []verify.Finding {
	known := map[verify.Finding]bool{}
	for _, f := range b {
		known[f] = true
	}
	return slices.DeleteFunc(append([]verify.Finding{}, a...), func(f verify.Finding) bool { return known[f] })
}

func changePage(p *cli.Page, c verifyChange) {
	p.Line("%s  %d rows good, %d bad", c.Time, c.Good, c.Bad)
	for _, f := range c.New {
		p.Line("  new: %s", f)
	}
	for _, f := range c.Gone {
		p.Line("  gone: %s", f)
	}
}

func verifyPage(p *cli.Page, r verification) {
	p.Line("%s", either(r.OK(), "The database is whole.", "The database is NOT whole."))
	p.Field("rows", "%d good, %d bad", r.Good, r.Bad)
	p.Field("not yet in the audit log", "%s", either(r.Tail > 0, fmt.Sprintf("%d events", r.Tail), ""))
	p.Field("checkpoints", "%d", r.Checkpoints)
	p.Field("time", "%.1f seconds", r.Seconds)
	var rows [][]string
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Table, fmt.Sprint(t.Good), fmt.Sprint(t.Bad)})
	}
	p.Blank()
	p.Table("", []string{"TABLE", "GOOD", "BAD"}, rows)
	if r.OK() {
		return
	}
	p.Blank()
	for _, f := range r.Findings {
		p.Line("%s", f)
	}
	if r.Unlisted > 0 {
		p.Line("… and %d further findings.", r.Unlisted)
	}
}
