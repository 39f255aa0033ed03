package container_test

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// chain is the vendor's side of one container's log: every step that was signed.
type chain struct {
	serial license.Serial
	epoch  uint64
	plans  []container.Hash // plans[n] is the plan hash at step n
	steps  []container.Incoming
}

func newChain(serial license.Serial) *chain {
	return &chain{serial: serial, plans: []container.Hash{container.PlanStart(serial)}}
}

func body(id license.ID, n uint64) []byte { return fmt.Appendf(nil, "body of %s in step %d", id, n) }

// issue signs one step: "+A" puts the license A, "-A" drops it.
func (c *chain) issue(ops ...string) {
	n := uint64(len(c.steps)) + 1
	in := container.Incoming{Step: container.Step{Container: c.serial, Epoch: c.epoch, Number: n, Previous: c.plans[n-1], Time: license.Time(100 * n)}}
	for _, text := range ops {
		op := container.Op{Kind: container.Drop, Phase: container.Return, License: license.ID(text[1:]), Generation: 1, Product: "P"}
		if text[0] == '+' {
			op.Kind, op.Phase = container.Put, container.Activate
			op.Body = sha256.Sum256(body(op.License, n))
			in.Bodies = append(in.Bodies, body(op.License, n))
		}
		in.Step.Ops = append(in.Step.Ops, op)
	}
	in.Step.Unsigned = fmt.Appendf(nil, "%s %d %d %x %v", c.serial, c.epoch, n, in.Step.Previous, ops)
	in.Signed = in.Step.Unsigned
	c.steps = append(c.steps, in)
	c.plans = append(c.plans, container.NextPlan(c.plans[n-1], in.Step.Unsigned))
}

// update is made when acked was acknowledged and the step last was the last one.
func (c *chain) update(acked, last int) update {
	return update{container.Update{Container: c.serial, Acked: uint64(acked), Epoch: c.epoch, Time: license.Time(100*last + 1)}, slices.Clone(c.steps[acked:last])}
}

type update struct {
	container.Update
	steps []container.Incoming
}

// answering makes the update the answer to a report.
func (u update) answering(n container.Nonce) update {
	u.Answers = n
	return u
}

// numbered draws, for step n, the nonce n, so that states can be compared.
func numbered(s container.State) func() container.Nonce {
	n := byte(s.Number)
	return func() container.Nonce {
		n++
		return container.Nonce{n}
	}
}

func takes(s container.State, u update) (container.State, []container.Change, *refusal.Refusal) {
	return s.Import(u.Update, u.steps, numbered(s), 0)
}

func taken(t testing.TB, s container.State, u update) container.State {
	t.Helper()
	n, _, no := takes(s, u)
	if no != nil {
		t.Fatalf("import: %v", no)
	}
	return n
}

// deep is a copy that shares nothing, to see whether an import changed its input.
func deep(s container.State) container.State {
	c := s
	c.Held = map[license.ID]container.Holding{}
	for id, h := range s.Held {
		c.Held[id] = h
	}
	c.Nonces, c.Kept, c.Challenge = slices.Clone(s.Nonces), slices.Clone(s.Kept), slices.Clone(s.Challenge)
	return c
}

