package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// node is a piece of CBOR, taken apart without the library under test.
type node struct {
	major byte
	arg   uint64
	text  []byte  // of strings
	parts []*node // of arrays and maps: keys and values in turn
	width int     // bytes of the argument to write; -1 is the shortest
	open  bool    // write with indefinite length
	tag   bool    // write a tag before
	raw   []byte  // write this instead
}

// take reads one piece of canonical CBOR.
func take(b []byte) (*node, []byte) {
	n := &node{major: b[0] >> 5, width: -1}
	extra := map[byte]int{24: 1, 25: 2, 26: 4, 27: 8}[b[0]&31]
	if extra == 0 {
		n.arg = uint64(b[0] & 31)
	} else {
		var a [8]byte
		copy(a[8-extra:], b[1:1+extra])
		n.arg = binary.BigEndian.Uint64(a[:])
	}
	b = b[1+extra:]
	count := 0
	switch n.major {
	case 2, 3:
		n.text, b = b[:n.arg], b[n.arg:]
	case 4:
		count = int(n.arg)
	case 5:
		count = 2 * int(n.arg)
	case 6, 7:
		if n.major == 6 || extra > 0 {
			panic("not in these documents")
		}
	}
	for range count {
		var p *node
		p, b = take(b)
		n.parts = append(n.parts, p)
	}
	return n, b
}

func (n *node) write(b []byte) []byte {
	if n.raw != nil {
		return append(b, n.raw...)
	}
	arg := n.arg
	switch n.major {
	case 2, 3:
		arg = uint64(len(n.text))
	case 4:
		arg = uint64(len(n.parts))
	case 5:
		arg = uint64(len(n.parts) / 2)
	}
	if n.tag {
		b = append(b, 0xc1)
	}
	switch {
	case n.open:
		b = append(b, n.major<<5|31)
	case n.major == 7:
		b = append(b, 7<<5|byte(arg))
	default:
		b = writeHead(b, n.major, arg, n.width)
	}
	if n.major == 2 || n.major == 3 {
		if n.open {
			b = writeHead(b, n.major, arg, -1)
		}
		b = append(b, n.text...)
	}
	for _, p := range n.parts {
		b = p.write(b)
	}
	if n.open {
		b = append(b, 0xff)
	}
	return b
}

func writeHead(b []byte, major byte, arg uint64, width int) []byte {
	if width < 0 {
		switch {
		case arg < 24:
			width = 0
		case arg < 1<<8:
			width = 1
		case arg < 1<<16:
			width = 2
		case arg < 1<<32:
			width = 4
		default:
			width = 8
		}
	}
	var a [8]byte
	binary.BigEndian.PutUint64(a[:], arg)
	switch width {
	case 0:
		return append(b, major<<5|byte(arg))
	case 1:
		b = append(b, major<<5|24)
	case 2:
		b = append(b, major<<5|25)
	case 4:
		b = append(b, major<<5|26)
	case 8:
		b = append(b, major<<5|27)
	}
	return append(b, a[8-width:]...)
}

func (n *node) all() []*node {
	nodes := []*node{n}
	for _, p := range n.parts {
		nodes = append(nodes, p.all()...)
	}
	return nodes
}

