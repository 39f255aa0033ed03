package centralcmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/refusal"
)

func journalCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "The second journal: what leaves the server is on another disk first",
		Long: "The second journal: what leaves the server is on another disk first.\n\n" +
			"Everything that the server writes to its database it then also writes to a folder, before anybody gets an answer. A back-up and the journal since then are the record as it was at the last answer: licet-central restore-backup FILE --journal FOLDER brings it back with nothing lost. " +
			"The folder belongs on another disk than the database, or on a volume of another machine. While it cannot be written, the server hands out nothing; licenses are used all the same.",
	}
	cmd.AddCommand(beginJournalCommand(env), showJournalCommand(env), trimJournalCommand(env), endJournalCommand(env))
	return cmd
}

func beginJournalCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "begin FOLDER --data DIR [--database URL]",
		Short: "Give the record a second journal, or this server its place of it",
		Long: "Give the record a second journal, or this server its place of it.\n\n" +
			"Stop every server before it begins. Each server of one database has a place of its own: run the command for each, with its data folder. The place is noted in the data folder, and is made if it is not there. Make a back-up afterwards: a return begins with one.",
		Example: `  licet-central journal begin /mnt/second/licet --data ./central`,
		Args:    cli.Args("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			if f.journal, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			secret, err := f.secret()
			if err != nil {
				return err
			}
			if err := f.hasDatabase(); err != nil {
				return err
			}
			db, err := store.Open(cmd.Context(), f.address())
			if err != nil {
				return err
			}
			defer db.Close()
			// A further place of a journal that there is, is nobody else's business.
			how := openedFor((*store.DB).Alone)
			if has, err := hasJournal(cmd.Context(), db); err != nil {
				return err
			} else if has {
				how = (*store.DB).Present
			}
			if err := how.take(cmd.Context(), db); err != nil {
				return err
			}
			began, err := registry.BeginJournal(cmd.Context(), f.config(db, secret, slog.New(slog.DiscardHandler)), registry.System)
			if err != nil {
				return err
			}
			noted := true
			if err := f.keepJournal(f.journal); errors.Is(err, syscall.EROFS) {
				noted = false // a folder that holds the secret alone, as in Kubernetes
			} else if err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"place": f.journal, "began": began, "noted": noted}, func(p *cli.Page) {
				if !noted {
					defer p.Line("%s can only be read, so it does not note the place: name it with --journal, or in LICET_JOURNAL.", f.path)
				}
				if began {
					p.Line("The record has a second journal; its place for this server is %s.", f.journal)
					p.Next("Do the same for every other server of this database, each with a place of its own",
						"licet-central serve --data "+f.path,
						"licet-central backup --data "+f.path+" -o FILE  makes the back-up that a return begins with")
					return
				}
				p.Line("%s is the place of the second journal for this server.", f.journal)
				p.Next("licet-central serve --data " + f.path)
			})
		},
	}
	databaseOnly(cmd)
	return cmd
}

// hasJournal reports whether a record has a second journal.
func hasJournal(ctx context.Context, db *store.DB) (has bool, err error) {
	return has, db.Read(ctx, func(tx *store.Tx) error {
		row, err := tx.Journal()
		if has = err == nil && !row.Ended; errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
}

func showJournalCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show --data DIR [--database URL]", Short: "Say whether the record has a second journal, and where", Example: "  licet-central journal show --data ./central",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			secret, err := f.secret()
			if err != nil {
				return err
			}
			db, err := store.OpenReadOnly(cmd.Context(), f.address())
			if err != nil {
				return err
			}
			defer db.Close()
			reg, err := registry.Open(cmd.Context(), f.config(db, secret, slog.New(slog.DiscardHandler)))
			if err != nil {
				return err
			}
			s, err := reg.JournalStatus(cmd.Context())
			if err != nil {
				return err
			}
			return cli.Print(cmd, s, func(p *cli.Page) {
				if !s.On {
					p.Line("The record has no second journal.")
					return
				}
				p.Line("The record has a second journal.")
				p.Field("place", "%s", either(s.Place != "", s.Place, "not noted in this data folder"))
				p.Field("commits", "%d since it began", s.Frames)
				if s.Fault != "" {
					p.Field("fault", "%s", s.Fault)
				}
			})
		},
	}
	databaseFlag(cmd)
	return cmd
}

func trimJournalCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trim BACKUP --data DIR",
		Short: "Delete what no return needs from a back-up or a later one",
		Long: "Delete what no return needs from a back-up or a later one: files of the journal that nobody writes any more, and that end before it.\n\n" +
			"Older back-ups cannot be brought forward any more after that. Name one that you keep somewhere else, and have checked.",
		Example: `  licet-central journal trim licet-2026-03-01.backup --data ./central`,
		Args:    cli.Args("BACKUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			if f.journal == "" {
				return refusal.New(refusal.JournalUnavailable, "%s notes no place of a journal. Nothing was deleted.", f.path).Hinted("Name it with --journal.")
			}
			req, secret, err := readBackup(cmd, env, args[0])
			if err != nil {
				return err
			}
			deleted, err := registry.TrimJournal(cmd.Context(), f.config(nil, secret, slog.New(slog.DiscardHandler)), req)
			if err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"deleted": deleted}, func(p *cli.Page) {
				p.Line("%d files of the journal were deleted.", len(deleted))
			})
		},
	}
	readFlags(cmd)
	cmd.Flags().String("journal", "", "`FOLDER` of the journal (default: the one noted in the data folder)")
	return cmd
}

func endJournalCommand(env Env) *cobra.Command {
	cmd := reasonFlag(&cobra.Command{
		Use:   "end --data DIR [--database URL] --reason R",
		Short: "End the second journal, for all servers",
		Long: "End the second journal, for all servers. Stop them first, and start them afterwards.\n\n" +
			"The files stay. A return from a back-up of before brings what is in them, and holds back the rest.",
		Example: `  licet-central journal end --data ./central --reason "a synchronous standby instead"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			reason, err := reasonOf(cmd)
			if err != nil {
				return err
			}
			reg, done, err := f.openAlone(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer done()
			if err := reg.EndJournal(cmd.Context(), registry.System, reason); err != nil {
				return err
			}
			if err := f.keepJournal(""); err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"ended": true}, func(p *cli.Page) {
				p.Line("The second journal is ended. Its files are still in %s.", f.journal)
				p.Next(fmt.Sprintf("licet-central serve --data %s", f.path))
			})
		},
	})
	databaseFlag(cmd)
	return cmd
}