func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, want, got container.State) {
	t.Helper()
	for _, s := range []*container.State{&want, &got} {
		if len(s.Nonces) == 0 {
			s.Nonces = nil
		}
		if len(s.Challenge) == 0 {
			s.Challenge = nil
		}
	}
	if reflect.DeepEqual(want, got) {
		return // much cheaper than a diff
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// at is a container that has applied n steps and knows acked acknowledged.
func at(t testing.TB, c *chain, acked, n int) container.State {
	t.Helper()
	s := container.NewState(c.serial)
	if n > 0 {
		s = taken(t, s, c.update(0, n))
	}
	if acked > 0 {
		s.Asked = container.Nonce{99}
		s = taken(t, s, c.update(acked, n).answering(s.Asked))
	}
	return s
}

// A chain of three steps, the same in each test.
func three() *chain {
	c := newChain(me)
	c.issue("+A")
	c.issue("+B")
	c.issue("-A", "+C")
	return c
}

// Refused imports change nothing; protocol.md, section 5.
func TestImportRefusals(t *testing.T) {
	change := func(u update, f func(*container.Incoming)) update {
		u.steps = slices.Clone(u.steps)
		f(&u.steps[len(u.steps)-1])
		return u
	}
	tests := []struct {
		name string
		acks int // what the container knows to be acknowledged
		step int // how many steps the container has
		make func(c *chain) update
		want refusal.Code
	}{
		{"for another container", 0, 0, func(*chain) update { c := newChain(other); c.issue("+A"); return c.update(0, 1) }, refusal.WrongContainer},
		{"a step for another container inside", 0, 1, func(c *chain) update {
			return change(c.update(0, 2), func(in *container.Incoming) { in.Step.Container = other })
		}, refusal.WrongContainer},
		{"applied before", 0, 2, func(c *chain) update { return c.update(0, 2) }, refusal.AlreadyApplied},
		{"applied before, with fewer steps", 0, 2, func(c *chain) update { return c.update(1, 2) }, refusal.AlreadyApplied},
		{"nothing in it", 0, 0, func(c *chain) update { return c.update(0, 0) }, refusal.AlreadyApplied},
		{"from earlier", 0, 2, func(c *chain) update { return c.update(0, 1) }, refusal.OutOfDate},
		{"the answer to an earlier report", 0, 2, func(c *chain) update { return c.update(0, 1).answering(container.Nonce{7}) }, refusal.OutOfDate},
		{"gap", 0, 1, func(c *chain) update { return c.update(2, 3) }, refusal.StepsMissing},
		{"gap from the start", 0, 0, func(c *chain) update { return c.update(1, 3) }, refusal.StepsMissing},
		{"gap, with no step behind it", 0, 1, func(c *chain) update { return c.update(3, 3) }, refusal.StepsMissing},
		{"a hole inside", 0, 0, func(c *chain) update {
			u := c.update(0, 3)
			u.steps = slices.Delete(u.steps, 1, 2)
			return u
		}, refusal.StepsMissing},
		{"another log", 0, 1, func(*chain) update { c := newChain(me); c.issue("+X"); c.issue("+B"); return c.update(0, 2) }, refusal.BadSignature},
		{"damaged body", 0, 1, func(c *chain) update {
			return change(c.update(0, 2), func(in *container.Incoming) { in.Bodies = [][]byte{[]byte("another body")} })
		}, refusal.DamagedFile},
		{"body missing", 0, 1, func(c *chain) update {
			return change(c.update(0, 2), func(in *container.Incoming) { in.Bodies = nil })
		}, refusal.DamagedFile},
		{"unknown operation after a good one", 1, 2, func(c *chain) update {
			return change(c.update(2, 3), func(in *container.Incoming) {
				in.Step.Ops = append(slices.Clone(in.Step.Ops), container.Op{Kind: 9})
			})
		}, refusal.UnsupportedVersion},
		{"the last of three steps damaged", 0, 0, func(c *chain) update {
			return change(c.update(0, 3), func(in *container.Incoming) { in.Bodies = nil })
		}, refusal.DamagedFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := three()
			s := at(t, c, tt.acks, tt.step)
			before := deep(s)
			got, changes, no := takes(s, tt.make(c))
			if no == nil || no.Code != tt.want || changes != nil {
				t.Fatalf("got %v and %v, want %s", no, changes, tt.want)
			}
			same(t, "state returned", before, got)
			same(t, "state given", before, s)
			if no.Message == "" || no.NextStep() == "" && tt.want != refusal.AlreadyApplied {
				t.Errorf("no reason or no next step: %+v", no)
			}
		})
	}
}

func TestWrongContainerNamesBoth(t *testing.T) {
	c := newChain(other)
	c.issue("+A")
	_, _, no := takes(container.NewState(me), c.update(0, 1))
	want := map[string]any{"made_for": string(other), "this_is": string(me)}
	if d := cmp.Diff(want, no.Details); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// An epoch that was seen is never left again.
func TestImportEpoch(t *testing.T) {
	c := newChain(me)
	c.issue("+A")
	c.issue("+B")
	old := c.update(0, 2)
	c.epoch = 2
	new := c.update(0, 1)
	s := taken(t, container.NewState(me), new)
	if s.Epoch != 2 {
		t.Fatalf("epoch %d", s.Epoch)
	}
	s.Asked = container.Nonce{9}
	before := deep(s)
	for name, u := range map[string]update{
		"update of an older epoch": old,
		"answer of an older epoch": {old.answering(s.Asked).Update, nil},
		"step of an older epoch":   {c.update(0, 2).Update, c.steps},
	} {
		got, _, no := takes(s, u)
		if no == nil || no.Code != refusal.OutOfDate {
			t.Errorf("%s: %v", name, no)
		}
		same(t, name, before, got)
	}
}

// What a container has is skipped, what it lacks is applied in order (R9), one
// number after the other (Inv11).
func TestImportApplies(t *testing.T) {
	tests := []struct {
		name        string
		step        int
		acked, last int
		changes     []string
	}{
		{"one step", 0, 0, 1, []string{"put A"}},
		{"all at once", 0, 0, 3, []string{"put A", "put B", "drop A", "put C"}},
		{"skips one", 1, 0, 3, []string{"put B", "drop A", "put C"}},
		{"skips two", 2, 0, 3, []string{"drop A", "put C"}},
		{"begins with the next", 2, 2, 3, []string{"drop A", "put C"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := three()
			s := at(t, c, 0, tt.step)
			before := deep(s)
			got, changes, no := takes(s, c.update(tt.acked, tt.last))
			if no != nil {
				t.Fatal(no)
			}
			var names []string
			for _, ch := range changes {
				names = append(names, ch.Op+" "+string(ch.License))
				if (ch.Op == "put") != (ch.Body != nil) {
					t.Errorf("%s %s with body %q", ch.Op, ch.License, ch.Body)
				}
			}
			if d := cmp.Diff(tt.changes, names); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			if got.Number != uint64(tt.last) || got.Plan != c.plans[tt.last] {
				t.Errorf("at step %d with plan %x", got.Number, got.Plan)
			}
			same(t, "state given", before, s)
			for n, put := range map[uint64]license.ID{2: "B", 3: "C"} {
				if h, ok := got.Held[put]; ok != (got.Number >= n) || ok && h != (container.Holding{Generation: 1, Product: "P", Step: n, Body: sha256.Sum256(body(put, n))}) {
					t.Errorf("holds %s: %+v", put, h)
				}
			}
			if _, holds := got.Held["A"]; holds != (tt.last < 3) {
				t.Errorf("holds A: %t", holds)
			}
		})
	}
}

// A drop takes the generation it names and older ones, never a newer one.
func TestDropKeepsNewerGeneration(t *testing.T) {
	for held, kept := range map[license.Generation]bool{1: false, 2: false, 3: true} {
		c := newChain(me)
		c.issue("+A")
		c.steps[0].Step.Ops[0].Generation = held
		c.issue("-A")
		c.steps[1].Step.Ops[0].Generation = 2
		s := taken(t, container.NewState(me), c.update(0, 2))
		if _, ok := s.Held["A"]; ok != kept {
			t.Errorf("generation %d after a drop of 2: kept %t", held, ok)
		}
	}
}

// The nonces of acknowledged steps are forgotten; the others go into the report.
func TestAcknowledged(t *testing.T) {
	tests := []struct {
		acked, number int // of the container
		news          int // acknowledged by the update
		last          int
		want          []container.Nonce
	}{
		{0, 2, 0, 3, []container.Nonce{{1}, {2}, {3}}},
		{0, 2, 1, 3, []container.Nonce{{2}, {3}}},
		{0, 2, 2, 3, []container.Nonce{{3}}},
		{2, 2, 1, 3, []container.Nonce{{3}}}, // an older update takes nothing back
		{0, 0, 0, 3, []container.Nonce{{1}, {2}, {3}}},
	}
	for _, tt := range tests {
		c := three()
		s := taken(t, at(t, c, tt.acked, tt.number), c.update(tt.news, tt.last))
		_, r := s.Report(container.Identity{}, container.Nonce{50}, 0)
		want := uint64(max(tt.acked, tt.news))
		if d := cmp.Diff(tt.want, r.Nonces); d != "" || r.Acked != want {
			t.Errorf("%+v: acknowledged %d, nonces (-want +got):\n%s", tt, r.Acked, d)
		}
		// They carry the life from what is acknowledged to what is claimed.
		life := container.LifeStart(me)
		for n := range s.Number {
			life = container.NextLife(life, c.plans[n+1], container.Nonce{byte(n + 1)})
		}
		if life != r.Life {
			t.Errorf("%+v: another life", tt)
		}
	}
}

// An acknowledgment from the future of a container that was rolled back is not
// believed.
func TestAcknowledgedAhead(t *testing.T) {
	c := three()
	s := at(t, c, 0, 1)
	s.Asked = container.Nonce{9}
	u := c.update(3, 3).answering(s.Asked)
	u.Challenge = []byte("prove it")
	s = taken(t, s, u)
	_, r := s.Report(container.Identity{}, container.Nonce{10}, 0)
	if r.Acked != 0 || len(r.Nonces) != 1 || string(r.Challenge) != "prove it" {
		t.Errorf("%+v", r)
	}
}

// A container answers a challenge only if it came with the answer to its own
// latest report, and an answer counts once.
func TestChallenge(t *testing.T) {
	c := three()
	s, _ := at(t, c, 0, 1).Report(container.Identity{}, container.Nonce{8}, 0)
	challenge := func(answers byte) update {
		u := c.update(1, 1).answering(container.Nonce{answers})
		u.Challenge = []byte("prove it")
		return u
	}
	if got, _, no := takes(s, challenge(7)); no == nil || got.Challenge != nil {
		t.Errorf("a challenge that was for another report: %v, %q", no, got.Challenge)
	}
	got := taken(t, s, challenge(8))
	if string(got.Challenge) != "prove it" || got.Asked != (container.Nonce{}) {
		t.Errorf("%q, asked %x", got.Challenge, got.Asked)
	}
	got, _ = got.Report(container.Identity{}, container.Nonce{9}, 0)
	if again := taken(t, got, c.update(1, 1).answering(container.Nonce{9})); again.Challenge != nil {
		t.Errorf("a challenge outlives the next answer: %q", again.Challenge)
	}
}

// Time known to have passed rises by any vendor's time and by the clock, and
// falls only by an answer to the container's own nonce (R23).
func TestFloor(t *testing.T) {
	tests := []struct {
		name    string
		clock   license.Time // at the report before
		answers bool
		now     license.Time
		last    int
		want    license.Time
	}{
		{"vendor's time lifts it", 0, false, 0, 3, 301},
		{"clock lifts it", 0, false, 5000, 3, 5000},
		{"report lifts it", 5000, false, 0, 3, 5000},
		{"an answer lowers it", 5000, true, 0, 3, 301},
		{"an answer without steps lowers it", 5000, true, 0, 2, 201},
		{"an answer beats the clock", 0, true, 5000, 3, 301},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := three()
			s, _ := at(t, c, 0, 2).Report(container.Identity{}, container.Nonce{8}, tt.clock)
			u := c.update(0, tt.last)
			if tt.answers {
				u = u.answering(container.Nonce{8})
			}
			got, _, no := s.Import(u.Update, u.steps, numbered(s), tt.now)
			if no != nil {
				t.Fatal(no)
			}
			if got.Floor != tt.want {
				t.Errorf("floor %d, want %d", got.Floor, tt.want)
			}
		})
	}
}

