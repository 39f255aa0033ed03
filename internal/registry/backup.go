package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"

	"licet/internal/backup"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// BackupRequest says how a back-up is made.
type BackupRequest struct {
	Program    string          // name and version of the program, for the header
	Recipients []age.Recipient // whom it is encrypted to; nobody if empty
	WithSecret bool            // the secret goes into it; only if it is encrypted
	Progress   func(table string, rows int64)
}

// Backup writes the whole record to w, as it is at one moment; servers that run on
// the database go on. The database may have any schema that there was. W must begin
// anew, through again, where the database makes the reading start again.
func Backup(ctx context.Context, cfg Config, req BackupRequest, w io.Writer, again func() error) (out wire.Backup, err error) {
	if req.WithSecret && len(req.Recipients) == 0 {
		return out, refusal.New(refusal.InvalidInput, "A back-up with the secret in it opens everything, so it is encrypted or not made.").
			Hinted("Name a recipient, or keep secret.key apart from the back-up.")
	}
	vault, err := seal.NewVault(cfg.Secret)
	if err != nil {
		return out, err
	}
	begun := false
	err = cfg.DB.Read(ctx, func(tx *store.Tx) error {
		if begun {
			if err := again(); err != nil {
				return err
			}
		}
		begun = true
		out, err = dump(tx, cfg, vault, req, w)
		return err
	})
	return out, err
}

func dump(tx *store.Tx, cfg Config, vault *seal.Vault, req BackupRequest, w io.Writer) (out wire.Backup, err error) {
	v, err := tx.VendorHead()
	if errors.Is(err, store.ErrNotFound) {
		return out, refusal.New(refusal.NotFound, "The database holds no vendor yet.").Hinted("Run licet-central init first.")
	}
	if err != nil {
		return out, err
	}
	if err := opens(tx, vault); err != nil {
		return out, err
	}
	h := backup.Header{Program: req.Program, Vendor: v.ID, Name: v.Name, Environment: v.Environment, Epoch: v.Epoch,
		Time: license.At(cfg.Now()), Engine: cfg.DB.Engine()}
	if h.Schema, err = tx.Schema(); err != nil {
		return out, err
	}
	if h.Events, h.Newest, err = tx.Position(); err != nil {
		return out, err
	}
	tables, err := tx.Tables()
	if err != nil {
		return out, err
	}
	for _, t := range tables {
		h.Tables = append(h.Tables, backupTable(t))
		if t.Name == "journal" {
			if h.Journal, err = journalOf(tx); err != nil {
				return out, err
			}
		}
	}
	if req.WithSecret {
		h.Secret = cfg.Secret
	}
	b, err := backup.NewWriter(w, h, req.Recipients...)
	if err != nil {
		return out, err
	}
	for i, t := range tables {
		if req.Progress != nil {
			req.Progress(t.Name, b.Rows())
		}
		err := tx.Dump(t, func(row []any) error {
			if n := b.Rows(); n%10_000 == 0 && req.Progress != nil {
				req.Progress(t.Name, n)
			}
			return b.Row(i, row)
		})
		if err != nil {
			return out, err
		}
	}
	out = backupView(h)
	out.Rows, out.Encrypted = b.Rows(), len(req.Recipients) > 0
	return out, b.Close(mark(vault))
}

// journalOf is how far the journal is, nil if the record has none.
func journalOf(tx *store.Tx) (*backup.Journal, error) {
	row, err := tx.Journal()
	if errors.Is(err, store.ErrNotFound) || err == nil && row.Ended {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &backup.Journal{Chain: row.Chain, Number: row.Number}, nil
}

func backupTable(t store.Table) backup.Table {
	out := backup.Table{Name: t.Name}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, c.Name)
	}
	return out
}

func backupView(h backup.Header) wire.Backup {
	return wire.Backup{Vendor: h.Name, VendorID: h.Vendor, Environment: h.Environment, Epoch: h.Epoch, Time: h.Time, Schema: h.Schema, Database: h.Engine,
		Events: h.Events, Newest: h.Newest, WithSecret: h.Secret != nil, Journal: h.Journal != nil}
}

// mark is what proves that a back-up was made where the secret is.
func mark(vault *seal.Vault) func([]byte) [32]byte {
	return func(sum []byte) [32]byte { return vault.KeyedHash("backup", sum) }
}

// opens reports whether the secret opens what is encrypted in the database.
func opens(tx *store.Tx, vault *seal.Vault) error {
	rows, err := tx.SealedKeys()
	if err != nil {
		return err
	}
	for _, k := range rows {
		if _, err := vault.Open(keyPlace(k.ID), k.Private); err != nil {
			return refusal.New(refusal.InvalidInput, "The keys in the database do not open with this secret.key: it is that of another server.").
				Hinted("Name the data folder, and the database, of one server.")
		}
	}
	return nil
}

