package seal

import (
	"bytes"
	"testing"

	"licet/blocklist"
	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

// seedOf is a stream of bytes that is the same in every run.
func seedOf(name string) *bytes.Reader {
	return bytes.NewReader(bytes.Repeat([]byte(name+"................................"), 8))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const testTime license.Time = 1_800_000_000_000_000

// world is one vendor with his keys and one container.
type world struct {
	root, issuing *SigningKey
	next          *SigningKey // the root that may come after root
	stolen        *SigningKey // an issuing key that is revoked
	sealing       *SealingKey
	keys          *ContainerKeys // also of the license server
	borrower      *ContainerKeys
	scope         Scope
	issuingCert   []byte
	sealingCert   []byte
	trustFile     []byte
	trust         *Trust
	verifier      *Verifier
}

// newWorld makes a world whose keys follow from the names.
func newWorld(vendor, environment, machine string) *world {
	w := &world{
		root:    must(NewSigningKey(Root, seedOf(vendor+" root"))),
		issuing: must(NewSigningKey(Issuing, seedOf(vendor+" "+environment+" issuing"))),
		next:    must(NewSigningKey(Root, seedOf(vendor+" next root"))),
		stolen:  must(NewSigningKey(Issuing, seedOf(vendor+" "+environment+" stolen"))),
		sealing: must(NewSealingKey(seedOf(vendor + " " + environment + " sealing"))),
		keys:    must(NewContainerKeys(seedOf(machine))),

		borrower: must(NewContainerKeys(seedOf(machine + " borrower"))),
	}
	w.scope = Scope{Vendor: VendorOf(w.root.Public()), Environment: environment}
	w.issuingCert = must(SignCertificate(w.scope, w.root, Certificate{
		Use: Issuing, Public: w.issuing.Public(), NotBefore: testTime - 1000, NotAfter: testTime + 1e15, Number: 1,
	}))
	w.sealingCert = must(SignCertificate(w.scope, w.root, Certificate{Use: Sealing, Public: w.sealing.Public(), Number: 2}))
	w.trustFile = must(SignTrust(w.root, Trust{
		Scope: Scope{Environment: environment}, Name: "Example Software", Address: "https://licenses.example", Number: 1,
		Time: testTime, Certificates: [][]byte{w.sealingCert, w.issuingCert},
		Revoked: []Revoked{{Key: w.stolen.ID(), Since: testTime - 5}}, Until: testTime + 2e15, NextRoot: RootHash(w.next.Public()),
	}))
	w.trust = must(ParseTrust(w.trustFile))
	w.verifier = must(NewVerifier(w.trust))
	return w
}

func (w *world) serial() license.Serial { return w.keys.Serial() }

func (w *world) body() container.Body {
	return container.Body{
		License: "lic_06bq3c8v4w9x2m5n7p1d8a", Generation: 1, Container: w.serial(),
		ContainerKey: w.keys.Identity(license.Machine).SigningKey,
		Product:      "editor-pro", Name: "Editor Pro", Features: []string{"export", "print"},
		Tolerance: license.Medium, Repair: true, Customer: "Example Studio", Order: "2027-0001", Activated: testTime,
		Terms: license.Terms{
			Seats: 5, ExpiresAt: testTime + 1e13, CheckIn: 30 * license.Day, Grace: 7 * license.Day,
			Borrow: license.Borrow{Max: license.Day, Seats: 2}, CustomerText: "Für das Studio",
		},
	}
}

func (w *world) step(body container.Hash) container.Step {
	return container.Step{
		Container: w.serial(), Epoch: 1, Number: 1, Previous: container.PlanStart(w.serial()), Time: testTime,
		Ops: []container.Op{
			{Kind: container.Drop, Phase: container.Return, License: "lic_old", Generation: 2, Product: "viewer"},
			{Kind: container.Put, Phase: container.Activate, License: "lic_06bq3c8v4w9x2m5n7p1d8a", Generation: 1, Product: "editor-pro", Body: body},
		},
	}
}

func (w *world) license() (signed, body []byte) {
	body, hash, err := EncodeBody(w.body())
	if err != nil {
		panic(err)
	}
	step := w.step(hash)
	return must(SignStep(w.scope, w.issuing, &step)), body
}

func (w *world) update() container.Update {
	signed, body := w.license()
	return container.Update{
		Container: w.serial(), Answers: container.Nonce{9}, Acked: 0,
		Steps: []container.SignedStep{{Signed: signed, Bodies: [][]byte{body}}},
		Outcomes: []container.Outcome{
			{Wish: "activate lic_06bq3c8v4w9x2m5n7p1d8a", Code: refusal.Done, Details: map[string]any{}},
			{Wish: "return lic_none", Code: refusal.LicenseUnknown, Message: "There is no such license.", Details: map[string]any{"count": int64(3), "ids": []any{"a", "b"}, "deep": map[string]any{"x": true}}},
		},
		Challenge: []byte("challenge"), Time: testTime, Epoch: 1, Keys: [][]byte{w.issuingCert}, Reissued: [][]byte{body},
	}
}

func (w *world) report(kind Kind) container.Report {
	r := container.Report{
		Identity: w.keys.Identity(license.Machine), Number: 1, Plan: container.Hash{1}, Life: container.Hash{2},
		Nonces: []container.Nonce{{7}}, Epoch: 1, Held: []container.HeldLicense{{License: "lic_old", Generation: 2}},
		Nonce: container.Nonce{9}, Challenge: []byte{}, LocalTime: testTime, Binding: "strong", Reissue: []license.ID{}, Program: "licet 1.0",
		Wishes: container.Wishes{Tickets: []license.Ticket{}, Activate: []license.ID{}, Return: []license.ID{}},
	}
	if kind == Request {
		r.Wishes.Tickets = []license.Ticket{"ABCDE-FGH23-ABCDE-FGH23-ABCDE"}
		r.Wishes.Activate = []license.ID{"lic_06bq3c8v4w9x2m5n7p1d8a"}
	}
	return r
}

// blockEntries are what the block lists of tests are made of.
var blockEntries = []blocklist.Entry{
	blocklist.License("lic_06bq3c8v4w9x2m5n7p1d8a", 1), blocklist.License("lic_06bq3c8v4w9x2m5n7p1d8a", 2),
	blocklist.License("lic_old", 1), blocklist.Container("MFRGGZDFMZTWQ2LKNNWG23TPOB"),
}

// news are the whole block list 3 and what makes it of list 2.
func (w *world) news() (whole, increment []byte) {
	list := must(blocklist.New(3, blockEntries[:3]))
	whole = must(SignBlockNews(w.scope, w.issuing, list.Whole(testTime), w.issuingCert))
	increment = must(SignBlockNews(w.scope, w.issuing, list.Increment(2, blockEntries[1:3], blockEntries[3:], testTime), w.issuingCert))
	return whole, increment
}

func (w *world) blockHead() []byte {
	_, news := w.news()
	return must(decode[blockNews]("", MaxBlockList, news)).Head
}

func (w *world) blockListFile() []byte {
	whole, _ := w.news()
	return must(ArmorBlockNews(whole))
}

// testOrigins are the web origins of tests.
var testOrigins = Origins{Time: testTime, Until: testTime + 1e12, List: []string{
	"http://127.0.0.1:8080", "https://licenses.example", "https://licenses.example:8443",
}}

func (w *world) origins() []byte {
	return must(SignOrigins(w.scope, w.issuing, testOrigins, w.issuingCert))
}

// session is a lease as the world's license server gives it.
func (w *world) session() seats.Lease {
	return seats.Lease{
		ID: "L1", Kind: seats.Session, Server: w.serial(), License: "lic_06bq3c8v4w9x2m5n7p1d8a", Generation: 1, Product: "editor-pro", Seats: 1,
		Client: seats.Client{ID: "run-1", Host: "desk-7", User: "ada", PID: 4711, Groups: []string{"designers"}},
		Nonce:  "n-1", From: testTime, Until: testTime + 600e6, Fence: 9,
	}
}

// loan is a seat lent to the world's borrower.
func (w *world) loan() seats.Lease {
	l := w.session()
	l.ID, l.Kind, l.Until = "L2", seats.Loan, testTime+36000e6
	l.Holder, l.HolderKey = w.borrower.Serial(), w.borrower.Identity("").SigningKey
	return l
}

// licensePart is the part of a lease document that the vendor signed.
func (w *world) licensePart() []byte {
	signed, body := w.license()
	return must(LicensePart(signed, body, w.issuingCert))
}

// leaseDocuments are the documents of a group of leases.
func (w *world) leaseDocuments(leases ...seats.Lease) (LeaseHead, [][]byte) {
	var encoded [][]byte
	for _, l := range leases {
		encoded = append(encoded, must(EncodeLease(l)))
	}
	head, statements, err := SignLeases(w.scope, w.keys, 7, [32]byte{6}, testTime, encoded)
	if err != nil {
		panic(err)
	}
	part := w.licensePart()
	for i, s := range statements {
		statements[i] = NewLeaseDocument(part, s)
	}
	return head, statements
}

func (w *world) leaseHead() []byte {
	head, _ := w.leaseDocuments(w.session(), w.loan(), w.session())
	return head.Signed
}

func (w *world) wish() seats.LoanWish {
	return seats.LoanWish{
		Server: w.serial(), Product: "editor-pro", Features: []string{"export"}, Kind: seats.Loan, Seats: 1, For: license.Day,
		Client: w.session().Client, Nonce: "n-1", Number: 7,
		Holds: []seats.Held{{Lease: "L0", Until: testTime + 5}}, Returned: []seats.LeaseID{"L00"},
	}
}

func (w *world) loanRequestFile() []byte {
	return must(SignLoanRequest(w.scope, w.borrower, license.Machine, w.wish()))
}

func (w *world) loanAnswer() LoanAnswer {
	_, docs := w.leaseDocuments(w.loan())
	return LoanAnswer{
		Time: testTime, Document: docs[0], Confirmed: []seats.LeaseID{"L00"},
		Outcomes: []container.Outcome{{Wish: "borrow editor-pro", Code: refusal.Done, Details: map[string]any{"until": int64(5)}}},
	}
}

func (w *world) loanFile() []byte {
	to := must(OpenLoanRequest(w.scope, w.loanRequestFile()))
	return must(SignLoanAnswer(w.scope, w.keys, license.Machine, to, w.loanAnswer()))
}

func (w *world) updateFile() []byte {
	return must(SealUpdate(w.scope, w.issuing, w.keys.Identity(license.Machine), w.update()))
}

func (w *world) reportFile(kind Kind) []byte {
	return must(SealReport(w.trust, w.keys, w.report(kind)))
}

var (
	testNonce = container.Nonce{1, 2, 3}
	home      = newWorld("example", "production", "machine one")
)

// document is one of everything that is signed.
type document struct {
	name  string
	bytes []byte
}

// documents are one of everything that w signs. Files are also given as the raw
// bytes in them.
func (w *world) documents() []document {
	step, _ := w.license()
	docs := []document{
		{"certificate", w.issuingCert},
		{"step", step},
		{"time", must(SignTime(w.scope, w.issuing, testNonce, testTime))},
		{"answer", must(SignAnswer(w.scope, w.keys, testNonce, []byte("said")))},
		{"trust", unarmored(w.trustFile)},
		{"update", unarmored(w.updateFile())},
		{"request", unarmored(w.reportFile(Request))},
		{"receipt", unarmored(w.reportFile(Receipt))},
		{"blocklist", w.blockHead()},
		{"origins", w.origins()},
		{"lease", w.leaseHead()},
		{"loan-request", unarmored(w.loanRequestFile())},
		{"loan", unarmored(w.loanFile())},
	}
	return docs
}

// signedBundle is a trust bundle by the world's root, whatever it says.
func (w *world) signedBundle(b bundle) []byte {
	s := Scope{b.Vendor, b.Environment}
	if s.Check() != nil {
		s = w.scope
	}
	return must(signVersion(forTrust, s, b.Version, w.root.private, mustEncode(b)))
}

func (w *world) bundle() bundle {
	_, b, err := peekTrust(unarmored(w.trustFile))
	if err != nil {
		panic(err)
	}
	return b
}

// firstFormat is the bundle as it was written before version 2.
func (b bundle) firstFormat() bundle {
	b.Version, b.Lowest, b.Revoked, b.Until, b.NextRoot, b.Before = 1, 0, nil, 0, nil, nil
	return b
}

func unarmored(file []byte) []byte {
	_, raw, err := dearmor(file, Update, Request, Receipt, TrustBundle, BlockListFile, LoanRequest, LoanFile)
	if err != nil {
		panic(err)
	}
	return raw
}

// verifiers check one kind of document each, of the world w.
func (w *world) verifiers() map[string]func([]byte) error {
	_, body := w.license()
	v := must(NewVerifier(w.trust))
	return map[string]func([]byte) error{
		"certificate": func(b []byte) error { _, err := v.Certificate(b); return err },
		"step":        func(b []byte) error { _, err := v.Step(b); return err },
		"license":     func(b []byte) error { _, _, err := v.License(b, body); return err },
		"incoming": func(b []byte) error {
			_, err := v.Incoming(container.SignedStep{Signed: b, Bodies: [][]byte{body}})
			return err
		},
		"time": func(b []byte) error { _, err := v.Time(b, testNonce); return err },
		"answer": func(b []byte) error {
			_, err := OpenAnswer(w.scope, w.keys.Identity("").SigningKey, b, testNonce)
			return err
		},
		"trust":     func(b []byte) error { _, err := openTrust(b); return err },
		"update":    func(b []byte) error { _, err := v.openUpdate(b, w.keys); return err },
		"request":   func(b []byte) error { _, err := openReport(w.scope, Request, b, []*SealingKey{w.sealing}); return err },
		"receipt":   func(b []byte) error { _, err := openReport(w.scope, Receipt, b, []*SealingKey{w.sealing}); return err },
		"blocklist": func(b []byte) error { _, err := v.BlockHead(b); return err },
		"origins":   func(b []byte) error { _, err := v.Origins(b); return err },
		"lease": func(b []byte) error {
			_, err := OpenLeaseHead(w.scope, w.keys.Identity("").SigningKey, b)
			return err
		},
		"loan-request": func(b []byte) error { _, err := openLoanRequest(&w.scope, b); return err },
		"loan":         func(b []byte) error { _, err := v.openLoanAnswer(b, w.borrower); return err },
	}
}

// accepts says which verifiers take which document; every other pair is refused.
var accepts = map[string][]string{
	"certificate": {"certificate"},
	"step":        {"step", "license", "incoming"},
	"time":        {"time"},
	"answer":      {"answer"},
	"trust":       {"trust"},
	"update":      {"update"},
	"request":     {"request"},
	"receipt":     {"receipt"},
	"blocklist":   {"blocklist"},
	"origins":     {"origins"},
	"lease":       {"lease"},

	"loan-request": {"loan-request"},
	"loan":         {"loan"},
}

// code is the code of a refusal; any other error fails the test.
func code(t testing.TB, err error) refusal.Code {
	t.Helper()
	if err == nil {
		return refusal.Done
	}
	r, ok := refusal.As(err)
	if !ok {
		t.Fatalf("not a refusal: %v", err)
	}
	if r.Message == "" || r.NextStep() == "" {
		t.Errorf("%s says nothing: %+v", r.Code, r)
	}
	return r.Code
}

func wantCode(t testing.TB, err error, want ...refusal.Code) {
	t.Helper()
	got := code(t, err)
	for _, c := range want {
		if got == c {
			return
		}
	}
	t.Errorf("got %q (%v), want %q", got, err, want)
}

// head is the frame of a document up to its payload.
func head(id KeyID) []byte {
	return append(append([]byte(headStart), id[:]...), 0xa0)
}

// turned is bytes with one bit turned.
func turned(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}
