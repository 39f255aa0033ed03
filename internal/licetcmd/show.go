package licetcmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/agent"
	"licet/internal/cli"
	"licet/license"
	"licet/seats"
	"licet/terms"
	"licet/wire"
)

func (c *commands) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the licenses on this machine", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.client().List(cmd.Context())
			if err != nil {
				return err
			}
			products, err := c.client().Offers(cmd.Context(), agent.OffersRequest{})
			if err != nil {
				return err
			}
			vendors, err := c.client().TrustList(cmd.Context())
			if err != nil {
				return err
			}
			return cli.Print(cmd, inventory{list, products}, func(p *cli.Page) {
				if len(list.Containers) == 0 && len(products.Products) == 0 && len(products.Silent) == 0 {
					p.Line("There are no licenses on this machine yet.")
					next := []string{"licet activate TICKET"}
					if len(vendors) == 0 {
						next = append([]string{"licet trust add FILE-or-URL"}, next...)
					}
					p.Next(next...)
				}
				c.offers(p, products)
				for _, one := range list.Containers {
					p.Title("Container %s", one.Serial)
					c.summary(p, one)
					c.licenses(p, one)
				}
			})
		},
	}
}

// inventory is what is on this machine, and what can be had of each product.
type inventory struct {
	agent.Inventory
	wire.Offers
}

// summary writes the lines that every view of a container begins with.
func (c *commands) summary(p *cli.Page, one agent.Container) {
	vendor := one.Vendor
	if vendor == "" {
		vendor = one.VendorID
	}
	p.Field("Vendor", "%s", vendor)
	if one.Status != agent.StatusOK {
		p.Field("Status", "%s", strings.ReplaceAll(one.Status, "_", " "))
	}
	p.Field("Problem", "%s", one.Reason)
	if one.Receipt != "" && one.Receipt != "delivered" {
		p.Field("Receipt", "%s", one.Receipt)
	}
	p.Field("Waiting", "%s", one.Waiting)
}

// step says how far a container got. What the vendor has confirmed stands inside,
// so it is not told of one that does not open.
func step(p *cli.Page, one agent.Container) {
	switch {
	case !one.Closed():
		p.Field("Step", "%d, confirmed by the vendor up to %d", one.Counter, one.Acked)
	case one.Counter > 0:
		p.Field("Step", "%d", one.Counter)
	}
}

func (c *commands) licenses(p *cli.Page, one agent.Container) {
	rows := [][]string{}
	several := slices.ContainsFunc(one.Licenses, func(l agent.License) bool { return l.Seats > 1 })
	for _, l := range one.Licenses {
		state := "usable"
		if !l.Usable {
			state = strings.ReplaceAll(string(l.Code), "_", " ")
		}
		until := "no end"
		if l.ValidUntil != 0 {
			until = cli.When(l.ValidUntil, c.env.Now())
		}
		id := string(l.ID)
		if l.Loan != nil {
			id = string(l.Loan.ID)
			state += ", on loan"
			if l.Loan.Kind == seats.Transfer {
				state = strings.TrimSuffix(state, ", on loan") + ", transferred"
			}
		}
		if l.Units != nil {
			state += ", " + unitsLeft(*l.Units)
		}
		row := []string{l.Product, id, state, until, strings.Join(l.Features, ", ")}
		if several {
			row = slices.Insert(row, 2, strconv.FormatInt(l.Seats, 10))
		}
		rows = append(rows, row)
	}
	columns := []string{"PRODUCT", "LICENSE", "STATE", "UNTIL", "FEATURES"}
	if several {
		columns = slices.Insert(columns, 2, "SEATS")
	}
	none := "No licenses."
	if one.Closed() {
		none = ""
	}
	p.Table(none, columns, rows)
	for _, l := range one.Licenses {
		for _, m := range l.Moved {
			p.Line("%s", c.moved(l.Product, m))
		}
	}
	for _, l := range one.Returned {
		p.Line("Returned, but the license server does not know yet: %s  %s.", l.Product, l.ID)
	}
}

// moved tells of units that moved to another container.
func (c *commands) moved(product string, m wire.Moved) string {
	to := string(m.Holder)
	if m.Host != "" {
		to += " on " + m.Host
	}
	text := fmt.Sprintf("Moved: %s of %s to %s, %s", count(m.Units), product, to, m.ID)
	switch {
	case m.Closed != 0:
		return text + fmt.Sprintf("; back are %s.", count(m.Back))
	case !m.Confirmed:
		return text + "; not known to have arrived."
	}
	return text + "."
}

