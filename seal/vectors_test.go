package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"licet/blocklist"
	"licet/container"
	"licet/license"
)

var update = flag.Bool("update", false, "write testdata anew (sealed vectors get other bytes each time)")

const vectorDir = "testdata/vectors"

// vector is a document and what must become of it. As a file it is lines
// "name: value", a blank line, and the document: files as they are, others in
// hexadecimal.
type vector struct {
	fields map[string]string
	doc    []byte
}

// fieldOrder is how the lines are sorted.
var fieldOrder = []string{
	"reads", "expect", "because", "vendor", "environment", "root", "certificate", "container-keys", "sealing-key",
	"list", "blocked",
	"origins", "container-key", "nonce", "body", "payload-sha256", "time", "said",
	"root-public", "key-id", "signing-public", "sealing-public", "serial", "plan-start", "life-start", "unsigned", "apply-nonce", "plan", "life",
}

func (v vector) isFile() bool {
	return slices.Contains([]string{"update", "report", "trust", "blocklist", "loan-request", "loan"}, v.fields["reads"])
}

func (v vector) write() []byte {
	var b bytes.Buffer
	for _, name := range fieldOrder {
		if value, ok := v.fields[name]; ok {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteString("\n")
	if v.isFile() {
		b.Write(v.doc)
	} else if len(v.doc) > 0 {
		fmt.Fprintf(&b, "%x\n", v.doc)
	}
	return b.Bytes()
}

func readVector(t *testing.T, file []byte) vector {
	t.Helper()
	head, doc, ok := bytes.Cut(file, []byte("\n\n"))
	if !ok {
		t.Fatal("no blank line")
	}
	v := vector{fields: map[string]string{}, doc: doc}
	for line := range strings.Lines(string(head)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok || !slices.Contains(fieldOrder, name) {
			t.Fatalf("bad line %q", line)
		}
		v.fields[name] = value
	}
	if !v.isFile() {
		v.doc = unhex(t, strings.TrimSuffix(string(doc), "\n"))
	}
	return v
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors reads every file in testdata/vectors and holds the package to what
// it says of itself.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
		writeCorpus(t)
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			v := readVector(t, file)
			if !bytes.Equal(v.write(), file) {
				t.Error("the vector's lines are not in order")
			}
			checkVector(t, v)
		})
	}
}

func checkVector(t *testing.T, v vector) {
	field := func(name string) []byte { return unhex(t, v.fields[name]) }
	scope := Scope{VendorID(v.fields["vendor"]), v.fields["environment"]}
	verifier := func() *Verifier {
		certificates := [][]byte{}
		if c := field("certificate"); len(c) > 0 {
			certificates = append(certificates, c)
		}
		return must(NewVerifier(&Trust{Scope: scope, Root: field("root")}, certificates...))
	}
	keys := func() *ContainerKeys { return must(ParseContainerKeys(field("container-keys"))) }
	nonce := func() container.Nonce { return container.Nonce(field("nonce")) }

	var err error
	var payload []byte
	switch v.fields["reads"] {
	case "names":
		checkNames(t, v)
		return
	case "trust":
		var tr *Trust
		if tr, err = ParseTrust(v.doc); err == nil {
			payload = must(parse("", maxFile, unarmored(v.doc))).Payload
			if tr.Scope != scope {
				t.Errorf("scope %v", tr.Scope)
			}
		}
	case "certificate":
		if _, err = verifier().Certificate(v.doc); err == nil {
			payload = must(parse("", maxFile, v.doc)).Payload
		}
	case "step":
		var s container.Step
		s, err = verifier().Step(v.doc)
		payload = s.Unsigned
	case "license":
		_, _, err = verifier().License(v.doc, field("body"))
		payload = field("body")
	case "update":
		var u container.Update
		u, err = verifier().OpenUpdate(v.doc, keys())
		u.Keys = nil
		payload = mustEncode(u)
	case "report":
		var r Report
		r, err = OpenReport(scope, v.doc, must(ParseSealingKey(field("sealing-key"))))
		payload = mustEncode(r.Report)
	case "time":
		var at license.Time
		if at, err = verifier().Time(v.doc, nonce()); err == nil && fmt.Sprint(int64(at)) != v.fields["time"] {
			t.Errorf("time %d", at)
		}
	case "answer":
		var said []byte
		if said, err = OpenAnswer(scope, field("container-key"), v.doc, nonce()); err == nil && !bytes.Equal(said, field("said")) {
			t.Errorf("said %x", said)
		}
	case "origins":
		var o Origins
		if o, err = verifier().Origins(v.doc); err == nil {
			payload = must(parse("", maxFile, v.doc)).Payload
			if got := strings.Join(o.List, " "); got != v.fields["origins"] {
				t.Errorf("origins %s", got)
			}
		}
	case "lease-head", "lease", "loan-request", "loan":
		payload, err = readLeaseVector(v, verifier, keys)
	case "blocklist":
		var news []byte
		if news, err = DearmorBlockNews(v.doc); err == nil {
			_, err = verifier().OpenBlockNews(news)
		}
		payload = news
		if err == nil {
			err = checkBlockList(t, v, must(verifier().OpenBlockNews(news)))
		}
	default:
		t.Fatalf("reads %q", v.fields["reads"])
	}
	got := string(code(t, err))
	if err == nil {
		got = "ok"
	}
	if got != v.fields["expect"] {
		t.Errorf("got %s (%v), want %s", got, err, v.fields["expect"])
	}
	if want := v.fields["payload-sha256"]; err == nil && want != "" && fmt.Sprintf("%x", sha256.Sum256(payload)) != want {
		t.Errorf("another payload: %x", payload)
	}
}

