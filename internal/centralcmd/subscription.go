package centralcmd

import (
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/registry"
	"licet/license"
	"licet/subscription"
	"licet/wire"
)

const (
	// settleEvery is how often the server looks whether something is due.
	settleEvery = 2 * time.Second
	// settleLease is how long one server has that to itself; it takes less.
	settleLease = 5 * time.Minute
)

// settleUntil has subscriptions renew and lapse until ctx ends; the function it
// returns waits for that.
func settleUntil(ctx context.Context, reg *registry.Registry, log *slog.Logger) (stopped func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(settleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if _, err := reg.SettleSubscriptions(ctx, settleLease); err != nil && ctx.Err() == nil {
				log.Error("what is due of subscriptions is not done; it is tried again", "fault", err)
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

const exampleSubscription = "sub_06bq3c8v4w9x2m5n7p1d8a"

func subscriptionCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "subscription", Short: "Licenses that last as long as periods are renewed"})
	cmd.AddCommand(subscriptionCreateCommand(env), subscriptionListCommand(env), subscriptionShowCommand(env), subscriptionChangeCommand(env),
		subscriptionRenewCommand(env), subscriptionCancelCommand(env), subscriptionResumeCommand(env), subscriptionReportCommand(env),
		historyCommand(env, client.SubscriptionHistory, "a subscription", "ID", "licet-central subscription history "+exampleSubscription))
	return cmd
}

// subscriptionRules are the flags for the rules of a subscription.
func subscriptionRules(cmd *cobra.Command) {
	cmd.Flags().String("lead", "", "licet: periods renew by themselves; outside: another system tells each paid period")
	cmd.Flags().String("notice", "", "so long before a period ends, the next one begins to count and is sent to machines, such as 14d")
	cmd.Flags().String("grace", "", "so long after a period that was not renewed its licenses go on, with a warning, such as 7d")
}

// rulesOf reads them; nil for those that are absent.
func rulesOf(cmd *cobra.Command) (lead *subscription.Lead, notice, grace *license.Duration, err error) {
	if text, _ := cmd.Flags().GetString("lead"); text != "" {
		lead = new(subscription.Lead(text))
	}
	span := func(name string) *license.Duration {
		text, _ := cmd.Flags().GetString(name)
		if text == "" || err != nil {
			return nil
		}
		d, no := license.ParseDuration(text)
		if no != nil {
			err = no
		}
		return &d
	}
	notice, grace = span("notice"), span("grace")
	return lead, notice, grace, err
}

func subscriptionCreateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --customer NAME --item CODE[=QTY][,KEY=VALUE…] --period PERIOD [--number N]",
		Short: "Create a subscription; the answer holds its ticket",
		Long: "Create a subscription: an order with its ticket, its licenses, and the first period.\n\n" +
			"Its licenses last until the end of the period. Each renewal prolongs them, on users' machines with their next contact and no action of the user. " +
			"With --lead licet, which it is if absent, periods renew by themselves; with --lead outside, a shop or another system tells each paid period. " +
			"The same order number again gives the same subscription.",
		Example: `  licet-central subscription create --customer "Ada Miller" --item CAD-PRO=5 --period monthly
  licet-central subscription create --customer "Ada Miller" --number 2026-1001 --item CAD-PRO --period yearly --lead outside --grace 14d`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var req wire.SubscriptionRequest
			req.Customer, _ = cmd.Flags().GetString("customer")
			req.Number, _ = cmd.Flags().GetString("number")
			req.Period, _ = cmd.Flags().GetString("period")
			text, _ := cmd.Flags().GetString("item")
			item, err := orderItem(text)
			if err != nil {
				return err
			}
			req.Product, req.Quantity, req.Override = item.Product, item.Quantity, item.Override
			var lead *subscription.Lead
			if lead, req.Notice, req.Grace, err = rulesOf(cmd); err != nil {
				return err
			}
			if lead != nil {
				req.Lead = *lead
			}
			if text, _ := cmd.Flags().GetString("start"); text != "" {
				if req.Start, err = license.ParseTime(text); err != nil {
					return err
				}
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			done, err := c.CreateSubscription(cmd.Context(), req)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, done, func(p *cli.Page) {
				subscriptionPage(p, env, done.Subscription)
				if !done.New {
					p.Blank()
					p.Line("Nothing was made: the order %s has this subscription already.", done.Subscription.Number)
				}
				if t := done.Subscription.Ticket; t != "" && done.New {
					p.Next("on the user's machine: licet activate " + string(t))
				}
			})
		},
	}
	cmd.Flags().String("customer", "", "name of the customer")
	cmd.Flags().String("number", "", "your own order number; one is made if absent")
	cmd.Flags().String("item", "", "what is sold, such as CAD-PRO=5,seats=10")
	cmd.Flags().String("period", "", "monthly, yearly, or a number of days such as 30d")
	cmd.Flags().String("start", "", "when the first period began, such as 2027-01-01 (default: now)")
	subscriptionRules(cmd)
	for _, name := range []string{"customer", "item", "period"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}

