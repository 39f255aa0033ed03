package portal

import (
	"context"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"licet/internal/look"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// What happened to lost licenses, as their user says it.
const (
	gone    = "gone"    // the machine is lost or was stolen
	again   = "again"   // it was set up again, and nothing was returned before
	damaged = "damaged" // it is there, but its licenses cannot be read
	single  = "single"  // only these licenses are missing
)

// situations are all of them, in the order of the page.
var situations = []string{gone, again, damaged, single}

// Longest texts of a report, as the registry takes them.
const maxText = 4000

// loss is a report of lost licenses as it is filled in.
type loss struct {
	Page     wire.TicketPage
	Chosen   []string
	Licenses []wire.PageLicense // those of Chosen
	What     string
	Reason   string
	Evidence string
	Contact  string
	Report   string // a request or receipt of the machine that goes on, as text
	Accepted bool

	Wrong  map[string]string // by field
	Errors []look.Wrong
	Answer wire.RestoreAnswer // the preview
}

// say notes what is wrong with a field.
func (l *loss) say(field, text string) {
	if l.Wrong == nil {
		l.Wrong = map[string]string{}
	}
	l.Wrong[field] = text
	l.Errors = append(l.Errors, look.Wrong{Field: field, Text: text})
}

// held are the licenses that can be lost: those with a user.
func (l loss) held() (all []wire.PageLicense) {
	for _, x := range l.Page.Licenses {
		if x.Restore != nil {
			all = append(all, x)
		}
	}
	return all
}

// possible reports whether a situation could come to anything for one of the
// licenses on the page.
func (l loss) possible(what string) bool {
	return slices.ContainsFunc(l.held(), func(x wire.PageLicense) bool {
		verdict := x.Restore.Verdict
		switch what {
		case gone:
			verdict = x.Whole[recovery.NewHardware].Verdict
		case damaged:
			verdict = x.Whole[recovery.Damaged].Verdict
		case again: // without proof it counts as a new machine
			if verdict = x.Whole[recovery.SameHardware].Verdict; verdict == string(recovery.Refuse) {
				verdict = x.Whole[recovery.NewHardware].Verdict
			}
		}
		return verdict != string(recovery.Refuse)
	})
}

// restore is the form on which a loss is reported.
func (p *portal) restore(w http.ResponseWriter, r *http.Request) error {
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return err
	}
	return show(w, r, http.StatusOK, lostPage(loss{Page: page, Chosen: r.URL.Query()["license"]}))
}

// filled reads the form of a report.
func (p *portal) filled(r *http.Request, page wire.TicketPage) (l loss, err error) {
	f := r.PostForm
	l = loss{Page: page, Chosen: f["license"], What: f.Get("what"), Reason: strings.TrimSpace(f.Get("reason")), Evidence: strings.TrimSpace(f.Get("evidence")),
		Contact: strings.TrimSpace(f.Get("contact")), Report: unixLines(f.Get("report")), Accepted: f.Get("accepted") != ""}
	l.Licenses, err = chosen(page, l.Chosen)
	return l, err
}

// unixLines undoes what browsers do to lines of a form.
func unixLines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// check notes what is missing.
func (l *loss) check(ctx context.Context) {
	if len(l.Licenses) == 0 {
		l.say("license", look.T(ctx, "portal.lost.none"))
	}
	if !slices.Contains(situations, l.What) {
		l.say("what", look.T(ctx, "portal.lost.what.none"))
	}
	switch {
	case l.Reason == "":
		l.say("reason", look.T(ctx, "portal.lost.reason.none"))
	case len(l.Reason) > maxText:
		l.say("reason", look.T(ctx, "portal.lost.long"))
	}
	if len(l.Evidence) > maxText {
		l.say("evidence", look.T(ctx, "portal.lost.long"))
	}
	if a, err := mail.ParseAddress(l.Contact); l.Contact != "" && (err != nil || a.Address != l.Contact || len(l.Contact) > 200) {
		l.say("contact", look.T(ctx, "portal.lost.contact.wrong"))
	}
}

