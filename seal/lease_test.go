package seal

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/seats"
)

func anyLease(t *rapid.T) seats.Lease {
	text := rapid.StringN(0, 40, 300)
	l := seats.Lease{
		ID: seats.LeaseID(rapid.StringN(1, 10, 40).Draw(t, "id")), Server: license.Serial(text.Draw(t, "server")),
		License: license.ID(text.Draw(t, "license")), Generation: license.Generation(rapid.Uint64().Draw(t, "generation")),
		Product: text.Draw(t, "product"), Seats: rapid.Int64Min(1).Draw(t, "seats"), Nonce: text.Draw(t, "nonce"),
		Client: seats.Client{
			ID: text.Draw(t, "client"), Host: text.Draw(t, "host"), User: text.Draw(t, "user"),
			PID: rapid.Int64().Draw(t, "pid"), Groups: rapid.SliceOfN(text, 0, 30).Draw(t, "groups"),
		},
		Kind: rapid.SampledFrom([]seats.LeaseKind{seats.Session, seats.Loan, seats.Transfer}).Draw(t, "kind"),
		From: license.Time(rapid.Int64Range(1, 1<<60).Draw(t, "from")), Fence: rapid.Uint64().Draw(t, "fence"),
	}
	l.Until = l.From + license.Time(rapid.Int64Range(1, 1<<60).Draw(t, "length"))
	if l.Kind != seats.Session {
		l.Holder, l.HolderKey = "HOLDER", home.borrower.Identity("").SigningKey
	}
	if l.Kind == seats.Transfer && rapid.Bool().Draw(t, "of units") {
		l.Seats, l.Units = 1, rapid.Int64Min(1).Draw(t, "units")
	}
	return l
}

