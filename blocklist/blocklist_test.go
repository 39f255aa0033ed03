package blocklist_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/blocklist"
	"licet/license"
	"licet/refusal"
)

type entries = []blocklist.Entry

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// draw is n entries that follow from the seed, as hashes are.
func draw(n int, seed uint64) entries {
	r := rand.New(rand.NewPCG(seed, 0))
	list := make(entries, n)
	for i := range list {
		list[i] = blocklist.Entry(r.Uint64())
	}
	return list
}

// since is what brings a list from an older one to a newer one.
func since(old, list blocklist.List) blocklist.News {
	var added, removed entries
	for _, e := range list.Entries() {
		if !old.Has(e) {
			added = append(added, e)
		}
	}
	for _, e := range old.Entries() {
		if !list.Has(e) {
			removed = append(removed, e)
		}
	}
	return list.Increment(old.Number(), added, removed, 1)
}

func TestEntriesAreExact(t *testing.T) {
	list := must(blocklist.New(1, entries{blocklist.License("lic_a", 2), blocklist.Container("SERIAL")}))
	for _, c := range []struct {
		id         license.ID
		generation license.Generation
		want       bool
	}{{"lic_a", 2, true}, {"lic_a", 1, false}, {"lic_a", 3, false}, {"lic_a", 22, false}, {"lic_b", 2, false}, {"SERIAL", 0, false}} {
		if got := list.BlocksLicense(c.id, c.generation); got != c.want {
			t.Errorf("%s, generation %d: blocked %t", c.id, c.generation, got)
		}
	}
	if !list.BlocksContainer("SERIAL") || list.BlocksContainer("OTHER") || list.BlocksContainer("lic_a") {
		t.Error("containers are told wrongly")
	}
	var none blocklist.List
	if none.BlocksContainer("SERIAL") || none.BlocksLicense("lic_a", 2) || none.Number() != 0 || none.Len() != 0 {
		t.Error("a list of nothing blocks")
	}
}

// TestEntriesStay: what was signed must mean the same for ever.
func TestEntriesStay(t *testing.T) {
	if e := blocklist.License("lic_a", 2); e != 0xe5f3bffa5a8cdb21 {
		t.Errorf("a license is %#x", uint64(e))
	}
	if e := blocklist.Container("SERIAL"); e != 0x331ceecd1349259c {
		t.Errorf("a container is %#x", uint64(e))
	}
}

