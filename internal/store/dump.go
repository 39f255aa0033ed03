package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The rows below are for back-ups: every table as it is, whatever its columns are.
// Migrations alone say which there are, so a back-up needs no list of its own.

// Table is a table of the schema.
type Table struct {
	Name    string
	Columns []Column

	// numbered says that the order of the rows counts: SQLite numbers them by itself,
	// on PostgreSQL a column does. The number is none of the columns; rows that are
	// loaded in this order get new ones.
	numbered bool
}

// Column is a column of a table. Its type is TEXT, BIGINT or BLOB.
type Column struct{ Name, Type string }

// rowNumber is the name of that number, and the table that has it.
const rowNumber, numberedTable = "rowid", "events"

// catalog is how an engine is asked what tables there are: name, column and type,
// and which table refers to which.
type catalog struct{ columns, references string }

var (
	sqliteCatalog = catalog{
		`select m.name, c.name, upper(c.type) from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' and m.name not like 'sqlite_%' order by m.name, c.cid`,
		`select m.name, f."table" from sqlite_master m join pragma_foreign_key_list(m.name) f where m.type = 'table'`,
	}
	postgresCatalog = catalog{
		`select c.relname::text, a.attname::text, case a.atttypid::regtype::text when 'text' then 'TEXT' when 'bigint' then 'BIGINT' when 'bytea' then 'BLOB' else a.atttypid::regtype::text end
  from pg_class c join pg_attribute a on a.attrelid = c.oid
  where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace and a.attnum > 0 and not a.attisdropped order by c.relname, a.attnum`,
		`select r.relname::text, f.relname::text from pg_constraint k join pg_class r on r.oid = k.conrelid join pg_class f on f.oid = k.confrelid
  where k.contype = 'f' and r.relnamespace = current_schema()::regnamespace`,
	}
)

// versions is the table of the migrations.
const versions = "goose_db_version"

const schemaVersion = `select max(version_id) from goose_db_version`

// passing are tables whose rows belong to the servers that run now.
var passing = []string{"sessions"}

func (tx *Tx) catalog() catalog {
	if _, ok := tx.conn.link.(*lite); ok {
		return sqliteCatalog
	}
	return postgresCatalog
}

// Schema is the number of the last migration that the database has.
func (tx *Tx) Schema() (n int64, err error) { return n, tx.QueryRow(schemaVersion).Scan(&n) }

// Tables returns every table of a back-up, each behind those that it refers to.
func (tx *Tx) Tables() ([]Table, error) {
	type pair struct{ a, b string }
	var tables []Table
	columns, err := collect(tx, func(scan func(...any) error) (c struct {
		table string
		Column
	}, err error) {
		return c, scan(&c.table, &c.Name, &c.Type)
	}, tx.catalog().columns)
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		switch {
		case c.table == versions || slices.Contains(passing, c.table):
			continue
		case c.Type != "TEXT" && c.Type != "BIGINT" && c.Type != "BLOB":
			return nil, fmt.Errorf("store: the column %s of table %s has the type %s", c.Name, c.table, c.Type)
		case len(tables) == 0 || tables[len(tables)-1].Name != c.table:
			tables = append(tables, Table{Name: c.table})
		}
		t := &tables[len(tables)-1]
		if _, own := tx.conn.link.(*lite); c.Name == rowNumber || own && c.table == numberedTable {
			t.numbered = true
		}
		if c.Name != rowNumber {
			t.Columns = append(t.Columns, c.Column)
		}
	}
	references, err := collect(tx, func(scan func(...any) error) (p pair, err error) { return p, scan(&p.a, &p.b) }, tx.catalog().references)
	if err != nil {
		return nil, err
	}
	var sorted []Table
	for len(tables) > 0 {
		before := len(tables)
		for i := 0; i < len(tables); i++ {
			waits := slices.ContainsFunc(tables, func(t Table) bool {
				return t.Name != tables[i].Name && slices.Contains(references, pair{tables[i].Name, t.Name})
			})
			if !waits {
				sorted = append(sorted, tables[i])
				tables = slices.Delete(tables, i, i+1)
				i--
			}
		}
		if len(tables) == before {
			return nil, errors.New("store: tables refer to each other in a circle")
		}
	}
	return sorted, nil
}

func (t Table) names() string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = `"` + c.Name + `"`
	}
	return strings.Join(names, ", ")
}

// Dump reads every row of a table: nil, int64, string or []byte for each column. A
// row is good until the next one is read.
func (tx *Tx) Dump(t Table, row func([]any) error) error {
	order := ""
	if t.numbered {
		order = " order by " + rowNumber
	}
	rows, err := tx.Query(`select ` + t.names() + ` from "` + t.Name + `"` + order)
	if err != nil {
		return err
	}
	defer rows.Close()
	dest, values := make([]any, len(t.Columns)), make([]any, len(t.Columns))
	for i, c := range t.Columns {
		switch c.Type {
		case "TEXT":
			dest[i] = new(sql.NullString)
		case "BIGINT":
			dest[i] = new(sql.NullInt64)
		default:
			dest[i] = new([]byte)
		}
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, d := range dest {
			values[i] = nil
			switch d := d.(type) {
			case *sql.NullString:
				if d.Valid {
					values[i] = d.String
				}
			case *sql.NullInt64:
				if d.Valid {
					values[i] = d.Int64
				}
			case *[]byte:
				if *d != nil {
					values[i] = *d
				}
			}
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Empty deletes every row of tables, the last first.
func (tx *Tx) Empty(tables []Table) error {
	for _, t := range slices.Backward(tables) {
		if _, err := tx.Exec(`delete from "` + t.Name + `"`); err != nil {
			return err
		}
	}
	return nil
}

// Load inserts rows as Dump gave them.
func (tx *Tx) Load(t Table, rows [][]any) error {
	marks := make([]string, len(t.Columns))
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	many := newManyRows(`insert into "`+t.Name+`" (`+t.names()+`) values (`+strings.Join(marks, ", ")+`)`, len(t.Columns))
	var args []any
	for _, row := range rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("store: a row of %s has %d values for %d columns", t.Name, len(row), len(t.Columns))
		}
		for i, v := range row {
			if !t.Columns[i].takes(v) {
				return fmt.Errorf("store: the column %s of %s cannot hold a %T", t.Columns[i].Name, t.Name, v)
			}
			args = append(args, v)
		}
	}
	_, err := tx.many(&many, args)
	return err
}

func (c Column) takes(v any) bool {
	switch v.(type) {
	case nil:
		return true
	case string:
		return c.Type == "TEXT"
	case int64:
		return c.Type == "BIGINT"
	case []byte:
		return c.Type == "BLOB"
	}
	return false
}
