package wire

import (
	"strconv"

	"licet/license"
)

// LicenseReport is how many licenses there are and what becomes of them.
type LicenseReport struct {
	Time      license.Time    `json:"time" doc:"When it was counted; a report is kept for a minute."`
	Total     ReportLine      `json:"total" doc:"All products together."`
	Products  []ReportLine    `json:"products" doc:"Each product that was sold, by its code."`
	Months    []ReportMonth   `json:"months" doc:"Twelve calendar months before this one, this one, and twelve after, in UTC."`
	Attention ReportAttention `json:"attention" doc:"What somebody should look at."`
}

// ReportLine is the licenses of a product. Parts that were split off count as
// licenses.
type ReportLine struct {
	Product     string `json:"product,omitempty"`
	Name        string `json:"name,omitempty"`
	Licenses    int64  `json:"licenses" doc:"All: free, active, returning and gone."`
	Free        int64  `json:"free" doc:"With the vendor: never activated, or returned."`
	Active      int64  `json:"active" doc:"In containers, or on their way there."`
	Returning   int64  `json:"returning" doc:"Given back; the receipt is awaited."`
	Gone        int64  `json:"gone" doc:"Withdrawn, replaced or canceled for good."`
	Seats       int64  `json:"seats" doc:"Of the licenses that are not gone."`
	ActiveSeats int64  `json:"active_seats" doc:"Of the active ones."`
	Units       int64  `json:"units" doc:"Of the licenses that are sold by units and not gone."`
	UsedUnits   int64  `json:"used_units"`
	Ended       int64  `json:"ended" doc:"Active licenses whose end has passed."`
	EndSoon     int64  `json:"end_soon" doc:"Active licenses that end within 30 days."`
}

// ReportMonth is what happened, and what will, in a calendar month.
type ReportMonth struct {
	Month     string `json:"month" doc:"Year and month, as 2026-01."`
	Issued    int64  `json:"issued" doc:"Licenses that were sold."`
	Activated int64  `json:"activated" doc:"Licenses that were activated for the first time."`
	Restored  int64  `json:"restored" doc:"Restores of lost licenses."`
	Ending    int64  `json:"ending" doc:"Active licenses that end, or ended, in it."`
}

// ReportAttention is what somebody should look at.
type ReportAttention struct {
	Flagged    int64 `json:"flagged" doc:"Containers that contradict the record."`
	Blocked    int64 `json:"blocked" doc:"Containers that are blocked."`
	Recoveries int64 `json:"recoveries" doc:"Reports of lost licenses that wait for a decision."`
	Pending    int64 `json:"pending" doc:"The vendor's actions that no container has confirmed yet."`
}

// Table is one of the report's tables with its headings, for a spreadsheet: products
// or months; false for another name.
func (r LicenseReport) Table(name string) (rows [][]string, ok bool) {
	row := func(first []string, counts ...int64) {
		for _, n := range counts {
			first = append(first, strconv.FormatInt(n, 10))
		}
		rows = append(rows, first)
	}
	switch name {
	case "products":
		row([]string{"product", "name", "licenses", "free", "active", "returning", "gone", "seats", "active_seats", "units", "used_units", "ended", "end_soon"})
		for _, l := range r.Products {
			row([]string{l.Product, l.Name}, l.Licenses, l.Free, l.Active, l.Returning, l.Gone, l.Seats, l.ActiveSeats, l.Units, l.UsedUnits, l.Ended, l.EndSoon)
		}
	case "months":
		row([]string{"month", "issued", "activated", "restored", "ending"})
		for _, m := range r.Months {
			row([]string{m.Month}, m.Issued, m.Activated, m.Restored, m.Ending)
		}
	default:
		return nil, false
	}
	return rows, true
}
