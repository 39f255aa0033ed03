package portal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bytes"

	"licet/internal/look"
	"licet/internal/look/looktest"
	"licet/internal/portal"
	"licet/internal/web"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

var (
	tags   = regexp.MustCompile(`(?s)<(script|style|svg).*?</(script|style|svg)>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
	sealed = regexp.MustCompile(`name="update" value="([^"]+)"`)
)

// plain is the text of a page.
func plain(body string) string {
	return spaces.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(body, " ")), " ")
}

// update is the file that a page offers.
func (s *stage) update(a answer) []byte {
	s.t.Helper()
	m := sealed.FindStringSubmatch(a.body)
	if m == nil {
		s.t.Fatalf("no update on %s", plain(a.body))
	}
	got := s.post("/update", url.Values{"update": {html.UnescapeString(m[1])}})
	got.says(s.t, 200)
	if d := got.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename=") || !strings.HasSuffix(d, `.licet-update"`) {
		s.t.Errorf("disposition %q", d)
	}
	return []byte(got.body)
}

func TestTexts(t *testing.T) {
	looktest.Texts(t, portal.Texts())
	texts, err := look.LoadTexts(portal.Texts())
	if err != nil {
		t.Fatal(err)
	}
	looktest.Templates(t, ".", texts.Has)
	sheet, err := os.ReadFile("../look/assets/look.css")
	if err != nil {
		t.Fatal(err)
	}
	looktest.Classes(t, ".", string(sheet))

	// What is put together from a state, a rule, a kind.
	var keys []string
	all := func(prefix string, values ...string) {
		for _, v := range values {
			keys = append(keys, "portal."+prefix+v)
		}
	}
	for _, s := range license.States {
		all("says.", string(s.State))
	}
	for _, k := range license.Kinds {
		all("kind.", string(k))
		all("into.", string(k))
		all("place.", string(k))
		all("choose.kind.", string(k))
		if k != license.Machine {
			all("way.kind.", string(k))
		}
	}
	for _, s := range license.Stops {
		all("stop.", string(s))
	}
	for _, s := range []string{"waiting", "asked", "granted", "approved", "refused", "withdrawn"} { // store's states of a recovery
		all("recovery.", s)
		all("recovery.lead.", s)
	}
	all("recovery.lead.", "waiting.rest", "asked.rest", "refused.rest")
	all("event.", "granted", "approved", "refused", "withdrawn")
	all("reported.", "waiting", "restored", "refused")
	all("lost.", "grant", "ask")
	all("lost.what.", "gone", "again", "damaged", "single", "gone.text", "again.text", "damaged.text", "single.text")
	all("lost.", "evidence", "contact")
	all("fact.", "valid", "from", "maintenance", "seats", "units", "features", "requires", "lost")
	all("way.title.", "activate", "return")
	all("bridge.done.", "activate", "return")
	for _, rule := range rules(t) {
		switch recovery.Rule(rule) {
		case recovery.RuleLent: // it decides nothing
		case recovery.RuleKind, recovery.RuleCustomer: // they name who decides; the mode then does
		default:
			all("rule.", rule)
		}
	}
	for _, c := range met() {
		all("code.", string(c), string(c)+".next")
	}
	for _, k := range keys {
		if !texts.Has(k) {
			t.Errorf("no text for %q", k)
		}
	}
}

// rules are all rules of package recovery, read from its source.
func rules(t *testing.T) (all []string) {
	t.Helper()
	source, err := parser.ParseFile(token.NewFileSet(), "../../recovery/recovery.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(source, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Rule") && len(v.Values) == 1 {
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				all = append(all, strings.Trim(lit.Value, `"`))
			}
		}
		return true
	})
	if len(all) < 10 {
		t.Fatalf("rules: %q", all)
	}
	return all
}

