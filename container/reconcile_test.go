package container_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licet/container"
	"licet/license"
)

// record is what central knows of a container that has shown the lives up to
// acked, all applied with the nonces of numbered.
func record(c *chain, acked, issued uint64) container.Log {
	l := container.Log{Issued: issued, Acked: acked, Plans: map[uint64]container.Hash{}, Lives: map[uint64]container.Hash{}}
	life := container.LifeStart(c.serial)
	for n := range issued + 1 {
		if n > 0 {
			life = container.NextLife(life, c.plans[n], container.Nonce{byte(n)})
		}
		l.Plans[n] = c.plans[n]
		if n <= acked {
			l.Lives[n], l.AckedLife = life, life
		}
	}
	return l
}

// reported is the report of a container at a step that knows acked acknowledged.
func reported(t testing.TB, c *chain, acked, number int) container.Report {
	_, r := at(t, c, acked, number).Report(container.Identity{}, container.Nonce{77}, 0)
	return r
}

// What central does with a report; protocol.md, section 4.
func TestReconcile(t *testing.T) {
	c := newChain(me)
	for range 5 {
		c.issue("+A")
		c.issue("-A")
	}
	fork := newChain(me)
	for range 5 {
		fork.issue("+B")
		fork.issue("-B")
	}
	otherLife := func(r *container.Report) { r.Life[0]++ }
	answers := func(challenge string) func(*container.Report) {
		return func(r *container.Report) { r.Challenge = []byte(challenge) }
	}
	without := func(n int) func(*container.Report) {
		return func(r *container.Report) { r.Nonces = r.Nonces[:n] }
	}
	const challenge = "fresh"
	tests := []struct {
		name          string
		acked, issued uint64 // of the record, with a challenge outstanding
		known, number int    // of the container: believed acknowledged, applied
		change        func(*container.Report)
		want          container.Standing
		lives         []uint64 // newly proven
	}{
		{"never seen", 0, 0, 0, 0, nil, container.InStep, nil},
		{"in step", 3, 3, 3, 3, nil, container.InStep, nil},
		{"in step, and does not know it", 3, 3, 0, 3, nil, container.InStep, nil},
		{"outstanding", 3, 5, 3, 3, nil, container.InStep, nil},
		{"confirms one", 3, 4, 3, 4, nil, container.InStep, []uint64{4}},
		{"confirms all, the receipts were lost", 0, 5, 0, 5, nil, container.InStep, []uint64{1, 2, 3, 4, 5}},
		{"confirms some", 1, 5, 0, 3, nil, container.InStep, []uint64{2, 3}},
		{"confirms, knowing less than the record", 2, 5, 1, 4, nil, container.InStep, []uint64{3, 4}},
		{"answers a challenge and is in step", 3, 3, 3, 3, answers(challenge), container.InStep, nil},
		{"clock far off", 3, 3, 3, 3, func(r *container.Report) { r.LocalTime = 1 << 60 }, container.InStep, nil},

		{"old", 3, 3, 1, 1, nil, container.Behind, nil},
		{"from the start", 3, 3, 0, 0, nil, container.Behind, nil},
		{"old, answers an old challenge", 3, 3, 1, 1, answers("old"), container.Behind, nil},
		{"old, answers the challenge", 3, 3, 1, 1, answers(challenge), container.TwoLives, nil},
		{"old, another life", 3, 3, 1, 1, otherLife, container.TwoLives, nil},
		{"old, another life and another plan", 3, 3, 1, 1, func(r *container.Report) { otherLife(r); r.Plan[0]++ }, container.Behind, nil},

		{"another life at the acknowledged step", 3, 3, 3, 3, otherLife, container.TwoLives, nil},
		{"another life at the start", 0, 0, 0, 0, otherLife, container.TwoLives, nil},
		{"another life for a new step", 3, 5, 3, 4, otherLife, container.TwoLives, nil},
		{"no nonce for a new step", 3, 5, 3, 4, without(0), container.TwoLives, nil},
		{"too few nonces", 1, 5, 0, 4, without(2), container.TwoLives, nil},
		{"another nonce", 3, 5, 3, 4, func(r *container.Report) { r.Nonces[0][5]++ }, container.TwoLives, nil},

		{"another plan", 3, 3, 3, 3, func(r *container.Report) { r.Plan = fork.plans[3] }, container.OtherPlan, nil},
		{"another plan for a new step", 3, 5, 3, 4, func(r *container.Report) { r.Plan = fork.plans[4] }, container.OtherPlan, nil},

		{"ahead", 3, 3, 3, 4, nil, container.Ahead, nil},
		{"ahead of nothing", 0, 0, 0, 1, nil, container.Ahead, nil},
		{"knows of an acknowledgment that the record does not", 2, 5, 3, 4, nil, container.Ahead, nil},
		{"ahead by the largest number", 3, 3, 3, 3, func(r *container.Report) { r.Number = 1<<64 - 1 }, container.Ahead, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := record(c, tt.acked, tt.issued)
			l.Challenge = []byte(challenge)
			r := reported(t, c, tt.known, tt.number)
			if tt.change != nil {
				tt.change(&r)
			}
			f := l.Reconcile(r)
			if f.Standing != tt.want {
				t.Fatalf("standing %d (%s), want %d", f.Standing, f.Reason, tt.want)
			}
			if convicts := tt.want == container.TwoLives || tt.want == container.OtherPlan; f.Convicts() != convicts || convicts == (f.Reason == "") && tt.want != container.Ahead {
				t.Errorf("convicts %t, reason %q", f.Convicts(), f.Reason)
			}
			want := map[uint64]container.Hash{}
			for _, n := range tt.lives {
				want[n] = record(c, n, n).AckedLife
			}
			if d := cmp.Diff(fmt.Sprint(want), fmt.Sprint(mapOf(f.Lives))); d != "" {
				t.Errorf("lives (-want +got):\n%s", d)
			}
		})
	}
}

