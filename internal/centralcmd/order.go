package centralcmd

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/catalog"
	"licet/internal/cli"
	"licet/wire"
)

func orderCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "order", Short: "What was sold"})
	cmd.AddCommand(orderCreateCommand(env), orderCancelCommand(env),
		&cobra.Command{
			Use: "show NUMBER", Short: "Show an order, its ticket and licenses", Example: "  licet-central order show 2026-1001", Args: cli.Args("NUMBER"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				o, err := c.Order(cmd.Context(), args[0])
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, o, func(p *cli.Page) { orderPage(p, env, o) })
			},
		},
		listFlags(&cobra.Command{
			Use: "list", Short: "List orders, newest first", Example: "  licet-central order list --limit 20",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := collect(cmd, func(p client.Page) (wire.List[wire.Order], error) { return c.Orders(cmd.Context(), p) })
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, o := range list.Items {
						rows = append(rows, []string{o.Number, o.Customer, strconv.Itoa(len(o.Licenses)), o.Created.String()})
					}
					p.Table("No orders yet.", []string{"NUMBER", "CUSTOMER", "LICENSES", "CREATED"}, rows)
					more(p, list.Next)
				})
			},
		}),
		historyCommand(env, client.OrderHistory, "an order", "NUMBER", "licet-central order history 2026-1001"),
	)
	return cmd
}

func orderCreateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --customer NAME [--number N] --item CODE[=QTY][,KEY=VALUE…] …",
		Short: "Create or extend an order; the answer holds its ticket",
		Long: "Create or extend an order; the answer holds its ticket.\n\n" +
			"An item is a product code, a quantity, and terms for this item alone. Sending an order number again states the order's totals: what is there already is not added twice.",
		Example: `  licet-central order create --customer "Ada Miller" --number 2026-1001 --item CAD-PRO=5,seats=10,expires_at=2027-06-30`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var req wire.OrderRequest
			req.Customer, _ = cmd.Flags().GetString("customer")
			req.Number, _ = cmd.Flags().GetString("number")
			req.Resent, _ = cmd.Flags().GetBool("resent")
			items, _ := cmd.Flags().GetStringArray("item")
			for _, text := range items {
				item, err := orderItem(text)
				if err != nil {
					return err
				}
				req.Items = append(req.Items, item)
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			o, err := c.CreateOrder(cmd.Context(), req)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, o, func(p *cli.Page) {
				orderPage(p, env, o)
				if o.Added == 0 {
					p.Blank()
					p.Line("Nothing was added: the order holds all of it already.")
				}
			})
		},
	}
	cmd.Flags().String("customer", "", "name of the customer")
	cmd.Flags().String("number", "", "your own order number; one is made if absent")
	resentFlag(cmd)
	cmd.Flags().StringArray("item", nil, "what is sold, such as CAD-PRO=5,seats=10; may be repeated")
	// The flags are there.
	_ = cmd.MarkFlagRequired("customer")
	_ = cmd.MarkFlagRequired("item")
	return cmd
}

// orderItem reads CODE[=QTY][,KEY=VALUE…].
func orderItem(text string) (wire.OrderItem, error) {
	item, err := catalog.ParseItem(text)
	if err != nil {
		return wire.OrderItem{}, err
	}
	out := wire.OrderItem{Product: item.Code, Quantity: item.Quantity}
	for _, o := range item.Overrides {
		out.Override = append(out.Override, o.Key+"="+o.Value)
	}
	return out, nil
}

func orderPage(p *cli.Page, env Env, o wire.Order) {
	p.Title("Order %s", o.Number)
	p.Field("customer", "%s", o.Customer)
	p.Field("created", "%s", cli.When(o.Created, env.Now()))
	p.Field("ticket", "%s", o.Ticket)
	licenseTable(p, "Licenses", "", o.Licenses)
	if o.Ticket != "" && anyAvailable(o.Licenses) {
		p.Next("on the user's machine: licet activate " + string(o.Ticket))
	}
}

func ticketCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "ticket", Short: "Tickets, which activate licenses"})
	cmd.AddCommand(&cobra.Command{
		Use: "show TICKET", Short: "Show what a ticket stands for", Example: "  licet-central ticket show K7WQM-3XHTA-…", Args: cli.Args("TICKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			t, err := c.Ticket(cmd.Context(), args[0])
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, t, func(p *cli.Page) {
				p.Title("Ticket %s", t.Ticket)
				p.Field("customer", "%s", t.Customer)
				p.Field("order", "%s", t.Number)
				p.Field("created", "%s", cli.When(t.Created, env.Now()))
				licenseTable(p, "Licenses", "", t.Licenses)
				if anyAvailable(t.Licenses) {
					p.Next("on the user's machine: licet activate " + string(t.Ticket))
				}
			})
		},
	})
	return cmd
}

func anyAvailable(list []wire.License) bool {
	for _, l := range list {
		if l.State.Available() && l.KeptFor == "" {
			return true
		}
	}
	return false
}

// licenseTable shows licenses and where they are.
func licenseTable(p *cli.Page, title, empty string, list []wire.License) {
	if title != "" && len(list) > 0 {
		p.Title("%s", title)
	}
	var rows [][]string
	for _, l := range list {
		rows = append(rows, []string{string(l.ID), l.Product, string(l.State), string(l.Container), strings.Join(l.Pending, ", ")})
	}
	p.Table(empty, []string{"ID", "PRODUCT", "STATE", "CONTAINER", "PENDING"}, rows)
}
