package licetcmd

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/agent"
	"licet/internal/cli"
	"licet/internal/discovery"
	"licet/refusal"
	"licet/seats"
	"licet/wire"
)

// lookFor is how long the network is looked at for license servers.
const lookFor = 1500 * time.Millisecond

// discover finds the addresses of license servers that announce themselves. On a
// machine without a network it finds none.
func discover(ctx context.Context) []string {
	found, err := discovery.Browse(ctx, lookFor)
	if err != nil {
		return nil
	}
	var list []string
	for _, f := range found {
		list = append(list, f.Addresses[0])
	}
	return list
}

func (c *commands) servers() *cobra.Command {
	var noDiscovery bool
	var vendor string
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "List the license servers of the network and what each has for you",
		Long: "Asks the servers on the list, in order, and those that announce themselves on the\n" +
			"network, what this machine's user may have of each product. The list is kept in\n" +
			agent.ServersFile + " of the home folder. What is announced is only an address to ask.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.client().Servers(cmd.Context())
			if err != nil {
				return err
			}
			cli.Progress(cmd, "Asking the license servers…")
			all := c.askServers(cmd.Context(), list, noDiscovery || list.NoDiscovery, vendor)
			return cli.Print(cmd, all, func(p *cli.Page) { printServers(p, all) })
		},
	}
	cmd.Flags().BoolVar(&noDiscovery, "no-discovery", false, "ask the servers on the list alone")
	cmd.Flags().StringVar(&vendor, "vendor", "", "only products of the vendor with this `ID`")
	cmd.AddCommand(c.serversAdd(), c.serversRemove(), c.serversRules(), c.serversPardon())
	return cmd
}

// askedServer is a license server and what it has for this machine's user.
type askedServer struct {
	Address  string              `json:"address"`
	Source   string              `json:"source"` // list, network or this machine
	Name     string              `json:"name,omitempty"`
	Reached  bool                `json:"reached"`
	Error    *cli.Error          `json:"error,omitempty"`
	Products []seats.ProductView `json:"products"`
}

func (c *commands) askServers(ctx context.Context, list agent.Servers, noDiscovery bool, vendor string) []askedServer {
	all := []askedServer{}
	known := map[string]bool{}
	for _, address := range list.List {
		all = append(all, askedServer{Address: address, Source: "list"})
		if base, err := client.SeatsAddress(address); err == nil {
			known[base] = true
		}
	}
	if !noDiscovery {
		found, err := discovery.Browse(ctx, lookFor)
		if err != nil {
			found = nil // a machine without a network finds nobody; the list is asked all the same
		}
		for _, f := range found {
			if base, err := client.SeatsAddress(f.Addresses[0]); err == nil && !known[base] {
				known[base] = true
				all = append(all, askedServer{Address: f.Addresses[0], Source: "network", Name: f.Name})
			}
		}
	}
	for i := range all {
		one := &all[i]
		one.Products = []seats.ProductView{}
		products, err := askProducts(ctx, one.Address, vendor)
		if err != nil {
			e := cli.Explain(err)
			one.Error = &e
			continue
		}
		one.Reached = true
		one.Products = append(one.Products, products...)
	}
	var own wire.List[seats.ProductView]
	if err := c.client().SeatServer(ctx, http.MethodGet, wire.PathProducts+"?"+whoIAm(vendor).Encode(), nil, &own); err == nil {
		all = append([]askedServer{{Address: "this machine", Source: "this machine", Reached: true, Products: own.Items}}, all...)
	}
	return all
}

func askProducts(ctx context.Context, address, vendor string) ([]seats.ProductView, error) {
	s, err := client.NewSeats(address, client.Options{Attempts: 1})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.Products(ctx, vendor)
}

// whoIAm is what this machine's user says of himself.
func whoIAm(vendor string) url.Values {
	q := url.Values{}
	if vendor != "" {
		q.Set("vendor", vendor)
	}
	if host, err := os.Hostname(); err == nil {
		q.Set("host", host)
	}
	if u, err := user.Current(); err == nil {
		q.Set("user", u.Username)
	}
	return q
}

