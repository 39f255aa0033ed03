package centralcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/refusal"
	"licet/wire"
)

func backupCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup --data DIR [--database URL] -o FILE [--recipient KEY]",
		Short: "Write the whole record to a file, while the server runs",
		Long: "Write the whole record to a file, while the server runs.\n\n" +
			"The file is the record as it was at one moment, whichever database it is in, and restores into either kind. It gets its name when it is written and, unless it is encrypted, was read again; until then, and if anything fails, there is none. " +
			"Keep secret.key as well, apart from it: one is useless without the other. With --recipient the file is encrypted (age), and --with-secret puts the secret into it.",
		Example: `  licet-central backup --data ./central -o licet-2026-03-01.backup
  licet-central backup --data ./central -o licet.backup.age --recipient age1… --with-secret`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackup(cmd, env) },
	}
	cmd.Flags().StringP("out", "o", "", "file to write; it must not exist")
	cmd.Flags().StringArray("recipient", nil, "encrypt the file to this public key (age1…), made by age-keygen; may be repeated")
	cmd.Flags().Bool("with-secret", false, "put the secret of secret.key into the file; only if it is encrypted")
	_ = cmd.MarkFlagRequired("out") // the flag is there
	databaseOnly(cmd)
	return cmd
}

func runBackup(cmd *cobra.Command, env Env) error {
	f, err := folderOf(cmd, env)
	if err != nil {
		return err
	}
	req := registry.BackupRequest{Program: "licet-central " + cli.ThisBuild("licet-central").Version, Progress: progress(cmd, env, "written")}
	keys, _ := cmd.Flags().GetStringArray("recipient")
	for _, k := range keys {
		r, err := age.ParseX25519Recipient(k)
		if err != nil {
			return refusal.New(refusal.InvalidInput, "%q is no public key of age.", k).Hinted("It begins with age1; age-keygen makes one.")
		}
		req.Recipients = append(req.Recipients, r)
	}
	req.WithSecret, _ = cmd.Flags().GetBool("with-secret")
	out, _ := cmd.Flags().GetString("out")
	if err := isFree(out); err != nil {
		return err
	}
	secret, err := f.secret()
	if err != nil {
		return err
	}
	if err := f.hasDatabase(); err != nil {
		return err
	}
	db, err := store.OpenReadOnly(cmd.Context(), f.address())
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := writeBackup(cmd.Context(), out, f.config(db, secret, slog.New(slog.DiscardHandler)), req)
	if err != nil {
		return err
	}
	return cli.Print(cmd, b, func(p *cli.Page) {
		p.Line("The back-up is in %s.", b.File)
		backupFields(p, b)
		p.Field("size", "%s", humanize.IBytes(uint64(b.Bytes)))
		p.Field("checked", "%s", either(b.Proven, "read again to its end: it is whole, and made with this secret.key", "not yet: only its recipients can read it, with licet-central check-backup"))
		next := []string{"Keep it, and a copy of it, somewhere else than this server."}
		if !b.WithSecret {
			next = append(next, "Keep "+f.file(fileSecret)+" too, apart from it: without it the back-up opens nothing.")
		}
		p.Next(next...)
	})
}

func backupFields(p *cli.Page, b wire.Backup) {
	p.Field("vendor", "%s (%s, %s)", b.Vendor, b.VendorID, b.Environment)
	p.Field("as of", "%s", b.Time)
	p.Field("rows", "%d, with %d events", b.Rows, b.Events)
	p.Field("database", "%s, schema %d", b.Database, b.Schema)
	p.Field("encrypted", "%s", either(b.Encrypted, "yes", "no: names and orders can be read by whoever has the file; tickets and keys cannot"))
	p.Field("secret.key", "%s", either(b.WithSecret, "is in it", "is not in it"))
}