// A contact counts for check-in if the vendor says so, and the update brings a
// step or answers this container's report; it never counts backward.
func TestLastContact(t *testing.T) {
	tests := []struct {
		name    string
		renews  bool
		answers byte // the container asked under 8
		last    int
		before  license.Time
		want    license.Time
	}{
		{"an answer", true, 8, 2, 0, 201},
		{"an answer with a step", true, 8, 3, 0, 301},
		{"a step that answers nothing", true, 0, 3, 0, 301},
		{"the vendor does not renew", false, 8, 3, 150, 150},
		{"older than the last contact", true, 8, 2, 900, 900},
	}
	for _, tt := range tests {
		c := three()
		s, _ := at(t, c, 0, 2).Report(container.Identity{}, container.Nonce{8}, 0)
		s.LastContact = tt.before
		u := c.update(0, tt.last).answering(container.Nonce{tt.answers})
		u.Renews = tt.renews
		if got := taken(t, s, u); got.LastContact != tt.want {
			t.Errorf("%s: last contact %d, want %d", tt.name, got.LastContact, tt.want)
		}
	}
	c := three()
	s := at(t, c, 0, 2)
	u := c.update(0, 2).answering(container.Nonce{7})
	u.Renews = true
	if got, _, no := takes(s, u); no == nil || no.Code != refusal.AlreadyApplied || got.LastContact != s.LastContact {
		t.Errorf("an answer to another report, with nothing new: %v, last contact %d", no, got.LastContact)
	}
}