func subscriptionListCommand(env Env) *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use: "list [--state STATE]", Short: "List subscriptions, newest first", Example: "  licet-central subscription list --state in_grace",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			state, _ := cmd.Flags().GetString("state")
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.Subscription], error) {
				return c.Subscriptions(cmd.Context(), subscription.State(state), p)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, s := range list.Items {
					rows = append(rows, []string{s.ID, s.Number, s.Customer, fmt.Sprintf("%d × %s", s.Quantity, s.Item), s.Period, string(s.State), s.Ends.String()})
				}
				p.Table("No subscriptions.", []string{"ID", "ORDER", "CUSTOMER", "WHAT", "PERIOD", "STATE", "PERIOD ENDS"}, rows)
				more(p, list.Next)
			})
		},
	})
	cmd.Flags().String("state", "", "those in this state alone: active, ending, in_grace, lapsed or ended")
	return cmd
}

func subscriptionShowCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a subscription, its licenses, and what there is to bill",
		Long:    "Show a subscription, its licenses, and every line of what there is to bill. ID is its own, or the number of its order.",
		Example: "  licet-central subscription show " + exampleSubscription, Args: cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			s, err := c.Subscription(cmd.Context(), args[0])
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, s, func(p *cli.Page) { subscriptionPage(p, env, s) })
		},
	}
}

func subscriptionPage(p *cli.Page, env Env, s wire.Subscription) {
	p.Title("Subscription %s", s.ID)
	p.Field("what", "%d × %s (%s)", s.Quantity, s.Item, s.Name)
	p.Field("customer", "%s", s.Customer)
	p.Field("order", "%s", s.Number)
	if s.Ticket != "" {
		p.Field("ticket", "%s", s.Ticket)
	}
	p.Field("state", "%s", s.State)
	p.Field("", "%s", s.Meaning)
	p.Field("period", "%s, led by %s", s.Period, s.Lead)
	p.Field("period ends", "%s", cli.When(s.Ends, env.Now()))
	if s.Renews != 0 {
		p.Field("renews", "%s", cli.When(s.Renews, env.Now()))
	}
	p.Field("notice, grace", "%s, %s", s.Notice, s.Grace)
	var rows [][]string
	for _, l := range s.Licenses {
		waiting := ""
		if l.Waiting {
			waiting = "at its container's next contact"
		}
		rows = append(rows, []string{string(l.ID), l.Product, string(l.State), string(l.Container), waiting})
	}
	p.Title("Licenses")
	p.Table("None is left.", []string{"ID", "PRODUCT", "STATE", "CONTAINER", "CHANGES REACH IT"}, rows)
	p.Title("What there is to bill")
	linesTable(p, s.Lines)
}

func linesTable(p *cli.Page, lines []wire.SubscriptionLine) {
	var rows [][]string
	for _, l := range lines {
		quantity := strconv.FormatInt(l.Quantity, 10)
		if l.Kind != "period" && l.Quantity > 0 {
			quantity = "+" + quantity
		}
		rows = append(rows, []string{strconv.FormatInt(l.Number, 10), l.Kind, l.Item, quantity, l.Starts.String(), l.Ends.String(), fmt.Sprintf("%d of %d", l.Days, l.OfDays), l.Reference})
	}
	p.Table("Nothing.", []string{"LINE", "KIND", "WHAT", "QUANTITY", "FROM", "TO", "DAYS", "REFERENCE"}, rows)
}

// subscriptionDone says what a decision did, or would do.
func subscriptionDone(cmd *cobra.Command, done wire.SubscriptionDone) error {
	return cli.Print(cmd, done, func(p *cli.Page) {
		s := done.Subscription
		if !done.Changed {
			p.Line("Nothing was changed: it is so already. %s", s.Meaning)
			return
		}
		p.Line("%d × %s for %s: %s", s.Quantity, s.Item, s.Customer, s.Meaning)
		if done.Renewed > 0 {
			p.Line("Licenses whose end or grace %s: %d. Machines that hold them get that at their next contact.", either(done.DryRun, "would change", "changed"), done.Renewed)
		}
		if len(done.Lines) > 0 {
			p.Title("What this adds to the bill")
			linesTable(p, done.Lines)
		}
		var rows [][]string
		for _, l := range done.Licenses {
			what := withdrawn(l, done.DryRun)
			if l.With != "" {
				what = either(done.DryRun, "would be replaced by ", "is replaced by ") + l.WithProduct
				if l.When == wire.NextContact {
					what += " at the next contact of container " + string(l.Container)
				}
			}
			rows = append(rows, []string{string(l.License), l.Product, what})
		}
		if len(rows) > 0 {
			p.Title("Licenses")
			p.Table("", []string{"LICENSE", "PRODUCT", "WHAT HAPPENS"}, rows)
		}
		if done.DryRun {
			p.Blank()
			p.Line("This was a dry run: nothing was changed.")
			return
		}
		p.Next("licet-central subscription show " + s.ID)
	})
}

