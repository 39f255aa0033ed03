package explore

import (
	"maps"
	"slices"

	"licet/container"
	"licet/license"
	"licet/refusal"
)

// rules are the decisions under test. A mutant replaces one.
type rules struct {
	plan      func(container.Situation) ([]container.Op, []container.Outcome)
	waits     func(box, update) *refusal.Refusal // before an update is taken
	take      func(container.State, update, func() container.Nonce) (container.State, *refusal.Refusal)
	reconcile func(container.Log, container.Report) container.Finding
	confirm   func(container.Placement, license.Serial, uint64, container.Op) (license.Event, bool)
	reopened  func(container.Placement, license.Serial, container.Op) (license.State, bool)
	next      func(license.State, license.Event) (license.State, *refusal.Refusal)
	count     func(p container.Placement, s license.Serial, told container.Counted, known, units int64) int64
	use       func(container.State, container.Body) (container.State, *refusal.Refusal)

	lock func(closed, blocked bool) container.Lock

	// What the book does around them.
	lost     func(container.Placement) license.Event                          // what a restore does to a license
	raised   func(g license.Generation, epoch uint64) license.Generation      // the generation after one that was restored
	killed   func(all []license.Serial, last license.Serial) []license.Serial // where the removal of a lost copy is ordered
	reserves func(license.Serial) license.Serial                              // for whom a license is kept that comes in place of another
	repeated func(container.Wishes) container.Wishes                          // what counts of the wishes of a report that was answered with a step before
	resent   func(all []container.Incoming, n int) []container.Incoming       // steps of an answer; the last n are new
	judged   func(*exchange)                                                  // after a report was compared with the record
	issued   func(*exchange)                                                  // after a step was issued
	stays    func(lent bool) bool                                             // whether a license may be returned while seats of it are out
	written  func(op container.Op, seats, before int64) int64                 // the seats in a body; of what stays when some go, before is how many there were
	merge    func(*exchange)                                                  // after steps were confirmed
	base     func(used int64) int64                                           // what a license that is put says of units used before
	kept     func(used int64) int64                                           // what a restore leaves of it
	told     func([]container.Counted) []container.Counted                    // what an answer tells of counters
	back     func(asked, units, used int64) int64                             // units that come back, of those asked back
	given    func(l unit, base int64) int64                                   // units that a container got by a license of which base were used then
	rest     func(units, n int64) int64                                       // what a license has when n units were split off
	holds    func(may bool) bool                                              // whether a license is held back which somebody may have got in the gap
	taken    func(knows bool) bool                                            // whether steps are taken in, by whether who brings them knows the epoch
	fenced   func(knows bool) bool                                            // whether a container gets something new, by whether it knows the epoch
	shows    func(container.Known, license.Serial, []container.Op, []container.Op) (container.Showing, license.Generation)
}

// production is the product's rule set.
func production() rules {
	return rules{
		plan:      container.Plan,
		waits:     waits,
		take:      take,
		stays:     func(bool) bool { return false },
		reconcile: container.Log.Reconcile,
		confirm:   container.Confirm,
		reopened:  container.Reopened,
		next:      license.Next,
		count:     container.Count,
		use:       use,
		base:      func(used int64) int64 { return used },
		kept:      func(used int64) int64 { return used },
		told:      func(list []container.Counted) []container.Counted { return list },
		back:      container.UnitsBack,
		given:     func(l unit, base int64) int64 { return l.units - base },
		rest:      func(units, n int64) int64 { return units - n },
		lock:      container.NextLock,
		lost:      lost,
		raised:    raised,
		shows:     container.Show,
		holds:     func(may bool) bool { return may },
		taken:     func(knows bool) bool { return knows },
		fenced:    func(knows bool) bool { return knows },
		killed:    func(all []license.Serial, _ license.Serial) []license.Serial { return all },
		reserves:  func(s license.Serial) license.Serial { return s },
		repeated:  func(container.Wishes) container.Wishes { return container.Wishes{Pending: true} },
		resent:    func(all []container.Incoming, _ int) []container.Incoming { return all },
		judged:    func(*exchange) {},
		issued:    func(*exchange) {},
		written:   func(_ container.Op, seats, _ int64) int64 { return seats },
		merge:     merge,
	}
}