// progress tells how many rows were worked on, every other second.
func progress(cmd *cobra.Command, env Env, what string) func(string, int64) {
	told := env.Now()
	return func(table string, rows int64) {
		if now := env.Now(); now.Sub(told) > 2*time.Second {
			told = now
			cli.Progress(cmd, "%d rows %s%s", rows, what, either(table != "", "; at "+table, ""))
		}
	}
}

// isFree refuses a name that is taken, or in no folder.
func isFree(path string) error {
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return refusal.New(refusal.NotFound, "There is no folder %s.", filepath.Dir(path)).Hinted("Name a file in a folder that exists.")
	}
	if _, err := os.Lstat(path); err == nil {
		return taken(path)
	}
	return nil
}

func taken(path string) error {
	return refusal.New(refusal.InvalidInput, "%s exists already. It was not touched.", path).Hinted("Name a file that does not exist.")
}

// hasDatabase refuses a folder whose database is missing: opening it would make an
// empty one.
func (f folder) hasDatabase() error {
	if _, err := os.Stat(f.file(fileDatabase)); f.database == "" && errors.Is(err, fs.ErrNotExist) {
		return refusal.New(refusal.NotFound, "%s has keys but no database.", f.path).
			Hinted("If the database is elsewhere, name it with --database; otherwise put %s back.", fileDatabase)
	}
	return nil
}

// writeBackup writes a back-up and reads it again before it gets its name.
func writeBackup(ctx context.Context, path string, cfg registry.Config, req registry.BackupRequest) (b wire.Backup, err error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return b, err
	}
	defer dir.Close()
	var disk durable.Disk
	err = disk.Create(dir, filepath.Base(path), durable.PrivateFile, func(file *os.File) error {
		begin := func() error {
			if err := file.Truncate(0); err != nil {
				return err
			}
			_, err := file.Seek(0, io.SeekStart)
			return err
		}
		if b, err = registry.Backup(ctx, cfg, req, file, begin); err != nil {
			return err
		}
		if b.Bytes, err = file.Seek(0, io.SeekEnd); err != nil || b.Encrypted {
			return err
		}
		// What was written may not be what can be read.
		made := b
		b, err = registry.CheckBackup(ctx, cfg.Secret, registry.RestoreBackup{Open: func() (io.ReadCloser, error) {
			_, err := file.Seek(0, io.SeekStart)
			return io.NopCloser(file), err
		}})
		b.Bytes = made.Bytes
		if err == nil && b.Rows != made.Rows {
			return fmt.Errorf("%d rows were written and %d read", made.Rows, b.Rows)
		}
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return b, taken(path) // since it was looked at first
	}
	b.File = path
	return b, err
}

func checkBackupCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-backup FILE [--data DIR | --key FILE] [--identity FILE]",
		Short: "Read a back-up to its end, and say what it is of",
		Long: "Read a back-up to its end, and say what it is of.\n\n" +
			"With the secret of the server, from --data or --key or in the file, it also proves that the back-up was made with it and was not altered since. Nothing is written.",
		Example: `  licet-central check-backup licet-2026-03-01.backup --key /media/safe/secret.key`,
		Args:    cli.Args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, secret, err := readBackup(cmd, env, args[0])
			if err != nil {
				return err
			}
			req.Progress = progress(cmd, env, "read")
			b, err := registry.CheckBackup(cmd.Context(), secret, req)
			if err != nil {
				return err
			}
			if err := about(&b, args[0]); err != nil {
				return err
			}
			return cli.Print(cmd, b, func(p *cli.Page) {
				p.Line("The back-up is whole.")
				backupFields(p, b)
				p.Field("proven", "%s", either(b.Proven, "it was made with this secret.key and was not altered", "not whose it is: that takes secret.key (--key FILE)"))
			})
		},
	}
	readFlags(cmd)
	return cmd
}

