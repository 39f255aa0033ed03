package console

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"

	"licet/internal/look"
	"licet/internal/web"
	"licet/refusal"
	"licet/wire"
)

func (c *console) report(w http.ResponseWriter, r *http.Request, m member) error {
	report, err := c.registry.LicenseReport(r.Context(), m.Actor)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, reportPage(m, report))
}

// reportFile is one table of the report for a spreadsheet.
func (c *console) reportFile(w http.ResponseWriter, r *http.Request, m member) error {
	table, csvFile := strings.CutSuffix(r.PathValue("table"), ".csv")
	report, err := c.registry.LicenseReport(r.Context(), m.Actor)
	if err != nil {
		return err
	}
	rows, ok := report.Table(table)
	if !csvFile || !ok {
		return refusal.New(refusal.NotFound, "There is nothing at this address.")
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="licenses-by-`+strings.TrimSuffix(table, "s")+`.csv"`)
	if err := csv.NewWriter(w).WriteAll(rows); err != nil {
		web.Fault(r.Context(), err) // the browser went away
	}
	return nil
}

// monthName is how a month of the report is called: short below a picture, with its
// year elsewhere.
func monthName(ctx context.Context, month string, short bool) string {
	year, number, _ := strings.Cut(month, "-")
	name := look.T(ctx, "month."+strings.TrimPrefix(number, "0"))
	if short {
		return name
	}
	return name + " " + year
}

// pastMonths are the months up to this one, aheadMonths this one and those after it.
func pastMonths(r wire.LicenseReport) []wire.ReportMonth  { return r.Months[:len(r.Months)/2+1] }
func aheadMonths(r wire.LicenseReport) []wire.ReportMonth { return r.Months[len(r.Months)/2:] }

func pastChart(ctx context.Context, r wire.LicenseReport) look.Chart {
	chart := look.Chart{Label: look.T(ctx, "console.report.past"),
		Series: []look.Series{{Name: look.T(ctx, "console.report.activated")}}, Limit: look.T(ctx, "console.report.issued")}
	var sum wire.ReportMonth
	for _, m := range pastMonths(r) {
		sum.Issued += m.Issued
		sum.Activated += m.Activated
		sum.Restored += m.Restored
		chart.Bars = append(chart.Bars, look.Bar{Label: monthName(ctx, m.Month, true), Values: []int64{m.Activated}, Limit: m.Issued,
			Words: look.T(ctx, "console.report.bar.past", append(monthWords(ctx, m), "Month", monthName(ctx, m.Month, false))...)})
	}
	chart.Words = look.T(ctx, "console.report.past.words", monthWords(ctx, sum)...)
	return chart
}

func aheadChart(ctx context.Context, r wire.LicenseReport) look.Chart {
	chart := look.Chart{Label: look.T(ctx, "console.report.ahead"), Series: []look.Series{{Name: look.T(ctx, "console.report.ending")}}}
	var sum wire.ReportMonth
	for _, m := range aheadMonths(r) {
		sum.Ending += m.Ending
		chart.Bars = append(chart.Bars, look.Bar{Label: monthName(ctx, m.Month, true), Values: []int64{m.Ending},
			Words: look.T(ctx, "console.report.bar.ahead", append(monthWords(ctx, m), "Month", monthName(ctx, m.Month, false))...)})
	}
	chart.Words = look.T(ctx, "console.report.ahead.words", monthWords(ctx, sum)...)
	return chart
}

func monthWords(ctx context.Context, m wire.ReportMonth) []any {
	return []any{"Issued", look.Number(ctx, m.Issued), "Activated", look.Number(ctx, m.Activated),
		"Restored", look.Number(ctx, m.Restored), "Ending", look.Number(ctx, m.Ending)}
}

func reportFigures(ctx context.Context, r wire.LicenseReport) []look.Figure {
	t := r.Total
	n := func(n int64) string { return look.Number(ctx, n) }
	figures := []look.Figure{
		{Label: look.T(ctx, "console.report.active"), Value: n(t.Active), Note: look.T(ctx, "console.report.active.note", "Seats", n(t.ActiveSeats))},
		{Label: look.T(ctx, "console.report.free"), Value: n(t.Free), Note: look.T(ctx, "console.report.free.note")},
	}
	soon := look.Figure{Label: look.T(ctx, "console.report.soon"), Value: n(t.EndSoon)}
	if t.Ended > 0 {
		soon.Note, soon.Tone = look.T(ctx, "console.report.soon.note", "Count", n(t.Ended)), look.Warning
	}
	figures = append(figures, soon)
	if t.Units > 0 {
		figures = append(figures, look.Figure{Label: look.T(ctx, "console.report.units"), Value: n(t.UsedUnits), Note: look.T(ctx, "console.report.units.note", "Units", n(t.Units))})
	}
	return figures
}

// attentionFigures are those of which there are any.
func attentionFigures(ctx context.Context, a wire.ReportAttention) (figures []look.Figure) {
	for _, f := range []struct {
		key, href string
		n         int64
	}{
		{"recoveries", Prefix + "/recoveries", a.Recoveries},
		{"flagged", Prefix + "/containers?status=flagged", a.Flagged},
		{"blocked", Prefix + "/containers?status=blocked", a.Blocked},
		{"pending", "", a.Pending},
	} {
		if f.n > 0 {
			figures = append(figures, look.Figure{Label: look.T(ctx, "console.report."+f.key), Value: strconv.FormatInt(f.n, 10), Href: f.href})
		}
	}
	return figures
}