func (c *commands) check() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "check PRODUCT",
		Short: "Say whether a product may be used now (exit 0 if so)",
		Long: "Verifies the licenses on this machine by itself: it asks nobody and writes nothing.\n" +
			"The exit status is 0 only if the product may be used.",
		Args: cli.Args("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := c.client().Check(cmd.Context(), agent.CheckRequest{Vendor: q.vendor, Product: args[0], Use: q.use()})
			if err != nil {
				return err
			}
			answer := checked{CheckResult: result}
			if !result.Valid {
				// The verdict is about this machine alone; what the network has is told
				// beside it, to whoever has license servers on his list.
				answer.Network, answer.Silent, err = c.onNetwork(cmd, q.vendor, args[0])
				if err != nil {
					return err
				}
			}
			if err := cli.Print(cmd, answer, func(p *cli.Page) { c.verdict(p, answer) }); err != nil {
				return err
			}
			if !result.Valid {
				return cli.Exit(cli.StatusRefused)
			}
			return nil
		},
	}
	q.flags(cmd)
	cmd.Flags().Int64Var(&q.units, "units", 0, "`NUMBER` of units that are to be left; one if not given, where the license has units")
	return cmd
}

// question is what a program says of itself.
type question struct {
	features        []string
	version, vendor string
	built           timeFlag
	units           int64
}

func (q *question) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&q.features, "feature", nil, "`FEATURE` that is needed; may be repeated")
	cmd.Flags().StringVar(&q.version, "version", "", "`VERSION` of the program, such as 4.2")
	cmd.Flags().Var(&q.built, "build-date", "when the program was built, such as 2026-11-30")
	cmd.Flags().StringVar(&q.vendor, "vendor", "", "only licenses of this vendor `ID`")
}

func (q *question) use() terms.Use {
	return terms.Use{Features: q.features, Version: q.version, BuildDate: q.built.Time, Units: q.units}
}

// checked is the verdict, and what license servers have of the product where this
// machine has nothing that may be used.
type checked struct {
	agent.CheckResult
	Network *wire.Offer `json:"network,omitempty"`
	Silent  []string    `json:"silent_servers,omitempty"`
}

// onNetwork is what license servers have of a product, nil for nothing, and which of
// them do not answer.
func (c *commands) onNetwork(cmd *cobra.Command, vendor, product string) (*wire.Offer, []string, error) {
	all, err := c.client().Offers(cmd.Context(), agent.OffersRequest{Vendor: vendor, Product: product})
	if err != nil {
		return nil, nil, err
	}
	for _, o := range all.Products {
		if o.State == wire.OfferNetwork {
			return &o, all.Silent, nil
		}
	}
	return nil, all.Silent, nil
}

// verdict says at a glance whether a product may be used.
func (c *commands) verdict(p *cli.Page, r checked) {
	word := "valid"
	if !r.Valid {
		word = "not valid"
	}
	p.Line("%s: %s", r.Product, word)
	p.Field("License", "%s", r.License)
	p.Field("Source", "%s", r.Source)
	if r.Units != nil {
		p.Field("Units", "%s", unitsLeft(*r.Units))
	}
	if r.Valid && r.ValidUntil != 0 {
		p.Field("Until", "%s", cli.When(r.ValidUntil, c.env.Now()))
	}
	for _, reason := range r.Reasons {
		p.Field("Reason", "%s", reason.Message)
	}
	for _, w := range r.Warnings {
		p.Field("Warning", "%s", w.Message)
	}
	for _, address := range r.Silent {
		p.Field("Network", "The license server %s does not answer.", address)
	}
	if n := r.Network; n != nil {
		p.Field("Network", "%d of %d seats are free at %s.", n.Free, n.Seats, n.Where)
		p.Field("", "%s", n.Reason)
		r.Hint = "A program takes a seat by itself; licet run " + r.Product + " -- COMMAND holds one for any command."
		if slices.Contains(n.Can, wire.CanBorrow) {
			r.Hint += " To take one along: licet borrow " + r.Product + " --for DURATION."
		}
	}
	p.Field("Hint", "%s", r.Hint)
}