func subscriptionChangeCommand(env Env) *cobra.Command {
	cmd := dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "change ID [--quantity N] [--item CODE[,KEY=VALUE…]] [--at-end] … --reason R [--dry-run]",
		Short: "Change quantity, edition, period or rules of a subscription",
		Long: "Change quantity, edition, period or rules of a subscription.\n\n" +
			"More licenses and another edition come at once; fewer licenses, and what --at-end says, with the end of the last period. " +
			"The answer tells the days of the period that are left, so that they can be billed. Another period, notice or grace counts from then on.",
		Example: "  licet-central subscription change " + exampleSubscription + ` --quantity 8 --reason "three more seats" --dry-run
  licet-central subscription change ` + exampleSubscription + ` --item CAD-ULTRA --at-end --reason "upgrade"`,
		Args: cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var req wire.SubscriptionChange
			var err error
			req.Quantity, _ = cmd.Flags().GetInt64("quantity")
			if cmd.Flags().Changed("quantity") && req.Quantity < 1 {
				return cli.Usage("--quantity is 1 or more; to end the subscription: licet-central subscription cancel.")
			}
			if text, _ := cmd.Flags().GetString("item"); text != "" {
				item, err := orderItem(text)
				if err != nil {
					return err
				}
				if strings.Contains(strings.SplitN(text, ",", 2)[0], "=") {
					return cli.Usage("--item names what each license is; how many there are says --quantity.")
				}
				req.Product, req.Override = item.Product, item.Override
			}
			req.AtEnd, _ = cmd.Flags().GetBool("at-end")
			req.Period, _ = cmd.Flags().GetString("period")
			if req.Lead, req.Notice, req.Grace, err = rulesOf(cmd); err != nil {
				return err
			}
			if req.Quantity == 0 && req.Product == "" && req.Period == "" && req.Lead == nil && req.Notice == nil && req.Grace == nil {
				return cli.Usage("Nothing to change was named.")
			}
			req.DryRun = dryRun(cmd)
			done, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.SubscriptionDone, error) {
				req.Reason = reason
				return c.ChangeSubscription(ctx, args[0], req)
			})
			if err != nil {
				return err
			}
			return subscriptionDone(cmd, done)
		},
	}))
	cmd.Flags().Int64("quantity", 0, "how many licenses there are to be")
	cmd.Flags().String("item", "", "what each license is to be, such as CAD-PRO,seats=10")
	cmd.Flags().Bool("at-end", false, "quantity and edition change with the end of the last period")
	cmd.Flags().String("period", "", "of the periods that follow: monthly, yearly, or a number of days such as 30d")
	subscriptionRules(cmd)
	return cmd
}

func subscriptionRenewCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew ID [--periods N] [--reference R] [--reason R]",
		Short: "Tell that periods were paid, where another system leads",
		Long: "Tell that periods were paid, where another system leads the subscription.\n\n" +
			"They follow the last period, also in grace; after a lapse the first one begins now. A reference, such as an invoice's number, names the payment for good: the same one again adds nothing.",
		Example: "  licet-central subscription renew " + exampleSubscription + " --reference INV-2027-0042",
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var req wire.SubscriptionRenewal
			req.Periods, _ = cmd.Flags().GetInt64("periods")
			if req.Periods < 1 {
				return cli.Usage("--periods is 1 or more.")
			}
			req.Reference, _ = cmd.Flags().GetString("reference")
			req.Reason, _ = cmd.Flags().GetString("reason")
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			done, err := c.RenewSubscription(cmd.Context(), args[0], req)
			if err != nil {
				return asked(err)
			}
			return subscriptionDone(cmd, done)
		},
	}
	cmd.Flags().Int64("periods", 1, "how many")
	cmd.Flags().String("reference", "", "what names the payment, such as an invoice's number")
	cmd.Flags().String("reason", "", "why, for the history")
	return cmd
}

