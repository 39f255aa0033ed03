package portal

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"licet/container"
	"licet/internal/look"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// What a file is brought for.
const (
	forActivate = "activate"
	forReturn   = "return"
	forAny      = "" // as the file says
)

// way is a transfer by file, from the choice to the receipt.
type way struct {
	What     string
	Licenses []wire.PageLicense
	Kind     license.Kind
	Needs    []need
	Central  string
	Vendor   string
	VendorID string
	Tickets  bool // a visit is open
	Error    said // what is wrong with the file
	Status   int
	All      wire.TicketPage

	Amounts []container.Amount // of licenses that are not meant whole
	Wrong   []look.Wrong       // with the numbers of seats
	typed   []typed
}

func (p *portal) way(r *http.Request, what string) way {
	known := p.registry.WellKnown()
	return way{What: what, Central: p.central(r), Vendor: known.Vendor, VendorID: known.VendorID, Tickets: len(p.visit(r).Tickets) > 0}
}

// carry is the page for whoever has a file in hand.
func (p *portal) carry(w http.ResponseWriter, r *http.Request) error {
	return show(w, r, http.StatusOK, carryPage(p.way(r, forAny)))
}

// choose lets licenses be chosen, and where they are to go.
func (p *portal) choose(w http.ResponseWriter, r *http.Request) error {
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return err
	}
	q := r.URL.Query()
	c := choice{Page: page, Chosen: q["license"], Kind: license.Kind(q.Get("kind"))}
	return show(w, r, http.StatusOK, choosePage(c.complete(r.Context())))
}

// choice is the page on which licenses are chosen.
type choice struct {
	Page   wire.TicketPage
	Chosen []string
	Kind   license.Kind
	Kinds  []license.Kind // that any of them may go into
	Errors []look.Wrong
	Picked string // what is wrong with the licenses
	Placed string // what is wrong with the kind
	Free   int
}

func (c choice) complete(context.Context) choice {
	for _, l := range c.Page.Licenses {
		if !l.Activate {
			continue
		}
		c.Free++
		for _, k := range l.Kinds {
			if !slices.Contains(c.Kinds, k) {
				c.Kinds = append(c.Kinds, k)
			}
		}
	}
	slices.SortFunc(c.Kinds, func(a, b license.Kind) int { return slices.Index(license.Kinds, a) - slices.Index(license.Kinds, b) })
	if !slices.Contains(c.Kinds, c.Kind) && len(c.Kinds) > 0 {
		c.Kind = c.Kinds[0]
	}
	if c.Chosen == nil && len(c.Errors) == 0 && c.Free <= 20 {
		for _, l := range c.Page.Licenses {
			if l.Activate {
				c.Chosen = append(c.Chosen, string(l.ID))
			}
		}
	}
	return c
}

// activate says how the chosen licenses get to their machine.
func (p *portal) activate(w http.ResponseWriter, r *http.Request) error {
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return err
	}
	x, c, err := p.chosenWay(r, page)
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	for _, l := range x.Licenses {
		if !l.Activate { // another tab, or another person, was quicker
			c.Picked, status = look.T(r.Context(), "portal.choose.taken", "Product", l.Name, "Says", says(r.Context(), l)), http.StatusConflict
			c.Errors = append(c.Errors, look.Wrong{Field: "license", Text: c.Picked})
		}
	}
	if len(c.Errors) > 0 {
		return show(w, r, status, choosePage(c.complete(r.Context())))
	}
	bridged(w)
	return show(w, r, x.status(), filePage(x))
}