// notHere are the codes that no page of tickets can meet, by what meets them.
var notHere = map[string][]refusal.Code{
	"no refusal":            {refusal.Done, refusal.AlreadyApplied, refusal.Valid},
	"pages of their own":    {refusal.NotFound, refusal.RateLimited, refusal.Internal},
	"orders of staff":       {refusal.AlreadyIssued, refusal.IdempotencyReused, refusal.ChangedMeanwhile, refusal.Unauthorized, refusal.Forbidden, refusal.AlreadyInitialized, refusal.AuditBroken, refusal.VerifyFailed, refusal.NotInOrder, refusal.SubscriptionEnded, refusal.SubscriptionLed, refusal.BackupDamaged},
	"a machine's container": {refusal.ContainerNotEmpty, refusal.ContainerDamaged, refusal.OtherMachine, refusal.RepairNotAllowed, refusal.BlockListGap, refusal.KeyRevoked, refusal.TrustEnded, refusal.StorageFull, refusal.AgentUnreachable},
	"a license server":      {refusal.NoSeatFree, refusal.LeaseLost, refusal.LeaseNotYours, refusal.SeatDenied, refusal.SeatsUncertain, refusal.BorrowNotAllowed, refusal.BorrowTooLong, refusal.ServerUnreachable},
	"a program's check":     {refusal.OldCopy, refusal.DueSoon, refusal.NoLicense, refusal.NotYetValid, refusal.Expired, refusal.FeatureMissing, refusal.VersionNotCovered, refusal.CheckInOverdue, refusal.UnitsSpent, refusal.ClockBehind},
}

