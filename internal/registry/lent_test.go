package registry_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"licet/container"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// tells makes a request of a container whose license server has seats out.
func (x *box) tells(w container.Wishes, lent ...container.Lent) []container.Outcome {
	x.b.t.Helper()
	var r container.Report
	x.state, r = x.state.Report(x.keys.Identity(license.Machine), nonce(), license.At(x.b.now))
	r.Wishes, r.Lent = w, lent
	file, err := seal.SealReport(x.b.trust, x.keys, r)
	must(x.b.t, err)
	if w.None() {
		must(x.b.t, x.b.Receipt(context.Background(), file))
		return nil
	}
	update, err := x.b.Program(context.Background(), file)
	must(x.b.t, err)
	_, outcomes, no := x.imports(update)
	if no != nil {
		x.b.t.Fatal(no)
	}
	return outcomes
}

const lentYAML = `
products:
  - code: NET
    name: On the network
    model: perpetual_multi
    terms: {seats: 10, borrow: {max: 30d, seats: 5}}
    restore: {license: {mode: automatic}}
  - code: OPEN
    name: May go back
    model: perpetual_multi
    terms: {seats: 10, borrow: {max: 30d, seats: 5, out: allow}}
`

// TestLent: seats that are out hold up a return of their user alone, and are told
// of to whoever takes the license away (N13, Sc30).
func TestLent(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: lentYAML})
		must(t, err)
		tk, ids := b.bought("NET", "OPEN")
		x := b.activated(tk)
		end := license.At(b.now.Add(10 * time.Hour))
		net := container.Lent{License: ids["NET"], Generation: 1, Seats: 3, Until: end}
		open := container.Lent{License: ids["OPEN"], Generation: 1, Seats: 1, Until: end.Add(time.Hour)}
		strange := container.Lent{License: "lic_strange", Generation: 1, Seats: 1, Until: end}

		// A receipt tells it, and nothing that is not the container's counts.
		x.tells(container.Wishes{}, net, open, strange)
		if l := b.license(ids["NET"]); l.Lent == nil || *l.Lent != net {
			t.Fatalf("%+v", l.Lent)
		}
		c, err := b.Container(t.Context(), b.admin, x.state.Serial)
		must(t, err)
		if len(c.Lent) != 2 {
			t.Fatalf("%+v", c.Lent)
		}
		h, err := b.History(t.Context(), b.admin, "license", string(ids["NET"]), "", 100)
		must(t, err)
		i := slices.IndexFunc(h.Items, func(e wire.Event) bool { return e.Event == "seats_lent" })
		if i < 0 || !strings.HasPrefix(h.Items[i].Sentence, "Seats out of the container's licenses: 4, the last of them until 2026-03-") {
			t.Fatalf("%+v", h.Items)
		}
		x.tells(container.Wishes{}, net, open) // the same again is no event
		h, err = b.History(t.Context(), b.admin, "license", string(ids["NET"]), "", 100)
		must(t, err)
		if n := len(h.Items); slices.ContainsFunc(h.Items[i+1:], func(e wire.Event) bool { return e.Event == "seats_lent" }) {
			t.Fatalf("%d events", n)
		}

		// Its user returns what may be returned while seats are out.
		out := x.tells(container.Wishes{Return: []license.ID{ids["NET"]}}, net, open)
		if out[0].Code != refusal.SeatsOnLoan || out[0].Details["seats"] != int64(3) || out[0].Details["until"] != end.String() {
			t.Fatalf("%+v", out)
		}
		b.is(ids["NET"], license.Collected, 1)
		if out := x.tells(container.Wishes{Return: []license.ID{ids["OPEN"]}}, net, open); out[0].Code != refusal.Done {
			t.Fatalf("%+v", out)
		}
		// What is out stays known when the license is gone from the container.
		x.tells(container.Wishes{}, net, open)
		b.is(ids["OPEN"], license.Returned, 1)
		if c, err = b.Container(t.Context(), b.admin, x.state.Serial); err != nil || len(c.Lent) != 2 {
			t.Fatalf("%+v %v", c.Lent, err)
		}

		// The vendor's order says what stays out, and is carried out all the same.
		dry, err := b.Withdraw(t.Context(), b.admin, []license.ID{ids["NET"]}, "test", true)
		must(t, err)
		if dry.Done[0].Lent == nil || *dry.Done[0].Lent != net {
			t.Fatalf("%+v", dry)
		}
		replaced, err := b.Replace(t.Context(), b.admin, ids["NET"], "NET,seats=20", "test", true)
		must(t, err)
		if replaced.Done[0].Lent == nil || *replaced.Done[0].Lent != net {
			t.Fatalf("%+v", replaced)
		}

		// A report of its loss: policy decides as usual, and the reasons name the end.
		d, err := b.ExplainRestore(t.Context(), b.admin, ids["NET"], recovery.ScopeLicense, "")
		must(t, err)
		i = slices.IndexFunc(d.Decision.Because, func(r recovery.Reason) bool { return r.Rule == recovery.RuleLent })
		if i < 0 || !strings.Contains(d.Decision.Because[i].Text, end.Go().Format("2006-01-02 15:04 UTC")) {
			t.Fatalf("%+v", d)
		}

		// At the end itself it is back, whatever is reported.
		b.now = end.Go()
		if l := b.license(ids["NET"]); l.Lent != nil {
			t.Fatalf("%+v", l.Lent)
		}
		if out := x.tells(container.Wishes{Return: []license.ID{ids["NET"]}}, net); out[0].Code != refusal.Done {
			t.Fatalf("%+v", out)
		}
		x.receipt()
		b.is(ids["NET"], license.Returned, 1)
	})
}
