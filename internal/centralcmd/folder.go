package centralcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/refusal"
)

// The files of the data folder.
const (
	fileSecret   = "secret.key"
	fileToken    = "admin.token"
	fileTrust    = "vendor.trust"
	fileDatabase = "licet.db"
	fileJournal  = "journal.path" // where the second journal is; absent if there is none
)

// secretSize is the size of the secret in bytes; its file has it in hexadecimal.
const secretSize = 32

// ours are the files whose presence means that a folder is in use.
var ours = []string{fileSecret, fileToken, fileTrust, fileDatabase}

// folder is a data folder, and the database that goes with it.
type folder struct {
	env      Env
	path     string
	database string // address; "" is SQLite in the folder
	journal  string // place of the second journal; "" for none
}

// folderOf reads --data and, where the command has it, --database.
func folderOf(cmd *cobra.Command, env Env) (folder, error) {
	f := folder{env: env}
	f.path, _ = cmd.Flags().GetString("data")
	if f.path == "" {
		return f, cli.Usage("%s needs --data, the folder of the server.", cmd.CommandPath())
	}
	if cmd.Flags().Lookup("database") != nil {
		f.database, _ = cmd.Flags().GetString("database")
	}
	if l := cmd.Flags().Lookup("journal"); l != nil && l.Value.Type() == "string" {
		f.journal = l.Value.String()
	}
	if f.journal != "" {
		return f, nil
	}
	text, err := os.ReadFile(f.file(fileJournal))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	f.journal = strings.TrimSpace(string(text))
	return f, err
}