// mutants are ways to spell a piece otherwise. Each reports whether it applies.
var mutants = map[string]func(n *node, r *rand.Rand) bool{
	"long head": func(n *node, r *rand.Rand) bool {
		wide := []int{1, 2, 4, 8}
		now := len(writeHead(nil, n.major, n.size(), -1)) - 1
		wide = slices.DeleteFunc(wide, func(w int) bool { return w <= now })
		if n.major == 7 || len(wide) == 0 {
			return false
		}
		n.width = wide[r.IntN(len(wide))]
		return true
	},
	"indefinite length": func(n *node, _ *rand.Rand) bool {
		n.open = true
		return n.major >= 2 && n.major <= 5
	},
	"tag": func(n *node, _ *rand.Rand) bool {
		n.tag = true
		return true
	},
	"key twice": func(n *node, r *rand.Rand) bool {
		if n.major != 5 || len(n.parts) == 0 {
			return false
		}
		at := 2 * r.IntN(len(n.parts)/2)
		n.parts = slices.Insert(n.parts, at, n.parts[at], n.parts[at+1])
		return true
	},
	"key twice, other value": func(n *node, r *rand.Rand) bool {
		if n.major != 5 || len(n.parts) == 0 {
			return false
		}
		at := 2 * r.IntN(len(n.parts)/2)
		other := *n.parts[at+1]
		other.arg++
		n.parts = slices.Insert(n.parts, at+2, n.parts[at], &other)
		return true
	},
	"keys out of order": func(n *node, r *rand.Rand) bool {
		if n.major != 5 || len(n.parts) < 4 {
			return false
		}
		at := 2 * r.IntN(len(n.parts)/2-1)
		p := n.parts
		p[at], p[at+1], p[at+2], p[at+3] = p[at+2], p[at+3], p[at], p[at+1]
		return true
	},
	"unknown key": func(n *node, r *rand.Rand) bool {
		if n.major != 5 {
			return false
		}
		n.parts = append(n.parts, &node{arg: 23 + r.Uint64N(1000), width: -1}, &node{width: -1})
		return true
	},
	"unknown text key": func(n *node, _ *rand.Rand) bool {
		if n.major != 5 {
			return false
		}
		n.parts = append(n.parts, &node{major: 3, text: []byte("zzzzzzzzzzzzzzzzzzzzzzz"), width: -1}, &node{width: -1})
		return true
	},
	"key in other case": func(n *node, _ *rand.Rand) bool {
		if n.major != 5 || len(n.parts) == 0 || n.parts[0].major != 3 {
			return false
		}
		n.parts[0].text = bytes.ToUpper(n.parts[0].text)
		return true
	},
	"key left out": func(n *node, r *rand.Rand) bool {
		if n.major != 5 || len(n.parts) == 0 || n.parts[0].major == 3 {
			return false // text keys may be left out where they are zero
		}
		at := 2 * r.IntN(len(n.parts)/2)
		n.parts = slices.Delete(n.parts, at, at+2)
		return true
	},
	"null": func(n *node, _ *rand.Rand) bool {
		*n = node{major: 7, arg: 22}
		return true
	},
	"undefined": func(n *node, _ *rand.Rand) bool {
		*n = node{major: 7, arg: 23}
		return true
	},
	"text for bytes and bytes for text": func(n *node, _ *rand.Rand) bool {
		if n.major != 2 && n.major != 3 {
			return false
		}
		n.major ^= 1
		return true
	},
	"bytes as numbers": func(n *node, _ *rand.Rand) bool {
		if n.major != 2 {
			return false
		}
		n.major = 4
		for _, c := range n.text {
			n.parts = append(n.parts, &node{arg: uint64(c), width: -1})
		}
		n.text = nil
		return true
	},
	"number as float": func(n *node, _ *rand.Rand) bool {
		if n.major != 0 {
			return false
		}
		f := math.Float64bits(float64(n.arg))
		*n = node{raw: binary.BigEndian.AppendUint64([]byte{0xfb}, f)}
		return true
	},
	"no UTF-8": func(n *node, _ *rand.Rand) bool {
		if n.major != 3 {
			return false
		}
		n.text = append(bytes.Clone(n.text), 0xff)
		return true
	},
}

func (n *node) size() uint64 {
	switch n.major {
	case 2, 3:
		return uint64(len(n.text))
	case 4:
		return uint64(len(n.parts))
	case 5:
		return uint64(len(n.parts) / 2)
	}
	return n.arg
}

// payload is what is signed or sealed, and a way to give it to its reader under
// a good signature.
type payload struct {
	name  string
	bytes []byte
	read  func([]byte) error
}