// requests are the reports that this makes: one for each container that is lost,
// or one for single licenses.
func (l loss) requests(ctx context.Context) (all []wire.RestoreRequest) {
	base := wire.RestoreRequest{Reason: l.Reason, Evidence: l.Evidence, Contact: l.Contact, Language: look.Language(ctx), Accept: l.Accepted, Report: l.Report}
	by := map[license.Serial]int{}
	for _, x := range l.Licenses {
		serial := x.Container
		if l.What == single {
			serial = ""
		}
		n, there := by[serial]
		if !there {
			req := base
			req.Container, req.Whole, req.Damaged = serial, serial != "", l.What == damaged
			n = len(all)
			by[serial], all = n, append(all, req)
		}
		all[n].Licenses = append(all[n].Licenses, x.ID)
		if !slices.Contains(all[n].Tickets, string(x.Ticket)) {
			all[n].Tickets = append(all[n].Tickets, string(x.Ticket))
		}
	}
	return all
}

// conditions are those of all licenses, each once.
func (l loss) conditions() (texts []string) {
	for _, x := range l.Licenses {
		if x.Restore != nil && x.Restore.Conditions != "" && !slices.Contains(texts, x.Restore.Conditions) {
			texts = append(texts, x.Restore.Conditions)
		}
	}
	return texts
}

// preview says what would happen, and does nothing.
func (p *portal) preview(w http.ResponseWriter, r *http.Request) error {
	l, ok, err := p.report(w, r)
	if !ok {
		return err
	}
	ctx := r.Context()
	if file, name, err := uploaded(r, "file"); err == nil {
		l.Report = string(file)
	} else if no, _ := refusal.As(err); no != errNoFile {
		l.say("file", sayFile(ctx, no, name).Text)
	}
	backable(w)
	l.check(ctx)
	if len(l.Errors) > 0 {
		return show(w, r, http.StatusUnprocessableEntity, lostPage(l))
	}
	err = p.foresee(r, &l)
	if _, ok := refusal.As(err); ok {
		if number, there := p.reportedAlready(r, l); there { // a form that was sent again
			return to(w, r, recoveryAddress(number))
		}
	}
	if err != nil {
		return err
	}
	if len(l.Errors) > 0 {
		return show(w, r, http.StatusUnprocessableEntity, lostPage(l))
	}
	return show(w, r, http.StatusOK, foreseenPage(l))
}

// report reads a form of a report that is sent; ok is false where the answer is
// written.
func (p *portal) report(w http.ResponseWriter, r *http.Request) (l loss, ok bool, err error) {
	tooLarge := read(w, r, maxKept)
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return l, false, err
	}
	if tooLarge != nil {
		no, _ := refusal.As(tooLarge)
		l = loss{Page: page}
		l.say("file", sayRefusal(r.Context(), no).Text)
		return l, false, show(w, r, refusal.Lookup(no.Code).Status, lostPage(l))
	}
	l, err = p.filled(r, page)
	return l, err == nil, err
}

// foresee asks what would become of a report. A file that is none of the new
// machine's is said at its field.
func (p *portal) foresee(r *http.Request, l *loss) error {
	l.Answer = wire.RestoreAnswer{}
	for _, req := range l.requests(r.Context()) {
		got, err := p.registry.PreviewRestore(r.Context(), req)
		if no, ok := refusal.As(err); ok && req.Report != "" && no.Code != refusal.NotRestorable {
			l.Report = ""
			l.say("file", sayRefusal(r.Context(), no).Text)
			return nil
		}
		if err != nil {
			return err
		}
		l.Answer.Licenses = append(l.Answer.Licenses, got.Licenses...)
	}
	return nil
}

// comes reports whether a verdict is among those of the preview.
func (l loss) comes(v recovery.Verdict) bool {
	return slices.ContainsFunc(l.Answer.Licenses, func(x wire.LostLicense) bool { return x.Verdict == string(v) })
}