func (c *commands) container() *cobra.Command {
	cmd := &cobra.Command{Use: "container", Short: "The containers on this machine, their binding and state"}
	cmd.AddCommand(c.containerList(), c.containerShow(), c.containerRepair(), c.containerDelete())
	return cmd
}

func (c *commands) containerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the containers on this machine", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.client().List(cmd.Context())
			if err != nil {
				return err
			}
			return cli.Print(cmd, map[string]any{"items": list.Containers}, func(p *cli.Page) {
				rows := [][]string{}
				for _, one := range list.Containers {
					vendor := one.Vendor
					if vendor == "" {
						vendor = one.VendorID
					}
					rows = append(rows, []string{string(one.Serial), string(one.Kind), vendor, one.Status, fmt.Sprint(one.Counter), fmt.Sprint(len(one.Licenses))})
				}
				p.Table("There is no container on this machine yet: licet activate TICKET makes one.",
					[]string{"CONTAINER", "KIND", "VENDOR", "STATUS", "STEP", "LICENSES"}, rows)
			})
		},
	}
}

func (c *commands) containerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [SERIAL]", Short: "Explain a container: its binding, its state, its licenses", Args: cli.Args("[SERIAL]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			one, err := c.client().Show(cmd.Context(), agent.ContainerRequest{Container: license.Serial(strings.Join(args, ""))})
			if err != nil {
				return err
			}
			return cli.Print(cmd, one, func(p *cli.Page) {
				p.Title("Container %s", one.Serial)
				c.summary(p, one)
				p.Field("Kind", "%s", one.Kind)
				p.Field("Environment", "%s", one.Environment)
				step(p, one)
				p.Field("Last contact", "%s", cli.When(one.LastContact, c.env.Now()))
				if b := one.Binding; b != nil {
					p.Title("Binding")
					p.Field("Strength", "%s", b.Strength)
					p.Field("Meaning", "%s", b.Explanation)
					p.Field("Now", "%s", b.Sentence)
					p.Field("Traits", "%s", strings.Join(b.Matched, ", "))
					p.Field("Changed", "%s", strings.Join(b.Changed, ", "))
					p.Field("Missing", "%s", strings.Join(b.Missing, ", "))
					p.Field("Points", "%d of %d; needed: loose %d, medium %d, tight %d", b.Score, b.Total, b.NeedLoose, b.NeedMedium, b.NeedTight)
				}
				p.Title("Licenses")
				c.licenses(p, one)
				if one.Status == agent.StatusChanged {
					p.Next("licet container repair "+string(one.Serial), "licet update")
				}
			})
		},
	}
}

func (c *commands) containerRepair() *cobra.Command {
	var w where
	cmd := &cobra.Command{
		Use: "repair [SERIAL]", Short: "Bind a container anew to this machine, which changed a little",
		Long: "Binds a container to the machine as it is now, if enough of it is still the same and\n" +
			"the licenses allow it. Licenses that the change had locked are sent again by the vendor.",
		Args: cli.Args("[SERIAL]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := c.client().Repair(cmd.Context(), agent.ContainerRequest{Container: license.Serial(strings.Join(args, "")), Central: w.central})
			if err != nil {
				return err
			}
			return cli.Print(cmd, result, func(p *cli.Page) {
				p.Line("Container %s is bound to this machine as it is now.", result.Container)
				p.Field("Before", "%s", result.Before)
				p.Field("Strength", "%s", result.Binding.Strength)
				for _, id := range result.Fetched {
					p.Field("Sent again", "%s", id)
				}
				for _, id := range result.Missing {
					p.Field("Still missing", "%s", id)
				}
				p.Field("Vendor", "%s", result.Waits)
				if len(result.Missing) > 0 {
					p.Next("licet update", "without a network: licet request -o FILE, then licet import FILE")
				}
			})
		},
	}
	w.centralFlag(cmd)
	return cmd
}

func (c *commands) containerDelete() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete SERIAL", Short: "Remove an empty container from this machine", Args: cli.Args("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			gone, err := c.client().Delete(cmd.Context(), agent.ContainerRequest{Container: license.Serial(args[0]), Force: force})
			if err != nil {
				return err
			}
			return cli.Print(cmd, gone, func(p *cli.Page) {
				p.Line("Container %s is deleted.", gone.Serial)
				for _, l := range gone.Licenses {
					p.Field("Lost with it", "%s  %s", l.Product, l.ID)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "even if licenses are in it; they are lost")
	return cmd
}