// A contact renews every license but those that the vendor leaves out, which keep
// the contact before; a later one that leaves nothing out renews them again.
func TestContactOf(t *testing.T) {
	s := at(t, three(), 0, 2)
	for i, c := range []struct {
		at        license.Time
		unrenewed []license.ID
		want      [2]license.Time // of A and B
	}{
		{100, nil, [2]license.Time{100, 100}},
		{200, []license.ID{"A"}, [2]license.Time{100, 200}},
		{300, []license.ID{"A"}, [2]license.Time{100, 300}},
		{300, []license.ID{"A", "B"}, [2]license.Time{100, 300}},
		{400, []license.ID{"B"}, [2]license.Time{400, 300}},
		{350, nil, [2]license.Time{400, 300}}, // an old answer
		{500, []license.ID{"C"}, [2]license.Time{500, 500}},
	} {
		asked, r := s.Report(container.Identity{}, container.Nonce{byte(i + 1)}, 0)
		before := deep(asked)
		s = taken(t, asked, update{Update: container.Update{Container: s.Serial, Answers: r.Nonce, Acked: s.Number, Time: c.at, Renews: true, Unrenewed: c.unrenewed}})
		same(t, "the state before", before, asked)
		if got := [2]license.Time{s.ContactOf("A"), s.ContactOf("B")}; got != c.want {
			t.Errorf("contact %d: %v, want %v", i, got, c.want)
		}
	}
}

