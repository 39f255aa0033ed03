package console

import (
	"context"
	"net/http"
	"net/url"

	"licet/internal/look"
	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

func (c *console) jobs(w http.ResponseWriter, r *http.Request, m member) error {
	list, err := c.registry.Bulks(r.Context(), m.Actor, r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return c.write(w, r, http.StatusOK, jobsPage(m, list.Items, pagerOf(r, list.Next)))
}

// jobView is one job with a page of what came of its items.
type jobView struct {
	wire.Bulk
	filter  string // state of the results that are shown; "" for all
	results []wire.BulkResult
	pager   pager
}

func (c *console) job(w http.ResponseWriter, r *http.Request, m member) error {
	ctx, id, q := r.Context(), r.PathValue("id"), r.URL.Query()
	var v jobView
	var err error
	if v.Bulk, err = c.registry.Bulk(ctx, m.Actor, id); err != nil {
		return err
	}
	switch state := q.Get("state"); state {
	case wire.BulkDone, wire.BulkFailed:
		v.filter = state
	}
	list, err := c.registry.BulkResults(ctx, m.Actor, id, v.filter, q.Get("after"), pageSize)
	if err != nil {
		return err
	}
	v.results, v.pager = list.Items, pagerOf(r, list.Next)
	return c.write(w, r, http.StatusOK, jobPage(m, v))
}

// jobPanel asks before a job is ended early.
func (c *console) jobPanel(w http.ResponseWriter, r *http.Request, m member) error {
	ctx := r.Context()
	j, err := c.registry.Bulk(ctx, m.Actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := permitted(m, registry.BulkScope(j.Kind)); err != nil {
		return err
	}
	p := panel{section: look.Jobs, trail: trailTo(ctx, "jobs", jobName(ctx, j.Kind), jobPath(j.ID)), title: look.T(ctx, "console.job.cancel")}
	p.confirm = look.Confirm{Action: jobPath(j.ID) + "/cancel", Cancel: jobPath(j.ID), Title: look.T(ctx, "console.job.cancel.ask", "Kind", jobName(ctx, j.Kind)), Do: look.T(ctx, "console.job.cancel"),
		Whom: jobFacts(ctx, j), What: []string{look.T(ctx, "console.job.cancel.what", "Left", look.Number(ctx, j.Total-j.Done-j.Failed))}, Keeps: []string{look.T(ctx, "console.job.cancel.keeps")}}
	if j.Over() {
		p.refused = []string{look.T(ctx, "console.job.over")}
	}
	return c.write(w, r, http.StatusOK, panelPage(m, p))
}

func (c *console) jobCancel(w http.ResponseWriter, r *http.Request, m member) error {
	id := r.PathValue("id")
	if _, err := c.registry.CancelBulk(r.Context(), m.Actor, id); err != nil {
		return err
	}
	return c.did(w, r, jobPath(id), "job.cancel")
}

func jobPath(id string) string { return Prefix + "/jobs/" + url.PathEscape(id) }

// jobName is what a job does, in a few words.
func jobName(ctx context.Context, kind string) string { return look.T(ctx, "console.job.kind."+kind) }

// jobWord is how a job is.
func jobWord(ctx context.Context, j wire.Bulk) look.Word {
	tone, key := look.Info, j.State
	switch {
	case j.Waits != "":
		tone, key = look.Warning, "waits"
	case j.State == wire.BulkCanceled, j.State == wire.BulkFinished && j.Failed > 0:
		tone = look.Warning
	case j.State == wire.BulkFinished:
		tone = look.Success
	}
	return look.Word{Tone: tone, Text: look.T(ctx, "console.job.state."+key)}
}

// jobProgress is how far a job is.
func jobProgress(ctx context.Context, j wire.Bulk) look.Progress {
	return look.Progress{Label: look.T(ctx, "console.job.progress"), Done: j.Done + j.Failed, Total: j.Total,
		Words: look.T(ctx, "console.job.counts", "Done", look.Number(ctx, j.Done), "Failed", look.Number(ctx, j.Failed), "Total", look.Number(ctx, j.Total))}
}

func jobFacts(ctx context.Context, j wire.Bulk) []look.Fact {
	facts := []look.Fact{
		{Term: look.T(ctx, "console.job.items"), Text: look.Number(ctx, j.Total)},
		{Term: look.T(ctx, "console.job.by"), Text: actor(ctx, j.Actor)},
		{Term: look.T(ctx, "console.fact.created"), Value: look.Time{At: j.Created.Go()}},
		{Term: look.T(ctx, "console.job.started"), Value: look.Time{At: j.Started.Go()}},
		{Term: look.T(ctx, "console.job.ended"), Value: look.Time{At: j.Ended.Go()}},
	}
	if j.Reason != "" {
		facts = append(facts, look.Fact{Term: look.T(ctx, "console.reason"), Text: j.Reason})
	}
	return facts
}

// resultText is what came of an item.
func resultText(ctx context.Context, r wire.BulkResult) string {
	if r.State == wire.BulkFailed {
		return coded(ctx, r.Code, r.Message, r.Details)
	}
	switch {
	case r.When == wire.NextContact:
		return look.T(ctx, "console.job.result.next")
	case r.Added > 0:
		return look.N(ctx, "console.job.result.added", r.Added)
	case r.Ends != 0:
		return look.T(ctx, "console.job.result.until", "Date", look.Date(ctx, r.Ends.Go()))
	}
	return look.T(ctx, "console.job.result.done")
}

// resultAbout is what an item is about, and where that is looked at.
func resultAbout(r wire.BulkResult) look.Link {
	switch {
	case r.Subscription != "":
		return look.Link{Text: r.Subscription, Href: subscriptionPath(r.Subscription)}
	case r.Order != "":
		return look.Link{Text: r.Order, Href: orderPath(r.Order)}
	case r.License != "":
		return look.Link{Text: string(r.License), Href: licensePath(r.License)}
	case r.Container != "":
		return look.Link{Text: short(string(r.Container)), Href: containerPath(r.Container)}
	}
	return look.Link{}
}

// jobFilters are the choices above what came of the items.
func jobFilters(ctx context.Context, v jobView) (all []filter) {
	for _, state := range []string{"", wire.BulkFailed, wire.BulkDone} {
		f := filter{text: look.T(ctx, "console.job.filter.all"), href: jobPath(v.ID), now: state == v.filter}
		if state != "" {
			f.text, f.href = look.T(ctx, "console.job.filter."+state), jobPath(v.ID)+"?state="+state
		}
		all = append(all, f)
	}
	return all
}

// mayCancelJob tells whether ending a job is offered.
func mayCancelJob(m member, j wire.Bulk) bool { return !j.Over() && m.Can(registry.BulkScope(j.Kind)) }

// waitingFor says what a job waits for.
func waitingFor(ctx context.Context, code refusal.Code) string {
	return coded(ctx, code, refusal.Lookup(code).Meaning, nil)
}