// license is what the page knows of a license.
func (l loss) license(id license.ID) wire.PageLicense {
	for _, x := range l.Page.Licenses {
		if x.ID == id {
			return x
		}
	}
	return wire.PageLicense{ID: id}
}

// strictness orders what is done to a lost copy.
var strictness = []license.Stop{license.StopReturn, license.StopWithdraw, license.StopBlock}

// happens says in sentences what will happen, in order, and what stays.
func (l loss) happens(ctx context.Context) (what, keeps []string) {
	stops := map[license.Serial]license.Stop{}
	var lostIn []license.Serial
	for _, x := range l.Answer.Licenses {
		switch recovery.Verdict(x.Verdict) {
		case recovery.Grant:
			what = append(what, look.T(ctx, "portal.will.grant", "Product", x.Name))
		case recovery.Ask:
			what = append(what, look.T(ctx, "portal.will.ask", "Product", x.Name))
		default:
			keeps = append(keeps, look.T(ctx, "portal.will.refuse", "Product", x.Name, "Why", l.why(ctx, x)))
			continue
		}
		stop := license.StopWithdraw
		if known := l.license(x.License); known.Restore != nil {
			stop = known.Restore.Stop
		}
		if stop == license.StopBlock && l.What == single {
			stop = license.StopWithdraw // the machine is not lost
		}
		before, there := stops[x.Container]
		if !there {
			lostIn = append(lostIn, x.Container)
		}
		// What is said of a container is the strictest.
		if !there || slices.Index(strictness, stop) > slices.Index(strictness, before) {
			stops[x.Container] = stop
		}
	}
	for _, serial := range lostIn {
		what = append(what, look.T(ctx, "portal.stop."+string(stops[serial]), "Container", short(serial)))
	}
	if len(what) > 0 {
		keeps = append(keeps, look.T(ctx, "portal.will.terms"))
		if l.What == single {
			keeps = append(keeps, look.T(ctx, "portal.will.others"))
		}
	}
	return what, keeps
}

// why says why a license is not restored.
func (l loss) why(ctx context.Context, x wire.LostLicense) string {
	known := l.license(x.License)
	if known.Product != "" && known.Container == "" {
		return look.T(ctx, "portal.rule.available")
	}
	d := wire.PageRestore{Message: x.Message}
	if known.Restore != nil {
		d = *known.Restore
	}
	if l.What != single {
		for _, hw := range recovery.Hardwares {
			if w := known.Whole[hw]; w.Code == x.Code && (l.What != damaged || hw == recovery.Damaged) {
				d = w
			}
		}
	}
	text := sayRule(ctx, d)
	if d.Code != x.Code {
		text = sayCode(ctx, x.Code, x.Message, x.Hint, nil, x.Name).Text
	}
	if x.Again != 0 {
		when := x.Again.Go()
		text += " " + look.T(ctx, "portal.lost.again", "Date", look.Date(ctx, when), "Relative", look.Relative(ctx, when))
	}
	return text
}

// edit leads back from the preview to the form, with all that was filled in.
func (p *portal) edit(w http.ResponseWriter, r *http.Request) error {
	l, ok, err := p.report(w, r)
	if !ok {
		return err
	}
	backable(w)
	return show(w, r, http.StatusOK, lostPage(l))
}