// RestoreBackup says how a back-up is restored.
type RestoreBackup struct {
	// Open opens the file from its beginning; it is read twice.
	Open       func() (io.ReadCloser, error)
	Identities []age.Identity
	Database   string   // address of an empty database
	Reason     string   // for the histories
	Journals   []string // places of the second journal, of every server that wrote to it; empty for none
	Progress   func(table string, rows int64)

	// Prepare is called once the file is proven, with the secret that opens it,
	// before anything is written; Keep when all but the last word is written. Keep may
	// be called again, with another token.
	Prepare func(secret []byte) error
	Keep    func(Restored) error
}

// Restored is what a restored back-up gives.
type Restored struct {
	Backup     wire.Backup
	Journal    *wire.Forward // what the journal brought; nil if none was named
	Gap        wire.Gap
	AdminToken string // a new one, of the first administrator's kind
	Trust      []byte
	Secret     []byte // that opens the record
}

// Restore puts a back-up into an empty database. The file is proven whole before
// anything is written, and the database is of no use to anybody before all of it is
// there and the gap is open (docs/protocol.md R18, R19). Cfg.Secret is that of the
// server that was lost; nil takes it from the back-up. Cfg.DB is not looked at.
func Restore(ctx context.Context, cfg Config, req RestoreBackup) (out Restored, err error) {
	h, rows, err := prove(ctx, &cfg, req)
	if err != nil {
		return out, err
	}
	out.Backup, out.Secret = backupView(h), cfg.Secret
	out.Backup.Rows = rows
	if req.Prepare != nil {
		if err := req.Prepare(cfg.Secret); err != nil {
			return out, err
		}
	}
	if err := fill(ctx, h, cfg.Secret, req); err != nil {
		return out, err
	}
	since, whole := h.Time, false
	if len(req.Journals) > 0 {
		f, err := forward(ctx, cfg, req.Database, h.Schema, req.Journals, req.Progress)
		if err != nil {
			return out, err
		}
		out.Journal, whole = forwardView(f), f.Whole
		since = max(since, f.End)
	}
	if cfg.DB, err = store.Open(ctx, req.Database); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, cfg.DB.Close()) }()
	r := &Registry{cfg: cfg}
	err = r.write(ctx, func(tx *store.Tx) error {
		if err := tx.TouchVendor(); err != nil {
			return err
		}
		k, err := r.load(tx)
		if err != nil {
			return err
		}
		r.ring.Store(k)
		if out.Gap, err = r.openGap(tx, System, since, whole, req.Reason); err != nil {
			return err
		}
		now := cfg.Now()
		token, err := r.insertToken(tx, "admin", []string{ScopeAdmin}, now, 0)
		if err != nil {
			return err
		}
		out.AdminToken, out.Trust = token.Secret, k.vendor.Trust
		if err := r.scribe(tx, System, now).note(evTokenCreated, map[string]any{"name": token.Name, "scopes": token.Scopes, "expires_at": token.Expires}, about(ofToken, token.ID)); err != nil {
			return err
		}
		if req.Keep != nil {
			if err := req.Keep(out); err != nil {
				return err
			}
		}
		if err := r.rechain(tx); err != nil {
			return err
		}
		return tx.EndRestoring()
	})
	return out, err
}

// CheckBackup reads a back-up to its end and says what it is of. With the secret of
// the server, or one that is in it, it also proves that it was made where that is.
func CheckBackup(ctx context.Context, secret []byte, req RestoreBackup) (out wire.Backup, err error) {
	b, err := readThrough(ctx, req)
	if err != nil {
		return out, err
	}
	out = backupView(b.Header)
	out.Rows = b.Rows()
	if secret == nil {
		secret = b.Header.Secret
	}
	if secret == nil {
		return out, nil
	}
	out.Proven = true
	return out, marked(b, secret)
}

