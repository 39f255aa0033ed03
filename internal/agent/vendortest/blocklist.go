package vendortest

import (
	"slices"

	"licet/blocklist"
	"licet/container"
	"licet/seal"
)

// Block puts entries on the vendor's block list; Lift takes them off again. Each
// makes the next list.
func (v *Vendor) Block(entries ...blocklist.Entry) { v.turn(entries, nil) }

// Lift takes entries off the block list.
func (v *Vendor) Lift(entries ...blocklist.Entry) { v.turn(nil, entries) }

func (v *Vendor) turn(added, removed []blocklist.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := v.latest()
	next := slices.DeleteFunc(slices.Concat(last.Entries(), added), func(e blocklist.Entry) bool { return slices.Contains(removed, e) })
	v.lists = append(v.lists, must(blocklist.New(last.Number()+1, next))(v.t))
}

// Rewrite gives the vendor another history of block lists, as a server has that
// came back from an old back-up: as many lists, with one more entry each.
func (v *Vendor) Rewrite(extra blocklist.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, l := range v.lists {
		v.lists[i] = must(blocklist.New(l.Number(), append(slices.Clone(l.Entries()), extra)))(v.t)
	}
}

func (v *Vendor) latest() blocklist.List {
	if len(v.lists) == 0 {
		return blocklist.List{}
	}
	return v.lists[len(v.lists)-1]
}

// News are signed news of the block list from a number to the latest.
func (v *Vendor) News(from uint64) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.news(from, v.scope)
}

// NewsOf are the same in another environment of the vendor, signed with the same
// key.
func (v *Vendor) NewsOf(environment string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.news(0, seal.Scope{Vendor: v.scope.Vendor, Environment: environment})
}

func (v *Vendor) news(from uint64, s seal.Scope) []byte {
	list := v.latest()
	news := list.Whole(v.Now())
	if from > 0 {
		old := v.lists[from-1]
		added := slices.DeleteFunc(slices.Clone(list.Entries()), old.Has)
		removed := slices.DeleteFunc(slices.Clone(old.Entries()), list.Has)
		news = list.Increment(from, added, removed, v.Now())
	}
	return must(seal.SignBlockNews(s, v.issuing, news, v.keys...))(v.t)
}

// BlockListFile is what a person imports: the whole list.
func (v *Vendor) BlockListFile() []byte { return must(seal.ArmorBlockNews(v.News(0)))(v.t) }

// tell adds the news that a machine with the list of this number lacks.
func (v *Vendor) tell(u *container.Update, known uint64) {
	u.List = v.latest().Number()
	if known < u.List && !v.Withhold {
		u.News = v.news(known, v.scope)
	}
}