func (w *world) payloads() []payload {
	step, body := w.license()
	of := func(raw []byte) []byte { return must(parse("document", maxFile, raw)).Payload }
	id := w.keys.Identity(license.Machine)
	update := w.update()
	update.Keys = nil
	time := must(SignTime(w.scope, w.issuing, testNonce, testTime))
	answer := must(SignAnswer(w.scope, w.keys, testNonce, []byte("said")))
	keys := []*SealingKey{w.sealing}
	openUpdate := func(payload []byte) error {
		_, err := w.verifier.openUpdate(must(sign(forUpdate, w.scope, w.issuing.private, payload)), w.keys)
		return err
	}
	openRequest := func(payload []byte) error {
		_, err := openReport(w.scope, Request, must(sign(forRequest, w.scope, w.keys.signing, payload)), keys)
		return err
	}
	sealed := func(h header, to []byte, open func([]byte) error) func([]byte) error {
		return func(plain []byte) error { return open(must(h.seal(to, plain))) }
	}
	// resealed seals under other header bytes than encode would write.
	resealed := func(p purpose, to *SealingKey, plain []byte, open func([]byte) error) func([]byte) error {
		return func(head []byte) error {
			enc, box := sealUnder(p, w.scope, to.Public(), head, plain)
			return open(mustEncode(envelope{Header: head, Enc: enc, Sealed: box}))
		}
	}
	up := must(openEnvelope(Update, unarmored(w.updateFile())))
	req := must(openEnvelope(Request, unarmored(w.reportFile(Request))))
	_, blockNews := w.news()
	_, leaseDocuments := w.leaseDocuments(w.session(), w.loan(), w.session())
	leaseDocument := leaseDocuments[1]
	updatePlain, reportPlain := mustEncode(update), mustEncode(w.report(Request))
	return []payload{
		{"step", of(step), func(b []byte) error {
			_, err := w.verifier.Step(must(sign(forStep, w.scope, w.issuing.private, b)))
			return err
		}},
		{"body", body, func(b []byte) error {
			s := w.step(sha256.Sum256(b))
			_, _, err := w.verifier.License(must(sign(forStep, w.scope, w.issuing.private, EncodeStep(&s))), b)
			return err
		}},
		{"certificate", of(w.issuingCert), func(b []byte) error {
			_, err := w.verifier.Certificate(must(sign(forKey, w.scope, w.root.private, b)))
			return err
		}},
		{"trust", of(unarmored(w.trustFile)), func(b []byte) error {
			_, err := openTrust(must(signVersion(forTrust, w.scope, trustFormat, w.root.private, b)))
			return err
		}},
		{"time", of(time), func(b []byte) error {
			_, err := w.verifier.Time(must(sign(forTime, w.scope, w.issuing.private, b)), testNonce)
			return err
		}},
		{"answer", of(answer), func(b []byte) error {
			_, err := OpenAnswer(w.scope, id.SigningKey, must(sign(forAnswer, w.scope, w.keys.signing, b)), testNonce)
			return err
		}},
		{"envelope", up.Payload, openUpdate},
		{"header of an update", up.envelope.Header, resealed(forUpdate, w.keys.sealing, updatePlain, openUpdate)},
		{"header of a request", req.envelope.Header, resealed(forRequest, w.sealing, reportPlain, openRequest)},
		{"update", updatePlain, sealed(header{Kind: Update, Vendor: w.scope.Vendor, Environment: w.scope.Environment, Container: w.serial()}, id.SealingKey, openUpdate)},
		{"report", reportPlain, sealed(header{Kind: Request, Vendor: w.scope.Vendor, Environment: w.scope.Environment, Container: w.serial(), Identity: &id}, w.sealing.Public(), openRequest)},
		{"origins", of(w.origins()), func(b []byte) error {
			_, err := w.verifier.Origins(must(sign(forOrigins, w.scope, w.issuing.private, b)))
			return err
		}},
		{"lease head", of(w.leaseHead()), func(b []byte) error {
			_, err := OpenLeaseHead(w.scope, id.SigningKey, must(sign(forLease, w.scope, w.keys.signing, b)))
			return err
		}},
		{"lease", must(EncodeLease(w.loan())), func(b []byte) error {
			_, statements, err := SignLeases(w.scope, w.keys, 1, [32]byte{}, testTime, [][]byte{b})
			if err == nil {
				_, _, err = w.verifier.Lease(NewLeaseDocument(w.licensePart(), statements[0]))
			}
			return err
		}},
		{"lease statement", must(DecodeLeaseDocument(leaseDocument)).Lease, func(b []byte) error {
			_, _, err := w.verifier.Lease(NewLeaseDocument(w.licensePart(), b))
			return err
		}},
		{"lease document", leaseDocument, func(b []byte) error { _, _, err := w.verifier.Lease(b); return err }},
		{"loan request", of(unarmored(w.loanRequestFile())), func(b []byte) error {
			_, err := openLoanRequest(&w.scope, must(sign(forLoanRequest, w.scope, w.borrower.signing, b)))
			return err
		}},
		{"loan", of(unarmored(w.loanFile())), func(b []byte) error {
			_, err := w.verifier.openLoanAnswer(must(sign(forLoan, w.scope, w.keys.signing, b)), w.borrower)
			return err
		}},
		{"block head", of(w.blockHead()), func(b []byte) error {
			_, err := w.verifier.BlockHead(must(sign(forBlockList, w.scope, w.issuing.private, b)))
			return err
		}},
		{"block news", blockNews, func(b []byte) error { _, err := w.verifier.OpenBlockNews(b); return err }},
	}
}

