package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"licet/internal/store"
	"licet/internal/store/storetest"
)

// TestReport: staff see what there is, as a picture, as a table and as a file, and
// what somebody should look at.
func TestReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		s := newStage(t, open())
		s.account("maren")
		m := s.as("maren")
		m.get("/console/report").is(t, http.StatusOK, "Nothing was sold yet")
		s.now = s.now.Add(2 * time.Minute)
		o := s.order("1", "Buyer", "SIM")
		x := s.holding(o.Ticket)
		s.order("2", "Buyer", "SIM")
		_, err := s.BlockContainer(t.Context(), s.admin, x.keys.Serial(), "Stolen")
		s.must(err)
		month := s.now.Format("Jan 2006")
		m.get("/console/report").is(t, http.StatusOK, "Blocked containers", "SIM", month+": 2 sold, 1 activated, 0 restored", `href="/console/report/products.csv"`)
		a := m.get("/console/report/months.csv").is(t, http.StatusOK, "month,issued,activated,restored,ending", s.now.Format("2006-01")+",2,1,0,")
		if got := strings.Count(a.body, "\n"); got != 26 {
			t.Errorf("%d lines, not 25 months and a heading:\n%s", got, a.body)
		}
		m.get("/console/report/products.csv").is(t, http.StatusOK, "product,name,licenses,", "SIM,")
		for _, p := range []string{"weeks.csv", "months", "months.csv.csv", ".csv"} {
			m.get("/console/report/"+p).is(t, http.StatusNotFound)
		}
	})
}