func subscriptionCancelCommand(env Env) *cobra.Command {
	cmd := dryRunFlag(reasonFlag(&cobra.Command{
		Use:   "cancel ID [--now] --reason R [--dry-run]",
		Short: "End a subscription with its last period, or at once",
		Long: "End a subscription with its last period. Until then it can be resumed as if nothing had happened, and after that with a new period.\n\n" +
			"With --now it ends at once and for good: its licenses are withdrawn, on users' machines at their next contact.",
		Example: "  licet-central subscription cancel " + exampleSubscription + ` --reason "the customer has given notice"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now, _ := cmd.Flags().GetBool("now")
			done, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.SubscriptionDone, error) {
				return c.CancelSubscription(ctx, args[0], wire.SubscriptionCancellation{Now: now, Reason: reason, DryRun: dryRun(cmd)})
			})
			if err != nil {
				return err
			}
			return subscriptionDone(cmd, done)
		},
	}))
	cmd.Flags().Bool("now", false, "at once and for good: its licenses are withdrawn")
	return cmd
}

func subscriptionResumeCommand(env Env) *cobra.Command {
	cmd := reasonFlag(&cobra.Command{
		Use:   "resume ID [--reference R] --reason R",
		Short: "Take a cancellation back, or begin anew after a lapse",
		Long: "Take a cancellation back as long as the last period runs; after a lapse, begin a new period now. " +
			"Machines that still hold the licenses get them prolonged at their next contact.",
		Example: "  licet-central subscription resume " + exampleSubscription + ` --reason "the customer is back"`,
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference, _ := cmd.Flags().GetString("reference")
			done, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.SubscriptionDone, error) {
				return c.ResumeSubscription(ctx, args[0], wire.SubscriptionResumption{Reference: reference, Reason: reason})
			})
			if err != nil {
				return err
			}
			return subscriptionDone(cmd, done)
		},
	})
	cmd.Flags().String("reference", "", "what names the payment of a new period, such as an invoice's number")
	return cmd
}

func subscriptionReportCommand(env Env) *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use:   "report --from DATE --to DATE [--by subscription|customer|product] [--csv]",
		Short: "What was agreed and used from one date to another, for billing",
		Long: "What was agreed and used from one date to another, for billing: periods that began and their licenses, licenses × days, and units that were counted.\n\n" +
			"Days are days of the calendar in UTC and add up: what was added, or fell away, within a period counts from that day on. The end does not belong to the time.",
		Example: "  licet-central subscription report --from 2027-01-01 --to 2027-02-01 --by customer --csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			date := func(name string) (license.Time, error) {
				text, _ := cmd.Flags().GetString(name)
				return license.ParseTime(text)
			}
			from, err := date("from")
			if err != nil {
				return err
			}
			to, err := date("to")
			if err != nil {
				return err
			}
			by, _ := cmd.Flags().GetString("by")
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.BillingRow], error) {
				return c.Billing(cmd.Context(), by, from, to, p)
			})
			if err != nil {
				return err
			}
			var rows [][]string
			for _, r := range list.Items {
				var row []string
				switch by {
				case "customer":
					row = []string{r.Customer}
				case "product":
					row = []string{r.Product}
				default:
					row = []string{r.Subscription, r.Number, r.Customer, r.Product}
				}
				for _, n := range []int64{r.Periods, r.Licenses, r.LicenseDays, r.Units} {
					row = append(row, strconv.FormatInt(n, 10))
				}
				rows = append(rows, row)
			}
			if table, _ := cmd.Flags().GetBool("csv"); table {
				return billingCSV(cmd, by, rows)
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				headings := billingHeadings(by)
				for i := range headings {
					headings[i] = strings.ToUpper(strings.ReplaceAll(headings[i], "_", " "))
				}
				p.Table("No subscription had a period then.", headings, rows)
				more(p, list.Next)
			})
		},
	})
	cmd.Flags().String("from", "", "beginning, such as 2027-01-01")
	cmd.Flags().String("to", "", "end, which does not belong to it")
	cmd.Flags().String("by", "subscription", "a row for each subscription, customer or product")
	cmd.Flags().Bool("csv", false, "as CSV")
	_ = cmd.MarkFlagRequired("from") // the flag is there
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func billingHeadings(by string) []string {
	numbers := []string{"periods", "licenses", "license_days", "units"}
	switch by {
	case "customer", "product":
		return append([]string{by}, numbers...)
	}
	return append([]string{"subscription", "order", "customer", "product"}, numbers...)
}

func billingCSV(cmd *cobra.Command, by string, rows [][]string) error {
	w := csv.NewWriter(cmd.OutOrStdout())
	for _, row := range append([][]string{billingHeadings(by)}, rows...) {
		for i, cell := range row {
			// A spreadsheet would take it for a formula.
			if _, err := strconv.ParseInt(cell, 10, 64); err != nil && strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
				row[i] = "'" + cell
			}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
