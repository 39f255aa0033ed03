package sdk_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"licet/container"
	"licet/internal/agent"
	"licet/internal/machine"
	"licet/license"
	"licet/sdk"
	"licet/sdktest"
	"licet/seal"
)

// BenchmarkOpen is a program's whole check with no agent running: files, traits,
// signatures.
func BenchmarkOpen(b *testing.B) {
	v := sdktest.New(b, catalog...)
	m := v.Machine(b)
	m.Activate(v.Ticket("FREE"))
	benchOpen(b, m, v.Program("FREE"))
}

// BenchmarkOpenAgent is the same with an agent that answers.
func BenchmarkOpenAgent(b *testing.B) {
	v := sdktest.New(b, catalog...)
	m := v.Machine(b)
	m.Activate(v.Ticket("FREE"))
	m.StartAgent()
	benchOpen(b, m, v.Program("FREE"))
}

func benchOpen(b *testing.B, m *sdktest.Machine, p sdk.Product) {
	b.ReportAllocs()
	for b.Loop() {
		s := m.Open(p, sdk.WithRefresh(-1))
		if !s.Verdict().Valid {
			b.Fatal(s.Verdict())
		}
		s.Close()
	}
}

// BenchmarkProgram starts a program and reports its own measure, from the
// beginning of main to the verdict. The container is bound to the traits of the
// computer that runs the benchmark.
func BenchmarkProgram(b *testing.B) {
	v := sdktest.New(b, catalog...)
	home := filepath.Join(b.TempDir(), "licet")
	c := agent.Connect(agent.Config{Home: home, Now: v.Clock().Now, Traits: machine.Local})
	if _, err := c.TrustAdd(b.Context(), agent.TrustRequest{File: v.Trust()}); err != nil {
		b.Fatal(err)
	}
	v.Clock().Set(sdktest.Start.AddDate(-2, 0, 0)) // before the computer's time
	ticket, err := license.ParseTicket(v.Ticket("FREE"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Activate(b.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}}); err != nil {
		b.Fatal(err)
	}
	trust := filepath.Join(b.TempDir(), "vendor.trust")
	if err := os.WriteFile(trust, v.Trust(), 0o600); err != nil {
		b.Fatal(err)
	}
	program := consumer(b)
	var total, runs int
	for b.Loop() {
		run := exec.Command(program, trust, "FREE")
		run.Env = append(os.Environ(), "LICET_HOME="+home)
		out, err := run.CombinedOutput()
		var code string
		var micros int
		if _, scan := fmt.Sscan(string(out), &code, &micros); err != nil || scan != nil || code != string(sdk.OK) {
			b.Fatalf("%v: %s", err, out)
		}
		total, runs = total+micros, runs+1
	}
	b.ReportMetric(float64(total)/float64(runs), "µs/check")
}

// BenchmarkLicense verifies a license whose issuing key is known, as a session
// does at each look.
func BenchmarkLicense(b *testing.B) {
	verifier, step, body := benchLicense(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := verifier.License(step, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBare is the signature alone, over as many bytes.
func BenchmarkBare(b *testing.B) {
	_, step, _ := benchLicense(b)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	signature := ed25519.Sign(private, step)
	for b.Loop() {
		if !ed25519.Verify(public, step, signature) {
			b.Fatal("bad signature")
		}
	}
}

func benchLicense(b *testing.B) (verifier *seal.Verifier, step, body []byte) {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	root, err := seal.NewSigningKey(seal.Root, rand.Reader)
	must(err)
	issuing, err := seal.NewSigningKey(seal.Issuing, rand.Reader)
	must(err)
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(err)
	scope := seal.Scope{Vendor: seal.VendorOf(root.Public()), Environment: seal.Production}
	certificate, err := seal.SignCertificate(scope, root, seal.Certificate{Use: seal.Issuing, Public: issuing.Public(), Number: 1})
	must(err)
	verifier, err = seal.NewVerifier(&seal.Trust{Scope: scope, Root: root.Public(), Certificates: [][]byte{certificate}})
	must(err)
	now := license.At(sdktest.Start)
	body, hash, err := seal.EncodeBody(container.Body{
		License: "lic_01krx3m2k5g0001q7w8e9r0t1y2", Generation: 1, Container: keys.Serial(),
		ContainerKey: keys.Identity(license.Machine).SigningKey, Product: "CAD-PRO", Name: "CAD Professional",
		Features: []string{"render", "export"}, Tolerance: license.Medium, Repair: true, Customer: "Example Customer",
		Order: "1001", Activated: now, Terms: license.Terms{Seats: 1, ExpiresAt: now.Add(365 * day), CheckIn: 30 * license.Day},
	})
	must(err)
	step, err = seal.SignStep(scope, issuing, &container.Step{
		Container: keys.Serial(), Epoch: 1, Number: 1, Previous: container.PlanStart(keys.Serial()), Time: now,
		Ops: []container.Op{{Kind: container.Put, Phase: container.Activate, License: "lic_01krx3m2k5g0001q7w8e9r0t1y2",
			Generation: 1, Product: "CAD-PRO", Body: hash}},
	})
	must(err)
	return verifier, step, body
}