// readThrough reads a back-up to its end.
func readThrough(ctx context.Context, req RestoreBackup) (b *backup.Reader, err error) {
	f, err := req.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err = backup.NewReader(f, req.Identities...)
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, _, err = b.Next()
		}
		if err == nil && req.Progress != nil {
			req.Progress("", b.Rows())
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return b, nil
	case errors.Is(err, backup.ErrEncrypted):
		return nil, refusal.New(refusal.InvalidInput, "The back-up is encrypted, and no identity that opens it was given.").
			Hinted("Name the file with the identity of one of its recipients: --identity FILE.")
	case errors.Is(err, backup.ErrNewer):
		return nil, refusal.New(refusal.UnsupportedVersion, "The back-up was made by a newer version.").Hinted("Use licet-central of that version or newer.")
	case errors.Is(err, backup.ErrForeign):
		return nil, refusal.New(refusal.WrongFile, "The file is no back-up of licet-central.").Hinted("Name a file that licet-central backup wrote.")
	case errors.Is(err, backup.ErrDamaged):
		return nil, refusal.New(refusal.BackupDamaged, "The back-up is not whole: it is cut short or altered. Nothing was written.")
	}
	return nil, err
}

// marked refuses a back-up that was made with another secret.
func marked(b *backup.Reader, secret []byte) error {
	vault, err := seal.NewVault(secret)
	if err != nil {
		return err
	}
	if !b.MarkedBy(mark(vault)) {
		return refusal.New(refusal.BackupDamaged, "The back-up was not made with this secret.key: it is that of another server, or the back-up was altered. Nothing was written.")
	}
	return nil
}

// prove reads a back-up to its end and takes the secret from it if none is given.
func prove(ctx context.Context, cfg *Config, req RestoreBackup) (h backup.Header, rows int64, err error) {
	b, err := readThrough(ctx, req)
	if err != nil {
		return h, 0, err
	}
	h = b.Header
	if cfg.Secret == nil {
		cfg.Secret = h.Secret
	}
	if cfg.Secret == nil {
		return h, 0, refusal.New(refusal.InvalidInput, "The back-up does not hold the secret of the server, and none was given.").
			Hinted("Name the secret.key of the server that was lost: --key FILE.")
	}
	if err := marked(b, cfg.Secret); err != nil {
		return h, 0, err
	}
	if h.Schema > store.Newest() {
		return h, 0, refusal.New(refusal.UnsupportedVersion, "The back-up has the schema %d; this program knows %d.", h.Schema, store.Newest()).
			Hinted("Use licet-central of the version that made it, or newer.")
	}
	return h, b.Rows(), nil
}

// fill puts the rows into the database, in the schema that they have, in one
// transaction that leaves them marked as not finished.
func fill(ctx context.Context, h backup.Header, secret []byte, req RestoreBackup) (err error) {
	vault, err := seal.NewVault(secret)
	if err != nil {
		return err
	}
	db, err := store.OpenAt(ctx, req.Database, h.Schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Write(ctx, func(tx *store.Tx) error {
		half, err := tx.Restoring()
		if err != nil {
			return err
		}
		if _, err := tx.VendorHead(); err == nil && !half {
			return refusal.New(refusal.AlreadyInitialized, "The database holds a vendor already; it was not touched.").Hinted("Name an empty database.")
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		tables, err := tx.Tables()
		if err != nil {
			return err
		}
		if err := tx.Empty(tables); err != nil {
			return err
		}
		f, err := req.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := backup.NewReader(f, req.Identities...)
		if err != nil {
			return err
		}
		into, err := places(b.Header.Tables, tables)
		if err != nil {
			return err
		}
		for {
			at, rows, err := b.Next()
			if errors.Is(err, io.EOF) && !b.MarkedBy(mark(vault)) {
				err = backup.ErrDamaged // it changed since it was proven
			}
			if errors.Is(err, io.EOF) {
				return tx.BeginRestoring()
			}
			if err != nil {
				return err
			}
			if req.Progress != nil {
				req.Progress(into[at].Name, b.Rows())
			}
			if err := tx.Load(into[at], rows); err != nil {
				return err
			}
		}
	})
}

// places finds the tables of a back-up in a database, which has the same.
func places(of []backup.Table, there []store.Table) (into []store.Table, err error) {
	for _, t := range of {
		i := slices.IndexFunc(there, func(x store.Table) bool { return x.Name == t.Name })
		if i < 0 || len(there[i].Columns) != len(t.Columns) {
			return nil, fmt.Errorf("registry: the table %s of the back-up is not the one of its schema", t.Name)
		}
		x := store.Table{Name: t.Name}
		for _, name := range t.Columns {
			c := slices.IndexFunc(there[i].Columns, func(c store.Column) bool { return c.Name == name })
			if c < 0 {
				return nil, fmt.Errorf("registry: the column %s of table %s of the back-up is not in its schema", name, t.Name)
			}
			x.Columns = append(x.Columns, there[i].Columns[c])
		}
		into = append(into, x)
	}
	if len(of) != len(there) {
		return nil, errors.New("registry: the back-up has other tables than its schema")
	}
	return into, nil
}