// met are the codes that need a text: all others, so that a new one is thought of.
func met() (codes []refusal.Code) {
	for _, e := range refusal.Codes {
		elsewhere := false
		for _, list := range notHere {
			elsewhere = elsewhere || slices.Contains(list, e.Code)
		}
		if !elsewhere {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

func TestEnterTickets(t *testing.T) {
	s := newStage(t)
	one, _ := s.bought("Ada", "STUDIO", "POST")
	two, _ := s.bought("Bob", "SIM")
	typo := one[:len(one)-1] + "A"
	if typo == one {
		typo = one[:len(one)-1] + "B"
	}
	for name, text := range map[string]string{
		"one a line": one + "\n" + two, "commas": one + "," + two, "semicolons": one + "; " + two, "spaces": one + " " + two,
		"no hyphens": strings.ReplaceAll(one, "-", "") + " " + strings.ReplaceAll(two, "-", " "), "small": strings.ToLower(one) + "\r\n" + two,
		"a letter": "Dear Ada,\nyour ticket: " + one + ".\nThe other one is <" + two + ">. Regards, Millwright Tools 2026", "twice": one + " " + one + " " + two,
		"dashes of a word processor": strings.ReplaceAll(one, "-", "–") + "\t" + two,
	} {
		s.http = reader(t)
		got := s.enter(text)
		got.says(t, 200, "Millwright Studio", "Post Processor", "Simulation", "For Ada", "For Bob")
		if got.at != "/licenses" {
			t.Errorf("%s: at %s", name, got.at)
		}
	}
	s.http = reader(t)
	s.enter("").says(t, 422, "Enter a ticket.")
	s.enter("hello world").says(t, 422, "There is no ticket in what you entered", "hello world")
	s.enter(typo).says(t, 422, "has a typo")
	s.enter(string(license.NewTicket(func(b []byte) { clear(b) }))).says(t, 422, "is not known here")
	// One that is right is kept, and the other one is named.
	s.enter(typo+"\n"+one).says(t, 200, "Millwright Studio", "One thing you entered is not among these", "has a typo")
	s.enter(two).says(t, 200, "Millwright Studio", "Simulation")
	s.get("/").says(t, 200, "Your licenses", "Order")
	// Forgetting ends it.
	s.post("/forget", nil).says(t, 200, "Your tickets are forgotten")
	if got := s.get("/licenses"); got.at != "/?again=1" || !strings.Contains(got.body, "Please enter your ticket") {
		t.Errorf("after forgetting at %s", got.at)
	}
	if strings.Contains(s.log.String(), one[:11]) || strings.Contains(s.log.String(), "ticket=") {
		t.Errorf("a ticket is in the log: %s", s.log)
	}
	if !strings.Contains(s.log.String(), `route="POST /tickets"`) {
		t.Errorf("the log has no routes: %s", s.log)
	}
}

func TestCookie(t *testing.T) {
	s := newStage(t)
	ticket, _ := s.bought("Ada", "STUDIO")
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := s.enter(ticket)
	c := got.header.Get("Set-Cookie")
	for _, want := range []string{"licet_tickets=", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(c, want) {
			t.Errorf("no %s in %s", want, c)
		}
	}
	if strings.Contains(c, ticket[:5]) || strings.Contains(c, "Max-Age") {
		t.Errorf("cookie %s", c)
	}
	// It ends by itself.
	s.now = s.now.Add(13 * time.Hour)
	if got := s.get("/licenses"); got.status != http.StatusSeeOther {
		t.Errorf("after 13 hours: %d", got.status)
	}
}

func TestActivateByFile(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "STUDIO", "POST", "FLOAT", "FIXED")
	s.enter(ticket)
	s.get("/activate").says(t, 200, "Millwright Studio", "Post Processor", "Where to?")
	chosen := url.Values{"license": {string(ids["POST"])}, "kind": {"machine"}}
	s.get("/activate/file?"+chosen.Encode()).says(t, 200, "Post Processor needs Millwright Studio in the same container", "licet request -o my.licet-request", "licet activate "+ticket+" --license "+string(ids["POST"])+" --central "+s.url)
	s.get("/activate/file?kind=machine").says(t, 422, "Choose at least one license.")
	s.get("/activate/file?kind=cloud&license="+string(ids["FIXED"])).says(t, 422, "Dongle Pack may not go there: cloud")
	s.get("/activate/file?license=lic_nobody").says(t, 404)

	b := s.box()
	request := b.file("request")
	form := url.Values{"what": {"activate"}, "kind": {"machine"}, "license": {string(ids["POST"]), string(ids["STUDIO"])}}
	s.send("/transfer", form, "x", nil).says(t, 422, "No file was chosen.", "Activate 2 licenses")
	s.send("/transfer", form, "x", []byte{}).says(t, 400, "The file is empty.")
	s.send("/transfer", form, "x", bytes.Repeat([]byte("a"), 3<<20)).says(t, 413, "This is too large")
	s.send("/transfer", form, "report.pdf", []byte("%PDF-1.7")).says(t, 400, "report.pdf: This is neither a request nor a receipt.")
	s.send("/transfer", form, "x", request[:len(request)-100]).says(t, 400, "not complete or not readable")
	got := s.send("/transfer", form, "my.licet-request", request)
	got.says(t, 200, "Your update is ready", "Post Processor Is in the update.", "Millwright Studio Is in the update.")
	update := s.update(got)
	s.send("/transfer", form, "x", update).says(t, 400, "This is an update: it goes to the machine")
	// Interrupted: the same request, the same answer, from the first page too.
	again := s.send("/transfer", nil, "my.licet-request", request)
	again.says(t, 200, "The same answer as before")
	if !bytes.Equal(s.update(again), update) {
		t.Error("another update")
	}
	s.get("/licenses").says(t, 200, "On its way to a machine", "Continue the transfer")
	b.imports(update)
	receipt := b.file("receipt")
	s.send("/transfer", nil, "my.licet-receipt", receipt).says(t, 200, "The receipt is here", "Post Processor")
	s.send("/transfer", nil, "my.licet-receipt", receipt).says(t, 200, "The receipt is here")
	s.send("/transfer", nil, "my.licet-request", request).says(t, 200, "The same answer as before")
	s.get("/licenses").says(t, 200, "The machine has confirmed that it has it.")

	// In use elsewhere: said in words.
	other := s.box()
	s.send("/transfer", form, "my.licet-request", other.file("request")).says(t, 200, "Nothing of this was done", "is in use in container")

	// Of another vendor.
	alien := newStage(t)
	s.send("/transfer", nil, "x", alien.box().file("request")).says(t, 403, "made for another vendor")
}

func TestReturnByFile(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "STUDIO", "FIXED")
	b := s.activated(ticket)
	s.enter(ticket)
	s.get("/return?license="+string(ids["FIXED"])).says(t, 409, "does not let Dongle Pack be returned")
	page := s.get("/return?license=" + string(ids["STUDIO"]))
	page.says(t, 200, "Return 1 license", "holds it and must take part", "licet deactivate "+string(ids["STUDIO"])+" --central", "licet request --container")
	form := url.Values{"what": {"return"}, "license": {string(ids["STUDIO"])}}
	s.send("/transfer", form, "x", s.box().file("request")).says(t, 200, "Nothing of this was done")
	got := s.send("/transfer", form, "x", b.file("request"))
	got.says(t, 200, "Your update is ready", "The update takes it out")
	b.imports(s.update(got))
	s.get("/licenses").says(t, 200, "On its way back")
	s.send("/transfer", nil, "x", b.file("receipt")).says(t, 200, "The receipt is here")
	s.get("/licenses").says(t, 200, "Returned. It can be activated again.")
}

// TestSeats: some of the seats of a license go to one machine, the others stay free;
// some of those come back.
func TestSeats(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "TEAM", "STUDIO")
	id := string(ids["TEAM"])
	s.enter(ticket)
	s.get("/activate").says(t, 200, "10 of 10 seats")
	way := "/activate/file?kind=machine&license=" + id
	s.get(way).says(t, 200, "How many seats?", "Seats of Millwright Team that the machine is to have", "10 are free", "licet activate "+ticket+" --license "+id+" --central")
	s.get(way+"&license="+string(ids["STUDIO"])+"&seats-"+id+"=4").says(t, 200, "--license "+id+"=4 --license "+string(ids["STUDIO"])+" --central")
	s.get("/activate/file?kind=machine&license="+string(ids["STUDIO"])).saysNot(t, "How many seats?")
	for _, wrong := range []string{"0", "11", "-1", "4.5", "many", "9999999999999999999999"} {
		got := s.get(way + "&seats-" + id + "=" + wrong)
		got.says(t, 422, "give a whole number from 1 to 10")
		if !strings.Contains(got.body, `value="`+wrong+`"`) {
			t.Errorf("what was typed is gone: %s", wrong)
		}
	}
	b := s.box()
	form := url.Values{"what": {"activate"}, "kind": {"machine"}, "license": {id}, "seats-" + id: {"11"}}
	s.send("/transfer", form, "x", b.file("request")).says(t, 422, "give a whole number from 1 to 10")
	form.Set("seats-"+id, "4")
	got := s.send("/transfer", form, "my.licet-request", b.file("request"))
	got.says(t, 200, "Your update is ready", "Is in the update, with 4 seats.")
	b.imports(s.update(got))
	s.send("/transfer", nil, "x", b.file("receipt")).says(t, 200, "The receipt is here")
	s.get("/licenses").says(t, 200, "4 of 10", "6 of 10")

	// Another machine wants more than there is, and is told how many there are.
	form.Set("seats-"+id, "7")
	s.send("/transfer", form, "my.licet-request", s.box().file("request")).says(t, 200, "Nothing of this was done", "7 seats of Millwright Team were asked for; 6 are there to be had.")

	page, err := s.TicketPage(t.Context(), []string{ticket})
	s.must(err)
	var part license.ID
	for _, l := range page.Licenses {
		if l.Container != "" {
			part = l.ID
		}
	}
	s.get("/return?license="+string(part)).says(t, 200, "Seats of Millwright Team that come back", "The machine has 4.", "licet deactivate "+string(part)+" --central")
	s.get("/return?license="+string(part)+"&seats-"+string(part)+"=5").says(t, 422, "give a whole number from 1 to 4")
	two := s.get("/return?license=" + string(part) + "&seats-" + string(part) + "=2")
	two.says(t, 200, "licet deactivate "+string(part)+"=2 --central")
	if !strings.Contains(two.body, `data-amounts="`+string(part)+`=2"`) {
		t.Error("the agent is not told how many")
	}
	form = url.Values{"what": {"return"}, "license": {string(part)}, "seats-" + string(part): {"2"}}
	got = s.send("/transfer", form, "x", b.file("request"))
	got.says(t, 200, "Your update is ready", "The update takes 2 seats out.")
	b.imports(s.update(got))
	s.get("/licenses").says(t, 200, "On its way back", "2 of 10", "6 of 10")
	s.send("/transfer", nil, "x", b.file("receipt")).says(t, 200, "The receipt is here")
	s.get("/licenses").says(t, 200, "2 of 10", "8 of 10")
}

