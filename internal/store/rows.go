package store

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// manyRows is a statement over any number of rows, in texts of a few sizes, so
// that each is parsed once per connection.
type manyRows struct {
	values int // of one row
	texts  [len(rowsAtOnce)]string
}

// rowsAtOnce is how many rows the statements have, most first.
var rowsAtOnce = [...]int{64, 16, 4, 2, 1}

var placeholder = regexp.MustCompile(`[$][0-9]+`)

// newManyRows makes it from a statement over one row with so many placeholders,
// which stands in parentheses behind VALUES. All rows have the same constants.
func newManyRows(statement string, values int) manyRows {
	m := manyRows{values: values}
	at := strings.Index(strings.ToLower(statement), "values (") + len("values ")
	end := at
	for depth := 0; ; end++ {
		if statement[end] == '(' {
			depth++
		} else if statement[end] == ')' {
			depth--
		}
		if depth == 0 {
			break
		}
	}
	end++
	for i, rows := range rowsAtOnce {
		text := statement[:end]
		for n := 1; n < rows; n++ {
			text += ", " + placeholder.ReplaceAllStringFunc(statement[at:end], func(p string) string {
				k, _ := strconv.Atoi(p[1:]) // digits, says the pattern
				return "$" + strconv.Itoa(k+n*values)
			})
		}
		m.texts[i] = text + statement[end:]
	}
	return m
}

// many runs a statement over rows, given one after the other, and says how many
// rows it changed.
func (c *conn) many(ctx context.Context, m *manyRows, args []any) (changed int64, err error) {
	for i, rows := range rowsAtOnce {
		for n := rows * m.values; len(args) >= n; args = args[n:] {
			n, err := c.exec(ctx, m.texts[i], args[:n])
			if err != nil {
				return changed, err
			}
			changed += n
		}
	}
	return changed, nil
}

// manyLater is many for rows that are inserted, whose outcome nobody needs before
// the commit.
func (c *conn) manyLater(ctx context.Context, m *manyRows, args []any) error {
	for i, rows := range rowsAtOnce {
		for n := rows * m.values; len(args) >= n; args = args[n:] {
			if err := c.later(ctx, m.texts[i], int64(rows), args[:n:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// many is like Exec with many rows.
func (tx *Tx) many(m *manyRows, args []any) (changed int64, err error) {
	if err := tx.writable(); err != nil {
		return 0, err
	}
	if changed, err = tx.conn.many(tx.statement, m, args); err != nil {
		return changed, tx.fail(err)
	}
	return changed, nil
}

// manyLater is like later with many rows that are inserted; they do not change
// until then.
func (tx *Tx) manyLater(m *manyRows, args []any) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if err := tx.conn.manyLater(tx.statement, m, args); err != nil {
		return tx.fail(err)
	}
	return nil
}