func readFlags(cmd *cobra.Command) {
	cmd.Flags().String("key", "", "`FILE`: secret.key of the server that the back-up was made of (default: that of --data, or the one in the back-up)")
	cmd.Flags().String("identity", "", "`FILE` with the private key (AGE-SECRET-KEY-…) of a recipient, if the back-up is encrypted")
}

// about notes what the file itself shows.
func about(b *wire.Backup, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	b.File, b.Bytes = path, info.Size()
	return nil
}

// readBackup is how a back-up is opened, and the secret that goes with it; nil for
// the one that may be in it.
func readBackup(cmd *cobra.Command, env Env, path string) (req registry.RestoreBackup, secret []byte, err error) {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return req, nil, refusal.New(refusal.NotFound, "There is no file %s.", path).Hinted("Name a file that licet-central backup wrote.")
	}
	req.Open = func() (io.ReadCloser, error) { return os.Open(path) }
	if name, _ := cmd.Flags().GetString("identity"); name != "" {
		text, err := os.Open(name)
		if err != nil {
			return req, nil, refusal.New(refusal.NotFound, "The identity cannot be read: %s.", err).Hinted("Name the file that age-keygen wrote.")
		}
		defer text.Close()
		if req.Identities, err = age.ParseIdentities(text); err != nil {
			return req, nil, refusal.New(refusal.InvalidInput, "%s holds no private key of age.", name).Hinted("Name the file that age-keygen wrote; its key begins with AGE-SECRET-KEY-1.")
		}
	}
	if name, _ := cmd.Flags().GetString("key"); name != "" {
		secret, err = secretIn(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = refusal.New(refusal.NotFound, "There is no file %s.", name).Hinted("Name the secret.key of the server that the back-up was made of.")
		}
		return req, secret, err
	}
	f := folder{env: env}
	f.path, _ = cmd.Flags().GetString("data")
	if f.path == "" {
		return req, nil, nil
	}
	if _, err := os.Stat(f.file(fileSecret)); errors.Is(err, fs.ErrNotExist) {
		return req, nil, nil
	}
	secret, err = f.secret()
	return req, secret, err
}

func restoreBackupCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore-backup FILE --data DIR [--database URL] [--key FILE] [--identity FILE] [--journal FOLDER]… --reason R",
		Short: "Bring a lost server back from a back-up",
		Long: "Bring a lost server back from a back-up, into an empty database.\n\n" +
			"The server that comes back does not know what happened after the back-up. It begins a new epoch, so that the old one, if it lives, and every copy of it stop; it takes in what containers bring at their next contact; and until then it holds back what somebody may have got in between. licet-central gap show says how much that is. " +
			"The file is proven whole before anything is written. If the restore is broken off, run it again: it begins anew.\n\n" +
			"With the second journal (--journal) it brings back all that came after the back-up as well. Name every place of it, the files themselves and no older copy of them. If the journal is whole, nothing is held back; if not, the command says why, and holds back as without it.",
		Example: `  licet-central restore-backup licet-2026-03-01.backup --data ./central --key /media/safe/secret.key --reason "disk of 4 March"
  licet-central restore-backup licet-2026-03-01.backup --data ./central --journal /mnt/second/licet --key /media/safe/secret.key --reason "disk of 4 March"`,
		Args: cli.Args("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runRestore(cmd, env, args[0]) },
	}
	readFlags(cmd)
	databaseOnly(cmd)
	cmd.Flags().StringArray("journal", nil, "`FOLDER` of the second journal, which brings back what came after the back-up; once for each server that wrote one")
	return reasonFlag(cmd)
}

// restored is what restore-backup tells.
type restored struct {
	Data     string        `json:"data"`
	Database string        `json:"database"`
	Backup   wire.Backup   `json:"backup"`
	Journal  *wire.Forward `json:"journal,omitempty"`
	Gap      wire.Gap      `json:"gap"`
}