// checkBlockList applies news to the list that the vector names.
func checkBlockList(t *testing.T, v vector, news BlockNews) error {
	entries := func(name string) (list []blocklist.Entry) {
		for i, b := 0, unhex(t, v.fields[name]); i < len(b); i += 8 {
			list = append(list, blocklist.Entry(binary.BigEndian.Uint64(b[i:])))
		}
		return list
	}
	number := news.From
	old := must(blocklist.New(number, entries("list")))
	list, err := old.Apply(news.News)
	if err == nil && !slices.Equal(list.Entries(), must(blocklist.New(1, entries("blocked"))).Entries()) {
		t.Errorf("blocked: %x", list.Entries())
	}
	return err
}

func checkNames(t *testing.T, v vector) {
	field := func(name string) []byte { return unhex(t, v.fields[name]) }
	id := container.Identity{SigningKey: field("signing-public"), SealingKey: field("sealing-public")}
	serial := SerialOf(id)
	start, life := container.PlanStart(serial), container.LifeStart(serial)
	plan := container.NextPlan(start, field("unsigned"))
	end := container.NextLife(life, plan, container.Nonce(field("apply-nonce")))
	for name, got := range map[string]string{
		"vendor": string(VendorOf(field("root-public"))), "key-id": KeyIDOf(field("root-public")).String(), "serial": string(serial),
		"plan-start": fmt.Sprintf("%x", start), "life-start": fmt.Sprintf("%x", life),
		"plan": fmt.Sprintf("%x", plan), "life": fmt.Sprintf("%x", end),
	} {
		if got != v.fields[name] {
			t.Errorf("%s: got %s, want %s", name, got, v.fields[name])
		}
	}
}