func TestApply(t *testing.T) {
	a, b, c, d := blocklist.License("lic_a", 1), blocklist.License("lic_b", 1), blocklist.Container("C"), blocklist.Container("D")
	old := must(blocklist.New(5, entries{a, b}))
	next := must(blocklist.New(7, entries{b, c, d}))
	grown := must(blocklist.New(6, entries{a, b, c}))
	good := since(old, next)
	change := func(n blocklist.News, f func(*blocklist.News)) blocklist.News { f(&n); return n }
	for name, test := range map[string]struct {
		list blocklist.List
		news blocklist.News
		code refusal.Code // Done: the list becomes want
		want blocklist.List
	}{
		"an increment":                       {old, good, refusal.Done, next},
		"the whole list":                     {old, next.Whole(1), refusal.Done, next},
		"the whole list to nobody":           {blocklist.List{}, next.Whole(1), refusal.Done, next},
		"nothing changed but the number":     {old, must(blocklist.New(9, entries{a, b})).Increment(5, nil, nil, 1), refusal.Done, must(blocklist.New(9, entries{a, b}))},
		"the whole list, empty":              {old, must(blocklist.New(8, nil)).Whole(1), refusal.Done, must(blocklist.New(8, nil))},
		"everything is lifted":               {old, must(blocklist.New(8, nil)).Increment(5, nil, entries{a, b}, 1), refusal.Done, must(blocklist.New(8, nil))},
		"the same number again":              {next, good, refusal.AlreadyApplied, next},
		"the same whole list again":          {next, next.Whole(1), refusal.AlreadyApplied, next},
		"a lower number":                     {next, grown.Whole(1), refusal.AlreadyApplied, next},
		"an older increment":                 {next, since(old, grown), refusal.AlreadyApplied, next},
		"a later increment":                  {old, change(good, func(n *blocklist.News) { n.From, n.To = 6, 8 }), refusal.BlockListGap, old},
		"an earlier increment that leads on": {old, change(good, func(n *blocklist.News) { n.From = 4 }), refusal.BlockListGap, old},
		"an increment to nobody":             {blocklist.List{}, good, refusal.BlockListGap, blocklist.List{}},
		"it leads back":                      {old, change(good, func(n *blocklist.News) { n.From, n.To = 9, 8 }), refusal.DamagedFile, old},
		"it leads nowhere":                   {old, change(good, func(n *blocklist.News) { n.From, n.To = 8, 8 }), refusal.DamagedFile, old},
		"the whole list takes off":           {old, change(next.Whole(1), func(n *blocklist.News) { n.Removed = blocklist.Encode(entries{a}) }), refusal.DamagedFile, old},
		"added what is there":                {old, next.Increment(5, entries{b, c, d}, entries{a}, 1), refusal.BlockListGap, old},
		"removed what is not there":          {old, next.Increment(5, entries{c, d}, entries{a, c}, 1), refusal.BlockListGap, old},
		"added and removed":                  {old, next.Increment(5, entries{c, d, 1}, entries{a, 1}, 1), refusal.BlockListGap, old},
		"another sum":                        {old, change(good, func(n *blocklist.News) { n.Sum[0]++ }), refusal.BlockListGap, old},
		"another count":                      {old, change(good, func(n *blocklist.News) { n.Count++ }), refusal.BlockListGap, old},
		"another sum of the whole list":      {old, change(next.Whole(1), func(n *blocklist.News) { n.Sum[0]++ }), refusal.DamagedFile, old},
		"the same number of another history": {must(blocklist.New(5, entries{a, d})), good, refusal.BlockListGap, old},
		"more entries than a list may have":  {old, change(good, func(n *blocklist.News) { n.Count = blocklist.MaxEntries + 1 }), refusal.DamagedFile, old},
		"added are damaged":                  {old, change(good, func(n *blocklist.News) { n.Added = n.Added[:len(n.Added)-1] }), refusal.DamagedFile, old},
		"removed are damaged":                {old, change(good, func(n *blocklist.News) { n.Removed = append(bytes.Clone(n.Removed), 0) }), refusal.DamagedFile, old},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(test.list.Entries())
			got, err := test.list.Apply(test.news)
			if !slices.Equal(before, test.list.Entries()) {
				t.Error("the old list was changed")
			}
			if test.code != refusal.Done {
				if !refusal.Is(err, test.code) || got.Number() != 0 || got.Len() != 0 {
					t.Fatalf("got list %d of %d, %v; want %s", got.Number(), got.Len(), err, test.code)
				}
				return
			}
			if err != nil || got.Number() != test.want.Number() || !slices.Equal(got.Entries(), test.want.Entries()) {
				t.Fatalf("got list %d of %d, %v", got.Number(), got.Len(), err)
			}
		})
	}
}

