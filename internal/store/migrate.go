package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Newest is the number of the last migration that this program knows.
func Newest() int64 {
	names, _ := fs.Glob(migrationFiles, "migrations/*.sql") // the pattern is good
	var last int64
	for _, name := range names {
		n, _ := goose.NumericComponent(name) // a bad name fails in every test
		last = max(last, n)
	}
	return last
}

// migrate brings the schema to where a migration leads, or up to date. It does
// nothing when it already is there.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, schema int64) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	if dialect == goose.DialectPostgres {
		files = postgresFiles{files}
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if schema == newest {
		_, err = provider.Up(ctx)
	} else {
		_, err = provider.UpTo(ctx, schema)
	}
	return err
}

// columnType finds the types of columns that PostgreSQL has another word for:
// they follow the column's name on the same line.
var columnType = regexp.MustCompile(`(?i)(\w[ \t]+)(BLOB|TEXT)\b`)

// withoutRowID is SQLite's word for a table that is kept in the order of its
// primary key; PostgreSQL has none for it.
var withoutRowID = regexp.MustCompile(`(?i)\)[ \t]*WITHOUT ROWID;`)

// postgresOnly begins a line that is a comment for SQLite.
var postgresOnly = regexp.MustCompile(`(?m)^-- postgres: `)

// postgresText turns a migration into PostgreSQL's: its column types, and the lines
// that are for it alone. Text sorts by bytes there too, whatever the database's own
// collation is.
func postgresText(migration []byte) []byte {
	migration = withoutRowID.ReplaceAll(migration, []byte(");"))
	migration = postgresOnly.ReplaceAll(migration, nil)
	return columnType.ReplaceAllFunc(migration, func(match []byte) []byte {
		column := match[:len(match)-len("BLOB")] // both words have four letters
		if bytes.EqualFold(match[len(column):], []byte("BLOB")) {
			return append(bytes.Clone(column), "BYTEA"...)
		}
		return append(bytes.Clone(column), `TEXT COLLATE "C"`...)
	})
}

// postgresFiles is the migrations as PostgreSQL gets them.
type postgresFiles struct{ fs.FS }

func (p postgresFiles) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return postgresFile{bytes.NewReader(postgresText(text)), info}, nil
}

type postgresFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f postgresFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f postgresFile) Close() error               { return nil }