// TestReturnTogether: what would stay behind and not work is named, and returned in
// the same step; sent twice it is done once.
func TestReturnTogether(t *testing.T) {
	s := newStage(t)
	one, ids := s.bought("Ada", "STUDIO")
	two, more := s.bought("Ada", "POST", "SIM")
	b := s.activated(one)
	update, err := s.Program(t.Context(), b.file("request", "--ticket", two))
	s.must(err)
	b.imports(update)
	s.must(s.Receipt(t.Context(), b.file("receipt")))
	studio, post := string(ids["STUDIO"]), string(more["POST"])
	s.enter(one + " " + two)
	s.get("/return?license="+studio).says(t, 200, "Post Processor needs Millwright Studio in the same container", "returning this one alone is refused")
	form := url.Values{"what": {"return"}, "license": {studio}}
	s.send("/transfer", form, "x", b.file("request")).says(t, 200, "Nothing of this was done", "Another license in the container needs Millwright Studio")
	page := s.get("/return?license=" + studio + "&license=" + post)
	page.says(t, 200, "Return 2 licenses", "licet deactivate "+studio+" "+post)
	page.saysNot(t, "returning this one alone is refused")
	form.Add("license", post)
	request := b.file("request")
	got := s.send("/transfer", form, "x", request)
	got.says(t, 200, "Your update is ready", "Millwright Studio The update takes it out")
	again := s.send("/transfer", form, "x", request)
	again.says(t, 200, "The same answer as before")
	if !bytes.Equal(s.update(again), s.update(got)) {
		t.Error("another update")
	}
	s.get("/return?license="+studio+"&license="+post).says(t, 200, "Return 2 licenses") // begun, and to be continued
	b.imports(s.update(got))
	s.send("/transfer", nil, "x", b.file("receipt")).says(t, 200, "The receipt is here", "Simulation")
	s.get("/return?license="+studio).says(t, 409, "decided or changed in the meantime")
	s.get("/activate/file?license="+string(more["SIM"])).says(t, 409, "Simulation cannot be activated now. Activated.")
}

