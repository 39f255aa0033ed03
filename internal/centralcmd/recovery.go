package centralcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/catalog"
	"licet/internal/cli"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

func recoveryCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "recovery", Short: "Lost licenses, and what is decided about them"})
	cmd.AddCommand(recoveryListCommand(env), recoveryShowCommand(env), recoveryApproveCommand(env), recoveryRefuseCommand(env), recoveryAskCommand(env),
		recoveryEnableCommand(env), recoveryExplainCommand(env), recoverySimulateCommand(env), recoveryExcessCommand(env))
	return cmd
}

func recoveryListCommand(env Env) *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use: "list [--all]", Short: "List reports of lost licenses that wait for a decision", Example: "  licet-central recovery list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, _ := cmd.Flags().GetBool("all")
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.Recovery], error) { return c.Recoveries(cmd.Context(), !all, p) })
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, r := range list.Items {
					rows = append(rows, []string{number(r.Number), stateOf(r), r.Customer, lostIn(r), r.Reason, cli.Ago(r.Created, env.Now())})
				}
				p.Table(either(all, "No loss was ever reported.", "No report waits. With --all, those that are decided are listed too."),
					[]string{"NUMBER", "STATE", "CUSTOMER", "WHAT IS LOST", "WHY", "REPORTED"}, rows)
				more(p, list.Next)
				if len(rows) > 0 && !all {
					p.Next("licet-central recovery show " + rows[0][0])
				}
			})
		},
	})
	cmd.Flags().Bool("all", false, "those that are decided too, newest first")
	return cmd
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// states of a report, for staff.
var recoveryStates = map[string]string{
	"waiting": "waits for you", "asked": "waits for the user's answer", "granted": "granted by policy",
	"approved": "approved", "refused": "refused", "withdrawn": "taken back",
}

func stateOf(r wire.Recovery) string {
	if text := recoveryStates[r.State]; text != "" {
		return text
	}
	return r.State
}

func open(r wire.Recovery) bool { return r.State == "waiting" || r.State == "asked" }

// lostIn says what is lost in a few words.
func lostIn(r wire.Recovery) string {
	var products []string
	for _, l := range r.Licenses {
		if !slices.Contains(products, l.Product) {
			products = append(products, l.Product)
		}
	}
	text := strings.Join(products, ", ")
	if n := len(r.Licenses); n > len(products) {
		text = fmt.Sprintf("%d licenses of %s", n, text)
	}
	if r.Scope == string(recovery.ScopeContainer) {
		text += ", with their container" + either(r.Hardware != "", " ("+hardwares[recovery.Hardware(r.Hardware)]+")", "")
	}
	return text
}

// hardwares says what became of a machine.
var hardwares = map[recovery.Hardware]string{
	recovery.SameHardware: "same machine, installed anew", recovery.NewHardware: "another machine", recovery.Damaged: "container damaged",
}

// recoveryNumber reads the number of a report.
func recoveryNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		return 0, refusal.New(refusal.InvalidInput, "%q is not the number of a report.", text).Hinted("licet-central recovery list names them.")
	}
	return n, nil
}

func recoveryShowCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "show NUMBER", Short: "Show a report, and all that counts for its decision", Example: "  licet-central recovery show 3", Args: cli.Args("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := recoveryNumber(args[0])
			if err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			r, err := c.Recovery(cmd.Context(), n)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, r, func(p *cli.Page) { recoveryPage(p, env, r) })
		},
	}
}

func recoveryPage(p *cli.Page, env Env, r wire.Recovery) {
	now := env.Now()
	p.Title("Recovery %d", r.Number)
	p.Field("state", "%s", stateOf(r))
	p.Field("customer", "%s", r.Customer)
	p.Field("lost", "%s", lostIn(r))
	p.Field("container", "%s", r.Container)
	p.Field("reason", "%s", r.Reason)
	p.Field("evidence", "%s", r.Evidence)
	p.Field("contact", "%s", r.Contact)
	p.Field("language", "%s", r.Language)
	p.Field("reported", "%s", cli.When(r.Created, now))
	p.Field("conditions", "%s", either(r.Accepted != 0 && r.Conditions != "", "accepted "+cli.When(r.Accepted, now)+": "+r.Conditions, ""))
	p.Field("decided", "%s", either(r.Decided != 0, cli.When(r.Decided, now)+" by "+r.DecidedBy, ""))
	p.Field("because", "%s", r.Decision)
	if len(r.Notes) > 0 {
		p.Title("Said about it")
		var rows [][]string
		for _, n := range r.Notes {
			rows = append(rows, []string{n.Time.String(), n.Actor, n.Text})
		}
		p.Table("", []string{"TIME", "WHO", "TEXT"}, rows)
	}
	for _, l := range r.Licenses {
		lostLicense(p, r, l)
	}
	p.Next(recoveryNext(r)...)
}