func mapOf(m map[uint64]container.Hash) map[uint64]container.Hash {
	if m == nil {
		return map[uint64]container.Hash{}
	}
	return m
}

// Without an outstanding challenge an empty answer proves nothing.
func TestNoChallengeConvictsNobody(t *testing.T) {
	c := three()
	for _, challenge := range [][]byte{nil, {}} {
		l := record(c, 2, 2)
		l.Challenge = challenge
		r := reported(t, c, 0, 1)
		r.Challenge = []byte{}
		if f := l.Reconcile(r); f.Standing != container.Behind {
			t.Errorf("challenge %v: %+v", challenge, f)
		}
	}
}

// Nobody is convicted for a life that the record has forgotten.
func TestUnknownLivesConvictNobody(t *testing.T) {
	c := three()
	l := record(c, 2, 2)
	l.Lives = nil
	r := reported(t, c, 0, 1)
	r.Life[0]++
	if f := l.Reconcile(r); f.Standing != container.Behind {
		t.Errorf("%+v", f)
	}
}

// A container that was rolled back and applied a step again lives another life.
func TestTwoLives(t *testing.T) {
	c := three()
	applied := taken(t, at(t, c, 1, 1), c.update(1, 2))
	u := c.update(1, 2)
	again, _, no := at(t, c, 1, 1).Import(u.Update, u.steps, func() container.Nonce { return container.Nonce{42} }, 0)
	if no != nil {
		t.Fatal(no)
	}
	_, first := applied.Report(container.Identity{}, container.Nonce{1}, 0)
	_, second := again.Report(container.Identity{}, container.Nonce{2}, 0)
	for name, acked := range map[string]uint64{"acknowledged": 2, "acknowledged, and another step since": 3} {
		l := record(c, acked, acked)
		if f := l.Reconcile(second); f.Standing != container.TwoLives {
			t.Errorf("%s: %+v", name, f)
		}
		if f := l.Reconcile(first); f.Convicts() {
			t.Errorf("%s: the honest one: %+v", name, f)
		}
	}
}

