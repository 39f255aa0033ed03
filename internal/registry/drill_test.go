package registry_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licet/container"
	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/wire"
)

// drill is a server with its customers, under random traffic.
type drill struct {
	*book
	rt     *rapid.T
	boxes  []*box
	files  map[*box][][]byte // every update ever made, which can be imported at any time
	orders []wire.Order
	sold   []wire.OrderRequest // what made them
	lost   []int               // the orders that the server has lost, by their place in sold
}

// try passes over what was refused.
func (d *drill) try(err error) {
	if _, ok := refusal.As(err); err != nil && !ok {
		d.rt.Fatal(err)
	}
}

// of draws one of n things, by number: what failed stays readable.
func (d *drill) of(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.rt, what) }

func (d *drill) some() *box { return d.boxes[d.of(len(d.boxes), "box")] }

func (d *drill) ticket() license.Ticket {
	return d.orders[d.of(len(d.orders), "ticket of order")].Ticket
}

func (d *drill) wish(x *box) (w container.Wishes) {
	if rapid.Bool().Draw(d.rt, "activate") {
		o := d.orders[d.of(len(d.orders), "order")]
		w.Tickets = []license.Ticket{o.Ticket}
		if l := o.Licenses[0]; l.Product == "TEAM" && rapid.Bool().Draw(d.rt, "some") {
			w = some(o.Ticket, l.ID, int64(rapid.IntRange(1, 6).Draw(d.rt, "seats")))
		}
	}
	held := []license.ID{}
	for id := range x.state.Held {
		held = append(held, id)
	}
	slices.Sort(held)
	for _, id := range held {
		if rapid.IntRange(0, 2).Draw(d.rt, "return") == 0 {
			w.Return = append(w.Return, id)
			if x.state.Held[id].Product == "TEAM" && rapid.Bool().Draw(d.rt, "a part") {
				w.Amounts = append(w.Amounts, container.Amount{License: id, Seats: int64(rapid.IntRange(1, 6).Draw(d.rt, "back"))})
			}
		}
	}
	w.Pending = w.None()
	return w
}

// ask makes a request and gets the update, which may never be imported.
func (d *drill) ask(x *box, w container.Wishes) {
	d.tick()
	file, err := d.Program(context.Background(), x.report(w))
	d.try(err)
	if err == nil {
		d.files[x] = append(d.files[x], file)
	}
}

// come is a contact as the agent makes it.
func (d *drill) come(x *box, w container.Wishes) {
	for range 2 {
		d.ask(x, w)
		x.imports(d.files[x][len(d.files[x])-1])
		if len(x.state.Challenge) == 0 {
			break
		}
	}
	d.tick()
	d.try(d.Receipt(context.Background(), x.report(container.Wishes{})))
}

func (d *drill) one() license.ID {
	d.tick()
	o := d.orders[d.of(len(d.orders), "order")]
	return o.Licenses[d.of(len(o.Licenses), "license")].ID
}

// once demands that nothing was handed out twice: no generation of a license is in
// two containers.
func (d *drill) once() string {
	where := map[string]license.Serial{}
	for _, x := range d.boxes {
		for id, h := range x.state.Held {
			key := fmt.Sprint(id, " generation ", h.Generation)
			if other, there := where[key]; there {
				return fmt.Sprintf("%s is in %s and in %s", key, other, x.state.Serial)
			}
			where[key] = x.state.Serial
		}
	}
	return ""
}

func (d *drill) sell() {
	d.tick()
	product := rapid.SampledFrom([]string{"CAD", "AUTO", "BACK", "YEAR", "TEAM", "TEAM"}).Draw(d.rt, "product")
	req := wire.OrderRequest{Number: fmt.Sprint("order ", len(d.sold)), Customer: "Buyer",
		Items: []wire.OrderItem{{Product: product, Quantity: int64(rapid.IntRange(1, 2).Draw(d.rt, "quantity"))}}}
	d.sold = append(d.sold, req)
	d.orders = append(d.orders, d.send(req))
}

func (d *drill) send(req wire.OrderRequest) wire.Order {
	o, err := d.CreateOrder(context.Background(), d.admin, req, registry.Once{})
	must(d.t, err)
	return o
}

// resend is the shop, which sends an order again that the server has lost. The ticket
// is the one that the customer has.
func (d *drill) resend(i int) {
	d.tick()
	req := d.sold[i]
	req.Resent = true
	o := d.send(req)
	for _, was := range d.orders {
		if was.Number == o.Number && was.Ticket != o.Ticket {
			d.rt.Fatalf("order %s has the ticket %s now, and had %s", o.Number, o.Ticket, was.Ticket)
		}
	}
	d.orders = append(d.orders, o)
}

// actions are what can happen, the frequent ones more than once.
var actions = strings.Fields(`nothing order resend resend ask ask import import receipt come come come come come come come withdraw replace assign lose lose release block`)