// TestAnyHistory: whatever is added and lifted, and whichever news are lost,
// repeated or late, a machine has the vendor's list of its number.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.Uint64Range(0, 40) // so that entries come again and lie side by side
		lists := []blocklist.List{{}}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			last := lists[len(lists)-1]
			next := slices.Clone(last.Entries())
			for _, e := range rapid.SliceOfN(few, 0, 6).Draw(t, "turned") {
				e := blocklist.Entry(e - 20) // around 0 and the highest
				if i := slices.Index(next, e); i >= 0 {
					next = slices.Delete(next, i, i+1)
				} else {
					next = append(next, e)
				}
			}
			lists = append(lists, must(blocklist.New(last.Number()+rapid.Uint64Range(1, 3).Draw(t, "step"), next)))
		}
		at := 0
		for range 12 {
			from := rapid.IntRange(0, len(lists)-2).Draw(t, "from")
			to := rapid.IntRange(from+1, len(lists)-1).Draw(t, "to")
			got, err := lists[at].Apply(since(lists[from], lists[to]))
			switch {
			case to <= at:
				if !refusal.Is(err, refusal.AlreadyApplied) {
					t.Fatalf("%d → %d at %d: %v", from, to, at, err)
				}
			case from != 0 && from != at:
				if !refusal.Is(err, refusal.BlockListGap) {
					t.Fatalf("%d → %d at %d: %v", from, to, at, err)
				}
			case err != nil:
				t.Fatalf("%d → %d at %d: %v", from, to, at, err)
			default:
				at = to
				if got.Number() != lists[at].Number() || !slices.Equal(got.Entries(), lists[at].Entries()) || got.Sum() != lists[at].Sum() {
					t.Fatal("another list")
				}
			}
		}
	})
}

func TestAnySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOf(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 5), rapid.Uint64Range(1<<64-5, 1<<64-1))).Draw(t, "set")
		list := make(entries, len(set))
		for i, e := range set {
			list[i] = blocklist.Entry(e)
		}
		coded := blocklist.Encode(list)
		got, err := blocklist.Decode(coded)
		slices.Sort(list)
		if list = slices.Compact(list); err != nil || !slices.Equal(got, list) {
			t.Fatalf("%x becomes %x, %v", list, got, err)
		}
		oneSpelling(t, append(coded, rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "tail")...))
		if len(coded) > 0 {
			i := rapid.IntRange(0, len(coded)-1).Draw(t, "at")
			coded[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			oneSpelling(t, coded)
			oneSpelling(t, coded[:i])
		}
	})
}

type failer interface{ Fatalf(string, ...any) }

// oneSpelling holds Decode to its promise: what it takes rises strictly and is
// coded in no other way, and what it refuses is refused with a refusal.
func oneSpelling(t failer, coded []byte) {
	got, err := blocklist.Decode(coded)
	if err != nil {
		if !refusal.Is(err, refusal.DamagedFile) || got != nil {
			t.Fatalf("%x: %v, %v", coded, got, err)
		}
		return
	}
	for i := 1; i < len(got); i++ {
		if got[i-1] >= got[i] {
			t.Fatalf("%x: %x before %x", coded, got[i-1], got[i])
		}
	}
	if again := blocklist.Encode(got); !bytes.Equal(again, coded) {
		t.Fatalf("taken: %x\nspelled: %x", coded, again)
	}
}

