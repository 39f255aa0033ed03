package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"licet/container"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

const catalog = `
products:
  - code: CAD
    name: CAD Professional
    model: subscription_single
    features: [render, export]
    terms: {expires_in: 365d}
`

// vendor is a real central in a process of its own.
type vendor struct {
	*process
	program, data, database string
	header                  string // of staff's requests
	trust                   *seal.Trust
	verifier                *seal.Verifier
}

// newVendor sets a central up in a new folder and starts it. Database is an
// address, "" for SQLite in the folder.
func newVendor(program, data, database string) (*vendor, error) {
	v := &vendor{program: program, data: data, database: database}
	init := []string{"init", "--data", data, "--vendor", "Example Software"}
	if database != "" {
		init = append(init, "--database", database)
	}
	if out, err := exec.Command(program, init...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init: %w: %s", err, out)
	}
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		return nil, err
	}
	v.header = "Authorization: Bearer " + strings.TrimSpace(string(token)) + "\r\n" + asJSON
	text, err := os.ReadFile(filepath.Join(data, "vendor.trust"))
	if err != nil {
		return nil, err
	}
	if v.trust, err = seal.ParseTrust(text); err != nil {
		return nil, err
	}
	if v.verifier, err = seal.NewVerifier(v.trust); err != nil {
		return nil, err
	}
	if err := v.start(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(wire.CatalogRequest{YAML: catalog})
	if err != nil {
		return nil, err
	}
	_, err = run(v.process, 1, [][]byte{request("PUT", "/api/v1/catalog", v.header, string(body))}, false, false)
	return v, err
}

func (v *vendor) start() (err error) {
	args := []string{"serve", "--data", v.data, "--listen", "127.0.0.1:0"}
	if v.database != "" {
		args = append(args, "--database", v.database)
	}
	v.process, err = start(v.data+".log", wire.PathReady, v.program, args...)
	return err
}

var orderNumber atomic.Int64

// orders takes n orders of one license each through the interface for shops.
func (v *vendor) orders(n int) (load, []wire.Order, error) {
	requests := make([][]byte, n)
	for i := range requests {
		requests[i] = request("POST", "/api/v1/orders", v.header,
			fmt.Sprintf(`{"number":"S-%d","customer":"Example Customer","items":[{"product":"CAD"}]}`, orderNumber.Add(1)))
	}
	var total load
	var all []wire.Order
	const chunk = 3000 // what the server's limits let through at once
	for len(requests) > 0 {
		some := requests[:min(chunk, len(requests))]
		requests = requests[len(some):]
		l, err := run(v.process, 16, some, true, false)
		if err != nil {
			return l, nil, fmt.Errorf("orders: %w", err)
		}
		for _, a := range l.Answers {
			var o wire.Order
			if err := json.Unmarshal(a, &o); err != nil {
				return l, nil, err
			}
			all = append(all, o)
		}
		total = l
		v.breathe()
	}
	return total, all, nil
}

// breathe gives the server's limits time to fill up again. They are the shipped
// ones: a server that is asked more than it wants to serve says so.
func (v *vendor) breathe() { time.Sleep(4 * time.Second) }

// machine is one container with nothing around it: the log and its keys.
type machine struct {
	v     *vendor
	keys  *seal.ContainerKeys
	state container.State
	order wire.Order
}

func nonce() (n container.Nonce) { rand.Read(n[:]); return n } // never fails

// machines makes one machine for each of n new orders.
func (v *vendor) machines(n int) ([]*machine, error) {
	_, orders, err := v.orders(n)
	if err != nil {
		return nil, err
	}
	all := make([]*machine, n)
	for i := range all {
		keys, err := seal.NewContainerKeys(rand.Reader)
		if err != nil {
			return nil, err
		}
		all[i] = &machine{v: v, keys: keys, state: container.NewState(keys.Serial()), order: orders[i]}
	}
	return all, nil
}

// reports makes the next report of each machine, as a request for the path.
func reports(all []*machine, path string, wishes func(*machine) container.Wishes) ([][]byte, error) {
	requests := make([][]byte, len(all))
	errs := each(all, func(i int, m *machine) error {
		var r container.Report
		m.state, r = m.state.Report(m.keys.Identity(license.Machine), nonce(), license.At(time.Now()))
		r.Wishes = wishes(m)
		file, err := seal.SealReport(m.v.trust, m.keys, r)
		requests[i] = request("POST", path, "Content-Type: "+wire.MediaFile+"\r\n", string(file))
		return err
	})
	return requests, errs
}

// imports takes the answers in, as each machine does.
func imports(all []*machine, answers [][]byte) error {
	return each(all, func(i int, m *machine) error {
		u, err := m.v.verifier.OpenUpdate(answers[i], m.keys)
		if err != nil {
			return err
		}
		for _, o := range u.Outcomes {
			if o.Refused() {
				return fmt.Errorf("refused: %+v", o)
			}
		}
		var steps []container.Incoming
		for _, s := range u.Steps {
			in, err := m.v.verifier.Incoming(s)
			if err != nil {
				return err
			}
			steps = append(steps, in)
		}
		next, _, no := m.state.Import(u, steps, nonce, license.At(time.Now()))
		if no != nil {
			return no
		}
		m.state = next
		return nil
	})
}

// each calls fn for all, two at a time.
func each[T any](all []T, fn func(int, T) error) (err error) {
	var next atomic.Int64
	var once sync.Once
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				if e := fn(i, all[i]); e != nil {
					once.Do(func() { err = e })
					return
				}
			}
		})
	}
	workers.Wait()
	return err
}

func activate(m *machine) container.Wishes {
	return container.Wishes{Tickets: []license.Ticket{m.order.Ticket}}
}

func giveBack(m *machine) container.Wishes {
	return container.Wishes{Return: []license.ID{m.order.Licenses[0].ID}}
}

func nothing(*machine) container.Wishes { return container.Wishes{} }