// status is that of the page on which a choice is shown.
func (x way) status() int {
	if len(x.Wrong) > 0 {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// chosenWay reads the choice that an address holds.
func (p *portal) chosenWay(r *http.Request, page wire.TicketPage) (x way, c choice, err error) {
	ctx, q := r.Context(), r.Form
	if q == nil {
		q = r.URL.Query()
	}
	c = choice{Page: page, Chosen: q["license"], Kind: license.Kind(q.Get("kind"))}
	x = p.way(r, forActivate)
	x.All = page
	if x.Licenses, err = chosen(page, c.Chosen); err != nil {
		return x, c, err
	}
	if c.Chosen == nil {
		c.Chosen = []string{}
		c.Picked = look.T(ctx, "portal.choose.none")
		c.Errors = append(c.Errors, look.Wrong{Field: "license", Text: c.Picked})
		return x, c, nil
	}
	if c.Kind == "" {
		c.Kind = first(x.Licenses)
	}
	for _, l := range x.Licenses {
		if !slices.Contains(l.Kinds, c.Kind) {
			c.Placed = look.T(ctx, "portal.choose.kind", "Product", l.Name, "Kind", kindName(ctx, c.Kind))
			c.Errors = append(c.Errors, look.Wrong{Field: "kind", Text: c.Placed})
			break
		}
	}
	x.Kind, x.Needs = c.Kind, needed(x.Licenses, page)
	x.readSeats(ctx, q)
	return x, c, nil
}

// first is the kind of container that all of the licenses may go into.
func first(all []wire.PageLicense) license.Kind {
	for _, k := range license.Kinds {
		if !slices.ContainsFunc(all, func(l wire.PageLicense) bool { return !slices.Contains(l.Kinds, k) }) {
			return k
		}
	}
	return license.Machine
}

// giveBack says how licenses come back from the container that holds them.
func (p *portal) giveBack(w http.ResponseWriter, r *http.Request) error {
	_, page, ok, err := p.opened(w, r)
	if !ok {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return refusal.New(refusal.InvalidInput, "The address could not be read.")
	}
	x, err := p.returnWay(r, page)
	if err != nil {
		return err
	}
	bridged(w)
	return show(w, r, x.status(), filePage(x))
}

func (p *portal) returnWay(r *http.Request, page wire.TicketPage) (x way, err error) {
	x = p.way(r, forReturn)
	x.All = page
	if x.Licenses, err = chosen(page, r.Form["license"]); err != nil {
		return x, err
	}
	for _, l := range x.Licenses {
		switch {
		case l.Return, l.State == license.Returning: // or begun already, and to be continued
		case l.Leaving:
			return x, refusal.New(refusal.LicenseWithdrawn, "%s leaves its container anyway: the vendor has taken it back.", l.Name).With("product", l.Name)
		case l.State.Available():
			return x, refusal.New(refusal.Conflict, "%s is returned already.", l.Name)
		default:
			return x, refusal.New(refusal.NotDeactivatable, "%s may not be returned by its user.", l.Name).With("product", l.Name)
		}
		if l.Container != x.Licenses[0].Container {
			return x, refusal.New(refusal.InvalidInput, "The licenses are in different containers: return those of one at a time.")
		}
	}
	if len(x.Licenses) == 0 {
		return x, refusal.New(refusal.NotFound, "No license was named.")
	}
	x.readSeats(r.Context(), r.Form)
	var goes []wire.PageLicense // whole
	for _, l := range x.Licenses {
		if x.named(l.ID) == string(l.ID) {
			goes = append(goes, l)
		}
	}
	x.Needs = leaving(goes, page)
	return x, nil
}

// Command is what is typed on the machine to make the request.
func (x way) Command() string {
	if serial := x.serial(); serial != "" {
		return "licet request --container " + string(serial) + " -o my.licet-request"
	}
	if x.What == forActivate && x.Kind != license.Machine {
		return "licet request --container SERIAL -o my.licet-request"
	}
	return "licet request -o my.licet-request"
}

// serial is the container that must take part.
func (x way) serial() license.Serial {
	if x.What == forReturn && len(x.Licenses) > 0 {
		return x.Licenses[0].Container
	}
	return ""
}

// Online is the same in one line, for a machine that has a network.
func (x way) Online() string {
	words := []string{"licet"}
	switch x.What {
	case forReturn:
		words = append(words, "deactivate")
		for _, l := range x.Licenses {
			words = append(words, x.named(l.ID))
		}
	default:
		words = append(words, "activate")
		for _, t := range ticketsOf(x.Licenses) {
			words = append(words, string(t))
		}
		if x.some() || len(x.Amounts) > 0 {
			for _, l := range x.Licenses {
				words = append(words, "--license", x.named(l.ID))
			}
		}
	}
	return strings.Join(append(words, "--central", x.Central), " ")
}

// some reports whether the tickets have more to activate than what was chosen.
func (x way) some() bool {
	tickets := ticketsOf(x.Licenses)
	for _, l := range x.All.Licenses {
		if l.Activate && slices.Contains(tickets, l.Ticket) && !slices.ContainsFunc(x.Licenses, func(c wire.PageLicense) bool { return c.ID == l.ID }) {
			return true
		}
	}
	return false
}

// Address is where this choice is shown.
func (x way) Address() string {
	q := url.Values{}
	for _, l := range x.Licenses {
		q.Add("license", string(l.ID))
		if seats := x.seatsOf(l.ID); seats != "" {
			q.Set(seatsField(l.ID), seats)
		}
	}
	if x.What == forReturn {
		return "/return?" + q.Encode()
	}
	q.Set("kind", string(x.Kind))
	return "/activate/file?" + q.Encode()
}

// With is the address of this choice with one more license.
func (x way) With(id license.ID) string {
	return x.Address() + "&license=" + url.QueryEscape(string(id))
}

// Change is where the choice can be changed.
func (x way) Change() string {
	return strings.Replace(x.Address(), "/activate/file?", "/activate?", 1)
}

// transfer takes a file that was carried here: a request is answered with an
// update, a receipt is taken in.
func (p *portal) transfer(w http.ResponseWriter, r *http.Request) error {
	tooLarge := read(w, r, maxFile+maxForm)
	x := p.way(r, forAny)
	if tooLarge != nil {
		return p.wrongFile(w, r, x, tooLarge, "")
	}
	var page wire.TicketPage
	if v := p.visit(r); len(v.Tickets) > 0 {
		var err error
		if page, err = p.registry.TicketPage(r.Context(), v.Tickets); err != nil {
			return err
		}
	}
	if r.PostForm.Get("what") != forAny && len(page.Tickets) == 0 {
		return to(w, r, enterAgain)
	}
	wish := container.Wishes{}
	switch r.PostForm.Get("what") {
	case forActivate:
		var err error
		if x, _, err = p.chosenWay(r, page); err != nil {
			return err
		}
		wish.Tickets = ticketsOf(x.Licenses)
		for _, l := range x.Licenses {
			wish.Activate = append(wish.Activate, l.ID)
		}
	case forReturn:
		var err error
		if x, err = p.returnWay(r, page); err != nil {
			return err
		}
		// The container gives back what is its own; a ticket would ask for all it has.
		for _, l := range x.Licenses {
			wish.Return = append(wish.Return, l.ID)
		}
	}
	wish.Amounts = x.Amounts
	x.All = page
	if len(x.Wrong) > 0 {
		bridged(w)
		return show(w, r, x.status(), filePage(x))
	}
	file, name, err := uploaded(r, "file")
	if err != nil {
		return p.wrongFile(w, r, x, err, name)
	}
	got, err := p.registry.Carried(r.Context(), file, wish)
	if _, ok := refusal.As(err); ok {
		return p.wrongFile(w, r, x, err, name)
	}
	if err != nil {
		return err
	}
	if v := p.visit(r); len(v.Tickets) > 0 { // as it is now
		if x.All, err = p.registry.TicketPage(r.Context(), v.Tickets); err != nil {
			return err
		}
	}
	backable(w)
	if got.Receipt {
		return show(w, r, http.StatusOK, receivedPage(x, got))
	}
	sealed, err := p.registry.SealPage("update", append([]byte(string(got.Container)+"\n"), got.Update...))
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, updatePage(x, got, outcomes(r.Context(), got, x.All), base64.StdEncoding.EncodeToString(sealed)))
}

// wrongFile shows the page that the file came from again, with what is wrong.
func (p *portal) wrongFile(w http.ResponseWriter, r *http.Request, x way, err error, name string) error {
	no, ok := refusal.As(err)
	if !ok {
		return err
	}
	x.Error = sayFile(r.Context(), no, name)
	status := refusal.Lookup(no.Code).Status
	if len(x.Licenses) > 0 {
		bridged(w)
		return show(w, r, status, filePage(x))
	}
	backable(w)
	return show(w, r, status, carryPage(x))
}

// errNoFile and errEmpty are what a form can lack.
var (
	errNoFile = refusal.New(refusal.InvalidInput, "No file was chosen.").With("file", "none")
	errEmpty  = refusal.New(refusal.DamagedFile, "The file is empty.").With("file", "empty")
)

// sayFile says what is wrong with a file. Some things are told apart that have one
// code: nothing chosen, an empty file, an update that is carried the wrong way.
func sayFile(ctx context.Context, no *refusal.Refusal, name string) said {
	s := sayRefusal(ctx, no)
	switch detail(no.Details, "file") {
	case "none":
		s = said{look.T(ctx, "portal.file.none"), look.T(ctx, "portal.file.none.next")}
	case "empty":
		s = said{look.T(ctx, "portal.file.empty"), look.T(ctx, "portal.file.empty.next")}
	case "update":
		s = said{look.T(ctx, "portal.file.update"), look.T(ctx, "portal.file.update.next")}
	case "other":
		s = said{look.T(ctx, "portal.file.other"), look.T(ctx, "portal.file.other.next")}
	}
	if name != "" {
		s.Text = look.T(ctx, "portal.file.named", "Name", cut(name, 80)) + " " + s.Text
	}
	return s
}

func cut(text string, most int) string {
	if all := []rune(text); len(all) > most {
		return string(all[:most]) + "…"
	}
	return text
}

// uploaded is a file of a form, and the name it had on its machine.
func uploaded(r *http.Request, field string) (content []byte, name string, err error) {
	f, head, err := r.FormFile(field)
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return nil, "", errNoFile
	}
	if err != nil {
		return nil, "", refusal.New(refusal.InvalidInput, "The form could not be read.")
	}
	defer f.Close()
	name = head.Filename
	content, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, name, refusal.New(refusal.DamagedFile, "The file ended before it was complete.")
	case len(content) > maxFile:
		return nil, name, refusal.New(refusal.TooLarge, "The file is larger than %d bytes.", maxFile).With("limit", maxFile)
	case len(content) == 0:
		return nil, name, errEmpty
	}
	switch kind := begins(content); {
	case kind == "UPDATE":
		return nil, name, refusal.New(refusal.WrongFile, "The file is an update.").With("file", "update")
	case kind != "REQUEST" && kind != "RECEIPT":
		return nil, name, refusal.New(refusal.WrongFile, "The file is none of ours.").With("file", "other")
	}
	return content, name, nil
}

// begins is what the first line of a file says it is, "" where it is none of ours.
func begins(file []byte) string {
	line, _, _ := strings.Cut(string(file[:min(len(file), 100)]), "\n")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "-----BEGIN LICET ")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(rest, "-----")
}

// update hands out an update that an earlier page has made.
func (p *portal) update(w http.ResponseWriter, r *http.Request) error {
	if err := read(w, r, maxSeen); err != nil {
		return err
	}
	sealed, err := base64.StdEncoding.DecodeString(r.PostForm.Get("update"))
	if err != nil {
		return refusal.New(refusal.InvalidInput, "The form holds no update.")
	}
	plain, err := p.registry.OpenPage("update", sealed)
	if err != nil {
		return err
	}
	serial, file, _ := strings.Cut(string(plain), "\n")
	attach(w, strings.ToLower(serial[:min(len(serial), 8)])+".licet-update", []byte(file))
	return nil
}