// traffic is what customers and staff do, in any order; an update may be lost, late
// or imported again.
func (d *drill) traffic(steps int) {
	ctx := context.Background()
	for range steps {
		switch rapid.SampledFrom(actions).Draw(d.rt, "action") {
		case "nothing":
		case "order":
			d.sell()
		case "resend":
			if len(d.lost) > 0 {
				d.resend(rapid.SampledFrom(d.lost).Draw(d.rt, "again"))
			}
		case "ask":
			x := d.some()
			d.ask(x, d.wish(x))
		case "import":
			x := d.some()
			if list := d.files[x]; len(list) > 0 {
				x.imports(list[d.of(len(list), "file")])
			}
		case "receipt":
			d.tick()
			d.try(d.Receipt(ctx, d.some().report(container.Wishes{})))
		case "come":
			x := d.some()
			d.come(x, d.wish(x))
		case "withdraw":
			_, err := d.Withdraw(ctx, d.admin, []license.ID{d.one()}, "x", false)
			d.try(err)
		case "replace":
			_, err := d.Replace(ctx, d.admin, d.one(), "YEAR", "x", false)
			d.try(err)
		case "assign":
			_, err := d.Assign(ctx, d.admin, d.one(), d.some().state.Serial, "x", false)
			d.try(err)
		case "lose":
			d.tick()
			_, err := d.RequestRestore(ctx, wire.RestoreRequest{Tickets: []string{string(d.ticket())}, Reason: "x", Accept: true})
			d.try(err)
		case "release":
			_, err := d.Release(ctx, d.admin, wire.Release{Licenses: []license.ID{d.one()}, Reason: "x", Block: rapid.Bool().Draw(d.rt, "list")})
			d.try(err)
		case "block":
			x := d.some()
			d.tick()
			if rapid.Bool().Draw(d.rt, "block") {
				_, err := d.BlockContainer(ctx, d.admin, x.state.Serial, "x")
				d.try(err)
			} else {
				_, err := d.UnblockContainer(ctx, d.admin, x.state.Serial, "x")
				d.try(err)
			}
		}
		if twice := d.once(); twice != "" {
			d.rt.Fatal(twice)
		}
	}
}

// loses runs traffic, makes a back-up, runs more, and loses the server: the one that
// comes back from the back-up.
func (d *drill) loses(b *book, url string) {
	for range 3 {
		d.boxes = append(d.boxes, d.box())
	}
	for range 2 {
		d.sell()
	}
	d.traffic(10)
	file := d.backup()
	kept := len(d.sold)
	d.traffic(25)
	for i := kept; i < len(d.sold); i++ {
		d.lost = append(d.lost, i)
	}
	d.book = d.restored(file, url)
	for _, x := range d.boxes {
		x.at(d.book)
	}
}

// few runs a property a few times, or as often as rapid is told.
func few(t *testing.T, n int, property func(*rapid.T)) {
	if os.Getenv("LICET_TEST_LONG") == "" {
		defer flag.Set("rapid.checks", flag.Lookup("rapid.checks").Value.String())
		must(t, flag.Set("rapid.checks", fmt.Sprint(n)))
	}
	rapid.Check(t, property)
}

func newDrill(t *testing.T, rt *rapid.T, url string) *drill {
	b := newBook(t, opened(t, url))
	_, err := b.ApplyCatalog(t.Context(), b.admin, wire.CatalogRequest{YAML: lossYAML + strings.TrimPrefix(partsYAML, "\nproducts:\n")})
	must(t, err)
	return &drill{book: b, rt: rt, files: map[*box][][]byte{}}
}

// TestRestoreDrill: the server is lost and comes back from an older back-up, its
// customers go on in any order, late files of the time before included. Nothing is
// handed out twice, nobody is accused, and in the end the record is whole and says
// what every container holds.
func TestRestoreDrill(t *testing.T) {
	engines(t, func(t *testing.T, empty func() string) {
		n := 25
		if strings.HasSuffix(t.Name(), "postgres") {
			n = 4
		}
		few(t, n, func(rt *rapid.T) {
			d := newDrill(t, rt, empty())
			d.loses(d.book, empty())
			d.traffic(20)
			for _, x := range rapid.Permutation([]int{0, 1, 2}).Draw(rt, "they come by") {
				d.come(d.boxes[x], container.Wishes{Pending: true})
			}
			for _, x := range d.boxes { // and carry out what came up meanwhile
				d.come(x, container.Wishes{Pending: true})
			}
			if twice := d.once(); twice != "" {
				rt.Fatal(twice)
			}
			d.agrees()
			for _, f := range d.findings() {
				rt.Errorf("verify: %s", f)
			}
		})
	})
}

// agrees holds the record against what the containers hold.
func (d *drill) agrees() {
	for _, x := range d.boxes {
		if len(x.state.Held) == 0 && x.state.Number == 0 {
			continue
		}
		c, err := d.Container(context.Background(), d.admin, x.state.Serial)
		must(d.t, err)
		if c.Flag != nil {
			d.rt.Fatalf("%s is honest and flagged: %s", x.state.Serial, c.Flag.Reason)
		}
		if c.Acked != x.state.Number {
			d.rt.Fatalf("%s is at step %d, the record says %d", x.state.Serial, x.state.Number, c.Acked)
		}
		for id, h := range x.state.Held {
			body, err := seal.DecodeBody(x.bodies[id])
			must(d.t, err)
			if l := d.license(id); l.Generation != h.Generation || l.Container != x.state.Serial || l.HeldBack != "" || l.Terms.Seats != body.Terms.Seats {
				d.rt.Fatalf("%s holds generation %d of %s; the record: %s in %s, generation %d", x.state.Serial, h.Generation, id, l.State, l.Container, l.Generation)
			}
		}
	}
}
