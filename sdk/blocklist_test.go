package sdk_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"licet/blocklist"
	"licet/container"
	"licet/internal/agent"
	"licet/internal/agent/vendortest"
	"licet/internal/machine"
	"licet/license"
	"licet/refusal"
	"licet/sdk"
	"licet/sdktest"
	"licet/seal"
)

// blocker is a machine with one license of a vendor who has a block list.
type blocker struct {
	testing.TB
	v      *vendortest.Vendor
	client *agent.Client
	config agent.Config
	id     license.ID
	serial license.Serial
}

func newBlocker(t testing.TB) *blocker {
	t.Helper()
	b := &blocker{TB: t, v: vendortest.New(t, "Example Software", func() license.Time { return license.At(sdktest.Start) })}
	b.config = agent.Config{
		Home: filepath.Join(t.TempDir(), "licet"), Now: func() time.Time { return sdktest.Start },
		Traits: func() []machine.Trait { return []machine.Trait{{Name: machine.MachineID, Value: "one", Weight: 8}} },
	}
	b.client = agent.Connect(b.config)
	_, err := b.client.TrustAdd(t.Context(), agent.TrustRequest{File: b.v.Trust})
	b.must(err)
	ticket := b.v.Sell(container.Body{Product: "FREE", Name: "Free"})
	r, err := b.client.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
	b.must(err)
	b.id, b.serial = b.v.Licenses(ticket)[0], r.Container
	return b
}

func (b *blocker) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *blocker) open(opts ...sdk.Option) *sdk.Session {
	b.Helper()
	opts = append(opts, sdk.WithHome(b.config.Home), sdk.WithClock(b.config.Now), sdk.WithTraits(b.config.Traits), sdk.WithRefresh(-1))
	s, err := sdk.Open(b.Context(), sdk.Product{Trust: b.v.Trust, Code: "FREE"}, opts...)
	b.must(err)
	b.Cleanup(func() { _ = s.Close() }) // never fails
	return s
}

// hear gives the machine the vendor's list as a file.
func (b *blocker) hear() {
	b.Helper()
	_, err := b.client.Import(b.Context(), agent.ImportRequest{Data: b.v.BlockListFile()})
	b.must(err)
}

// serve runs the machine's agent until the test ends.
func (b *blocker) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- agent.Open(b.config).Serve(ctx, agent.Serving{Refresh: -1, Ready: func(socket string) { ready <- socket }})
	}()
	<-ready
	b.Cleanup(func() {
		cancel()
		b.must(<-ended)
	})
}

func (b *blocker) listPath() string {
	return filepath.Join(b.config.Home, "blocklists", b.v.ID()+".blocks")
}

func TestBlocked(t *testing.T) {
	blocks := map[string]struct {
		entry func(*blocker) blocklist.Entry
		code  sdk.Code
	}{
		"container": {func(b *blocker) blocklist.Entry { return blocklist.Container(b.serial) }, sdk.ContainerBlocked},
		"license":   {func(b *blocker) blocklist.Entry { return blocklist.License(b.id, 1) }, sdk.LicenseWithdrawn},
	}
	for name, test := range map[string]func(*testing.T, *blocker, blocklist.Entry, sdk.Code){
		"by the machine's list, while the program runs": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			s := b.open()
			want(t, s, sdk.OK)
			b.v.Block(e)
			b.hear()
			refresh(t, s)
			want(t, s, code)
			b.v.Lift(e)
			b.hear()
			refresh(t, s)
			want(t, s, sdk.OK)
		},
		"by the program's list": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			b.v.Block(e)
			want(t, b.open(sdk.WithBlockList(b.v.BlockListFile())), code)
			want(t, b.open(), sdk.OK) // the machine has not heard
		},
		"a newer list of the machine lifts it": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			b.v.Block(e)
			brought := sdk.WithBlockList(b.v.BlockListFile())
			b.hear()
			want(t, b.open(brought), code)
			b.v.Lift(e)
			b.hear()
			want(t, b.open(brought), sdk.OK)
			data, err := os.ReadFile(b.listPath())
			b.must(err)
			data[11+int(binary.BigEndian.Uint16(data[9:]))-1] ^= 1 // of the signature
			b.must(os.WriteFile(b.listPath(), data, 0o600))
			want(t, b.open(brought), code)
		},
		"nothing unsigned lifts it": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			b.v.Block(e)
			b.v.Block(blocklist.License("lic_x", 1))
			brought := sdk.WithBlockList(b.v.BlockListFile())
			b.v.Block(blocklist.License("lic_y", 1))
			b.hear()
			want(t, b.open(brought), code)
			// The newest head, and another entry in the place of the one that blocks.
			data, err := os.ReadFile(b.listPath())
			b.must(err)
			for at := len(data) - 3*8; at < len(data); at += 8 { // it ends with three entries
				if blocklist.Entry(binary.BigEndian.Uint64(data[at:])) == e {
					data[at+7] ^= 1
				}
			}
			b.must(os.WriteFile(b.listPath(), data, 0o600))
			want(t, b.open(brought), code)
		},
		"an older list of the machine lifts nothing": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			b.v.Block(blocklist.License("lic_x", 1))
			b.hear()
			b.v.Block(e)
			want(t, b.open(sdk.WithBlockList(b.v.BlockListFile())), code)
		},
		"the program's list lifts nothing": func(t *testing.T, b *blocker, e blocklist.Entry, code sdk.Code) {
			b.v.Block(e)
			b.hear()
			b.v.Lift(e)
			want(t, b.open(sdk.WithBlockList(b.v.BlockListFile())), code)
		},
	} {
		for what, block := range blocks {
			t.Run(name+"/"+what, func(t *testing.T) {
				for _, with := range []bool{false, true} {
					b := newBlocker(t)
					if with {
						b.serve()
					}
					test(t, b, block.entry(b), block.code)
				}
			})
		}
	}
}