func raised(g license.Generation, epoch uint64) license.Generation {
	if epoch <= 1 {
		return g + 1
	}
	return g.After(epoch)
}

// lost is the event that a restore is for a license.
func lost(p container.Placement) license.Event {
	if p.Withdrawn {
		return license.Lost
	}
	return license.Restored
}

func waits(b box, u update) *refusal.Refusal {
	return container.WaitsForSeats(u.steps, b.Number, b.lent, func(license.ID) bool { return false }, func([]byte) int64 { return 0 }, 1)
}

func use(s container.State, b container.Body) (container.State, *refusal.Refusal) {
	n, _, no := s.Use(b, 1)
	return n, no
}

func take(s container.State, u update, draw func() container.Nonce) (container.State, *refusal.Refusal) {
	n, _, no := s.Import(u.Update, u.steps, draw, 1)
	return n, no
}

// mutant is the product without one rule.
type mutant struct {
	rule   string // as docs/protocol.md numbers it
	text   string
	breaks string // the invariant that must catch it
	in     scope
	mutate func(*rules)
}

var mutants = []mutant{
	{"R2", "the wishes of a repeated request are decided again", "Inv16", repeats, func(r *rules) {
		r.repeated = func(w container.Wishes) container.Wishes { return w }
	}},
	{"R8", "a license is returned while seats of it are out", "Inv31", lending, func(r *rules) {
		r.stays = func(lent bool) bool { return lent }
		r.waits = func(box, update) *refusal.Refusal { return nil }
	}},
	{"R8", "a seat is lent after its license was asked back, and the license goes", "Inv31", lending, func(r *rules) {
		r.waits = func(box, update) *refusal.Refusal { return nil }
	}},
	{"R8", "seats split off a license are free when their removal is issued", "Inv5", splitBack, func(r *rules) {
		r.issued = func(x *exchange) {
			for i := range x.b.licenses {
				if l := &x.b.licenses[i]; l.State == license.Returning && l.Holder == x.serial() && !x.record().puts(i) {
					l.State, l.Holder = license.Returned, ""
				}
			}
		}
	}},
	{"R30", "what stays after some seats were returned says that it has all", "Inv5", splitBack, func(r *rules) {
		r.written = func(_ container.Op, seats, before int64) int64 { return max(seats, before) }
	}},
	{"R30", "what the container has does not count: asked again, it gets more", "Inv16", split, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			for id, c := range s.Licenses {
				if c.Holder == s.Serial && c.State != license.Returning && len(s.Activate) > 0 {
					delete(s.Licenses, id)
				}
			}
			return container.Plan(s)
		}
	}},
	{"R30", "a part that is merged is free as well", "Inv3", split, func(r *rules) {
		r.merge = func(x *exchange) {
			before := x.b.clone()
			merge(x)
			for i, l := range before.licenses {
				if x.b.licenses[i].merged != l.merged {
					x.b.licenses[i] = l
				}
			}
		}
	}},
	{"R4", "a container takes any step, whatever its number and plan", "Inv5", honest, func(r *rules) {
		r.take = func(s container.State, u update, draw func() container.Nonce) (container.State, *refusal.Refusal) {
			if len(u.steps) > 0 {
				first := u.steps[0].Step
				s.Number, s.Plan, s.Acked, s.Nonces = first.Number-1, first.Previous, first.Number-1, nil
			}
			return take(s, u, draw)
		}
	}},
	{"R8", "a license is free when its removal is issued", "Inv5", honest, func(r *rules) {
		r.issued = func(x *exchange) { x.free(license.Returning) }
	}},
	{"R9", "a license without a receipt is given out again", "Inv4", honest, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			for id, c := range s.Licenses {
				if c.State == license.Collecting && c.Holder != s.Serial {
					c.State, c.Holder = license.NotCollected, ""
					s.Licenses[id] = c
				}
			}
			return container.Plan(s)
		}
		r.next = func(s license.State, e license.Event) (license.State, *refusal.Refusal) {
			if s == license.Collecting && e == license.PutIssued {
				return license.Collecting, nil
			}
			return license.Next(s, e)
		}
	}},
	{"R9", "a request from before the update cancels it", "Inv5", honest, func(r *rules) {
		r.judged = func(x *exchange) {
			if x.found.Standing == container.InStep && x.report.Number < x.record().issued() {
				x.free(license.Collecting)
			}
		}
	}},
	{"R9", "only new steps are sent, not the outstanding ones", "Inv17", honest, func(r *rules) {
		r.resent = func(all []container.Incoming, n int) []container.Incoming { return all[len(all)-n:] }
	}},
	{"R10", "the vendor's order waits until nobody wishes for anything", "Inv15", together, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			if len(s.Activate)+len(s.Return)+len(s.Tickets) > 0 {
				s.Earmarks = nil
			}
			return container.Plan(s)
		}
	}},
	{"R10", "the user's part of a step goes first", "Inv14", together, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			ops, outcomes := container.Plan(s)
			for i, j := 0, len(ops)-1; i < j; i, j = i+1, j-1 {
				ops[i], ops[j] = ops[j], ops[i]
			}
			return ops, outcomes
		}
	}},
	{"R11", "a stale report is taken for the truth", "Inv5", honest, func(r *rules) {
		r.reconcile = func(l container.Log, rep container.Report) container.Finding {
			f := l.Reconcile(rep)
			if f.Standing == container.Behind {
				f.Standing = container.InStep
			}
			return f
		}
		r.judged = func(x *exchange) {
			if x.report.Number < x.record().issued() {
				x.free(license.Collected)
			}
		}
	}},
	{"R11", "a stale report turns the acknowledged number back", "Inv19", honest, func(r *rules) {
		r.reconcile = func(l container.Log, rep container.Report) container.Finding {
			f := l.Reconcile(rep)
			if f.Standing == container.Behind {
				f.Standing = container.InStep
			}
			return f
		}
	}},
	{"R12", "an old report convicts, challenged or not", "Inv20", honest, func(r *rules) {
		r.reconcile = func(l container.Log, rep container.Report) container.Finding {
			f := l.Reconcile(rep)
			if f.Standing == container.Behind {
				f = container.Finding{Standing: container.TwoLives, Reason: "old"}
			}
			return f
		}
	}},
	{"R12", "nothing convicts", "R12", cheating, func(r *rules) {
		r.reconcile = func(l container.Log, rep container.Report) container.Finding {
			f := l.Reconcile(rep)
			if f.Convicts() {
				f = container.Finding{Standing: container.Behind}
			}
			return f
		}
	}},
	{"R13", "a flagged container is served as any other", "R13", cheating, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			s.Flagged = ""
			return container.Plan(s)
		}
	}},
	{"R13", "a license that lay with the vendor stays there when its container is accepted", "Inv5", accepted, func(r *rules) {
		r.reopened = func(p container.Placement, s license.Serial, op container.Op) (license.State, bool) {
			if p.State.Available() {
				return p.State, false
			}
			return container.Reopened(p, s, op)
		}
	}},
	{"R15", "a receipt counts although a later step concerns the license", "Inv5", long, func(r *rules) {
		r.confirm = func(p container.Placement, s license.Serial, n uint64, op container.Op) (license.Event, bool) {
			p.Step = n
			return container.Confirm(p, s, n, op)
		}
	}},
	{"R10", "a lost copy is removed when nobody wishes for anything", "Inv15", lostOnce, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			if len(s.Activate)+len(s.Return)+len(s.Tickets) > 0 {
				s.Earmarks = slices.DeleteFunc(slices.Clone(s.Earmarks), func(e container.Earmark) bool { return e.Old != 0 })
			}
			return container.Plan(s)
		}
	}},
	{"R10", "what replaces a license is free from the order on", "Inv3", replaced, func(r *rules) {
		r.reserves = func(license.Serial) license.Serial { return "" }
	}},
	{"R14", "a lost copy is removed in the last holder alone", "Inv6", lostAndBack, func(r *rules) {
		r.killed = func(_ []license.Serial, last license.Serial) []license.Serial { return []license.Serial{last} }
	}},
	{"R14", "a restore does not raise the generation", "Inv5", lostOnce, func(r *rules) {
		r.raised = func(g license.Generation, _ uint64) license.Generation { return g }
	}},
	{"R14", "no removal of the lost copy is ordered", "Inv6", lostOnce, func(r *rules) {
		r.killed = func([]license.Serial, license.Serial) []license.Serial { return nil }
	}},
	{"R14", "the generation that counts is removed instead of the lost one", "R14", lostOnce, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			ops, outcomes := container.Plan(s)
			for i := range ops {
				if ops[i].Kind == container.Drop {
					ops[i].Generation = s.Licenses[ops[i].License].Generation
				}
			}
			return ops, outcomes
		}
	}},
	{"R14", "a blocked container is served as any other", "R14", blocked, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			s.Blocked = ""
			return container.Plan(s)
		}
	}},
	{"R14", "a container that was opened again stays closed", "Inv17", blocked, func(r *rules) {
		r.lock = func(closed, blocked bool) container.Lock {
			if closed {
				return container.Unchanged
			}
			return container.NextLock(closed, blocked)
		}
	}},
	{"R15", "the receipt of a lost copy frees the license", "Inv5", lostOnce, func(r *rules) {
		r.confirm = func(p container.Placement, s license.Serial, n uint64, op container.Op) (license.Event, bool) {
			if op.Kind == container.Drop && op.Generation < p.Generation && p.State.Held() {
				return license.DropConfirmed, true
			}
			return container.Confirm(p, s, n, op)
		}
		r.next = func(s license.State, e license.Event) (license.State, *refusal.Refusal) {
			if s.Held() && e == license.DropConfirmed {
				return license.Returned, nil
			}
			return license.Next(s, e)
		}
	}},
	{"R17", "a withdrawn license that is lost is free again", "Inv9", lostOnce, func(r *rules) {
		r.lost = func(container.Placement) license.Event { return license.Restored }
	}},
	{"R17", "a license whose withdrawal is ordered cannot be declared lost", "Inv17", wiped, func(r *rules) {
		r.next = func(s license.State, e license.Event) (license.State, *refusal.Refusal) {
			if e == license.Lost {
				return s, refusal.New(refusal.Conflict, "no")
			}
			return license.Next(s, e)
		}
	}}, {"R30", "what a report tells of units is not taken in", "Inv41", counting, func(r *rules) {
		r.count = func(_ container.Placement, _ license.Serial, _ container.Counted, known, _ int64) int64 { return known }
	}},
	{"R30", "it is taken in after the license was freed, so that no holder matches", "Inv41", counting, func(r *rules) {
		r.count = func(p container.Placement, s license.Serial, told container.Counted, known, units int64) int64 {
			if p.State == license.Returning {
				return known
			}
			return container.Count(p, s, told, known, units)
		}
	}},
	{"R30", "the last report counts, be it an older one", "Inv42", counting, func(r *rules) {
		r.count = func(p container.Placement, s license.Serial, told container.Counted, known, _ int64) int64 {
			if p.Holder == s && p.Generation == told.Generation {
				return told.Used
			}
			return known
		}
	}},
	{"R30", "whoever had the license once may count", "Inv18", countingLost, func(r *rules) {
		r.count = func(_ container.Placement, _ license.Serial, told container.Counted, known, _ int64) int64 {
			return max(known, told.Used)
		}
	}},
	{"R30", "a license goes out as if nothing were used", "Inv41", counting, func(r *rules) {
		r.base = func(int64) int64 { return 0 }
	}},
	{"R30", "a restore begins the counter anew", "Inv41", countingLost, func(r *rules) {
		r.kept = func(int64) int64 { return 0 }
	}},
	{"R30", "a container forgets its counter with the license", "Inv41", counting, func(r *rules) {
		r.take = func(s container.State, u update, draw func() container.Nonce) (container.State, *refusal.Refusal) {
			n, no := take(s, u, draw)
			n.Counters = maps.Clone(n.Counters)
			maps.DeleteFunc(n.Counters, func(_ license.ID, c container.Counter) bool { return c.Dropped != 0 })
			return n, no
		}
	}},
	{"R30", "a container forgets its counter when the vendor knows of the removal", "Inv42", adding, func(r *rules) {
		r.take = func(s container.State, u update, draw func() container.Nonce) (container.State, *refusal.Refusal) {
			n, no := take(s, u, draw)
			n.Counters = maps.Clone(n.Counters)
			maps.DeleteFunc(n.Counters, func(_ license.ID, c container.Counter) bool { return c.Dropped != 0 && c.Dropped <= n.Acked })
			return n, no
		}
	}},
	{"R30", "a container uses what is not left", "Inv41", counting, func(r *rules) {
		r.use = func(s container.State, b container.Body) (container.State, *refusal.Refusal) {
			b.Terms.Units = 100
			return use(s, b)
		}
	}},
	{"R30", "a container that was put back is not told what it forgot", "Inv42", countingBack, func(r *rules) {
		r.told = func([]container.Counted) []container.Counted { return nil }
	}},
	{"R30", "units that are asked back are free when the step is issued", "Inv41", sharingBack, func(r *rules) {
		r.issued = func(x *exchange) {
			n := x.record().issued()
			for _, op := range x.record().steps[n-1].in.Step.Ops {
				x.takeBack(n, op)
			}
		}
	}},
	{"R30", "units that are asked back come back, used or not", "Inv41", sharingBack, func(r *rules) {
		r.back = func(asked, _, _ int64) int64 { return asked }
	}},
	{"R29", "what is split off stays with the license as well", "Inv3", sharing, func(r *rules) {
		r.rest = func(units, _ int64) int64 { return units }
	}},
	{"R29", "what was used of a part is forgotten when it is merged", "Inv41", sharing, func(r *rules) {
		r.merge = func(x *exchange) {
			for i := range x.b.licenses {
				if l := &x.b.licenses[i]; l.origin != "" && l.State.Available() && !x.b.ordered(i) {
					l.used = 0
				}
			}
			merge(x)
		}
	}},
	{"R29", "of units only what is left counts: asked again, a container gets more", "Inv16", sharing, func(r *rules) {
		r.given = func(l unit, _ int64) int64 { return l.units - l.used }
	}},
	{"R18", "what was with the vendor at the back-up is given out again", "Inv4", cameBack, func(r *rules) {
		r.holds = func(bool) bool { return false }
	}},
	{"R18", "a release, or a restore, after the return does not jump over the generations of the gap", "Inv4", cameBackLost, func(r *rules) {
		r.raised = func(g license.Generation, _ uint64) license.Generation { return g + 1 }
	}},
	{"R18", "a return that a container brings is not taken in", "Inv4", cameBack, func(r *rules) {
		r.shows = func(k container.Known, s license.Serial, before, gap []container.Op) (container.Showing, license.Generation) {
			shows, g := container.Show(k, s, before, gap)
			if shows == container.Back {
				return container.Nothing, 0
			}
			return shows, g
		}
	}},
	{"R19", "steps are taken in of a container that does not know the epoch", "Inv", cameBack, func(r *rules) {
		r.taken = func(bool) bool { return true }
	}},
	{"R19", "a container that does not know the epoch gets something new", "Inv20", cameBack, func(r *rules) {
		r.fenced = func(bool) bool { return true }
	}},
	{"R30", "units that were added never reach the container", "Inv17", adding, func(r *rules) {
		r.plan = func(s container.Situation) ([]container.Op, []container.Outcome) {
			s.Earmarks = slices.DeleteFunc(slices.Clone(s.Earmarks), func(e container.Earmark) bool { return e.Again })
			return container.Plan(s)
		}
	}},
}
