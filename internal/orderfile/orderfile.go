// Package orderfile reads orders from a table of comma-separated values (RFC
// 4180), such as a shop or the licensing before this one exports. It decides
// nothing that the server decides: what a product is and may be, the server says.
package orderfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"licet/internal/catalog"
	"licet/refusal"
	"licet/wire"
)

// The columns that every table knows. Any other is one of a product's terms, such
// as seats or expires_at, or features.
const (
	ColumnOrder    = "order"
	ColumnCustomer = "customer"
	ColumnProduct  = "product"
	ColumnQuantity = "quantity"
)

// MaxRows is how many rows a table may have.
const MaxRows = 1_000_000

// Problem is what is wrong with a row.
type Problem struct {
	Line    int          `json:"line"` // in the file, from 1
	Order   string       `json:"order,omitempty"`
	Code    refusal.Code `json:"code"`
	Message string       `json:"message"`
}

// Order is the rows of one order number, in the order of the file.
type Order struct {
	wire.OrderRequest
	Lines []int // of the items
}

// Table is what was read: the orders that are whole, and what is wrong with the
// others. An order with a bad row is left out as a whole.
type Table struct {
	Rows     int
	Orders   []Order
	Problems []Problem
}

// Read reads a table. The first line names the columns; commas, semicolons or
// tabs part them. A table that cannot be read at all, or whose columns are not
// known, is refused with InvalidInput.
func Read(from io.Reader) (Table, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return Table{}, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) {
		return Table{}, refusal.New(refusal.InvalidInput, "The file is not UTF-8 text.").Hinted("Save it as CSV in UTF-8.")
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = separator(text)
	r.ReuseRecord = true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return Table{}, refusal.New(refusal.InvalidInput, "The file is empty.").Hinted("The first line names the columns: order, customer, product, quantity.")
	}
	if err != nil {
		return Table{}, notTable(err)
	}
	columns := slices.Clone(head)
	if err := known(columns); err != nil {
		return Table{}, err
	}
	return rows(r, columns)
}

func notTable(err error) error {
	return refusal.New(refusal.InvalidInput, "The file is no table: %s.", err).Hinted("Nothing was imported. Correct the line, or export the table again.")
}

// separator is what parts the columns of the first line.
func separator(text []byte) rune {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	best, most := ',', 0
	for _, c := range []rune{',', ';', '\t'} {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// known names the columns as they are written here, and refuses what is none.
func known(columns []string) error {
	for i, c := range columns {
		c = strings.ToLower(strings.TrimSpace(c))
		if slices.Contains(columns[:i], c) {
			return refusal.New(refusal.InvalidInput, "The column %q is there twice.", c).Hinted("Nothing was imported. Leave one of them.")
		}
		columns[i] = c
	}
	for _, c := range []string{ColumnOrder, ColumnCustomer, ColumnProduct} {
		if !slices.Contains(columns, c) {
			return refusal.New(refusal.InvalidInput, "The first line names no column %q; it has %s.", c, strings.Join(columns, ", ")).
				Hinted("Nothing was imported. There must be order, customer and product; quantity and terms such as seats are optional.")
		}
	}
	for _, c := range columns {
		if c == ColumnOrder || c == ColumnCustomer || c == ColumnProduct || c == ColumnQuantity {
			continue
		}
		if err := catalog.ItemKey(c); err != nil {
			return refusal.New(refusal.InvalidInput, "The column %q is none: %s.", c, err).Hinted("Nothing was imported. Rename the column, or take it out.")
		}
	}
	return nil
}

func rows(r *csv.Reader, columns []string) (Table, error) {
	var t Table
	at := map[string]int{} // orders by number
	spoiled := map[string]bool{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, csv.ErrFieldCount) {
			return Table{}, notTable(err)
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			// The row is readable and its neighbors are too.
			t.Rows++
			number := ""
			if i := slices.Index(columns, ColumnOrder); i < len(record) {
				number = strings.TrimSpace(record[i])
				spoiled[number] = true
			}
			t.Problems = append(t.Problems, Problem{line, number, refusal.InvalidInput, fmt.Sprintf("The row has %d columns; the first line names %d.", len(record), len(columns))})
			continue
		}
		if t.Rows++; t.Rows > MaxRows {
			return Table{}, refusal.New(refusal.TooLarge, "The file has more than %d rows.", MaxRows).Hinted("Nothing was imported. Split it.")
		}
		number, customer, item, err := row(columns, record)
		if err == nil {
			i, there := at[number]
			switch {
			case !there:
				at[number] = len(t.Orders)
				o := Order{Lines: []int{line}}
				o.Number, o.Customer, o.Items = number, customer, []wire.OrderItem{item}
				t.Orders = append(t.Orders, o)
			case t.Orders[i].Customer != customer:
				err = fmt.Errorf("order %s belongs to %s in line %d, and to %s here", number, t.Orders[i].Customer, t.Orders[i].Lines[0], customer)
			default:
				t.Orders[i].Items = append(t.Orders[i].Items, item)
				t.Orders[i].Lines = append(t.Orders[i].Lines, line)
			}
		}
		if err != nil {
			spoiled[number] = true
			t.Problems = append(t.Problems, Problem{line, number, refusal.InvalidInput, sentence(err.Error())})
		}
	}
	t.Orders = slices.DeleteFunc(t.Orders, func(o Order) bool { return spoiled[o.Number] })
	return t, nil
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

func row(columns, record []string) (number, customer string, item wire.OrderItem, err error) {
	item.Quantity = 1
	for i, c := range columns {
		cell := strings.TrimSpace(record[i])
		switch c {
		case ColumnOrder:
			number = cell
		case ColumnCustomer:
			customer = cell
		case ColumnProduct:
			item.Product = cell
		case ColumnQuantity:
			if cell == "" {
				continue
			}
			if item.Quantity, err = strconv.ParseInt(cell, 10, 64); err != nil || item.Quantity < 1 || item.Quantity > catalog.MaxQuantity {
				return number, customer, item, fmt.Errorf("%q is no quantity from 1 to %d", cell, catalog.MaxQuantity)
			}
		default:
			if cell != "" {
				item.Override = append(item.Override, c+"="+cell)
			}
		}
	}
	for _, c := range []struct{ name, cell string }{{ColumnOrder, number}, {ColumnCustomer, customer}, {ColumnProduct, item.Product}} {
		if c.cell == "" {
			return number, customer, item, fmt.Errorf("the column %s is empty", c.name)
		}
	}
	if _, err := catalog.NewItem(item.Product, item.Quantity, item.Override); err != nil {
		return number, customer, item, errors.New(strings.TrimSuffix(err.Error(), "."))
	}
	return number, customer, item, nil
}
