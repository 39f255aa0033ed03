package seatserver

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"

	"licet/license"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// UsageCSV writes rows as a table for a spreadsheet.
func UsageCSV(rows []wire.UsageRow) []byte {
	var codes []string
	for _, r := range rows {
		for code := range r.Denials {
			if !slices.Contains(codes, string(code)) {
				codes = append(codes, string(code))
			}
		}
	}
	slices.Sort(codes)
	lines := [][]string{append([]string{"from", "until", "product", "grants", "denied", "peak", "seats"}, codes...)}
	for _, r := range rows {
		line := []string{
			r.From.String(), r.Until.String(), r.Product, strconv.FormatUint(r.Grants, 10), strconv.FormatUint(r.Denied, 10),
			strconv.FormatInt(r.Peak, 10), strconv.FormatInt(r.Seats, 10),
		}
		for _, code := range codes {
			line = append(line, strconv.FormatUint(r.Denials[refusal.Code(code)], 10))
		}
		lines = append(lines, line)
	}
	return table(lines)
}

// LeasesCSV writes what is out as a table for a spreadsheet.
func LeasesCSV(leases []seats.LeaseView) []byte {
	lines := [][]string{{"lease", "kind", "product", "license", "seats", "user", "host", "address", "pid", "client", "since", "last", "until", "holder", "confirmed", "lingers", "units", "used"}}
	for _, l := range leases {
		lines = append(lines, []string{
			string(l.Lease), string(l.Kind), l.Product, string(l.License), strconv.FormatInt(l.Seats, 10), l.Client.User, l.Client.Host, l.Address,
			strconv.FormatInt(l.Client.PID, 10), l.Client.ID, l.Since.String(), moment(l.Last), moment(l.ExpiresAt), string(l.Holder),
			strconv.FormatBool(l.Confirmed), strconv.FormatBool(l.Lingers),
			strconv.FormatInt(l.Units, 10), strconv.FormatInt(l.Used, 10),
		})
	}
	return table(lines)
}

func moment(t license.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// table writes lines as CSV. No cell of it is a formula.
func table(lines [][]string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, line := range lines {
		for n := range line {
			line[n] = formula(line[n])
		}
		_ = w.Write(line) // a buffer takes everything
	}
	w.Flush()
	return b.Bytes()
}

// formula keeps a spreadsheet from computing what a stranger called himself, or a
// product.
func formula(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\uff1d\uff0b\uff0d\uff20") == 0 {
		return "'" + text
	}
	return text
}