func printServers(p *cli.Page, all []askedServer) {
	if len(all) == 0 {
		p.Line("No license server is on the list, and none announces itself on the network.")
		p.Next("licet servers add ADDRESS", "licet serve --listen ADDRESS")
		return
	}
	for _, s := range all {
		title := s.Address
		if s.Name != "" {
			title += ", " + s.Name
		}
		p.Title("%s (%s)", title, map[string]string{"list": "on the list", "network": "found on the network", "this machine": "it runs here"}[s.Source])
		if s.Error != nil {
			p.Field("Problem", "%s", s.Error.Message)
			continue
		}
		rows := [][]string{}
		for _, v := range s.Products {
			state, borrow := "for you", "no"
			if v.Code != refusal.Valid {
				state = strings.ReplaceAll(string(v.Code), "_", " ")
			}
			if v.Borrow {
				borrow = "yes"
				if v.Longest > 0 {
					borrow = "up to " + v.Longest.String()
				}
			}
			rows = append(rows, []string{v.Product, v.Name, strconv.FormatInt(v.Free, 10) + " of " + strconv.FormatInt(v.Seats, 10), borrow, state, v.Reason})
		}
		p.Table("Nothing for you.", []string{"PRODUCT", "NAME", "FREE", "BORROW", "STATE", ""}, rows)
	}
}

func (c *commands) serversAdd() *cobra.Command {
	var first bool
	cmd := &cobra.Command{
		Use: "add ADDRESS…", Short: "Put license servers on the list, which is asked in order",
		Args: cli.Args("ADDRESS…"), Example: "  licet servers add licenses.example.com 192.168.1.5:47120",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := c.client().ChangeServers(cmd.Context(), agent.ServersChange{Add: args, First: first})
			return printList(cmd, list, err)
		},
	}
	cmd.Flags().BoolVar(&first, "first", false, "in front of the others")
	return cmd
}

func (c *commands) serversRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS…", Short: "Take license servers off the list", Args: cli.Args("ADDRESS…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := c.client().ChangeServers(cmd.Context(), agent.ServersChange{Remove: args})
			return printList(cmd, list, err)
		},
	}
}

func printList(cmd *cobra.Command, list agent.Servers, err error) error {
	if err != nil {
		return err
	}
	return cli.Print(cmd, list, func(p *cli.Page) {
		if len(list.List) == 0 {
			p.Line("The list is empty: only servers that announce themselves are asked.")
		}
		for i, address := range list.List {
			p.Line("%d. %s", i+1, address)
		}
		p.Next("licet servers")
	})
}

func (c *commands) serversRules() *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "Show and try the rules of access of this machine's license server"}
	cmd.AddCommand(c.rulesShow(), c.rulesReload(), c.rulesTest())
	return cmd
}

func (c *commands) rulesShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the rules that are in force, and whether the file of them reads", Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.rules(cmd, http.MethodGet) },
	}
}

func (c *commands) rulesReload() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Read the file of the rules anew", Args: cli.Args(),
		Long: "The server reads the file by itself when it was changed. Rules that do not read leave\nthe old ones in force.",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.rules(cmd, http.MethodPost) },
	}
}

func (c *commands) rules(cmd *cobra.Command, method string) error {
	var view wire.RulesView
	if err := c.client().SeatServer(cmd.Context(), method, wire.PathRules, nil, &view); err != nil {
		return err
	}
	err := cli.Print(cmd, view, func(p *cli.Page) {
		p.Field("File", "%s", view.File)
		p.Field("Problem", "%s", view.Problem)
		if view.Loaded == 0 {
			p.Line("There are no rules: only programs on this machine may have seats.")
			p.Next("write rules such as \"allow subnet=192.168.1.0/24\" into " + view.File)
			return
		}
		p.Field("In force since", "%s", cli.When(view.Loaded, c.env.Now()))
		p.Blank()
		for line := range strings.Lines(view.Text) {
			p.Line("%s", strings.TrimRight(line, "\n"))
		}
	})
	if err == nil && view.Problem != "" {
		return cli.Exit(cli.StatusRefused)
	}
	return err
}