func lostLicense(p *cli.Page, r wire.Recovery, l wire.RecoveryLicense) {
	p.Title("%s  %s", l.License, l.Product)
	p.Field("it was", "%s", either(l.Container != "", fmt.Sprintf("in container %s, generation %d", l.Container, l.Generation), ""))
	p.Field("it is", "%s", l.State)
	p.Field("policy", "%s", verdicts[recovery.Verdict(l.Verdict)])
	p.Field("outcome", "%s", outcome(l))
	p.Field("allowed by staff", "%s", either(l.Allowed > 0, fmt.Sprintf("%d restores beyond the policy, not used yet", l.Allowed), ""))
	ruleTable(p, l.Because)
	var rows [][]string
	for _, x := range l.Restores {
		report := ""
		if x.Recovery != 0 {
			report = number(x.Recovery) + either(x.Recovery == r.Number, " (this one)", "")
		}
		rows = append(rows, []string{x.Time.String(), howRestored[x.How], report, string(x.Container), x.Actor})
	}
	p.Blank()
	p.Table("It was never restored.", []string{"RESTORED", "HOW", "REPORT", "FROM CONTAINER", "WHO"}, rows)
}

// verdicts say what policy came to.
var verdicts = map[recovery.Verdict]string{recovery.Grant: "restores it at once", recovery.Ask: "leaves it to staff", recovery.Refuse: "refuses it"}

// howRestored says how restores came about.
var howRestored = map[string]string{"automatic": "by policy", "extra": "staff had allowed it before", "staff": "by staff", "lost": "lost with its withdrawal"}

// outcome says what became of a license of a report.
func outcome(l wire.RecoveryLicense) string {
	switch l.Outcome {
	case "waiting":
		return "not decided yet"
	case "restored":
		return "restored: it can be activated as usual, and the lost copy no longer counts"
	case "refused":
		return "refused: it stays where it is"
	case "restored_before":
		return "nothing was done: it was restored by another report meanwhile"
	case "not_collected", "returned":
		return "nothing was done: it was returned meanwhile and can be activated as usual"
	case "gone":
		return "nothing was done: it was withdrawn meanwhile"
	}
	return "refused by policy: " + l.Outcome
}

// ruleTable shows the rules that were looked at, in their order.
func ruleTable(p *cli.Page, because []recovery.Reason) {
	var rows [][]string
	for _, b := range because {
		rows = append(rows, []string{string(b.Rule), either(b.Applies, "yes", "no"), b.Text})
	}
	if len(rows) > 0 {
		p.Blank()
	}
	p.Table("", []string{"RULE", "APPLIES", "WHY"}, rows)
}

func recoveryNext(r wire.Recovery) (next []string) {
	if open(r) {
		n := number(r.Number)
		next = append(next, "licet-central recovery approve "+n, "licet-central recovery refuse "+n+` --reason "…"`, "licet-central recovery ask "+n+` --question "…"`)
	}
	if len(r.Licenses) > 0 {
		next = append(next, "licet-central license history "+string(r.Licenses[0].License))
	}
	return next
}