// TestOneSpelling spells what is signed otherwise, more than a thousand times,
// and signs and seals it with the right keys: nobody takes it.
func TestOneSpelling(t *testing.T) {
	const perPayload = 250
	total := 0
	for i, p := range home.payloads() {
		t.Run(p.name, func(t *testing.T) {
			if err := p.read(p.bytes); err != nil {
				t.Fatalf("the right spelling is refused: %v", err)
			}
			if tree, rest := take(p.bytes); len(rest) != 0 || !bytes.Equal(tree.write(nil), p.bytes) {
				t.Fatal("the test cannot take this payload apart")
			}
			r := rand.New(rand.NewPCG(1, uint64(i)))
			names := make([]string, 0, len(mutants))
			for name := range mutants {
				names = append(names, name)
			}
			slices.Sort(names)
			seen := map[string]int{}
			for made := 0; made < perPayload; {
				tree, _ := take(p.bytes)
				nodes := tree.all()
				name, at := names[r.IntN(len(names))], r.IntN(len(nodes))
				free := slices.Contains(details(p.name, tree), nodes[at]) &&
					slices.Contains([]string{"null", "unknown text key", "key in other case"}, name)
				if !mutants[name](nodes[at], r) {
					continue
				}
				mutant := tree.write(nil)
				if bytes.Equal(mutant, p.bytes) {
					t.Fatalf("%s at %d changes nothing", name, at)
				}
				made++
				seen[name]++
				total++
				switch c := code(t, p.read(mutant)); {
				case c == refusal.Done && free:
				case c == refusal.Done:
					t.Errorf("%s at piece %d is taken: %x", name, at, mutant)
				case c != refusal.DamagedFile && c != refusal.BadSignature && c != refusal.UnsupportedVersion && c != refusal.VendorUntrusted:
					t.Errorf("%s at piece %d: %s", name, at, c)
				}
			}
			if len(seen) < 7 {
				t.Errorf("only %v were tried", seen)
			}
		})
	}
	if total < 1000 {
		t.Errorf("%d mutants", total)
	}
}

// details are the pieces in the outcomes of an update or a loan that may hold any
// facts.
func details(name string, tree *node) (found []*node) {
	at, ok := map[string]int{"update": 9, "loan": 17}[name] // the value of field 5, of field 9
	if !ok {
		return nil
	}
	for _, outcome := range tree.parts[at].parts {
		found = append(found, outcome.parts[9].all()...)
	}
	return found
}

// TestDetails holds the facts of an outcome to what every reader has.
func TestDetails(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		good  bool
	}{
		"text": {"x", true}, "number": {-5, true}, "yes": {true, true}, "nothing": {nil, true},
		"serial": {home.serial(), true}, "list": {[]string{"a"}, true}, "maps": {[]map[string]any{{"a": []int{1}}}, true},
		"struct": {license.Borrow{Max: 1}, true},
		"float":  {1.5, false}, "bytes": {[]byte("x"), false}, "deep bytes": {[]any{map[string]any{"a": []byte("x")}}, false},
		"huge number": {uint64(1 << 63), false}, "no text": {"\xff", false}, "too deep": {[]any{[]any{[]any{[]any{[]any{[]any{[]any{1}}}}}}}, false},
	} {
		u := home.update()
		u.Outcomes = []container.Outcome{{Wish: "x", Code: refusal.Done, Details: map[string]any{"it": c.value}}}
		file, err := SealUpdate(home.scope, home.issuing, home.keys.Identity(license.Machine), u)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil {
			_, err = home.verifier.OpenUpdate(file, home.keys)
			wantCode(t, err, refusal.Done)
		}
	}
	u := home.update()
	u.Keys, u.Outcomes = nil, []container.Outcome{{Details: map[string]any{"it": []byte("x")}}}
	h := header{Kind: Update, Vendor: home.scope.Vendor, Environment: home.scope.Environment, Container: home.serial()}
	raw := must(sign(forUpdate, home.scope, home.issuing.private, must(h.seal(home.keys.sealing.Public(), mustEncode(u)))))
	_, err := home.verifier.openUpdate(raw, home.keys)
	wantCode(t, err, refusal.DamagedFile)
}