// A proof touches only a license whose holder, generation and last step match it
// (R8, R15, Inv18).
func TestConfirm(t *testing.T) {
	put := container.Op{Kind: container.Put, License: "A", Generation: 2}
	drop := container.Op{Kind: container.Drop, License: "A", Generation: 2}
	with := func(s license.State) container.Placement {
		return container.Placement{State: s, Holder: me, Generation: 2, Step: 4}
	}
	withdrawn := with(license.Returning)
	withdrawn.Withdrawn = true
	tests := []struct {
		name string
		p    container.Placement
		op   container.Op
		want license.Event
	}{
		{"put", with(license.Collecting), put, license.PutConfirmed},
		{"drop", with(license.Returning), drop, license.DropConfirmed},
		{"drop of a withdrawn license", withdrawn, drop, license.TakenBack},
		{"put, confirmed before", with(license.Collected), put, ""},
		{"put, and its return is under way", with(license.Returning), put, ""},
		{"drop, and it is under way again", with(license.Collecting), drop, ""},
		{"drop of what never left", with(license.Collected), drop, ""},
	}
	for _, tt := range tests {
		event, yes := container.Confirm(tt.p, me, 4, tt.op)
		if event != tt.want || yes != (tt.want != "") {
			t.Errorf("%s: %q, %t", tt.name, event, yes)
		}
		if yes {
			if _, no := license.Next(tt.p.State, event); no != nil {
				t.Errorf("%s: %v", tt.name, no)
			}
		}
	}
	for name, p := range map[string]container.Placement{
		"another holder":           {State: license.Returning, Holder: other, Generation: 2, Step: 4},
		"nobody":                   {State: license.Returned, Generation: 2, Step: 4},
		"gone":                     {State: license.Gone, Generation: 2, Step: 4},
		"a newer generation":       {State: license.Returning, Holder: me, Generation: 3, Step: 4},
		"an older generation":      {State: license.Returning, Holder: me, Generation: 1, Step: 4},
		"a later step concerns it": {State: license.Returning, Holder: me, Generation: 2, Step: 6},
		"only an earlier step":     {State: license.Returning, Holder: me, Generation: 2, Step: 2},
	} {
		for _, op := range []container.Op{put, drop} {
			if event, yes := container.Confirm(p, me, 4, op); yes {
				t.Errorf("%s, %s: %s", name, op.Kind, event)
			}
		}
	}
}

// A container accepted at an earlier step counts as holding what the steps after
// it concern, unless that has gone elsewhere.
func TestReopened(t *testing.T) {
	put := container.Op{Kind: container.Put, License: "A", Generation: 2}
	drop := container.Op{Kind: container.Drop, License: "A", Generation: 2}
	mine := []license.State{license.Collecting, license.Collected, license.Returning}
	for _, row := range license.States {
		for _, holder := range []license.Serial{me, other, ""} {
			p := container.Placement{State: row.State, Holder: holder, Generation: 2, Step: 4}
			if row.State.Held() != (holder != "") {
				continue
			}
			touched := holder == me && slices.Contains(mine, row.State) || row.State.Available()
			for op, want := range map[*container.Op]license.State{&put: license.Collecting, &drop: license.Returning} {
				if !touched {
					want = row.State
				}
				if got, yes := container.Reopened(p, me, *op); got != want || yes != touched {
					t.Errorf("%s with %q, %s: %s, %t", row.State, holder, op.Kind, got, yes)
				}
				p.Generation = 3
				if got, yes := container.Reopened(p, me, *op); got != row.State || yes {
					t.Errorf("newer generation, %s with %q, %s: %s", row.State, holder, op.Kind, got)
				}
				p.Generation = 2
			}
		}
	}
	if _, yes := container.Reopened(container.Placement{State: license.Collected, Holder: me, Generation: 2}, me, container.Op{Kind: 9, Generation: 2}); yes {
		t.Error("an unknown operation reopens")
	}
}

func TestNothingWished(t *testing.T) {
	for w, want := range map[*container.Wishes]bool{
		{}: true, {Tickets: []license.Ticket{"T"}}: false, {Activate: []license.ID{"A"}}: false,
		{Return: []license.ID{"A"}}: false, {Pending: true}: false,
	} {
		if w.None() != want {
			t.Errorf("%+v: %t", *w, w.None())
		}
	}
}