func recoveryApproveCommand(env Env) *cobra.Command {
	var chosen []string
	cmd := &cobra.Command{
		Use:   "approve NUMBER [--reason R] [--license ID…] [--stop S] [--found F]",
		Short: "Approve a report: what waits in it is restored",
		Long: "Approve a report: the licenses that wait in it are restored, and their lost copies no longer count: each goes at the next contact of its container.\n\n" +
			"With --license only those named are, and the others are refused. --stop and --found say for this case how the lost copy is stopped, and what happens if it turns up; without them it is as the policy says.",
		Example: `  licet-central recovery approve 3 --reason "invoice of the repair shop seen"`,
		Args:    cli.Args("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := recoveryNumber(args[0])
			if err != nil {
				return err
			}
			req := wire.Approval{Licenses: ids(chosen)}
			req.Reason, _ = cmd.Flags().GetString("reason")
			stop, _ := cmd.Flags().GetString("stop")
			found, _ := cmd.Flags().GetString("found")
			req.Stop, req.Found = license.Stop(stop), license.Found(found)
			if stop != "" && !slices.Contains(license.Stops, req.Stop) {
				return cli.Usage("--stop is %q; it may be %s.", stop, strings.Join(texts(license.Stops), ", "))
			}
			if found != "" && !slices.Contains(license.Founds, req.Found) {
				return cli.Usage("--found is %q; it may be %s.", found, strings.Join(texts(license.Founds), ", "))
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			r, err := c.ApproveRecovery(cmd.Context(), n, req)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, r, func(p *cli.Page) { decidedPage(p, r) })
		},
	}
	cmd.Flags().String("reason", "", "why, for the history and the user")
	cmd.Flags().StringArrayVar(&chosen, "license", nil, "only this license; may be repeated")
	cmd.Flags().String("stop", "", "how the lost copy is stopped: withdraw, block or return")
	cmd.Flags().String("found", "", "what happens if it turns up: withdrawn, blocked or revived")
	return cmd
}

// decidedPage says what a decision came to.
func decidedPage(p *cli.Page, r wire.Recovery) {
	p.Line("Recovery %d of %s: %s.", r.Number, r.Customer, stateOf(r))
	var rows [][]string
	restored := false
	for _, l := range r.Licenses {
		rows = append(rows, []string{string(l.License), l.Product, outcome(l)})
		restored = restored || l.Outcome == "restored"
	}
	p.Table("", []string{"LICENSE", "PRODUCT", "OUTCOME"}, rows)
	switch {
	case r.Contact != "" && !open(r):
		p.Next(either(restored, "tell "+r.Contact+": on the new machine, licet activate TICKET", "tell "+r.Contact+" why"))
	case restored:
		p.Next("on the user's new machine: licet activate TICKET")
	}
}

func recoveryRefuseCommand(env Env) *cobra.Command {
	return reasonFlag(&cobra.Command{
		Use: "refuse NUMBER --reason R", Short: "Refuse a report; the user reads the reason",
		Long:    "Refuse a report. Its licenses stay where they are, and the user reads the reason.",
		Example: `  licet-central recovery refuse 3 --reason "The machine called on Monday."`, Args: cli.Args("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := recoveryNumber(args[0])
			if err != nil {
				return err
			}
			r, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.Recovery, error) {
				return c.RefuseRecovery(ctx, n, reason)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, r, func(p *cli.Page) { decidedPage(p, r) })
		},
	})
}

func recoveryAskCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ask NUMBER --question Q", Short: "Ask the user back; the report waits for the answer",
		Example: `  licet-central recovery ask 3 --question "Which machine was it?"`, Args: cli.Args("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := recoveryNumber(args[0])
			if err != nil {
				return err
			}
			question, _ := cmd.Flags().GetString("question")
			if strings.TrimSpace(question) == "" {
				return cli.Usage("--question is empty: say what the user is to answer.")
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			r, err := c.AskRecovery(cmd.Context(), n, question)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, r, func(p *cli.Page) {
				p.Line("The question is kept with recovery %d, which waits for the user's answer.", r.Number)
				p.Next("licet-central recovery show " + number(r.Number))
			})
		},
	}
	cmd.Flags().String("question", "", "what the user is to answer")
	_ = cmd.MarkFlagRequired("question") // the flag is there
	return cmd
}