// TestMixedTicket: what is with us is for activation and never for restore, and
// uses up nothing (L16).
func TestMixedTicket(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "STUDIO", "POST", "FLOAT")
	s.activated(ticket, ids["STUDIO"])
	s.enter(ticket)
	s.get("/licenses").says(t, 200, "Report as lost")
	page := s.get("/restore")
	page.says(t, 200, "Millwright Studio")
	page.saysNot(t, "Post Processor", "Toolpath Optimizer")
	form := url.Values{"license": {string(ids["FLOAT"])}, "what": {"single"}, "reason": {"gone"}, "accepted": {"yes"}}
	s.send("/restore/confirm", form, "", nil).says(t, 409, "This is not restored", "so it is not lost. Activate it as usual")
	s.activated(ticket, ids["FLOAT"])
	form.Set("what", "gone")
	s.send("/restore/confirm", form, "", nil).says(t, 200, "Report 1", "Restored", "The old copy in container")
}

// TestStolen is the way from a stolen laptop to a working license.
func TestStolen(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "STUDIO", "FIXED", "TIED")
	s.activated(ticket)
	s.enter(ticket)
	s.get("/restore").says(t, 200, "Millwright Studio", "By the vendor's rules this license is not replaced", "can only be moved with the machine that holds it")
	form := url.Values{"license": {string(ids["STUDIO"])}, "what": {"gone"}}
	s.send("/restore/preview", form, "", nil).says(t, 422, "Say in a sentence what happened.")
	form.Set("reason", "Stolen from the car")
	form.Set("contact", "no address")
	s.send("/restore/preview", form, "", nil).says(t, 422, "This is no e-mail address", "Stolen from the car")
	form.Set("contact", "ada@example.com")
	s.send("/restore/preview", form, "x.pdf", []byte("%PDF")).says(t, 422, "neither a request nor a receipt")
	got := s.send("/restore/preview", form, "", nil)
	got.says(t, 200, "You get your licenses back at once", "The lost copy will not be used again.", "is on our block list", "Nothing has been done yet")
	s.send("/restore/confirm", form, "", nil).says(t, 422, "Without the conditions accepted nothing is restored.")
	if got := s.send("/restore/edit", form, "", nil); !strings.Contains(got.body, "Stolen from the car") || !strings.Contains(got.body, `value="ada@example.com"`) {
		t.Errorf("what was filled in is gone: %s", got.body)
	}
	form.Set("accepted", "yes")
	got = s.send("/restore/confirm", form, "", nil)
	got.says(t, 200, "Report 1", "Restored", "Activate now", "Stolen from the car")
	if got.at != "/recovery/1" {
		t.Errorf("at %s", got.at)
	}
	s.get("/recovery/2").says(t, 404)
	// A new machine, this page, and two commands.
	s.get("/vendor.trust").says(t, 200, "-----BEGIN LICET TRUST")
	b := s.box()
	chosen := url.Values{"what": {"activate"}, "license": {string(ids["STUDIO"])}, "kind": {"machine"}}
	b.imports(s.update(s.send("/transfer", chosen, "x", b.file("request"))))
	if out := b.licet("check", "STUDIO"); !strings.Contains(out, "alid") {
		t.Errorf("check: %s", out)
	}
	s.get("/licenses").says(t, 200, "Reported losses", "Report 1")
	// Others know nothing of it.
	stranger, _ := s.bought("Eve", "SIM")
	s.http = reader(t)
	s.enter(stranger)
	s.get("/recovery/1").says(t, 404)
	s.post("/recovery/1/answer", url.Values{"answer": {"x"}}).says(t, 404)
}

