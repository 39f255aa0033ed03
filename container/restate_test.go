package container_test

import (
	"testing"

	"licet/container"
	"licet/license"
)

// TestRestate: what the container has under a revoked key comes again, once, and not
// what goes.
func TestRestate(t *testing.T) {
	held := func(id license.ID) container.Candidate {
		return container.Candidate{License: id, Generation: 2, Product: "P", State: license.Collected, Holder: "A", Kinds: license.Kinds, Deactivation: true, Seats: 5, Split: true}
	}
	leaving := held("L")
	leaving.State = license.Returning
	free := held("M")
	free.State, free.Holder = license.NotCollected, ""
	two := map[license.ID]container.Candidate{"L": held("L"), "M": free}
	for what, c := range map[string]struct {
		s    container.Situation
		want string
	}{
		"held":            {container.Situation{Licenses: two}, "put L replace;"},
		"on its way back": {container.Situation{Licenses: map[license.ID]container.Candidate{"L": leaving}}, ""},
		"returned by this step": {container.Situation{Licenses: two, Return: []license.ID{"L"}},
			"drop L return;done"},
		"withdrawn": {container.Situation{Licenses: two,
			Earmarks: []container.Earmark{{Phase: container.Withdraw, License: "L"}}}, "drop L withdraw;"},
		"a lost copy of it goes": {container.Situation{Licenses: two,
			Earmarks: []container.Earmark{{Phase: container.Withdraw, License: "L", Old: 1}}}, "drop L withdraw;put L replace;"},
		"changed by the vendor as well": {container.Situation{Licenses: two,
			Earmarks: []container.Earmark{{Phase: container.Replace, License: "L", Again: true}}}, "put L replace;"},
		"while another comes": {container.Situation{Licenses: two, Activate: []license.ID{"M"},
			Tickets: []container.TicketWish{{Known: true, Licenses: []license.ID{"M"}}}}, "put L replace;put M activate;done"},
		"some of its seats go": {container.Situation{Licenses: two, Return: []license.ID{"L"}, Amounts: []container.Amount{{License: "L", Seats: 2}}},
			"drop N return;put L return;done"},
		"a wish that is refused": {container.Situation{Licenses: two, Activate: []license.ID{"X"}}, "put L replace;license_unknown"},
		"blocked":                {container.Situation{Licenses: two, Blocked: "stolen"}, ""},
		"flagged":                {container.Situation{Licenses: two, Flagged: "two lives"}, ""},
	} {
		s := c.s
		s.Serial, s.Kind, s.Restate = "A", license.Machine, []license.ID{"L"}
		s.NewPart = func() license.ID { return "N" }
		ops, out := container.Plan(s)
		text := ""
		for _, o := range ops {
			text += o.Kind.String() + " " + string(o.License) + " " + o.Phase.String() + ";"
		}
		for _, o := range out {
			text += string(o.Code)
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", what, text, c.want)
		}
		if ordered := container.Ordered(ops); c.want == "put L replace;" && len(ordered) != 1 {
			t.Errorf("%s: the vendor has ordered %d", what, len(ordered))
		}
	}
}

// TestPutAgain: a license that is put again in the same generation keeps the contact
// that renewed it; one of another generation does not.
func TestPutAgain(t *testing.T) {
	s := at(t, three(), 0, 2)
	s.LastContact = 300
	h := s.Held["A"]
	h.Contact = 100
	s.Held["A"] = h
	put := func(generation license.Generation) (container.State, []container.Change) {
		step := container.Step{Container: s.Serial, Number: s.Number + 1, Previous: s.Plan, Epoch: s.Epoch,
			Ops: []container.Op{{Kind: container.Put, Phase: container.Replace, License: "A", Generation: generation, Product: h.Product, Body: h.Body}}}
		var bodies [][]byte
		for n := uint64(1); n <= s.Number; n++ {
			bodies = append(bodies, body("A", n))
		}
		next, changes, no := s.Import(container.Update{Container: s.Serial, Acked: s.Number, Steps: []container.SignedStep{{}}},
			[]container.Incoming{{Step: step, Bodies: [][]byte{bodies[h.Step-1]}}}, numbered(s), 0)
		if no != nil {
			t.Fatal(no)
		}
		return next, changes
	}
	next, changes := put(h.Generation)
	if got := next.ContactOf("A"); got != 100 || !changes[0].Again {
		t.Errorf("contact %d, %+v", got, changes)
	}
	next, changes = put(h.Generation + 1)
	if got := next.ContactOf("A"); got != 300 || changes[0].Again {
		t.Errorf("another generation: contact %d, %+v", got, changes)
	}
}