// TestCodings spells sets bit by bit.
func TestCodings(t *testing.T) {
	ones, zeros := strings.Repeat("1", 62), strings.Repeat("0", 62)
	for name, c := range map[string]struct {
		head []byte
		bits string
		want entries // nil: it is no set
	}{
		"one":                      {[]byte{1}, "0" + "0" + ones, entries{1<<62 - 1}},
		"one, the highest":         {[]byte{1}, "10" + "1" + ones, entries{1<<64 - 1}},
		"two, side by side":        {[]byte{2}, "0" + zeros + "0" + zeros, entries{0, 1}},
		"two, the lowest and last": {[]byte{2}, "0" + zeros + "1110" + ones[1:] + "0", entries{0, 1<<64 - 1}},
		"above the highest":        {[]byte{2}, "1110" + ones + "0" + zeros, nil},
		"beyond the highest":       {[]byte{2}, "0" + zeros + "1110" + ones, nil},
		"a quotient too many":      {[]byte{2}, "0" + zeros + "11110" + zeros, nil},
		"none, but a number":       {[]byte{0}, "", nil},
		"less than said":           {[]byte{2}, "0" + zeros, nil},
		"more than said":           {[]byte{1}, "0" + "0" + ones + "00000000", nil},
		"padding":                  {[]byte{2}, "0" + zeros + "0" + zeros + "1", nil},
		"a long number":            {[]byte{0x82, 0}, "0" + zeros + "0" + zeros, nil},
		"a number without end":     {[]byte{0x82}, "", nil},
		"a number over the limit":  {[]byte{0x81, 0x80, 0x40}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			coded := bytes.Clone(c.head)
			for i, bit := range c.bits {
				if i%8 == 0 {
					coded = append(coded, 0)
				}
				coded[len(coded)-1] |= byte(bit-'0') << (7 - i%8)
			}
			got, err := blocklist.Decode(coded)
			if (err == nil) != (c.want != nil) || !slices.Equal(got, c.want) {
				t.Fatalf("%x: %x, %v", coded, got, err)
			}
			oneSpelling(t, coded)
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 2, 3, 100} {
		f.Add(blocklist.Encode(draw(n, 1)))
	}
	f.Add(blocklist.Encode(entries{0, 1, 1<<64 - 1}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x80, 0x80, 0x40})
	f.Fuzz(func(t *testing.T, coded []byte) { oneSpelling(t, coded) })
}

func TestLimits(t *testing.T) {
	most := make(entries, blocklist.MaxEntries+1)
	for i := range most {
		most[i] = blocklist.Entry(i)
	}
	if _, err := blocklist.New(1, most); !refusal.Is(err, refusal.TooLarge) {
		t.Errorf("a list of too many: %v", err)
	}
	if _, err := blocklist.New(0, most[:1]); err == nil {
		t.Error("a list without a number")
	}
	if _, err := blocklist.Decode(blocklist.Encode(most)); !refusal.Is(err, refusal.DamagedFile) {
		t.Errorf("a coded set of too many: %v", err)
	}
	old := must(blocklist.New(1, most[:blocklist.MaxEntries]))
	n := old.Increment(1, most[blocklist.MaxEntries:], nil, 1)
	n.To, n.Count = 2, blocklist.MaxEntries+1
	if _, err := old.Apply(n); err == nil {
		t.Error("a list grew over its limit")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := blocklist.Decode([]byte{0xff, 0xff, 0x3f, 1, 2, 3}); err == nil {
		t.Error("a set that is not there")
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%d bytes for a set that is not there", after.TotalAlloc-before.TotalAlloc)
	}
}

// TestMillion holds a list of a million to its size.
func TestMillion(t *testing.T) {
	coded := blocklist.Encode(draw(1_000_000, 7))
	if len(coded) > 6_000_000 {
		t.Errorf("%d bytes", len(coded))
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	list := must(blocklist.New(1, draw(1000, 1)))
	if n := testing.AllocsPerRun(100, func() { list.BlocksLicense("lic_01krx3m2k5g0001q7w8e9r0t1y2", 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	list := draw(1_000_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		b.ReportMetric(float64(len(blocklist.Encode(list))), "bytes")
	}
}

// BenchmarkApply is the whole list of a million, and 1,000 more and 10 less.
func BenchmarkApply(b *testing.B) {
	million, more := draw(1_000_000, 1), draw(1000, 2)
	old := must(blocklist.New(1, million))
	next := must(blocklist.New(2, slices.Concat(million[10:], more)))
	for name, n := range map[string]blocklist.News{"whole": next.Whole(1), "increment": next.Increment(1, more, million[:10], 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := must(old.Apply(n)); got.Number() != 2 {
					b.Fatal(got.Number())
				}
			}
			b.ReportMetric(float64(len(n.Added)+len(n.Removed)), "bytes")
		})
	}
}

func BenchmarkBlocksLicense(b *testing.B) {
	for _, n := range []int{0, 1000, 1_000_000} {
		list := must(blocklist.New(1, draw(n, 1)))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if list.BlocksLicense("lic_01krx3m2k5g0001q7w8e9r0t1y2", 1) {
					b.Fatal("blocked")
				}
			}
		})
	}
}