func TestAskedStaff(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "SIM", "POST", "STUDIO")
	s.activated(ticket)
	s.enter(ticket)
	form := url.Values{"license": {string(ids["SIM"])}, "what": {"gone"}, "reason": {"Burned"}, "evidence": {"Fire brigade 7"}}
	s.send("/restore/preview", form, "", nil).says(t, 200, "Our staff will decide", "Simulation: reported to our staff")
	s.send("/restore/confirm", form, "", nil).says(t, 200, "Report 1", "Being decided")
	s.get("/licenses").says(t, 200, "Being decided", "Its loss is reported already and waits for our decision.")
	s.send("/restore/preview", form, "", nil).says(t, 200, "This is not restored", "waits for our decision")
	_, err := s.AskRecovery(t.Context(), s.admin, 1, "Which machine was it?")
	s.must(err)
	s.get("/licenses").says(t, 200, "We have a question about your report 1")
	s.get("/recovery/1").says(t, 200, "Question for you", "Which machine was it?")
	s.post("/recovery/1/answer", url.Values{"answer": {" "}}).says(t, 422, "Write something first.")
	s.post("/recovery/1/answer", url.Values{"answer": {"The one by the door"}}).says(t, 200, "Being decided", "The one by the door", "Which machine was it?")
	_, err = s.ApproveRecovery(t.Context(), s.admin, 1, wire.Approval{Reason: "Fire brigade confirms"})
	s.must(err)
	s.get("/recovery/1").says(t, 200, "Approved", "Fire brigade confirms", "Activate now")
	s.post("/recovery/1/answer", url.Values{"answer": {"more"}}).says(t, 409, "decided or changed in the meantime")
}

func TestLimitOfRestores(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "POST", "STUDIO")
	s.activated(ticket)
	s.enter(ticket)
	form := url.Values{"license": {string(ids["POST"]), string(ids["STUDIO"])}, "what": {"gone"}, "reason": {"gone"}, "accepted": {"yes"}}
	s.send("/restore/confirm", form, "", nil).says(t, 200, "Restored")
	s.activated(ticket, ids["POST"], ids["STUDIO"])
	s.get("/licenses").says(t, 200, "It was restored as often as the vendor's rules allow. Possible again from", "in 12 months")
}