// TestDeep refuses what is nested or counted beyond the bounds.
func TestDeep(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81}, 800)
	for _, p := range home.payloads() {
		for name, b := range map[string][]byte{
			"nested":         append(bytes.Clone(deep), 0),
			"nested maps":    append(bytes.Repeat([]byte{0xa1, 0x01}, 400), 0),
			"huge array":     {0x9a, 0xff, 0xff, 0xff, 0xff},
			"huge array, 64": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			"huge map":       {0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			"huge string":    {0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			"empty":          {},
			"wrong type":     {0x01},
			"trailing":       append(bytes.Clone(p.bytes), 0),
		} {
			if err := p.read(b); !refusal.Is(err, refusal.DamagedFile) && p.name != "envelope" && !refusal.Is(err, refusal.BadSignature) {
				t.Errorf("%s, %s: %v", p.name, name, err)
			}
		}
	}
	s := home.step(container.Hash{})
	s.Ops = slices.Repeat(s.Ops, maxElements)
	if _, err := SignStep(home.scope, home.issuing, &s); err == nil {
		t.Error("a step of too many operations was signed")
	}
}

// TestLengthFields sets every length in a document to bad values.
func TestLengthFields(t *testing.T) {
	verifiers := home.verifiers()
	for _, d := range home.documents() {
		n := uint64(len(d.bytes))
		for _, at := range []int{1, 2, 24, 25, 26, 27} {
			for _, v := range []uint64{0, 1, n - 1, n, n + 1, 1<<31 - 1, 1<<32 - 1, 1 << 63} {
				for _, major := range []byte{2, 4, 5} {
					doc := slices.Concat(d.bytes[:at], writeHead(nil, major, v, -1), d.bytes[at+1:])
					if bytes.Equal(doc, d.bytes) {
						continue
					}
					// In the payload the signature says no before anything is read.
					c := code(t, verifiers[accepts[d.name][0]](doc))
					if c != refusal.DamagedFile && !(at > 25 && c == refusal.BadSignature) {
						t.Errorf("%s, %d at %d: %s", d.name, v, at, c)
					}
				}
			}
		}
	}
}

// sealUnder seals as docs/format.md says, under any header.
func sealUnder(p purpose, s Scope, to, head, plain []byte) (enc, sealed []byte) {
	public := must(hpke.NewDHKEMPublicKey(must(ecdh.X25519().NewPublicKey(to))))
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.AES256GCM(), external(p, s, suite1))
	if err != nil {
		panic(err)
	}
	return enc, must(sender.Seal(head, plain))
}

// TestTakeBytes compares the reader of byte strings with the library, for every
// head around every length at which the head grows.
func TestTakeBytes(t *testing.T) {
	taken := 0
	for _, n := range []int{0, 1, 22, 23, 24, 25, 254, 255, 256, 257, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		s := bytes.Repeat([]byte{0xa5}, n)
		for _, width := range []int{-1, 1, 2, 4, 8} {
			if width == 1 && n > 255 || width == 2 && n > 1<<16-1 {
				continue
			}
			for _, major := range []byte{0, 1, 2, 3, 4, 5, 6, 7} {
				for _, cut := range []int{0, 1, 2, n, n + 1} {
					b := append(writeHead(nil, major, uint64(n), width), s...)
					b = b[:max(len(b)-cut, 0)]
					var want []byte
					err := decoding.Unmarshal(b, &want)
					canonical := err == nil && major == 2 && bytes.Equal(mustEncode(want), b)
					got, rest, ok := takeBytes(append(b, 0x99)[:len(b)])
					if ok && len(rest) != 0 {
						continue // something follows: not for the library
					}
					if ok != canonical || ok && !bytes.Equal(got, want) {
						t.Errorf("%d bytes, head %x: %v, want %v", n, b[:min(len(b), 9)], ok, canonical)
					}
					if ok {
						taken++
					}
				}
			}
		}
	}
	if taken < 13 {
		t.Errorf("only %d were taken", taken)
	}
	for _, b := range []string{"", "\x58", "\x59\x01", "\x5a\x00\x00\x01", "\x5b", "\x5c", "\x5d", "\x5e", "\x5f\x41a\xff", "\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "\x5a\xff\xff\xff\xff", "\x58\x17aaaaaaaaaaaaaaaaaaaaaaa"} {
		if _, _, ok := takeBytes([]byte(b)); ok {
			t.Errorf("%x is taken", b)
		}
	}
}