// Steps are kept while they put something held or are among the last; no more.
func TestKeptSteps(t *testing.T) {
	c := newChain(me)
	c.issue("+FIRST")
	for range 3 * container.KeptSteps {
		c.issue("+A")
		c.issue("-A")
	}
	last := len(c.steps)
	inOne := taken(t, container.NewState(me), c.update(0, last))
	oneByOne := container.NewState(me)
	for n := 1; n <= last; n++ {
		before, given := deep(oneByOne), oneByOne
		oneByOne = taken(t, given, c.update(n-1, n))
		same(t, "state given", before, given)
		if len(oneByOne.Kept) > container.KeptSteps+len(oneByOne.Held) {
			t.Fatalf("%d steps kept at step %d", len(oneByOne.Kept), n)
		}
	}
	if d := cmp.Diff(inOne.Kept, oneByOne.Kept); d != "" {
		t.Errorf("one by one, other steps are kept (-want +got):\n%s", d)
	}
	if got := len(inOne.Kept); got != container.KeptSteps+1 {
		t.Errorf("%d steps kept", got)
	}
	for n := 1; n <= last; n++ {
		signed, ok := inOne.Signed(uint64(n))
		if want := n == 1 || n > last-container.KeptSteps; ok != want || ok && string(signed) != string(c.steps[n-1].Signed) {
			t.Errorf("step %d kept: %t", n, ok)
		}
	}
}

func TestReport(t *testing.T) {
	c := newChain(me)
	c.issue("+C", "+A", "+B")
	s := at(t, c, 0, 1)
	s.Challenge, s.Floor = []byte("prove it"), 7
	before := deep(s)
	next, r := s.Report(container.Identity{Kind: license.Machine}, container.Nonce{5}, 900)
	same(t, "state given", before, s)
	want := container.Report{Identity: container.Identity{Kind: license.Machine}, Number: 1, Plan: s.Plan, Life: s.Life, Nonces: []container.Nonce{{1}},
		Held:  []container.HeldLicense{{License: "A", Generation: 1}, {License: "B", Generation: 1}, {License: "C", Generation: 1}},
		Nonce: container.Nonce{5}, Challenge: []byte("prove it"), LocalTime: 900}
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	before.Asked, before.Floor = r.Nonce, 900
	same(t, "state after", before, next)
}

// history draws a log and every update that could have been made of it.
func history(t *rapid.T) (*chain, []update) {
	c := newChain(me)
	held := map[string]bool{}
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		var ops []string
		for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"A", "B", "C"}), 1, 3, rapid.ID).Draw(t, "licenses") {
			op := "+"
			if held[id] {
				op = "-"
			}
			held[id] = !held[id]
			ops = append(ops, op+id)
		}
		c.issue(ops...)
	}
	var all []update
	for last := range len(c.steps) + 1 {
		for acked := range last + 1 {
			all = append(all, c.update(acked, last))
		}
	}
	return c, all
}

// fold is what a container holds after n steps, by the steps alone.
func fold(c *chain, n uint64) map[license.ID]uint64 {
	held := map[license.ID]uint64{}
	for _, in := range c.steps[:n] {
		for _, op := range in.Step.Ops {
			delete(held, op.License)
			if op.Kind == container.Put {
				held[op.License] = in.Step.Number
			}
		}
	}
	return held
}