// writeVectors makes every vector from fixed keys.
func writeVectors(t *testing.T) {
	if err := os.RemoveAll(vectorDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(vectorDir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := home
	other := newWorld("another", "production", "machine two")
	test := newWorld("example", "test", "machine one")
	second := newWorld("example", "production", "machine two")
	id := w.keys.Identity(license.Machine)
	write := func(name, reads, expect, because string, doc []byte, extra ...string) {
		writeVector(t, name, reads, expect, because, doc, extra...)
	}
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	// respell changes the tree of a canonical payload.
	respell := func(b []byte, change func(n *node)) []byte {
		tree, _ := take(b)
		change(tree)
		return tree.write(nil)
	}
	twice := func(n *node) { n.parts = slices.Insert(n.parts, 0, n.parts[0], n.parts[1]) }
	swapped := func(n *node) {
		p := n.parts
		p[0], p[1], p[2], p[3] = p[2], p[3], p[0], p[1]
	}
	unknown := func(n *node) { n.parts = append(n.parts, &node{arg: 24, width: -1}, &node{width: -1}) }
	longNumber := func(n *node) { n.parts[0].width = 1 }
	endless := func(n *node) { n.open = true }

	signed, body := w.license()
	unsigned := must(parse("", maxFile, signed)).Payload

	// Names and hashes.
	serial := w.serial()
	plan := container.NextPlan(container.PlanStart(serial), unsigned)
	names := vector{fields: map[string]string{
		"reads": "names", "expect": "ok", "because": "vendor id, key id, serial, plan and life hashes",
		"root-public": fmt.Sprintf("%x", w.root.Public()), "vendor": string(w.scope.Vendor), "key-id": w.root.ID().String(),
		"signing-public": fmt.Sprintf("%x", id.SigningKey), "sealing-public": fmt.Sprintf("%x", id.SealingKey), "serial": string(serial),
		"plan-start": fmt.Sprintf("%x", container.PlanStart(serial)), "life-start": fmt.Sprintf("%x", container.LifeStart(serial)),
		"unsigned": fmt.Sprintf("%x", unsigned), "apply-nonce": fmt.Sprintf("%x", testNonce), "plan": fmt.Sprintf("%x", plan),
		"life": fmt.Sprintf("%x", container.NextLife(container.LifeStart(serial), plan, testNonce)),
	}}
	if err := os.WriteFile(filepath.Join(vectorDir, "names.txt"), names.write(), 0o644); err != nil {
		t.Fatal(err)
	}

	// Steps.
	stepOf := func(payload []byte) []byte { return must(sign(forStep, w.scope, w.issuing.private, payload)) }
	write("step-ok", "step", "ok", "as it should be", signed, "payload-sha256", sum(unsigned))
	write("step-signature-bit", "step", "bad_signature", "a bit of the signature is turned", turned(signed, len(signed)*8-4))
	write("step-payload-bit", "step", "bad_signature", "a bit of the payload is turned", turned(signed, 60*8))
	write("step-key-id-bit", "step", "bad_signature", "the key id names no known key", turned(signed, 12*8))
	write("step-algorithm", "step", "damaged_file", "the protected header names another algorithm", turned(signed, 5*8))
	write("step-untagged", "step", "damaged_file", "the tag of COSE_Sign1 is missing", signed[1:])
	write("step-trailing-byte", "step", "damaged_file", "a byte follows the document", append(bytes.Clone(signed), 0))
	write("step-truncated", "step", "damaged_file", "the last byte is missing", signed[:len(signed)-1])
	write("step-unprotected-header", "step", "damaged_file", "the unprotected header is not empty", slices.Concat(signed[:24], []byte{0xa1, 0x05, 0x40}, signed[25:]))
	write("step-empty", "step", "damaged_file", "nothing", nil)
	write("step-other-purpose", "step", "bad_signature", "signed for the purpose time", must(sign(forTime, w.scope, w.issuing.private, unsigned)))
	write("step-other-environment", "step", "bad_signature", "signed for the environment test", must(sign(forStep, test.scope, w.issuing.private, unsigned)))
	write("step-other-vendor", "step", "bad_signature", "signed for another vendor", must(sign(forStep, other.scope, w.issuing.private, unsigned)))
	write("step-by-root", "step", "bad_signature", "signed by the root, which signs no steps", must(sign(forStep, w.scope, w.root.private, unsigned)))
	write("step-key-twice", "step", "damaged_file", "a map key stands twice, with the same value", stepOf(respell(unsigned, twice)))
	write("step-keys-out-of-order", "step", "damaged_file", "map keys are not sorted", stepOf(respell(unsigned, swapped)))
	write("step-unknown-key", "step", "damaged_file", "a map key that no format has", stepOf(respell(unsigned, unknown)))
	write("step-long-number", "step", "damaged_file", "a number is not written in the shortest form", stepOf(respell(unsigned, longNumber)))
	write("step-indefinite", "step", "damaged_file", "a map of indefinite length", stepOf(respell(unsigned, endless)))
	write("step-key-missing", "step", "damaged_file", "the last map key is missing", stepOf(respell(unsigned, func(n *node) { n.parts = n.parts[:len(n.parts)-2] })))
	write("step-null-list", "step", "damaged_file", "a list is null", stepOf(respell(unsigned, func(n *node) { *n.parts[len(n.parts)-1] = node{major: 7, arg: 22} })))
	write("step-unknown-operation", "step", "damaged_file", "an operation of kind 3", stepOf(respell(unsigned, func(n *node) { n.parts[len(n.parts)-1].parts[0].parts[1].arg = 3 })))
	late := w.step(sha256.Sum256(body))
	late.Time = testTime + 1e15
	write("step-key-expired", "step", "bad_signature", "the certificate ends at the very moment of the step's time", must(SignStep(w.scope, w.issuing, &late)))

	// Licenses.
	hexBody := fmt.Sprintf("%x", body)
	write("license-ok", "license", "ok", "as it should be", signed, "body", hexBody, "payload-sha256", sum(body))
	lending := w.body()
	lending.Terms.Borrow.Out, lending.Terms.Borrow.Containers = license.OutAllow, license.KindsOf(license.Machine, license.Token)
	bodyOfLending, hashOfLending, err := EncodeBody(lending)
	if err != nil {
		t.Fatal(err)
	}
	stepOfLending := w.step(hashOfLending)
	write("license-lending-ok", "license", "ok", "lends into two kinds of container", must(SignStep(w.scope, w.issuing, &stepOfLending)), "body", fmt.Sprintf("%x", bodyOfLending), "payload-sha256", sum(bodyOfLending))
	write("license-body-bit", "license", "bad_signature", "a bit of the body is turned", signed, "body", fmt.Sprintf("%x", turned(body, 200)))
	generation := w.body()
	generation.Generation = 2
	body2, hash2, err := EncodeBody(generation)
	if err != nil {
		t.Fatal(err)
	}
	step2 := w.step(hash2)
	write("license-other-generation", "license", "bad_signature", "the body has another generation than the operation that names its hash", must(SignStep(w.scope, w.issuing, &step2)), "body", fmt.Sprintf("%x", body2))
	counted := w.body()
	counted.Terms.Units, counted.Used = 1000, 250
	body4, hash4, err := EncodeBody(counted)
	if err != nil {
		t.Fatal(err)
	}
	step4 := w.step(hash4)
	signed4 := must(SignStep(w.scope, w.issuing, &step4))
	write("license-units-ok", "license", "ok", "250 of 1000 units were used before", signed4, "body", fmt.Sprintf("%x", body4), "payload-sha256", sum(body4))
	odd := respell(body, unknown)
	step3 := w.step(sha256.Sum256(odd))
	write("license-unknown-key", "license", "damaged_file", "the body has a map key that no format has", must(SignStep(w.scope, w.issuing, &step3)), "body", fmt.Sprintf("%x", odd))

	// Certificates.
	certOf := func(c Certificate) []byte {
		return must(sign(forKey, w.scope, w.root.private, mustEncode(c)))
	}
	good := must(w.verifier.Certificate(w.issuingCert))
	write("certificate-issuing-ok", "certificate", "ok", "as it should be", w.issuingCert, "payload-sha256", sum(mustEncode(good)))
	write("certificate-sealing-ok", "certificate", "ok", "as it should be", w.sealingCert)
	write("certificate-other-root", "certificate", "bad_signature", "signed by another root", other.issuingCert)
	write("certificate-other-environment", "certificate", "bad_signature", "signed for the environment test", test.issuingCert)
	c := good
	c.Suite = 2
	write("certificate-suite", "certificate", "unsupported_version", "suite 2", certOf(c))
	c = good
	c.Use = Root
	write("certificate-use", "certificate", "damaged_file", "the use root is not to be certified", certOf(c))
	c = good
	c.Public = unhex(t, weakKeys[3])
	write("certificate-weak-key", "certificate", "damaged_file", "a key of small order", certOf(c))

	// Trust bundles.
	rawTrust := unarmored(w.trustFile)
	b := w.bundle()
	trustOf := func(b bundle) []byte { return armorVersion(TrustBundle, b.Version, w.signedBundle(b)) }
	write("trust-ok", "trust", "ok", "as it should be", w.trustFile, "payload-sha256", sum(mustEncode(b)))
	write("trust-bit", "trust", "bad_signature", "a bit of the name is turned", armorVersion(TrustBundle, trustFormat, turned(rawTrust, 8*bytes.Index(rawTrust, []byte("Example")))))
	x := b
	x.Vendor = other.scope.Vendor
	write("trust-other-vendor", "trust", "bad_signature", "the vendor id is not the root's", trustOf(x))
	x = b
	x.Certificates = [][]byte{w.issuingCert}
	write("trust-no-sealing-key", "trust", "damaged_file", "no certificate of a sealing key", trustOf(x))
	x = b
	x.Certificates = [][]byte{w.sealingCert, other.issuingCert}
	write("trust-other-certificate", "trust", "bad_signature", "a certificate by another root", trustOf(x))
	x = b
	x.Version = 3
	write("trust-version", "trust", "unsupported_version", "format version 3", trustOf(x))
	x = b.firstFormat()
	write("trust-1-ok", "trust", "ok", "format version 1", trustOf(x), "payload-sha256", sum(mustEncode(x)))
	write("trust-other-label", "trust", "damaged_file", "format version 2 under the label of version 1", armor(TrustBundle, rawTrust))
	x.Revoked = b.Revoked
	write("trust-1-revoked", "trust", "damaged_file", "format version 1 with a revoked key", trustOf(x))
	x = b
	x.Lowest = 0
	write("trust-no-lowest-suite", "trust", "damaged_file", "no lowest suite", trustOf(x))
	x.Lowest = 2
	write("trust-lowest-suite", "trust", "unsupported_version", "suite 2 at least", trustOf(x))
	x = b
	x.Certificates = append(slices.Clone(b.Certificates), must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: w.stolen.Public(), Number: 3})))
	write("trust-revoked-and-certified", "trust", "damaged_file", "a key is revoked and certified", trustOf(x))
	x.Certificates = append(slices.Clone(b.Certificates), must(SignCertificate(w.scope, w.root, Certificate{Use: Issuing, Public: w.issuing.Public(), Number: 3})))
	write("trust-two-certificates", "trust", "damaged_file", "two certificates of one key", trustOf(x))
	x = b
	x.Revoked = append(slices.Clone(b.Revoked), b.Revoked[0])
	write("trust-revoked-twice", "trust", "damaged_file", "a key is revoked twice", trustOf(x))
	x = b
	x.Until = x.Time
	write("trust-ended", "trust", "damaged_file", "it ends when it begins", trustOf(x))
	x = b
	x.Before = rawTrust
	write("trust-before-first", "trust", "damaged_file", "the first root names one before it", trustOf(x))
	heir := func(b bundle) []byte {
		return armorVersion(TrustBundle, b.Version, must(signVersion(forTrust, w.scope, b.Version, w.next.private, mustEncode(b))))
	}
	x = b
	x.Number, x.Root, x.NextRoot, x.Before = 2, w.next.Public(), nil, rawTrust
	x.Certificates = [][]byte{must(SignCertificate(w.scope, w.next, Certificate{Use: Sealing, Public: w.sealing.Public(), Number: 3}))}
	write("trust-next-root-ok", "trust", "ok", "by the root that the one before it has named", heir(x), "payload-sha256", sum(mustEncode(x)))
	x.Before = nil
	write("trust-next-root-unproven", "trust", "bad_signature", "by another root, without the bundle that names it", heir(x))
	x.Before = w.signedBundle(func() bundle { b := b; b.NextRoot = RootHash(other.root.Public()); return b }())
	write("trust-next-root-not-named", "trust", "bad_signature", "by a root that the one before it has not named", heir(x))
	x.Before, x.Number = rawTrust, 1
	write("trust-next-root-number", "trust", "bad_signature", "not above the number of the bundle before it", heir(x))
	write("trust-is-update", "trust", "wrong_file", "an update", w.updateFile())

	// Updates.
	file := w.updateFile()
	text := string(file)
	u := w.update()
	u.Keys = nil
	plain := mustEncode(u)
	updateOf := func(h header, plain []byte) []byte {
		h.Kind, h.Vendor, h.Environment, h.Container = Update, w.scope.Vendor, w.scope.Environment, w.serial()
		if h.Certificates == nil {
			h.Certificates = [][]byte{w.issuingCert}
		}
		return armor(Update, must(sign(forUpdate, w.scope, w.issuing.private, must(h.seal(id.SealingKey, plain)))))
	}
	o := must(openEnvelope(Update, unarmored(file)))
	reheaded := func(change func(h *header)) []byte {
		h := o.header
		change(&h)
		head := mustEncode(h)
		enc, box := sealUnder(forUpdate, h.scope(), id.SealingKey, head, plain)
		return armor(Update, must(sign(forUpdate, w.scope, w.issuing.private, mustEncode(envelope{Header: head, Enc: enc, Sealed: box}))))
	}
	write("update-ok", "update", "ok", "as it should be", file, "payload-sha256", sum(plain))
	write("update-crlf", "update", "damaged_file", "lines end with CR LF", []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	write("update-no-last-newline", "update", "damaged_file", "the last line does not end", []byte(strings.TrimSuffix(text, "\n")))
	write("update-blank-line", "update", "damaged_file", "a blank line before the base64", []byte(strings.Replace(text, "-----\n", "-----\n\n", 1)))
	write("update-text-before", "update", "damaged_file", "text before the first line", append([]byte("Here it is:\n"), file...))
	write("update-text-after", "update", "damaged_file", "text after the last line", append(bytes.Clone(file), "Regards\n"...))
	write("update-line-length", "update", "damaged_file", "base64 in lines of 76 characters", wrapAt(unarmored(file), 76))
	write("update-label-version", "update", "unsupported_version", "the label names format version 2", []byte(strings.ReplaceAll(text, "UPDATE", "UPDATE 2")))
	write("update-is-request", "update", "wrong_file", "a request", w.reportFile(Request))
	write("update-is-other", "update", "wrong_file", "no file of ours", []byte("%PDF-1.7\n"))
	write("update-header-version", "update", "unsupported_version", "the header names format version 2", reheaded(func(h *header) { h.Version = 2 }))
	write("update-header-suite", "update", "unsupported_version", "the header names suite 2", reheaded(func(h *header) { h.Suite = 2 }))
	write("update-other-vendor", "update", "vendor_untrusted", "by another vendor", other.updateFile())
	write("update-other-environment", "update", "wrong_environment", "of the environment test", test.updateFile())
	write("update-other-container", "update", "wrong_container", "made for another container", second.updateFile())
	write("update-no-certificate", "update", "bad_signature", "the key that signed is not known and no certificate comes along", reheaded(func(h *header) { h.Certificates = nil }))
	write("update-other-certificate", "update", "bad_signature", "a certificate by another root comes along", updateOf(header{Certificates: [][]byte{w.issuingCert, other.issuingCert}}, plain))
	write("update-sealed-bit", "update", "bad_signature", "a bit of the sealed part is turned", armor(Update, turned(unarmored(file), 8*(len(unarmored(file))-100))))
	moved := o.envelope
	moved.Sealed = turned(moved.Sealed, 100)
	write("update-sealed-bit-signed", "update", "bad_signature", "a bit of the sealed part was turned before the signature was made", armor(Update, must(sign(forUpdate, w.scope, w.issuing.private, mustEncode(moved)))))
	write("update-key-twice", "update", "damaged_file", "a map key stands twice in the sealed part", updateOf(header{}, respell(plain, twice)))
	write("update-unknown-key", "update", "damaged_file", "the sealed part has a map key that no format has", updateOf(header{}, respell(plain, unknown)))
	write("update-header-key-twice", "update", "damaged_file", "a map key stands twice in the header", func() []byte {
		head := respell(o.envelope.Header, twice)
		enc, box := sealUnder(forUpdate, w.scope, id.SealingKey, head, plain)
		return armor(Update, must(sign(forUpdate, w.scope, w.issuing.private, mustEncode(envelope{Header: head, Enc: enc, Sealed: box}))))
	}())
	tells := u
	tells.Units = []container.Counted{{License: "lic_06bq3c8v4w9x2m5n7p1d8a", Generation: 1, Used: 250}}
	write("update-units-ok", "update", "ok", "with what was used of units", updateOf(header{}, mustEncode(tells)), "payload-sha256", sum(mustEncode(tells)))
	inner := u
	inner.Container = second.serial()
	write("update-inner-container", "update", "damaged_file", "the sealed part is for another container than the header says", updateOf(header{}, mustEncode(inner)))

	// Reports.
	for _, kind := range []Kind{Request, Receipt} {
		file := w.reportFile(kind)
		write(string(kind)+"-ok", "report", "ok", "as it should be", file, "payload-sha256", sum(mustEncode(w.report(kind))))
		write(string(kind)+"-bit", "report", "bad_signature", "a bit of the signature is turned", armor(kind, turned(unarmored(file), 8*len(unarmored(file))-1)))
	}
	reportOf := func(kind Kind, h header, r container.Report, keys *ContainerKeys) []byte {
		h.Kind, h.Vendor, h.Environment = kind, w.scope.Vendor, w.scope.Environment
		if h.Identity == nil {
			h.Identity = &id
		}
		if h.Container == "" {
			h.Container = SerialOf(*h.Identity)
		}
		return armor(kind, must(sign(purpose(kind), w.scope, keys.signing, must(h.seal(w.sealing.Public(), mustEncode(r))))))
	}
	request := w.report(Request)
	counts := w.report(Receipt)
	counts.Units = []container.Counted{{License: "lic_06bq3c8v4w9x2m5n7p1d8a", Generation: 1, Used: 250}, {License: "lic_old", Generation: 2}}
	write("receipt-units-ok", "report", "ok", "with what was used of units", reportOf(Receipt, header{}, counts, w.keys), "payload-sha256", sum(mustEncode(counts)))
	seats := w.report(Request)
	seats.Wishes.Return = []license.ID{"lic_old"}
	seats.Wishes.Amounts = []container.Amount{{License: seats.Wishes.Activate[0], Seats: 4}, {License: "lic_old", Seats: 2}}
	write("request-seats-ok", "report", "ok", "some seats of two licenses", reportOf(Request, header{}, seats, w.keys), "payload-sha256", sum(mustEncode(seats)))
	write("request-other-vendor", "report", "vendor_untrusted", "to another vendor", other.reportFile(Request))
	write("request-other-environment", "report", "wrong_environment", "to the environment test", test.reportFile(Request))
	write("request-other-signer", "report", "bad_signature", "signed with another container's key", reportOf(Request, header{}, request, second.keys))
	write("request-serial", "report", "bad_signature", "the serial is not the hash of the keys", reportOf(Request, header{Container: second.serial()}, request, w.keys))
	write("request-inner-identity", "report", "damaged_file", "the sealed part has another identity than the header", reportOf(Request, header{}, second.report(Request), w.keys))
	write("request-is-receipt", "report", "damaged_file", "a request without wishes", reportOf(Request, header{}, w.report(Receipt), w.keys))
	write("receipt-is-request", "report", "damaged_file", "a receipt with wishes", reportOf(Receipt, header{}, request, w.keys))
	write("receipt-label", "report", "damaged_file", "a request under the label of a receipt", []byte(strings.ReplaceAll(string(w.reportFile(Request)), "REQUEST", "RECEIPT")))
	weak := id
	weak.SealingKey = make([]byte, 32)
	weakReport := w.report(Receipt)
	weakReport.Identity = weak
	write("receipt-weak-key", "report", "damaged_file", "nothing can be sealed to the container's key", reportOf(Receipt, header{Identity: &weak}, weakReport, w.keys))
	write("receipt-key-unknown", "report", "vendor_untrusted", "sealed to a key that is not the vendor's", must(SealReport(&Trust{
		Scope: w.scope, Root: w.root.Public(),
		Certificates: [][]byte{must(SignCertificate(w.scope, w.root, Certificate{Use: Sealing, Public: other.sealing.Public()}))},
	}, w.keys, w.report(Receipt))))

	// Block lists.
	whole, increment := w.news()
	hexEntries := func(list ...blocklist.Entry) string {
		var b []byte
		for _, e := range list {
			b = binary.BigEndian.AppendUint64(b, uint64(e))
		}
		return fmt.Sprintf("%x", b)
	}
	listOf := func(b []byte) []byte { return armor(BlockListFile, b) }
	old := []string{"list", hexEntries(blockEntries[0], blockEntries[3]), "blocked", hexEntries(blockEntries[:3]...)}
	write("blocklist-whole-ok", "blocklist", "ok", "the whole list 3", listOf(whole), "blocked", old[3], "payload-sha256", sum(whole))
	write("blocklist-increment-ok", "blocklist", "ok", "what makes list 3 of list 2: two entries added, one taken off", listOf(increment), append(old, "payload-sha256", sum(increment))...)
	write("blocklist-empty-ok", "blocklist", "ok", "the whole list 4, on which nothing is left", listOf(must(SignBlockNews(w.scope, w.issuing, must(blocklist.New(4, nil)).Whole(testTime), w.issuingCert))))
	write("blocklist-other-list", "blocklist", "block_list_gap", "it continues another list 2", listOf(increment), "list", hexEntries(blockEntries[3]))
	parts := must(decode[blockNews]("", MaxBlockList, whole))
	changed := parts
	changed.Added = blocklist.Encode(blockEntries[:2])
	write("blocklist-other-entries", "blocklist", "bad_signature", "an entry is missing from what was signed", listOf(mustEncode(changed)))
	write("blocklist-bit", "blocklist", "bad_signature", "a bit of the entries is turned", listOf(turned(whole, 8*len(whole)-24)))
	headed := func(change func(h *blockHead)) []byte {
		h := must(decode[blockHead]("", MaxBlockHead, must(parse("", maxFile, parts.Head)).Payload))
		change(&h)
		n := parts
		n.Head = must(sign(forBlockList, w.scope, w.issuing.private, mustEncode(h)))
		return listOf(mustEncode(n))
	}
	write("blocklist-other-sum", "blocklist", "damaged_file", "the list has another sum than what was signed", headed(func(h *blockHead) { h.Sum[0] ^= 1 }))
	write("blocklist-other-count", "blocklist", "damaged_file", "the list has more entries than what was signed", headed(func(h *blockHead) { h.Count-- }))
	write("blocklist-backward", "blocklist", "damaged_file", "it leads from list 3 to list 3", headed(func(h *blockHead) { h.From = 3 }))
	write("blocklist-version", "blocklist", "unsupported_version", "the head names format version 2", headed(func(h *blockHead) { h.Version = 2 }))
	write("blocklist-suite", "blocklist", "unsupported_version", "the head names suite 2", headed(func(h *blockHead) { h.Suite = 2 }))
	write("blocklist-no-certificate", "blocklist", "ok", "no certificate comes along, and the key is known", headed(func(h *blockHead) { h.Certificates = nil }), "blocked", old[3])
	write("blocklist-other-certificate", "blocklist", "bad_signature", "a certificate by another root comes along", headed(func(h *blockHead) { h.Certificates = [][]byte{other.issuingCert} }))
	write("blocklist-key-expired", "blocklist", "bad_signature", "the certificate ends at the very moment of the list's time", headed(func(h *blockHead) { h.Time = testTime + 1e15 }))
	recoded := func(added []byte) []byte {
		n := must(blocklist.New(3, blockEntries[:3])).Whole(testTime)
		n.Added = added
		return listOf(must(SignBlockNews(w.scope, w.issuing, n, w.issuingCert)))
	}
	write("blocklist-trailing-byte", "blocklist", "damaged_file", "a byte follows the coded entries", recoded(append(bytes.Clone(parts.Added), 0)))
	write("blocklist-padding", "blocklist", "damaged_file", "the last bits of the coded entries are not zeros", recoded(turned(parts.Added, 8*(len(parts.Added)-1))))
	write("blocklist-long-count", "blocklist", "damaged_file", "the number of coded entries is not written in the shortest form", recoded(append([]byte{parts.Added[0] | 0x80, 0}, parts.Added[1:]...)))
	write("blocklist-by-root", "blocklist", "bad_signature", "signed by the root, which signs no block lists", func() []byte {
		n := parts
		n.Head = must(sign(forBlockList, w.scope, w.root.private, must(parse("", maxFile, parts.Head)).Payload))
		return listOf(mustEncode(n))
	}())
	write("blocklist-other-purpose", "blocklist", "bad_signature", "the head is signed for the purpose time", func() []byte {
		n := parts
		n.Head = must(sign(forTime, w.scope, w.issuing.private, must(parse("", maxFile, parts.Head)).Payload))
		return listOf(mustEncode(n))
	}())
	write("blocklist-other-vendor", "blocklist", "vendor_untrusted", "by another vendor", other.blockListFile())
	write("blocklist-other-environment", "blocklist", "wrong_environment", "of the environment test", test.blockListFile())
	write("blocklist-is-update", "blocklist", "wrong_file", "an update", w.updateFile())

	// Lists of origins.
	originsOf := func(change func(l *originList)) []byte {
		l := must(decode[originList]("", MaxOrigins, must(parse("", maxFile, w.origins())).Payload))
		change(&l)
		return must(sign(forOrigins, w.scope, w.issuing.private, mustEncode(l)))
	}
	originsPayload := must(parse("", maxFile, w.origins())).Payload
	write("origins-ok", "origins", "ok", "as it should be", w.origins(), "origins", strings.Join(testOrigins.List, " "), "payload-sha256", sum(originsPayload))
	write("origins-none-ok", "origins", "ok", "no page may speak to a machine", originsOf(func(l *originList) { l.Origins = []string{} }), "origins", "")
	for name, o := range map[string]string{
		"wildcard": "https://*.licenses.example", "null": "null", "path": "https://licenses.example/", "upper-case": "https://Licenses.example",
		"default-port": "https://licenses.example:443", "plain-http": "http://licenses.example", "file": "file://", "user": "https://a@licenses.example",
		"short-address": "https://127.1", "dot": "https://licenses.example.",
	} {
		write("origins-"+name, "origins", "damaged_file", "the origin "+o, originsOf(func(l *originList) { l.Origins = []string{o} }))
	}
	write("origins-twice", "origins", "damaged_file", "an origin stands twice", originsOf(func(l *originList) { l.Origins[1] = l.Origins[0] }))
	write("origins-order", "origins", "damaged_file", "the origins do not rise", originsOf(func(l *originList) { slices.Reverse(l.Origins) }))
	write("origins-no-end", "origins", "damaged_file", "it ends when it begins", originsOf(func(l *originList) { l.Until = l.Time }))
	write("origins-unknown-key", "origins", "damaged_file", "a map key that no format has", must(sign(forOrigins, w.scope, w.issuing.private, respell(originsPayload, unknown))))
	write("origins-version", "origins", "unsupported_version", "format version 2", originsOf(func(l *originList) { l.Version = 2 }))
	write("origins-suite", "origins", "unsupported_version", "suite 2", originsOf(func(l *originList) { l.Suite = 2 }))
	write("origins-bit", "origins", "bad_signature", "a bit of the signature is turned", turned(w.origins(), len(w.origins())*8-4))
	write("origins-other-certificate", "origins", "bad_signature", "a certificate by another root comes along", originsOf(func(l *originList) { l.Certificates = [][]byte{other.issuingCert} }))
	write("origins-key-expired", "origins", "bad_signature", "the certificate ends at the very moment of the list's time", originsOf(func(l *originList) { l.Time, l.Until = testTime+1e15, testTime+2e15 }))
	write("origins-by-root", "origins", "bad_signature", "signed by the root, which signs no lists of origins", must(sign(forOrigins, w.scope, w.root.private, originsPayload)))
	write("origins-other-purpose", "origins", "bad_signature", "signed for the purpose time", must(sign(forTime, w.scope, w.issuing.private, originsPayload)))
	write("origins-other-vendor", "origins", "vendor_untrusted", "by another vendor", other.origins())
	write("origins-other-environment", "origins", "wrong_environment", "of the environment test", test.origins())

	// Times and answers.
	write("time-ok", "time", "ok", "as it should be", must(SignTime(w.scope, w.issuing, testNonce, testTime)), "time", fmt.Sprint(int64(testTime)))
	write("time-other-nonce", "time", "bad_signature", "in answer to another nonce", must(SignTime(w.scope, w.issuing, container.Nonce{1}, testTime)))
	write("time-key-expired", "time", "bad_signature", "the certificate ends before that time", must(SignTime(w.scope, w.issuing, testNonce, testTime+1e15)))
	write("answer-ok", "answer", "ok", "as it should be", must(SignAnswer(w.scope, w.keys, testNonce, []byte("said"))), "said", fmt.Sprintf("%x", "said"))
	write("answer-other-nonce", "answer", "bad_signature", "in answer to another nonce", must(SignAnswer(w.scope, w.keys, container.Nonce{1}, nil)))
	write("answer-other-container", "answer", "bad_signature", "by another container", must(SignAnswer(w.scope, second.keys, testNonce, nil)))
	writeLeaseVectors(t)
}