// TestBlockedIsNotChosen: what the program's list blocks leaves the way free for
// another license.
func TestBlockedIsNotChosen(t *testing.T) {
	for _, with := range []bool{false, true} {
		b := newBlocker(t)
		ticket := b.v.Sell(container.Body{Product: "FREE", Name: "Free", Terms: license.Terms{ExpiresAt: license.At(sdktest.Start.Add(day))}})
		_, err := b.client.Activate(t.Context(), agent.ActivateRequest{Tickets: []license.Ticket{ticket}})
		b.must(err)
		if with {
			b.serve()
		}
		if v := want(t, b.open(), sdk.OK); v.License != string(b.id) {
			t.Fatalf("%s serves", v.License)
		}
		b.v.Block(blocklist.License(b.id, 1))
		if v := want(t, b.open(sdk.WithBlockList(b.v.BlockListFile())), sdk.OK); v.License != string(b.v.Licenses(ticket)[0]) {
			t.Errorf("%s serves", v.License)
		}
	}
}

func TestBlockListFaults(t *testing.T) {
	b, other := newBlocker(t), newBlocker(t)
	for _, v := range []*vendortest.Vendor{b.v, other.v} {
		v.Block(1)
		v.Block(2)
	}
	file := b.v.BlockListFile()
	for name, bad := range map[string][]byte{
		"nothing": nil, "empty": {}, "cut": file[:len(file)-1], "of another vendor": other.v.BlockListFile(),
		"of another environment": armored(t, b.v.NewsOf("test")), "not whole": armored(t, b.v.News(1)), "a trust file": b.v.Trust,
	} {
		if s, err := sdk.Open(t.Context(), sdk.Product{Trust: b.v.Trust, Code: "FREE"}, sdk.WithHome(t.TempDir()), sdk.WithBlockList(bad)); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func armored(t testing.TB, news []byte) []byte {
	t.Helper()
	file, err := seal.ArmorBlockNews(news)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// BenchmarkOpenBlockList opens a session where the machine has a block list, and
// where the program brings one along besides.
func BenchmarkOpenBlockList(b *testing.B) {
	for _, c := range []struct {
		name              string
		machine, programs int
	}{{"none", 0, 0}, {"machine 1000", 1000, 0}, {"machine million", 1_000_000, 0}, {"program 1000", 0, 1000}, {"program million", 0, 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			m := newBlocker(b)
			r := rand.New(rand.NewPCG(1, 1))
			list := make([]blocklist.Entry, max(c.machine, c.programs))
			for i := range list {
				list[i] = blocklist.Entry(r.Uint64())
			}
			var opts []sdk.Option
			if len(list) > 0 {
				m.v.Block(list...)
			}
			if c.machine > 0 {
				m.hear()
			}
			if c.programs > 0 {
				opts = append(opts, sdk.WithBlockList(m.v.BlockListFile()))
			}
			b.ReportAllocs()
			for b.Loop() {
				s := m.open(opts...)
				if !s.Verdict().Valid {
					b.Fatal(s.Verdict())
				}
				s.Close()
			}
		})
	}
}

// TestLockedContainer: a program sees that the vendor has closed the container,
// with an agent and without one.
func TestLockedContainer(t *testing.T) {
	b := newBlocker(t)
	b.v.Lock(b.serial, container.Close)
	s := b.open()
	if !s.Valid() {
		t.Fatalf("%+v", s.Verdict())
	}
	_, err := b.client.Update(t.Context(), agent.UpdateRequest{})
	b.must(err)
	for _, served := range []bool{false, true} {
		if served {
			ctx, cancel := context.WithCancel(t.Context())
			ready, done := make(chan string, 1), make(chan error, 1)
			go func() {
				done <- agent.Open(b.config).Serve(ctx, agent.Serving{Refresh: -1, Ready: func(socket string) { ready <- socket }})
			}()
			<-ready
			defer func() {
				cancel()
				b.must(<-done)
			}()
		}
		if v := b.open().Verdict(); v.Valid || v.Code != refusal.ContainerBlocked {
			t.Errorf("with an agent %v: %+v", served, v)
		}
	}
	b.v.Lock(b.serial, container.Open)
	_, err = b.client.Update(t.Context(), agent.UpdateRequest{})
	b.must(err)
	if v := b.open().Verdict(); !v.Valid {
		t.Errorf("unlocked: %+v", v)
	}
}