// keepJournal notes in the folder where the second journal is; "" that there is none.
func (f folder) keepJournal(path string) error {
	var disk durable.Disk
	if path == "" {
		dir, err := os.OpenRoot(f.path)
		if err != nil {
			return err
		}
		defer dir.Close()
		if err := disk.Remove(dir, fileJournal); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return disk.WritePath(f.file(fileJournal), []byte(path+"\n"), durable.PrivateFile)
}

// databaseOnly is for commands that write nothing to a record that is in use.
func databaseOnly(cmd *cobra.Command) {
	cmd.Flags().String("database", "", "database, such as postgres://licet@db.example.com/licet; SQLite in the data folder if absent")
}

func databaseFlag(cmd *cobra.Command) {
	databaseOnly(cmd)
	cmd.Flags().String("journal", "", "`FOLDER` of the second journal, if the record has one (default: the one that licet-central journal begin has noted in the data folder)")
}

// file is the path of a file in the folder.
func (f folder) file(name string) string { return filepath.Join(f.path, name) }

// inUse names a file of ours in the folder, "" if there is none.
func (f folder) inUse() (string, error) {
	for _, name := range ours {
		switch _, err := os.Lstat(f.file(name)); {
		case err == nil:
			return name, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", nil
}

// made is what init made.
type made struct {
	Data        string            `json:"data"`
	Vendor      string            `json:"vendor"`
	VendorID    string            `json:"vendor_id"`
	Environment string            `json:"environment"`
	Address     string            `json:"address"`
	Database    string            `json:"database"` // its kind: an address may hold a password
	Files       map[string]string `json:"files"`
}

// initialize makes the folder, its keys, the database and the first
// administrator. It overwrites nothing. What fails before the vendor exists in
// the database is cleaned up, so that it can be tried again.
func (f folder) initialize(ctx context.Context, req registry.InitRequest, log *slog.Logger) (m made, err error) {
	name, err := f.inUse()
	if err != nil {
		return m, err
	}
	if name != "" {
		return m, refusal.New(refusal.AlreadyInitialized, "%s is in use already: it holds %s. Nothing was touched.", f.path, name).With("file", f.file(name))
	}
	var disk durable.Disk
	if err := disk.MkdirAll(f.path, durable.PrivateDir); err != nil {
		return m, err
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return m, err
	}
	defer root.Close()
	secret := make([]byte, secretSize)
	f.env.Random(secret)
	create := func(name string, data []byte, perm fs.FileMode) error {
		err := disk.CreateFile(root, name, data, perm)
		if errors.Is(err, fs.ErrExist) {
			return refusal.New(refusal.AlreadyInitialized, "Somebody else set up %s at the same time. Its files were not touched.", f.path)
		}
		return err
	}
	if err := create(fileSecret, []byte(hex.EncodeToString(secret)+"\n"), durable.PrivateFile); err != nil {
		return m, err
	}
	exists := false // the vendor, in a database that others may use
	defer func() {
		if err != nil && !exists {
			err = errors.Join(err, f.cleanUp(&disk, root))
		}
	}()
	db, err := store.Open(ctx, f.address())
	if err != nil {
		return m, err
	}
	defer db.Close()
	res, err := registry.Init(ctx, f.config(db, secret, log), req)
	if err != nil {
		return m, err
	}
	exists = f.database != ""
	if err := create(fileTrust, res.Trust, 0o644); err != nil {
		return m, err
	}
	if err := create(fileToken, []byte(res.AdminToken+"\n"), durable.PrivateFile); err != nil {
		return m, err
	}
	return made{
		Data: f.path, Vendor: req.Vendor, VendorID: res.VendorID, Environment: req.Environment, Address: req.Address, Database: db.Engine(),
		Files: map[string]string{"admin_token": f.file(fileToken), "secret_key": f.file(fileSecret), "trust": f.file(fileTrust)},
	}, nil
}

// cleanUp removes what a failed initialize left: nothing of it was in use.
func (f folder) cleanUp(disk *durable.Disk, root *os.Root) error {
	var errs []error
	for _, name := range append([]string{fileDatabase + "-wal", fileDatabase + "-shm", fileDatabase + "-lock"}, ours...) {
		if err := disk.Remove(root, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// open opens the book of an initialized folder; done closes it.
func (f folder) open(ctx context.Context, log *slog.Logger) (reg *registry.Registry, done func() error, err error) {
	return f.opened(ctx, (*store.DB).Present, log)
}

// openAlone is open where no other process has the book open, and none opens it until
// done.
func (f folder) openAlone(ctx context.Context, log *slog.Logger) (reg *registry.Registry, done func() error, err error) {
	return f.opened(ctx, (*store.DB).Alone, log)
}

// openedFor says how a database is opened beside other processes.
type openedFor func(*store.DB, context.Context) error

// take refuses where another process does not let this one in.
func (how openedFor) take(ctx context.Context, db *store.DB) error {
	err := how(db, ctx)
	if errors.Is(err, store.ErrInUse) {
		return refusal.New(refusal.Conflict, "Another process has the record open: a server that runs, or a command. Nothing was changed.").
			Hinted("Stop every server on the database, and run the command again.")
	}
	return err
}

func (f folder) opened(ctx context.Context, how openedFor, log *slog.Logger) (reg *registry.Registry, done func() error, err error) {
	secret, err := f.secret()
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(f.file(fileDatabase)); f.database == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil, refusal.New(refusal.NotFound, "%s has keys but no database.", f.path).
			Hinted("If the database is elsewhere, name it with --database; otherwise put %s back.", fileDatabase)
	}
	db, err := store.Open(ctx, f.address())
	if err != nil {
		return nil, nil, err
	}
	if err := how.take(ctx, db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	reg, err = registry.Open(ctx, f.config(db, secret, log))
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	done = func() error {
		return errors.Join(reg.Close(context.WithoutCancel(ctx)), db.Close())
	}
	return reg, done, nil
}

func (f folder) secret() ([]byte, error) {
	secret, err := secretIn(f.file(fileSecret))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refusal.New(refusal.NotFound, "%s is no data folder: there is no %s in it.", f.path, fileSecret).
			Hinted("licet-central init --data %s makes one.", f.path)
	}
	return secret, err
}

// secretIn reads the secret of a server from a file.
func secretIn(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || len(secret) == 0 || len(secret)%secretSize != 0 {
		return nil, refusal.New(refusal.DamagedFile, "%s is damaged.", path).Hinted("Put it back from its back-up.")
	}
	return secret, nil
}

// writeSecret writes the secrets, one a line: the first for hashes, the last to encrypt.
func (f folder) writeSecret(secrets []byte) error {
	var text []byte
	for secret := range slices.Chunk(secrets, secretSize) {
		text = append(hex.AppendEncode(text, secret), '\n')
	}
	var disk durable.Disk
	return disk.WritePath(f.file(fileSecret), text, durable.PrivateFile)
}

func (f folder) address() string {
	if f.database != "" {
		return f.database
	}
	return "sqlite:" + f.file(fileDatabase)
}

func (f folder) config(db *store.DB, secret []byte, log *slog.Logger) registry.Config {
	return registry.Config{DB: db, Secret: secret, Now: f.env.Now, Random: f.env.Random, Log: log, Journal: f.journal}
}
