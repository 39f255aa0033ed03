package agent_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"licet/blocklist"
	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/durable"
	"licet/license"
	"licet/refusal"
	"licet/seal"
)

func (c *computer) update() {
	c.t.Helper()
	results, err := c.Update(c.t.Context(), agent.UpdateRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range results {
		if r.Error != nil {
			c.t.Fatal(r.Error)
		}
	}
}

// imports takes a file in and gives what became of it.
func (c *computer) imports(file []byte) refusal.Code {
	c.t.Helper()
	r, err := c.Import(c.t.Context(), agent.ImportRequest{Data: file})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(r.Outcomes) != 1 || r.Outcomes[0].Message == "" || r.Container != "" {
		c.t.Fatalf("%+v", r)
	}
	return r.Outcomes[0].Code
}

// known is the number of the block list that a machine has.
func (c *computer) known() uint64 {
	c.t.Helper()
	list, err := c.TrustList(c.t.Context())
	if err != nil || len(list) != 1 {
		c.t.Fatal(list, err)
	}
	return list[0].BlockList
}

func armored(t *testing.T, news []byte) []byte {
	t.Helper()
	file, err := seal.ArmorBlockNews(news)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func licensed(t *testing.T) (*vendortest.Vendor, *computer, license.ID) {
	clk := newClock()
	v := newVendor(t, clk)
	c := newComputer(t, clk, v)
	ticket := v.Sell(cad())
	c.activate(ticket)
	c.check(refusal.Valid)
	return v, c, v.Licenses(ticket)[0]
}

// TestBlocked: what is blocked may not be used, from the next contact or the
// file on, until it is lifted; nothing else is touched.
func TestBlocked(t *testing.T) {
	for name, hear := range map[string]func(*vendortest.Vendor, *computer){
		"by update": func(_ *vendortest.Vendor, c *computer) { c.update() },
		"by itself, when too large for the update": func(v *vendortest.Vendor, c *computer) {
			v.Withhold = true
			c.update()
		},
		"by file": func(v *vendortest.Vendor, c *computer) {
			if code := c.imports(v.BlockListFile()); code != refusal.Done {
				c.t.Fatal(code)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, c, id := licensed(t)
			for _, b := range []struct {
				entry  blocklist.Entry
				code   refusal.Code
				status string
				word   string
			}{
				{blocklist.Container(c.serial()), refusal.ContainerBlocked, agent.StatusBlocked, "container " + string(c.serial())},
				{blocklist.License(id, 1), refusal.LicenseWithdrawn, agent.StatusOK, string(id)},
			} {
				v.Block(b.entry, blocklist.License("lic_other", 1), blocklist.Container("OTHER"))
				c.check(refusal.Valid) // not heard yet
				hear(v, c)
				r := c.check(b.code)
				if !strings.Contains(r.Reasons[0].Message, b.word) || r.Hint == "" || len(r.Reasons) != 1 {
					t.Errorf("%+v", r)
				}
				list, err := c.List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				one := list.Containers[0]
				if l := one.Licenses[0]; one.Status != b.status || l.Usable || l.Code != b.code || l.Reason != r.Reasons[0].Message {
					t.Errorf("%+v", one)
				}
				v.Lift(b.entry)
				hear(v, c)
				c.check(refusal.Valid)
			}
			v.Block(blocklist.License(id, 2), blocklist.Container("OTHERS"))
			hear(v, c)
			c.check(refusal.Valid) // another generation
		})
	}
}

// TestLocked: a container that a step closed may not be used, whatever the block
// list says.
func TestLocked(t *testing.T) {
	v, c, _ := licensed(t)
	v.Lock(c.serial(), container.Close)
	c.check(refusal.Valid)
	c.update()
	c.check(refusal.ContainerBlocked)
	list, err := c.List(t.Context())
	if err != nil || list.Containers[0].Status != agent.StatusBlocked || list.Containers[0].Licenses[0].Usable {
		t.Fatalf("%+v, %v", list, err)
	}
	v.Lock(c.serial(), container.Open)
	c.update()
	c.check(refusal.Valid)
}

// TestBlockedIsNotChosen: another license for the product serves.
func TestBlockedIsNotChosen(t *testing.T) {
	v, c, id := licensed(t)
	other := v.Sell(cad())
	c.activate(other)
	v.Block(blocklist.License(id, 1))
	c.update()
	if r := c.check(refusal.Valid); r.License != v.Licenses(other)[0] {
		t.Errorf("%s serves", r.License)
	}
}

// TestNewsRefused: news that are not the vendor's for this machine, or not whole,
// change nothing.
func TestNewsRefused(t *testing.T) {
	v, c, id := licensed(t)
	stranger, foreign := newVendor(t, c.clock), newVendor(t, c.clock)
	if _, err := c.TrustAdd(t.Context(), agent.TrustRequest{File: foreign.Trust}); err != nil {
		t.Fatal(err)
	}
	v.Block(blocklist.License(id, 1))
	v.Block(blocklist.License("lic_x", 1))
	v.Block(blocklist.License("lic_y", 1))
	if code := c.imports(v.BlockListFile()); code != refusal.Done {
		t.Fatal(code)
	}
	older := armored(t, v.News(0))
	stale := armored(t, v.News(1))
	v.Block(blocklist.License("lic_z", 1))
	file := v.BlockListFile()
	for _, o := range []*vendortest.Vendor{stranger, foreign} {
		o.Block(blocklist.License(id, 1))
	}
	no := func(what string, code refusal.Code, file []byte) {
		t.Helper()
		c.unchanged(what, func() {
			_, err := c.Import(t.Context(), agent.ImportRequest{Data: file})
			want(t, err, code)
		})
		c.check(refusal.LicenseWithdrawn)
	}
	no("a vendor whom this machine does not trust", refusal.VendorUntrusted, stranger.BlockListFile())
	no("another environment", refusal.WrongEnvironment, armored(t, v.NewsOf("test")))
	no("news of a later list", refusal.BlockListGap, func() []byte {
		v.Block(blocklist.License("lic_w", 1))
		v.Block(blocklist.License("lic_v", 1))
		return armored(t, v.News(5))
	}())
	no("cut", refusal.DamagedFile, file[:len(file)-1])
	raw, err := seal.DearmorBlockNews(file)
	if err != nil {
		t.Fatal(err)
	}
	c.unchanged("altered", func() {
		for bit := range len(raw) * 8 {
			b := bytes.Clone(raw)
			b[bit/8] ^= 1 << (bit % 8)
			_, err := c.Import(t.Context(), agent.ImportRequest{Data: armored(t, b)})
			if _, ok := refusal.As(err); !ok {
				t.Fatalf("bit %d: %v", bit, err)
			}
		}
	})
	c.unchanged("older", func() {
		for _, file := range [][]byte{older, stale} {
			if code := c.imports(file); code != refusal.AlreadyApplied {
				t.Fatal(code)
			}
		}
	})
	c.check(refusal.LicenseWithdrawn)
}

// TestNewsContinue: increments are enough, and where they do not fit the whole
// list is asked for.
func TestNewsContinue(t *testing.T) {
	v, c, id := licensed(t)
	v.Block(blocklist.License("lic_x", 1))
	c.imports(armored(t, v.News(0)))
	v.Block(blocklist.License(id, 1))
	if code := c.imports(armored(t, v.News(1))); code != refusal.Done {
		t.Fatal(code)
	}
	c.check(refusal.LicenseWithdrawn)
	v.Rewrite(blocklist.License("lic_other", 1))
	v.Lift(blocklist.License(id, 1))
	_, err := c.Import(t.Context(), agent.ImportRequest{Data: armored(t, v.News(2))})
	want(t, err, refusal.BlockListGap)
	c.check(refusal.LicenseWithdrawn)
	if n := c.known(); n != 2 {
		t.Errorf("list %d", n)
	}
	c.update()
	c.check(refusal.Valid)
	if n := c.known(); n != 3 {
		t.Errorf("list %d", n)
	}
}

// TestBlockListDamaged: a file that cannot be read as a list keeps nobody from
// working, and the next contact replaces it.
func TestBlockListDamaged(t *testing.T) {
	v, c, id := licensed(t)
	v.Block(blocklist.License(id, 1))
	c.update()
	path := filepath.Join(c.home, "blocklists", v.ID()+".blocks")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newVendor(t, c.clock)
	other.Block(blocklist.License(id, 1))
	stranger := newComputer(t, c.clock, other)
	stranger.imports(other.BlockListFile())
	foreign, err := os.ReadFile(filepath.Join(stranger.home, "blocklists", other.ID()+".blocks"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"of another vendor": foreign, "empty": {}, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "no head": good[:11],
		"other magic": append([]byte("licetbl2"), good[8:]...), "other mark": append(append([]byte{}, good[:8]...), append([]byte{2}, good[9:]...)...),
		"other entry": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			c.check(refusal.Valid)
			v.Block(blocklist.License("lic_x", license.Generation(v.Now())))
			c.update()
			c.check(refusal.LicenseWithdrawn)
		})
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	c.check(refusal.Valid) // the limit that the threat model names
	c.update()
	c.check(refusal.LicenseWithdrawn)
}

// TestBlockListDiskFull: the list that was kept stays, and so does the license.
func TestBlockListDiskFull(t *testing.T) {
	v, c, id := licensed(t)
	v.Block(blocklist.License(id, 1))
	c.update()
	v.Lift(blocklist.License(id, 1))
	c.disk.Fault = func(op durable.Op, _ string) error {
		if op == durable.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	}
	c.unchanged("disk full", func() {
		_, err := c.Import(t.Context(), agent.ImportRequest{Data: v.BlockListFile()})
		want(t, err, refusal.StorageFull)
	})
	c.check(refusal.LicenseWithdrawn)
	c.disk.Fault = nil
	c.update()
	c.check(refusal.Valid)
}