// TestAnyOrder imports the updates of a log in any order, any number of times,
// with any of them lost. After each import the content is the fold of the steps
// (Inv12), the number has not fallen (Inv11), and importing the same again
// changes nothing (Inv16). Once the last update has come with nothing missing
// before it, the end is that of the straight order.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, all := history(t)
		s := container.NewState(me)
		for range rapid.IntRange(0, 30).Draw(t, "imports") {
			s = importTwice(t, c, s, rapid.SampledFrom(all).Draw(t, "update"))
		}
		s = importTwice(t, c, s, c.update(0, len(c.steps)))
		straight := container.NewState(me)
		for n := range c.steps {
			straight, _, _ = takes(straight, c.update(n, n+1))
		}
		// What was acknowledged on the way may differ.
		straight.Acked, straight.Nonces, s.Acked, s.Nonces = 0, nil, 0, nil
		straight.Floor, straight.LastContact, s.Floor, s.LastContact = 0, 0, 0, 0
		same(t, "at the end", straight, s)
	})
}

func importTwice(t *rapid.T, c *chain, s container.State, u update) container.State {
	before := deep(s)
	got, _, no := takes(s, u)
	same(t, "state given", before, s)
	if no != nil {
		same(t, "state after a refusal", before, got)
	}
	if got.Number < s.Number {
		t.Fatalf("from step %d to %d", s.Number, got.Number)
	}
	if got.Acked > got.Number || uint64(len(got.Nonces)) != got.Number-got.Acked {
		t.Fatalf("at step %d, acknowledged %d, with %d nonces", got.Number, got.Acked, len(got.Nonces))
	}
	held := map[license.ID]uint64{}
	for id, h := range got.Held {
		held[id] = h.Step
	}
	if d := cmp.Diff(fold(c, got.Number), held); d != "" {
		t.Fatalf("at step %d (-fold +held):\n%s", got.Number, d)
	}
	again, _, no := takes(got, u)
	if no == nil {
		t.Fatalf("imported a second time without a word")
	}
	same(t, "imported twice", got, again)
	return got
}

// TestAnyMeeting lets central and a container exchange messages that are lost,
// late and repeated. The record never gets ahead of the container, nor the
// container of the log (Inv13), and every report is in step or merely old.
func TestAnyMeeting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, _ := history(t)
		s, issued, acked := container.NewState(me), 0, 0
		log := container.Log{AckedLife: container.LifeStart(me), Plans: map[uint64]container.Hash{0: c.plans[0]}, Lives: map[uint64]container.Hash{0: container.LifeStart(me)}}
		var reports []container.Report
		updates := []update{c.update(0, 0)}
		for i := range rapid.IntRange(0, 60).Draw(t, "events") {
			switch rapid.SampledFrom([]string{"ask", "deliver", "issue", "import"}).Draw(t, "event") {
			case "ask":
				var r container.Report
				s, r = s.Report(container.Identity{}, container.Nonce{200, byte(i)}, 0)
				reports = append(reports, r)
			case "issue":
				if issued < len(c.steps) {
					issued++
					log.Issued++
					log.Plans[log.Issued] = c.plans[issued]
				}
			case "import":
				u := rapid.SampledFrom(updates).Draw(t, "update")
				s, _, _ = takes(s, u)
			case "deliver":
				if len(reports) == 0 {
					continue
				}
				r := rapid.SampledFrom(reports).Draw(t, "report")
				f := log.Reconcile(r)
				switch f.Standing {
				case container.InStep:
					for n, life := range f.Lives {
						log.Lives[n] = life
					}
					acked, log.Acked, log.AckedLife, log.Challenge = int(r.Number), r.Number, r.Life, nil
					updates = append(updates, c.update(acked, issued).answering(r.Nonce))
				case container.Behind:
					log.Challenge = []byte{byte(i)}
					u := c.update(acked, acked).answering(r.Nonce)
					u.Challenge = log.Challenge
					updates = append(updates, u)
				default:
					t.Fatalf("an honest container: %+v", f)
				}
			}
			if log.Acked > s.Number || s.Number > log.Issued || s.Acked > log.Acked {
				t.Fatalf("acknowledged %d (the container believes %d), number %d, issued %d", log.Acked, s.Acked, s.Number, log.Issued)
			}
		}
	})
}