// confirm makes the report.
func (p *portal) confirm(w http.ResponseWriter, r *http.Request) error {
	l, ok, err := p.report(w, r)
	if !ok {
		return err
	}
	ctx := r.Context()
	if l.check(ctx); len(l.Errors) > 0 {
		return show(w, r, http.StatusUnprocessableEntity, lostPage(l))
	}
	if len(l.conditions()) > 0 && !l.Accepted {
		l.say("accepted", look.T(ctx, "portal.lost.accept.none"))
		if err := p.foresee(r, &l); err != nil {
			return err
		}
		backable(w)
		return show(w, r, http.StatusUnprocessableEntity, foreseenPage(l))
	}
	var numbers []string
	for _, req := range l.requests(ctx) {
		got, err := p.registry.RequestRestore(ctx, req)
		if _, ok := refusal.As(err); ok && len(numbers) == 0 {
			// Sent twice, or from two tabs at once: there is one report.
			if number, there := p.reportedAlready(r, l); there {
				return to(w, r, recoveryAddress(number))
			}
		}
		if err != nil {
			return err // what was reported before it stands on the page of the licenses
		}
		if got.Recovery != 0 {
			numbers = append(numbers, strconv.FormatUint(got.Recovery, 10))
		}
		l.Answer.Licenses = append(l.Answer.Licenses, got.Licenses...)
	}
	switch len(numbers) {
	case 0:
		if number, there := p.reportedAlready(r, l); there {
			return to(w, r, recoveryAddress(number))
		}
		return show(w, r, http.StatusConflict, foreseenPage(l))
	case 1:
		return to(w, r, "/recovery/"+numbers[0])
	}
	return to(w, r, "/licenses#recoveries")
}

// reportedAlready is the latest report of just these losses, if it waits or was
// granted and nothing was activated since.
func (p *portal) reportedAlready(r *http.Request, l loss) (number uint64, there bool) {
	page, err := p.registry.TicketPage(r.Context(), p.visit(r).Tickets)
	if err != nil {
		return 0, false // what was refused is said instead
	}
	for _, rec := range page.Recoveries {
		missing := slices.ContainsFunc(l.Chosen, func(id string) bool {
			covered := slices.ContainsFunc(rec.Licenses, func(x wire.RecoveryLicense) bool { return string(x.License) == id })
			held := slices.ContainsFunc(page.Licenses, func(x wire.PageLicense) bool { return string(x.ID) == id && x.Container != "" })
			return !covered || held && !waits(rec.State)
		})
		if !missing {
			return rec.Number, true
		}
	}
	return 0, false
}

// reported is one report as its page shows it.
type reported struct {
	wire.PageRecovery
	Page  wire.TicketPage
	Error string
	Text  string // of an answer that was not taken
}

// recovery is the page of one report.
func (p *portal) recovery(w http.ResponseWriter, r *http.Request) error {
	x, ok, err := p.found(w, r)
	if !ok {
		return err
	}
	return show(w, r, http.StatusOK, recoveryPage(x))
}

// found is the report that an address names, if the tickets of the visit
// authorize it; ok is false where the answer is written.
func (p *portal) found(w http.ResponseWriter, r *http.Request) (x reported, ok bool, err error) {
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return x, false, err
	}
	for _, rec := range page.Recoveries {
		if strconv.FormatUint(rec.Number, 10) == r.PathValue("number") {
			return reported{PageRecovery: rec, Page: page}, true, nil
		}
	}
	return x, false, refusal.New(refusal.NotFound, "No such report belongs to the tickets of the visit.")
}

// answer takes what the user answers to a question of staff.
func (p *portal) answer(w http.ResponseWriter, r *http.Request) error {
	if err := read(w, r, maxForm); err != nil {
		return err
	}
	x, ok, err := p.found(w, r)
	if !ok {
		return err
	}
	x.Text = strings.TrimSpace(r.PostForm.Get("answer"))
	switch {
	case x.Text == "":
		x.Error = look.T(r.Context(), "portal.answer.none")
	case len(x.Text) > maxText:
		x.Error = look.T(r.Context(), "portal.lost.long")
	}
	if x.Error != "" {
		return show(w, r, http.StatusUnprocessableEntity, recoveryPage(x))
	}
	for _, t := range p.visit(r).Tickets {
		// The report may be of some of the visit's tickets alone.
		_, err = p.registry.AnswerRecovery(r.Context(), license.Ticket(t), x.Number, x.Text)
		if no, ok := refusal.As(err); ok && no.Code == refusal.NotFound {
			continue
		}
		break
	}
	if err != nil {
		return err
	}
	return to(w, r, "/recovery/"+strconv.FormatUint(x.Number, 10))
}