func runRestore(cmd *cobra.Command, env Env, path string) error {
	f, err := folderOf(cmd, env)
	if err != nil {
		return err
	}
	req, secret, err := readBackup(cmd, env, path)
	if err != nil {
		return err
	}
	if req.Reason, err = reasonOf(cmd); err != nil {
		return err
	}
	req.Journals, _ = cmd.Flags().GetStringArray("journal")
	var disk durable.Disk
	var dir *os.Root
	req.Prepare = func(secret []byte) error { // a wrong file leaves nothing behind
		if err := disk.MkdirAll(f.path, durable.PrivateDir); err != nil {
			return err
		}
		var err error
		if dir, err = os.OpenRoot(f.path); err != nil {
			return err
		}
		return f.keepSecret(&disk, dir, secret)
	}
	defer func() {
		if dir != nil {
			dir.Close()
		}
	}()
	req.Database, req.Progress = f.address(), progress(cmd, env, "worked on")
	req.Keep = func(r registry.Restored) error {
		if err := disk.WriteFile(dir, fileTrust, r.Trust, 0o644); err != nil {
			return err
		}
		return disk.WriteFile(dir, fileToken, []byte(r.AdminToken+"\n"), durable.PrivateFile)
	}
	out, err := registry.Restore(cmd.Context(), f.config(nil, secret, slog.New(slog.DiscardHandler)), req)
	if err != nil {
		return err
	}
	if err := about(&out.Backup, path); err != nil {
		return err
	}
	kind, _, _ := strings.Cut(f.address(), ":")
	b := out.Backup
	r := restored{Data: f.path, Database: kind, Backup: out.Backup, Journal: out.Journal, Gap: out.Gap}
	r.Backup.Proven = true
	return cli.Print(cmd, r, func(p *cli.Page) {
		p.Line("%s is restored, as of %s.", b.Vendor, out.Gap.Since)
		p.Field("rows", "%d, with %d events", b.Rows, b.Events)
		p.Field("database", "%s", kind)
		p.Field("epoch", "%d; a server with an older one hands out nothing any more once a container has shown it", out.Gap.Epoch)
		if j := out.Journal; j != nil {
			p.Field("journal", "%d commits since the back-up, the last of %s", j.Frames, cli.When(j.End, env.Now()))
			for _, why := range j.Wanting {
				p.Field("not whole", "%s", why)
			}
		}
		if out.Gap.Whole {
			p.Field("held back", "nothing: the journal has all that left the server")
		} else {
			p.Field("held back", "%d licenses: somebody may have got them since", out.Gap.HeldBack)
			p.Field("to be heard from", "%d containers", out.Gap.Silent)
		}
		p.Field("administrator", "%s (a new token; those of the back-up are good as well)", f.file(fileToken))
		next := []string{"make sure that the server which was lost does not run any more"}
		if b.Journal {
			next = append(next, "licet-central journal begin FOLDER --data "+f.path+"  names the place where the second journal goes on")
		}
		next = append(next, "licet-central serve --data "+f.path+either(f.database != "", " --database …", ""))
		if out.Gap.Whole {
			next = append(next, "make a back-up at once: those of before cannot be brought further than to here")
		} else {
			next = append(next, fmt.Sprintf("send the orders taken since %s again: licet-central order create --resent, or import --resent", out.Gap.Since),
				"licet-central gap show  says what containers have brought, and what is still held back")
		}
		p.Next(next...)
	})
}

// keepSecret puts the secret into the folder; one that is there must be the same.
func (f folder) keepSecret(disk *durable.Disk, dir *os.Root, secret []byte) error {
	err := disk.CreateFile(dir, fileSecret, []byte(hex.EncodeToString(secret)+"\n"), durable.PrivateFile)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := f.secret()
	if err == nil && hex.EncodeToString(there) != hex.EncodeToString(secret) {
		return refusal.New(refusal.AlreadyInitialized, "%s holds the %s of another server. Nothing was touched.", f.path, fileSecret).Hinted("Name an empty folder.")
	}
	return err
}