// TestEncodeLease holds what is written by hand to what the library writes, and
// to what is read.
func TestEncodeLease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLease(t)
		b, err := EncodeLease(l)
		if err != nil {
			t.Fatal(err)
		}
		if want := must(encoding.Marshal(l)); !bytes.Equal(b, want) {
			t.Fatalf("got  %x\nwant %x", b, want)
		}
		got, err := DecodeLease(b)
		if err != nil || !bytes.Equal(must(encoding.Marshal(got)), b) {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
	for name, change := range map[string]func(*seats.Lease){
		"no id":               func(l *seats.Lease) { l.ID = "" },
		"no seat":             func(l *seats.Lease) { l.Seats = 0 },
		"no beginning":        func(l *seats.Lease) { l.From = 0 },
		"ends as it begins":   func(l *seats.Lease) { l.Until = l.From },
		"no end":              func(l *seats.Lease) { l.Until = 0 },
		"another kind":        func(l *seats.Lease) { l.Kind = "gift" },
		"no kind":             func(l *seats.Lease) { l.Kind = "" },
		"loan without holder": func(l *seats.Lease) { l.Holder = "" },
		"loan without key":    func(l *seats.Lease) { l.HolderKey = nil },
		"loan to a weak key":  func(l *seats.Lease) { l.HolderKey = make([]byte, 32) },
		"session of a holder": func(l *seats.Lease) { l.Kind = seats.Session },
		"session with a key":  func(l *seats.Lease) { l.Kind, l.Holder = seats.Session, "" },
		"no text":             func(l *seats.Lease) { l.Client.Groups = []string{"\xff"} },
		"too long":            func(l *seats.Lease) { l.Client.User = strings.Repeat("x", MaxLease) },
	} {
		l := home.loan()
		change(&l)
		if _, err := EncodeLease(l); err == nil {
			t.Errorf("%s: written", name)
		}
		if _, err := DecodeLease(must(encoding.Marshal(l))); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func TestLeases(t *testing.T) {
	w := home
	for _, n := range []int{1, 2, 3, 5, 8, 64, 65, 100} {
		var leases []seats.Lease
		for i := range n {
			l := w.session()
			if i%3 == 2 {
				l = w.loan()
			}
			l.ID = seats.LeaseID("L" + strconv.Itoa(i))
			leases = append(leases, l)
		}
		head, docs := w.leaseDocuments(leases...)
		again, err := OpenLeaseHead(w.scope, w.keys.Identity("").SigningKey, head.Signed)
		if err != nil || !reflect.DeepEqual(again, head) || head.Count != n || head.Number != 7 || head.Previous != ([32]byte{6}) || head.Time != testTime {
			t.Fatalf("head %+v, %v", again, err)
		}
		v := must(NewVerifier(&Trust{Scope: w.scope, Root: w.root.Public()})) // learns of the issuing key from the document
		for i, doc := range docs {
			l, body, err := v.Lease(doc)
			if err != nil || !reflect.DeepEqual(l, leases[i]) || !reflect.DeepEqual(body, w.body()) {
				t.Fatalf("%d of %d: got %+v, %+v, %v", i, n, l, body, err)
			}
		}
		if len(v.lessors) != 1 {
			t.Errorf("%d licenses are remembered", len(v.lessors))
		}
	}
	if _, _, err := SignLeases(w.scope, w.keys, 1, [32]byte{}, testTime, nil); err == nil {
		t.Error("a head of no leases was signed")
	}
	if _, _, err := SignLeases(w.scope, w.keys, 1, [32]byte{}, testTime, make([][]byte, MaxGroup+1)); err == nil {
		t.Error("a head of too many leases was signed")
	}
	if _, err := LicensePart(nil, make([]byte, MaxBody+1)); err == nil {
		t.Error("a part was made that nobody would read")
	}
	if _, err := LicensePart(make([]byte, MaxStep), make([]byte, MaxBody), slices.Repeat([][]byte{make([]byte, MaxCertificate)}, maxCertificates)...); err != nil {
		t.Errorf("the largest license makes no part: %v", err)
	}
}

// TestHeadsFormAChain: a head that is left out shows.
func TestHeadsFormAChain(t *testing.T) {
	lease := must(EncodeLease(home.session()))
	var heads []LeaseHead
	previous := [32]byte{}
	for n := range uint64(3) {
		head, _, err := SignLeases(home.scope, home.keys, n+1, previous, testTime, [][]byte{lease})
		if err != nil {
			t.Fatal(err)
		}
		heads, previous = append(heads, head), head.Hash()
	}
	if heads[1].Previous != heads[0].Hash() || heads[2].Previous != heads[1].Hash() || heads[2].Previous == heads[0].Hash() {
		t.Error("the heads do not name one another")
	}
}

// TestEveryBitOfALease turns every bit of a lease document, for a verifier that
// knows the license and for one that does not.
func TestEveryBitOfALease(t *testing.T) {
	_, docs := home.leaseDocuments(home.session(), home.loan(), home.session())
	for name, trust := range map[string]*Trust{"known": home.trust, "new": {Scope: home.scope, Root: home.root.Public()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := must(NewVerifier(trust))
			doc := bytes.Clone(docs[1])
			if name == "known" {
				if _, _, err := v.Lease(docs[0]); err != nil {
					t.Fatal(err)
				}
			}
			for bit := range len(doc) * 8 {
				doc[bit/8] ^= 1 << (bit % 8)
				_, _, err := v.Lease(doc)
				if c := code(t, err); c == refusal.Done {
					t.Fatalf("bit %d does not matter", bit)
				}
				doc[bit/8] ^= 1 << (bit % 8)
			}
			for n := range doc {
				if _, _, err := v.Lease(doc[:n]); !refusal.Is(err, refusal.DamagedFile) {
					t.Fatalf("%d bytes: %v", n, err)
				}
			}
		})
	}
	_, _, err := home.verifier.Lease(make([]byte, MaxLeaseDocument+1))
	wantCode(t, err, refusal.TooLarge)
}

// documentOf is a lease document of a license, whatever the lease says.
func (w *world) documentOf(body container.Body, by *ContainerKeys, l seats.Lease) []byte {
	encoded, hash, err := EncodeBody(body)
	if err != nil {
		panic(err)
	}
	step := w.step(hash)
	step.Container = body.Container
	step.Ops[1].License, step.Ops[1].Generation, step.Ops[1].Product = body.License, body.Generation, body.Product
	part := must(LicensePart(must(SignStep(w.scope, w.issuing, &step)), encoded, w.issuingCert))
	_, statements, err := SignLeases(w.scope, by, 1, [32]byte{}, testTime, [][]byte{must(encoding.Marshal(l))})
	if err != nil {
		panic(err)
	}
	return NewLeaseDocument(part, statements[0])
}

// TestLeaseAndLicenseBelongTogether: a lease says nothing of another license, of
// another server, and gives no more than its license permits.
func TestLeaseAndLicenseBelongTogether(t *testing.T) {
	w := home
	if _, _, err := w.verifier.Lease(w.documentOf(w.body(), w.keys, w.loan())); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*container.Body, *seats.Lease){
		"server":     func(_ *container.Body, l *seats.Lease) { l.Server = w.borrower.Serial() },
		"license":    func(_ *container.Body, l *seats.Lease) { l.License = "lic_other" },
		"generation": func(_ *container.Body, l *seats.Lease) { l.Generation++ },
		"product":    func(_ *container.Body, l *seats.Lease) { l.Product = "viewer" },
		"key":        func(b *container.Body, _ *seats.Lease) { b.ContainerKey = w.borrower.Identity("").SigningKey },
		"weak key":   func(b *container.Body, _ *seats.Lease) { b.ContainerKey = make([]byte, 32) },
		"seats":      func(_ *container.Body, l *seats.Lease) { l.Seats = 6 },
		"local only": func(b *container.Body, l *seats.Lease) { b.Terms.Seats, b.Terms.Borrow.Seats = 0, 0 },
		"end":        func(b *container.Body, l *seats.Lease) { b.Terms.ExpiresAt, b.Terms.Grace = l.Until-1, 0 },
		"no loans":   func(b *container.Body, _ *seats.Lease) { b.Terms.Borrow = license.Borrow{} },
		"loan length": func(b *container.Body, l *seats.Lease) {
			b.Terms.Borrow.Max = 10*60*60*1e9 - 1e3 // a microsecond less than the loan
		},
		"no transfers": func(_ *container.Body, l *seats.Lease) { l.Kind = seats.Transfer },
		"no units": func(b *container.Body, l *seats.Lease) {
			b.Terms.Units, b.Terms.Transfer, l.Kind, l.Seats, l.Units = 9, license.MovesSeats, seats.Transfer, 1, 9
		},
		"too many units": func(b *container.Body, l *seats.Lease) {
			b.Terms.Units, b.Terms.Transfer, l.Kind, l.Seats, l.Units = 8, license.MovesUnits, seats.Transfer, 1, 9
		},
	} {
		body, l := w.body(), w.loan()
		change(&body, &l)
		_, _, err := w.verifier.Lease(w.documentOf(body, w.keys, l))
		if !refusal.Is(err, refusal.BadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err := w.verifier.Lease(w.documentOf(w.body(), w.borrower, w.loan()))
	wantCode(t, err, refusal.BadSignature) // by another container

	// One of a group for another place in it, or under another head.
	head, docs := w.leaseDocuments(w.session(), w.loan(), w.session())
	other, _ := w.leaseDocuments(w.loan())
	for name, change := range map[string]func(*leaseStatement){
		"index":     func(s *leaseStatement) { s.Index ^= 1 },
		"far index": func(s *leaseStatement) { s.Index += 1 << 40 },
		"longer":    func(s *leaseStatement) { s.Path = append(s.Path, head.Root[:]...) },
		"shorter":   func(s *leaseStatement) { s.Path = s.Path[:len(s.Path)-32] },
		"ragged":    func(s *leaseStatement) { s.Path = append(s.Path, 0) },
		"head":      func(s *leaseStatement) { s.Head = other.Signed },
		"a node for a leaf": func(s *leaseStatement) {
			s.Lease = append([]byte{}, s.Path...)
		},
	} {
		s := must(decode[leaseStatement]("", maxStatement, must(DecodeLeaseDocument(docs[1])).Lease))
		s.Path = bytes.Clone(s.Path)
		change(&s)
		_, _, err := w.verifier.Lease(NewLeaseDocument(w.licensePart(), mustEncode(s)))
		if !refusal.Is(err, refusal.BadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerifierForgetsLicenses: what a verifier remembers of licenses is bounded,
// and what it says does not depend on it.
func TestVerifierForgetsLicenses(t *testing.T) {
	v := must(NewVerifier(home.trust))
	for i := range 3 * mostLessors {
		body, l := home.body(), home.session()
		body.License, l.License = license.ID("lic_"+strconv.Itoa(i)), license.ID("lic_"+strconv.Itoa(i))
		doc := home.documentOf(body, home.keys, l)
		for range 2 {
			got, b, err := v.Lease(doc)
			if err != nil || got.License != l.License || b.License != l.License {
				t.Fatalf("%d: %v", i, err)
			}
			b.Features[0], b.ContainerKey[0] = "all", 0 // the caller's own
		}
		if len(v.lessors) > mostLessors {
			t.Fatalf("%d licenses are remembered", len(v.lessors))
		}
	}
}

func TestLoanRequest(t *testing.T) {
	w := home
	file := w.loanRequestFile()
	got, err := OpenLoanRequest(w.scope, file)
	want := SignedLoanWish{Scope: w.scope, Identity: w.borrower.Identity(license.Machine), Serial: w.borrower.Serial(), Wish: w.wish(), Hash: sha256.Sum256(unarmored(file))}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	for name, change := range map[string]func(*seats.LoanWish){
		"to return what it holds": func(l *seats.LoanWish) {
			*l = seats.LoanWish{Nonce: "n", Holds: []seats.Held{}, Returned: []seats.LeaseID{"L1"}}
		},
		"to extend":             func(l *seats.LoanWish) { l.Product, l.Extend = "", "L1" },
		"from a session":        func(l *seats.LoanWish) { l.Session, l.Token = "L1", "secret" },
		"to transfer":           func(l *seats.LoanWish) { l.Kind, l.For = seats.Transfer, 0 },
		"wherever it is":        func(l *seats.LoanWish) { l.Server = "" },
		"to have units":         func(l *seats.LoanWish) { l.Kind, l.Seats, l.For, l.Units = seats.Transfer, 0, 0, 400 },
		"to have no more units": func(l *seats.LoanWish) { l.Closed = []seats.Closed{{Lease: "L1", Used: 0}} },
		"having some":           func(l *seats.LoanWish) { l.Holds[0].Units, l.Holds[0].Used = 9, 9 },
		"with no list of loans": func(l *seats.LoanWish) { l.Holds, l.Returned = nil, nil },
	} {
		wish := w.wish()
		change(&wish)
		file, err := SignLoanRequest(w.scope, w.borrower, license.Machine, wish)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = OpenLoanRequest(w.scope, file)
		wantCode(t, err, refusal.Done)
	}
	for name, change := range map[string]func(*loanRequest){
		"no nonce":                   func(r *loanRequest) { r.Wish.Nonce = "" },
		"no number":                  func(r *loanRequest) { r.Wish.Number = 0 },
		"a number for nothing":       func(r *loanRequest) { r.Wish = seats.LoanWish{Nonce: "n", Number: 1} },
		"two wishes":                 func(r *loanRequest) { r.Wish.Extend = "L1" },
		"nothing, for a day":         func(r *loanRequest) { r.Wish.Product = "" },
		"no kind of wish":            func(r *loanRequest) { r.Wish.Kind = "" },
		"a session's wish":           func(r *loanRequest) { r.Wish.Kind = seats.Session },
		"a token of no session":      func(r *loanRequest) { r.Wish.Token = "secret" },
		"units on loan":              func(r *loanRequest) { r.Wish.Units = 4 },
		"units and seats":            func(r *loanRequest) { r.Wish.Kind, r.Wish.For, r.Wish.Units = seats.Transfer, 0, 4 },
		"units of nothing":           func(r *loanRequest) { r.Wish = seats.LoanWish{Nonce: "n", Units: 4} },
		"fewer than no units":        func(r *loanRequest) { r.Wish.Kind, r.Wish.Seats, r.Wish.For, r.Wish.Units = seats.Transfer, 0, 0, -4 },
		"an end of nothing":          func(r *loanRequest) { r.Wish.Closed = []seats.Closed{{Used: 4}} },
		"fewer used than none":       func(r *loanRequest) { r.Wish.Closed = []seats.Closed{{Lease: "L1", Used: -4}} },
		"more used than moved":       func(r *loanRequest) { r.Wish.Holds[0].Units, r.Wish.Holds[0].Used = 4, 5 },
		"fewer than no seats":        func(r *loanRequest) { r.Wish.Seats = -1 },
		"for less than no time":      func(r *loanRequest) { r.Wish.For = -1 },
		"too much held":              func(r *loanRequest) { r.Wish.Holds = make([]seats.Held, mostPerLoan+1) },
		"too much returned":          func(r *loanRequest) { r.Wish.Returned = make([]seats.LeaseID, mostPerLoan+1) },
		"no kind of container":       func(r *loanRequest) { r.Identity.Kind = "phone" },
		"a key that seals for all":   func(r *loanRequest) { r.Identity.SealingKey = make([]byte, 32) },
		"a later version":            func(r *loanRequest) { r.Version = 2 },
		"a suite that nobody knows":  func(r *loanRequest) { r.Suite = 2 },
		"another vendor":             func(r *loanRequest) { r.Vendor = VendorOf([]byte("x")) },
		"another environment":        func(r *loanRequest) { r.Environment = "test" },
		"the key of somebody else":   func(r *loanRequest) { r.Identity = w.keys.Identity(license.Machine) },
		"a key with which all agree": func(r *loanRequest) { r.Identity.SigningKey = make([]byte, 32) },
	} {
		_, r, err := peekLoanRequest(unarmored(file))
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		_, err = openLoanRequest(&w.scope, must(sign(forLoanRequest, w.scope, w.borrower.signing, mustEncode(r))))
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		code(t, err)
		if r.Version == Version && r.Suite == 1 && r.scope() == w.scope && r.Identity.Kind == license.Machine && goodIdentity(r.Identity) && KeyIDOf(r.Identity.SigningKey) == KeyIDOf(w.borrower.Identity("").SigningKey) {
			if _, err := SignLoanRequest(w.scope, w.borrower, license.Machine, r.Wish); err == nil {
				t.Errorf("%s: signed", name)
			}
		}
	}
}

func TestLoanAnswer(t *testing.T) {
	w := home
	to := must(OpenLoanRequest(w.scope, w.loanRequestFile()))
	file := w.loanFile()
	got, err := w.verifier.OpenLoanAnswer(file, w.borrower)
	want := w.loanAnswer()
	want.Server, want.Holder, want.Nonce, want.Lease, want.Body = w.serial(), w.borrower.Serial(), "n-1", w.loan(), w.body()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	_, err = w.verifier.OpenLoanAnswer(file, w.keys)
	wantCode(t, err, refusal.WrongContainer)

	// Nothing lent: returns confirmed, or a refusal.
	nothing := w.loanAnswer()
	nothing.Document = nil
	got, err = w.verifier.OpenLoanAnswer(must(SignLoanAnswer(w.scope, w.keys, license.Machine, to, nothing)), w.borrower)
	if err != nil || got.Server != w.serial() || got.Lease.ID != "" || len(got.Confirmed) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}

	stranger := must(NewContainerKeys(seedOf("a stranger")))
	someoneElse := w.loan()
	someoneElse.Holder, someoneElse.HolderKey = w.serial(), w.keys.Identity("").SigningKey
	otherKey := w.loan()
	otherKey.HolderKey = w.keys.Identity("").SigningKey
	_, docs := w.leaseDocuments(w.session(), someoneElse, otherKey)
	for name, change := range map[string]func(*loanAnswer, *ContainerKeys){
		"no holder":                func(a *loanAnswer, _ *ContainerKeys) { a.Holder = "" },
		"no nonce":                 func(a *loanAnswer, _ *ContainerKeys) { a.Nonce = "" },
		"no time":                  func(a *loanAnswer, _ *ContainerKeys) { a.Time = 0 },
		"a later version":          func(a *loanAnswer, _ *ContainerKeys) { a.Version = 2 },
		"another suite":            func(a *loanAnswer, _ *ContainerKeys) { a.Suite = 2 },
		"another vendor":           func(a *loanAnswer, _ *ContainerKeys) { a.Vendor = VendorOf([]byte("x")) },
		"another environment":      func(a *loanAnswer, _ *ContainerKeys) { a.Environment = "test" },
		"too much":                 func(a *loanAnswer, _ *ContainerKeys) { a.Confirmed = make([]seats.LeaseID, mostPerLoan+1) },
		"facts of no type":         func(a *loanAnswer, _ *ContainerKeys) { a.Outcomes[0].Details = map[string]any{"x": []byte("y")} },
		"a session":                func(a *loanAnswer, _ *ContainerKeys) { a.Loan = docs[0] },
		"somebody else's loan":     func(a *loanAnswer, _ *ContainerKeys) { a.Loan = docs[1] },
		"a loan to somebody's key": func(a *loanAnswer, _ *ContainerKeys) { a.Loan = docs[2] },
		"half a loan":              func(a *loanAnswer, _ *ContainerKeys) { a.Loan = a.Loan[:len(a.Loan)-1] },
		"a stranger's answer":      func(a *loanAnswer, k *ContainerKeys) { *k = *stranger; a.Server = k.Identity(license.Machine) },
		"a stranger's key":         func(a *loanAnswer, k *ContainerKeys) { *k = *stranger },
		"a stranger's name":        func(a *loanAnswer, _ *ContainerKeys) { a.Server.SealingKey = stranger.Identity("").SealingKey },
		"a server without a kind":  func(a *loanAnswer, _ *ContainerKeys) { a.Server.Kind = "" },
	} {
		_, a, err := peekLoanAnswer(unarmored(file))
		if err != nil {
			t.Fatal(err)
		}
		keys := *w.keys
		change(&a, &keys)
		_, err = w.verifier.openLoanAnswer(must(sign(forLoan, w.scope, keys.signing, mustEncode(a))), w.borrower)
		if c := code(t, err); c == refusal.Done {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := SignLoanAnswer(w.scope, w.keys, license.Machine, SignedLoanWish{}, w.loanAnswer()); err == nil {
		t.Error("an answer to nobody was signed")
	}
	bad := w.loanAnswer()
	bad.Outcomes[0].Details = map[string]any{"x": 1.5}
	if _, err := SignLoanAnswer(w.scope, w.keys, license.Machine, to, bad); err == nil {
		t.Error("facts of no type were signed")
	}
}