// waits reports whether a report is not decided yet.
func waits(state string) bool { return state == "waiting" || state == "asked" }

// question is what staff have asked last, where they wait for the answer.
func (x reported) question() string {
	if x.State != "asked" {
		return ""
	}
	for _, n := range slices.Backward(x.Notes) {
		if !mine(n) {
			return n.Text
		}
	}
	return ""
}

// mine reports whether a note is the user's own.
func mine(n wire.Note) bool { return strings.HasPrefix(n.Actor, "ticket:") }

// lead is the key of the sentence that says where the report stands: where a part
// of it was restored already, that sentence is about the rest.
func (x reported) lead() string {
	key := "portal.recovery.lead." + x.State
	restored := slices.ContainsFunc(x.Licenses, func(l wire.RecoveryLicense) bool { return l.Outcome == "restored" })
	if restored && slices.Contains([]string{"waiting", "asked", "refused"}, x.State) {
		return key + ".rest"
	}
	return key
}

// activate is where the restored licenses of a report are activated, "" where
// none waits for it.
func (x reported) activate() string { return activateAll(x.PageRecovery, x.Page) }

func activateAll(rec wire.PageRecovery, page wire.TicketPage) string {
	q := url.Values{}
	for _, l := range rec.Licenses {
		for _, k := range page.Licenses {
			if k.ID == l.License && k.Activate && l.Outcome == "restored" {
				q.Add("license", string(k.ID))
			}
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "/activate/file?" + q.Encode()
}

// badge tells where a report stands.
func badge(ctx context.Context, state string) look.Badge {
	shape := map[string]look.State{"waiting": look.Waiting, "asked": look.Flagged, "granted": look.Collected, "approved": look.Collected,
		"refused": look.Blocked, "withdrawn": look.Gone}[state]
	return look.Badge{State: shape, Text: look.T(ctx, "portal.recovery."+state)}
}

// events are the life of a report, the latest first.
func (x reported) events(ctx context.Context) (all []look.Event) {
	switch {
	case x.State == "waiting":
		all = append(all, look.Event{Icon: look.IconClock, Sentence: look.T(ctx, "portal.event.ahead"), Ahead: true})
	case x.State == "asked":
		all = append(all, look.Event{Icon: look.IconClock, Sentence: look.T(ctx, "portal.event.asked"), Ahead: true})
	case x.Decided != 0:
		e := look.Event{At: at(x.Decided), Icon: look.IconCheck, Tone: look.Success, Sentence: look.T(ctx, "portal.event."+x.State), Reason: x.Decision}
		if x.State == "refused" {
			e.Icon, e.Tone = look.IconClose, look.Danger
		}
		all = append(all, e)
	}
	for _, n := range slices.Backward(x.Notes) {
		e := look.Event{At: at(n.Time), Icon: look.IconInfo, Tone: look.Info, Sentence: look.T(ctx, "portal.event.question"), Reason: n.Text}
		if mine(n) {
			e.Icon, e.Tone, e.Sentence = look.IconPerson, "", look.T(ctx, "portal.event.answer")
		}
		all = append(all, e)
	}
	return append(all, look.Event{At: at(x.Created), Icon: look.IconPerson, Sentence: look.T(ctx, "portal.event.reported"), Reason: x.Reason})
}

// oldCopies say what becomes of the copies that were lost, one sentence for each
// container.
func (x reported) oldCopies(ctx context.Context) (texts []string) {
	for _, l := range x.Licenses {
		if text := look.T(ctx, "portal.recovery.old", "Container", short(l.Container)); l.Outcome == "restored" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// outcomeOf says what became of one license of a report.
func outcomeOf(ctx context.Context, l wire.RecoveryLicense) string {
	key := "portal.reported." + l.Outcome
	if text := look.T(ctx, key); text != key {
		return text
	}
	return sayCode(ctx, refusal.Code(l.Outcome), look.T(ctx, "portal.reported.refused"), "", nil, l.Product).Text
}