func TestSameMachine(t *testing.T) {
	s := newStage(t)
	_, err := s.ApplyCatalog(t.Context(), s.admin, wire.CatalogRequest{YAML: `
products:
  - {code: SAME, name: Same machine alone, model: perpetual_single, restore: {license: {mode: never}, container: {same_hardware: automatic, new_hardware: never, damaged: never}}}`})
	s.must(err)
	ticket, ids := s.bought("Ada", "SAME")
	b := s.activated(ticket)
	s.enter(ticket)
	form := url.Values{"license": {string(ids["SAME"])}, "what": {"again"}, "reason": {"Set up anew"}}
	s.send("/restore/preview", form, "", nil).says(t, 200, "This is not restored")
	s.send("/restore/preview", form, "x", b.again().file("request")).says(t, 200, "You get your licenses back at once", "Attached")
	form.Set("report", strings.ReplaceAll(string(b.again().file("request")), "\n", "\r\n"))
	s.send("/restore/confirm", form, "", nil).says(t, 200, "Restored")
}

func TestProblems(t *testing.T) {
	s := newStage(t)
	s.get("/nothing").says(t, 404, "Nothing is here")
	s.getIn("de", "/nothing").says(t, 404, "Hier ist nichts")
	req, _ := http.NewRequest("GET", s.url+"/nothing", nil)
	if got := s.done(s.http.Do(req)); !strings.Contains(got.header.Get("Content-Type"), "problem+json") {
		t.Errorf("for a machine: %v", got.header)
	}
	for _, path := range []string{"/tickets", "/forget", "/transfer", "/update", "/restore/preview", "/restore/edit", "/restore/confirm", "/recovery/1/answer", "/activate", "/return", "/restore", "/licenses", "/recovery/7"} {
		if got := s.get(path); got.status != 200 || got.at != "/" && got.at != "/?again=1" && got.at != "/carry" {
			t.Errorf("%s without a visit: %d at %s", path, got.status, got.at)
		}
	}
	req, _ = http.NewRequest("POST", s.url+"/forget", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	s.done(s.http.Do(req)).says(t, 403, "This came from another site")
	s.post("/update", url.Values{"update": {"AAAA"}}).says(t, 422, "Nothing was changed")
	if got := s.get("/"); got.header.Get("Content-Security-Policy") != look.Policy || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got.header)
	}
}

func TestTooMany(t *testing.T) {
	s := stageWith(t, web.Limits{PerAddress: web.Rate{PerSecond: 1, Burst: 20}}, look.Brand{})
	for range 2 {
		s.enter("hello").says(t, 422)
	}
	got := s.enter("hello")
	got.says(t, 429, "Too many requests", "Try again in")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestBothLanguages looks for a key, or a word of the other language.
func TestBothLanguages(t *testing.T) {
	s := newStage(t)
	ticket, ids := s.bought("Ada", "STUDIO", "SIM", "FIXED")
	s.activated(ticket, ids["SIM"], ids["FIXED"])
	s.enter(ticket)
	for _, path := range []string{"/licenses", "/activate", "/activate/file?license=" + string(ids["STUDIO"]), "/return?license=" + string(ids["SIM"]), "/restore", "/carry"} {
		got := s.getIn("de", path)
		got.says(t, 200, "Lizenz")
		for _, english := range []string{"portal.", "licenses", " the ", " your "} {
			got.saysNot(t, english)
		}
		s.get(path).saysNot(t, "portal.", "Lizenz", " und ", "<no value>")
	}
}

// TestGenerated says when generated code is older than its template.
func TestGenerated(t *testing.T) {
	sources, err := filepath.Glob("*.templ")
	if err != nil || len(sources) == 0 {
		t.Fatal(err)
	}
	for _, name := range sources {
		want, err := exec.Command("go", "tool", "-modfile=../../tools/go.mod", "templ", "generate", "-stdout", "-f", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(strings.TrimSuffix(name, ".templ") + "_templ.go")
		if err != nil || !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
			t.Errorf("%s: the generated code is not of this template: run \"make generate\" (%v)", name, err)
		}
	}
}