func recoveryEnableCommand(env Env) *cobra.Command {
	cmd := reasonFlag(&cobra.Command{
		Use:   "enable ID… --reason R [--count N]",
		Short: "Allow restores of licenses beyond their policy",
		Long: "Allow restores of licenses beyond their policy, with a report in the system or without.\n\n" +
			"The next reports of their loss are granted at once, as many as were allowed. All of the licenses are enabled, or none.",
		Example: "  licet-central recovery enable " + exampleID + ` --reason "agreed by telephone"`,
		Args:    cli.Args("ID…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			count, _ := cmd.Flags().GetInt64("count")
			if count < 1 || count > 100 {
				return cli.Usage("--count may be from 1 to 100.")
			}
			list, err := reasoned(cmd, env, func(ctx context.Context, c *client.Central, reason string) (wire.List[wire.License], error) {
				return c.EnableRestore(ctx, wire.RestoreGrants{Licenses: ids(args), Count: count, Reason: reason})
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				times := either(count == 1, "once more", fmt.Sprintf("%d times more", count))
				for _, l := range list.Items {
					p.Line("%s (%s) may be restored %s, whatever its policy says.", l.Product, l.ID, times)
				}
				p.Next("on the user's new machine: licet restore TICKET")
			})
		},
	})
	cmd.Flags().Int64("count", 1, "how many restores of each")
	return cmd
}

func recoveryExplainCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain ID [--scope container --hardware H]",
		Short: "Explain what a report of a loss would come to now",
		Long: "Explain what a report of a loss would come to now: every rule of the policy, in order, up to the one that decides.\n\n" +
			"It is asked as if the user had accepted the conditions.",
		Example: "  licet-central recovery explain " + exampleID + " --scope container --hardware new",
		Args:    cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			scope, _ := cmd.Flags().GetString("scope")
			hw, _ := cmd.Flags().GetString("hardware")
			switch {
			case !slices.Contains(recovery.Scopes, recovery.Scope(scope)):
				return cli.Usage("--scope is %q; it may be %s.", scope, strings.Join(texts(recovery.Scopes), ", "))
			case hw != "" && !slices.Contains(recovery.Hardwares, recovery.Hardware(hw)):
				return cli.Usage("--hardware is %q; it may be %s.", hw, strings.Join(texts(recovery.Hardwares), ", "))
			case hw != "" && scope != string(recovery.ScopeContainer):
				return cli.Usage("--hardware counts for a lost container: add --scope container.")
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			x, err := c.ExplainRestore(cmd.Context(), license.ID(args[0]), recovery.Scope(scope), recovery.Hardware(hw))
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, x, func(p *cli.Page) { explanationPage(p, env, x) })
		},
	}
	cmd.Flags().String("scope", string(recovery.ScopeLicense), "what is lost: license, or container with everything in it")
	cmd.Flags().String("hardware", "", "what became of the machine of a lost container: same, new or damaged")
	return cmd
}

func explanationPage(p *cli.Page, env Env, x wire.Explanation) {
	d := x.Decision
	p.Title("%s  %s", x.License, x.Product)
	p.Field("container", "%s", x.Container)
	p.Field("if it were lost now", "%s", either(d.UsesExtra, "it is restored at once, because staff have allowed it", "policy "+verdicts[d.Verdict]))
	p.Field("the user would read", "%s", d.Message)
	p.Field("", "%s", d.Hint)
	p.Field("left after that", "%s", either(d.Verdict == recovery.Grant && !d.UsesExtra, either(d.Left < 0, "no limit", fmt.Sprintf("%d by policy", d.Left)), ""))
	p.Field("possible again", "%s", cli.When(d.Again, env.Now()))
	if d.Verdict != recovery.Refuse {
		p.Field("the lost copy", "%s; if it turns up: %s", d.Stop, d.Found)
	}
	ruleTable(p, d.Because)
	if d.Verdict == recovery.Refuse && d.Code != refusal.LicenseWithdrawn {
		p.Next("licet-central recovery enable " + string(x.License) + ` --reason "…"  allows it all the same`)
	}
}

func recoverySimulateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate --product CODE -f FILE [--days N]",
		Short: "Try a policy on past reports: what would have been decided otherwise",
		Long: "Try a policy on past reports of lost licenses of a product, and say what would have been decided otherwise. Nothing changes.\n\n" +
			"The file holds what a catalog has under restore; what it leaves out is as for a new product. Limits count what the new policy would have granted.",
		Example: "  licet-central recovery simulate --product CAD-PRO -f policy.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, _ := cmd.Flags().GetString("product")
			name, _ := cmd.Flags().GetString("file")
			days, _ := cmd.Flags().GetInt64("days")
			if days < 1 || days > 3650 {
				return cli.Usage("--days may be from 1 to 3650.")
			}
			text, err := readInput(cmd, name)
			if err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			product, err := c.Product(cmd.Context(), code)
			if err != nil {
				return asked(err)
			}
			policy, err := catalog.ParsePolicy(product, text)
			if err != nil {
				return err
			}
			restore, err := json.Marshal(policy)
			if err != nil {
				return err
			}
			s, err := c.Simulate(cmd.Context(), wire.SimulationRequest{Product: code, Restore: restore, Days: days})
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, s, func(p *cli.Page) { simulationPage(p, s) })
		},
	}
	cmd.Flags().String("product", "", "code of the product")
	cmd.Flags().StringP("file", "f", "", "policy file; - reads standard input")
	cmd.Flags().Int64("days", 365, "reports of the last so many days")
	// The flags are there.
	_ = cmd.MarkFlagRequired("product")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func simulationPage(p *cli.Page, s wire.Simulation) {
	sum := s.Summary
	if sum.Cases == 0 {
		p.Line("No loss of %s was reported since %s.", s.Product, s.Since)
		return
	}
	p.Line("Losses of %s reported since %s: %d. Decided otherwise: %d.", s.Product, s.Since, sum.Cases, sum.Changed)
	if s.More {
		p.Line("There are more; those were the oldest. Ask for fewer --days.")
	}
	p.Blank()
	p.Table("", []string{"POLICY", "THEN", "NOW"}, [][]string{
		{verdicts[recovery.Grant], strconv.Itoa(sum.Then.Granted), strconv.Itoa(sum.Now.Granted)},
		{verdicts[recovery.Ask], strconv.Itoa(sum.Then.Asked), strconv.Itoa(sum.Now.Asked)},
		{verdicts[recovery.Refuse], strconv.Itoa(sum.Then.Refused), strconv.Itoa(sum.Now.Refused)},
	})
	var rows [][]string
	for _, c := range s.Changed {
		why := ""
		if n := len(c.Now.Because); n > 0 {
			why = c.Now.Because[n-1].Text
		}
		rows = append(rows, []string{number(c.Recovery), c.Time.String(), c.Customer, string(c.License), string(c.Then), string(c.Now.Verdict), why})
	}
	if len(rows) > 0 {
		p.Title("Decided otherwise")
	}
	p.Table("", []string{"REPORT", "TIME", "CUSTOMER", "LICENSE", "THEN", "NOW", "WHY NOW"}, rows)
}

func recoveryExcessCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "excess [--count N] [--days D]",
		Short: "List customers, containers and staff with many restores",
		Long: "List customers, containers and members of staff with more reports with restores than a number, in a number of days.\n\n" +
			"A container that is lost with everything in it counts once. More than 3 in 30 days is also told in the audit trail as it happens.",
		Example: "  licet-central recovery excess --count 3 --days 30",
		RunE: func(cmd *cobra.Command, _ []string) error {
			count, _ := cmd.Flags().GetInt64("count")
			days, _ := cmd.Flags().GetInt64("days")
			if count < 1 || days < 1 {
				return cli.Usage("--count and --days are 1 or more.")
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			x, err := c.Excess(cmd.Context(), count, days)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, x, func(p *cli.Page) {
				var rows [][]string
				for _, e := range x.Items {
					rows = append(rows, []string{e.Kind, e.Subject, strconv.FormatInt(e.Times, 10), strconv.FormatInt(e.Licenses, 10), cli.Ago(e.Last, env.Now())})
				}
				p.Table(fmt.Sprintf("Nobody had more than %d reports with restores in %d days.", x.Count, x.Days), []string{"KIND", "WHO", "REPORTS", "LICENSES", "LAST"}, rows)
			})
		},
	}
	cmd.Flags().Int64("count", 3, "more than so many")
	cmd.Flags().Int64("days", 30, "in so many days")
	return cmd
}