// writeVector writes a vector of home's.
func writeVector(t *testing.T, name, reads, expect, because string, doc []byte, extra ...string) {
	w := home
	id := w.keys.Identity(license.Machine)
	v := vector{doc: doc, fields: map[string]string{
		"reads": reads, "expect": expect, "because": because,
		"vendor": string(w.scope.Vendor), "environment": w.scope.Environment, "root": fmt.Sprintf("%x", w.root.Public()),
	}}
	switch reads {
	case "trust", "certificate", "loan-request":
	case "update":
		v.fields["container-keys"] = fmt.Sprintf("%x", w.keys.Bytes())
	case "report":
		v.fields["sealing-key"] = fmt.Sprintf("%x", w.sealing.Bytes())
	case "loan":
		v.fields["container-keys"] = fmt.Sprintf("%x", w.borrower.Bytes())
		v.fields["certificate"] = fmt.Sprintf("%x", w.issuingCert)
	case "lease-head":
		v.fields["container-key"] = fmt.Sprintf("%x", id.SigningKey)
	case "answer":
		v.fields["container-key"] = fmt.Sprintf("%x", id.SigningKey)
		v.fields["nonce"] = fmt.Sprintf("%x", testNonce)
	default:
		v.fields["certificate"] = fmt.Sprintf("%x", w.issuingCert)
	}
	if reads == "time" {
		v.fields["nonce"] = fmt.Sprintf("%x", testNonce)
	}
	for i := 0; i < len(extra); i += 2 {
		v.fields[extra[i]] = extra[i+1]
	}
	if err := os.WriteFile(filepath.Join(vectorDir, name+".txt"), v.write(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wrapAt armors an update in lines of another length.
func wrapAt(raw []byte, n int) []byte {
	lines := strings.Split(strings.TrimSuffix(string(armor(Update, raw)), "\n"), "\n")
	text := strings.Join(lines[1:len(lines)-1], "")
	wrapped := []string{lines[0]}
	for len(text) > 0 {
		k := min(n, len(text))
		wrapped = append(wrapped, text[:k])
		text = text[k:]
	}
	return []byte(strings.Join(append(wrapped, lines[len(lines)-1], ""), "\n"))
}

// writeCorpus keeps a few documents as the start of fuzzing.
func writeCorpus(t *testing.T) {
	write := func(target, name string, data []byte) {
		dir := filepath.Join("testdata/fuzz", target)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range home.payloads() {
		target := map[string]string{
			"step": "FuzzStep", "body": "FuzzBody", "certificate": "FuzzCertificate", "trust": "FuzzTrust", "time": "FuzzTime",
			"answer": "FuzzAnswer", "update": "FuzzUpdate", "report": "FuzzReport", "block head": "FuzzBlockHead", "block news": "FuzzBlockNews", "origins": "FuzzOrigins",
			"lease head": "FuzzLeaseHead", "lease": "FuzzLease", "lease statement": "FuzzLeaseStatement", "lease document": "FuzzLeaseDocument",
			"loan request": "FuzzLoanRequest", "loan": "FuzzLoan",
			"header of an update": "FuzzHeader", "header of a request": "FuzzHeader",
		}[p.name]
		if target != "" {
			write(target, strings.ReplaceAll(p.name, " ", "-"), p.bytes)
		}
	}
	for _, d := range home.documents() {
		write("FuzzDocument", d.name, d.bytes)
	}
	for kind, file := range home.files() {
		write("FuzzArmor", string(kind), file)
		write("FuzzFile", string(kind), file)
	}
}