func (c *commands) rulesTest() *cobra.Command {
	var host, account, address string
	var groups []string
	cmd := &cobra.Command{
		Use: "test PRODUCT", Short: "Say whether somebody would get a seat, and which rule decides (exit 0 if so)", Args: cli.Args("PRODUCT"),
		Example: "  licet servers rules test CAD-PRO --host cad-7 --user ann --address 192.168.1.77",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"product": args[:1]}
			for name, value := range map[string]string{"host": host, "user": account, "address": address} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if len(groups) > 0 {
				q["group"] = groups
			}
			var d seats.Decision
			if err := c.client().SeatServer(cmd.Context(), http.MethodGet, wire.PathDecide+"?"+q.Encode(), nil, &d); err != nil {
				return err
			}
			err := cli.Print(cmd, d, func(p *cli.Page) {
				if d.Allow {
					p.Line("Allowed.")
				} else {
					p.Line("Denied.")
				}
				p.Field("Why", "%s", d.Why)
				if d.Line > 0 {
					p.Field("Rule", "line %d: %s", d.Line, d.Rule)
				}
				if d.Limit > 0 {
					p.Field("At most", "%d seats for all whom the rule allows", d.Limit)
				}
				if d.Reserve > 0 {
					p.Field("Kept for them", "%d seats", d.Reserve)
				}
				if d.NoLoan {
					p.Field("Borrowing", "not allowed")
				} else if d.Longest > 0 {
					p.Field("Borrowing", "up to %s", d.Longest)
				}
			})
			if err == nil && !d.Allow {
				return cli.Exit(cli.StatusRefused)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "name of the `HOST` that asks")
	cmd.Flags().StringVar(&account, "user", "", "`ACCOUNT` that asks")
	cmd.Flags().StringVar(&address, "address", "", "`ADDRESS` that the request comes from")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "`GROUP` of the account; may be repeated")
	return cmd
}

func (c *commands) serversPardon() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "pardon", Short: "End the waiting after this machine's license server lost its record",
		Long: "After a loss of the record of who has which seat, the server gives out nothing that\n" +
			"could overlap it until the longest session and the longest loan are certainly over.\n" +
			"If you know that nobody has a seat any more, this ends the waiting. It stays in the\n" +
			"record that you said so.",
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var pools wire.List[seats.PoolView]
			if err := c.client().SeatServer(cmd.Context(), http.MethodPost, wire.PathPardon, wire.EndRequest{By: account(), Why: why}, &pools); err != nil {
				return err
			}
			return cli.Print(cmd, pools, func(p *cli.Page) {
				p.Line("Recorded: nobody has a seat that this server does not know of. It gives out seats again.")
				printPools(p, pools.Items, c.env.Now())
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "`TEXT` for the record")
	_ = cmd.MarkFlagRequired("why") // it is defined above
	return cmd
}

// account names who runs a command, for the record.
func account() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		return u.Username
	}
	return u.Username + "@" + host
}

func printPools(p *cli.Page, pools []seats.PoolView, now time.Time) {
	rows := [][]string{}
	slices.SortFunc(pools, func(a, b seats.PoolView) int {
		return strings.Compare(a.Product+string(a.License), b.Product+string(b.License))
	})
	for _, v := range pools {
		state := "usable"
		if !v.Usable {
			state = strings.ReplaceAll(string(v.Code), "_", " ")
		}
		if v.Until != 0 {
			state += " until " + cli.When(v.Until, now)
		}
		n := func(i int64) string { return strconv.FormatInt(i, 10) }
		rows = append(rows, []string{v.Product, string(v.License), n(v.Seats), n(v.Leased), n(v.Lent), n(v.Free), strconv.Itoa(v.Waiting), state})
	}
	p.Table("No license here has seats to share.", []string{"PRODUCT", "LICENSE", "SEATS", "IN USE", "LENT", "FREE", "WAITING", "STATE"}, rows)
}
