package centralcmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

const (
	// bulkEvery is how often the server looks for jobs when there was nothing to do, and
	// forgetEvery for old ones.
	bulkEvery   = 250 * time.Millisecond
	forgetEvery = time.Minute
	// firstLook is how soon a command looks whether its job has ended; later ones come
	// when the server says.
	firstLook = 50 * time.Millisecond
)

// bulkUntil carries out jobs until ctx ends; the function it returns waits for the item
// that is under way.
func bulkUntil(ctx context.Context, reg *registry.Registry, log *slog.Logger) (stopped func()) {
	ctx, cancel := context.WithCancel(ctx)
	owner := rand.Text() // this process, before others at the same database
	var running sync.WaitGroup
	running.Go(func() {
		wait := time.NewTimer(bulkEvery)
		defer wait.Stop()
		var looked time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-wait.C:
			}
			did, err := reg.WorkBulk(ctx, owner)
			if err != nil && ctx.Err() == nil {
				log.Error("a job does not go on; it is tried again", "fault", err)
			}
			if !did && time.Since(looked) > forgetEvery {
				more, err := reg.ForgetBulks(ctx)
				if err != nil && ctx.Err() == nil {
					log.Error("old jobs are not forgotten; it is tried again", "fault", err)
				}
				if !more {
					looked = time.Now()
				}
			}
			next := bulkEvery
			if did && err == nil {
				next = 0
			}
			wait.Reset(next)
		}
	})
	return func() { cancel(); running.Wait() }
}

const exampleBulk = "blk_06bq3c8v4w9x2m5n7p1d8a"

// bulkColumns are the columns of a table for each kind, those that must be there first.
var bulkColumns = map[string]struct {
	must, may []string
	decides   bool
}{
	wire.BulkRenewals: {must: []string{"subscription"}, may: []string{"periods", "reference"}},
	wire.BulkWithdraw: {must: []string{"license"}, decides: true},
	wire.BulkReplace:  {must: []string{"license", "with"}, decides: true},
	wire.BulkAssign:   {must: []string{"license", "container"}, decides: true},
	wire.BulkTakeBack: {must: []string{"license"}, decides: true},
	wire.BulkUnits:    {must: []string{"license", "units"}, decides: true},
	wire.BulkBlock:    {must: []string{"container"}, decides: true},
	wire.BulkUnblock:  {must: []string{"container"}, decides: true},
	wire.BulkPush:     {must: []string{"container"}},
	// Tables of orders have terms as columns; subscriptions come as JSON.
	wire.BulkOrders:        {},
	wire.BulkSubscriptions: {},
}

// numeric are the columns that hold numbers.
var numeric = []string{"units", "periods"}

func bulkCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "bulk", Short: "Many operations of one kind as one job that the server carries out"})
	cmd.AddCommand(bulkStartCommand(env), bulkListCommand(env), bulkShowCommand(env), bulkWaitCommand(env), bulkResultsCommand(env), bulkCancelCommand(env))
	return cmd
}

func bulkStartCommand(env Env) *cobra.Command {
	kinds := slices.Sorted(maps.Keys(bulkColumns))
	cmd := dryRunFlag(&cobra.Command{
		Use:   "start KIND FILE [--reason R] [--dry-run] [--detach]",
		Short: "Start a job from a table or a JSON file, and show how it gets on",
		Long: "Start a job from a table or a JSON file, and show how it gets on.\n\n" +
			"KIND is one of " + strings.Join(kinds, ", ") + ". The first line of a table names the columns: license; with, container or units where the kind needs them; subscription, periods and reference for renewals; container alone for block, unblock and push. " +
			"A table of orders is the one that import takes. A JSON file is the list of items as in the management interface.\n\n" +
			"The job belongs to the server: it goes on when this command ends, and when the server is started again. Each item is done once, wholly or not at all; one that is refused does not keep the others.",
		Example: `  licet-central bulk start orders customers.csv --dry-run
  licet-central bulk start withdraw licenses.csv --reason "contract ended" --detach`,
		Args: cli.Args("KIND", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, request, err := bulkRequest(cmd, env, args[0], args[1])
			if err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			job, err := c.StartBulk(cmd.Context(), path, request)
			if err != nil {
				return asked(err)
			}
			if detached, _ := cmd.Flags().GetBool("detach"); detached {
				return cli.Print(cmd, job, func(p *cli.Page) {
					bulkPage(p, env, job)
					p.Next("licet-central bulk wait " + job.ID)
				})
			}
			return bulkWait(cmd, env, c, job)
		},
	})
	cmd.Flags().String("reason", "", "why, for the histories; what staff decide about licenses and containers needs it")
	cmd.Flags().Bool("detach", false, "do not wait for its end")
	resentFlag(cmd)
	return cmd
}

// bulkRequest reads what is to be done from a file.
func bulkRequest(cmd *cobra.Command, env Env, kind, name string) (path string, request any, err error) {
	columns, known := bulkColumns[kind]
	if !known {
		return "", nil, cli.Usage("%q is no kind of job; there are %s.", kind, strings.Join(slices.Sorted(maps.Keys(bulkColumns)), ", "))
	}
	body := map[string]any{}
	if dryRun(cmd) {
		if kind == wire.BulkPush {
			return "", nil, cli.Usage("Updates are made or not; there is nothing to try. Leave --dry-run.")
		}
		body["dry_run"] = true
	}
	if columns.decides {
		if body["reason"], err = reasonOf(cmd); err != nil {
			return "", nil, err
		}
	} else if cmd.Flags().Changed("reason") {
		return "", nil, cli.Usage("A job of the kind %s takes no --reason.", kind)
	}
	text, err := readAll(env, name)
	if err != nil {
		return "", nil, err
	}
	resent, _ := cmd.Flags().GetBool("resent")
	isJSON := bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n\ufeff"), []byte("["))
	switch {
	case resent && (kind != wire.BulkOrders || isJSON):
		return "", nil, cli.Usage("--resent is for tables of orders alone; in a JSON file each order says it.")
	case isJSON:
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return "", nil, refusal.New(refusal.InvalidInput, "%s is no list in JSON: %s.", filepath.Base(name), err)
		}
		body["items"] = items
		return kind, body, nil
	case kind == wire.BulkOrders:
		body["csv"] = string(text)
		if resent {
			body["resent"] = true
		}
		return "import", body, nil
	case len(columns.must) == 0:
		return "", nil, refusal.New(refusal.InvalidInput, "A job of the kind %s takes a list in JSON, and this is none.", kind)
	}
	body["items"], err = bulkTable(text, columns.must, columns.may)
	return kind, body, err
}

func readAll(env Env, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(env.In)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, refusal.New(refusal.NotFound, "%s cannot be read: %s.", name, err)
	}
	return text, nil
}

// bulkTable reads a table whose columns are the fields of the items.
func bulkTable(text []byte, must, may []string) (items []map[string]any, err error) {
	no := func(format string, args ...any) error {
		return refusal.New(refusal.InvalidInput, format, args...).Hinted("Nothing was done. Correct the table.")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	head, err := r.Read()
	if err != nil {
		return nil, no("The file is no table: %s.", err)
	}
	for i, c := range head {
		head[i] = strings.ToLower(strings.TrimSpace(c))
		if !slices.Contains(must, head[i]) && !slices.Contains(may, head[i]) || slices.Contains(head[:i], head[i]) {
			return nil, no("The column %q is none; there are %s.", c, strings.Join(slices.Concat(must, may), ", "))
		}
	}
	for _, c := range must {
		if !slices.Contains(head, c) {
			return nil, no("The first line names no column %q.", c)
		}
	}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return items, nil
		}
		if err != nil {
			return nil, no("The file is no table: %s.", err)
		}
		line, _ := r.FieldPos(0)
		item := map[string]any{}
		for i, c := range head {
			switch cell := strings.TrimSpace(record[i]); {
			case cell == "" && slices.Contains(must, c):
				return nil, no("Line %d: the column %s is empty.", line, c)
			case cell == "":
			case slices.Contains(numeric, c):
				if item[c], err = strconv.ParseInt(cell, 10, 64); err != nil {
					return nil, no("Line %d: %q is no number.", line, cell)
				}
			default:
				item[c] = cell
			}
		}
		items = append(items, item)
	}
}

// bulkWait shows how a job gets on until it has ended.
func bulkWait(cmd *cobra.Command, env Env, c *client.Central, job wire.Bulk) (err error) {
	bar := cli.Bar(cmd)
	for next := firstLook; !job.Over(); next = min(2*next, time.Duration(max(job.PollWait, 1))*time.Second) {
		note := ""
		if job.Failed > 0 {
			note = fmt.Sprintf(", refused: %d", job.Failed)
		}
		if job.Waits != "" {
			note += ", waits: " + string(job.Waits)
		}
		bar.Show(job.Done+job.Failed, job.Total, note)
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-cmd.Context().Done():
			timer.Stop()
			bar.End()
			return refusal.New(refusal.NotDone, "The job %s goes on without this command.", job.ID).
				Hinted("licet-central bulk wait %s shows it again; licet-central bulk cancel %s ends it.", job.ID, job.ID)
		}
		if job, err = c.Bulk(cmd.Context(), job.ID); err != nil && cmd.Context().Err() == nil {
			bar.End()
			return asked(err)
		}
	}
	bar.Show(job.Done+job.Failed, job.Total, "")
	bar.End()
	if err := cli.Print(cmd, job, func(p *cli.Page) { bulkPage(p, env, job) }); err != nil {
		return err
	}
	switch {
	case job.Failed > 0:
		return refusal.New(refusal.NotDone, "%d of %d items were refused.", job.Failed, job.Total).Hinted("licet-central bulk results %s --failed names them.", job.ID)
	case job.State == wire.BulkCanceled:
		return refusal.New(refusal.NotDone, "The job was ended early.").Hinted("licet-central bulk results %s names what was done.", job.ID)
	}
	return nil
}

func bulkPage(p *cli.Page, env Env, j wire.Bulk) {
	now := env.Now()
	p.Title("Job %s", j.ID)
	p.Field("kind", "%s%s", j.Kind, either(j.DryRun, ", dry run: nothing is changed", ""))
	p.Field("state", "%s", j.State)
	p.Field("items", "%d: %d done, %d refused", j.Total, j.Done, j.Failed)
	if j.Waits != "" {
		p.Field("waits", "%s", j.Waits)
	}
	p.Field("reason", "%s", j.Reason)
	p.Field("created", "%s by %s", cli.When(j.Created, now), j.Actor)
	if j.Ended != 0 {
		p.Field("ended", "%s", cli.When(j.Ended, now))
	}
}

func bulkListCommand(env Env) *cobra.Command {
	return listFlags(&cobra.Command{
		Use: "list", Short: "List jobs, newest first", Example: "  licet-central bulk list --limit 10", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.Bulk], error) { return c.Bulks(cmd.Context(), p) })
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, j := range list.Items {
					rows = append(rows, []string{j.ID, j.Kind, j.State, fmt.Sprintf("%d of %d", j.Done+j.Failed, j.Total), strconv.FormatInt(j.Failed, 10), cli.When(j.Created, env.Now())})
				}
				p.Table("No jobs. licet-central bulk start makes one.", []string{"ID", "KIND", "STATE", "ITEMS", "REFUSED", "CREATED"}, rows)
				more(p, list.Next)
			})
		},
	})
}

// bulkOf makes a command that is about one job.
func bulkOf(env Env, cmd *cobra.Command, do func(*cobra.Command, *client.Central, string) (wire.Bulk, error)) *cobra.Command {
	cmd.Args = cli.Args("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := central(cmd, env)
		if err != nil {
			return err
		}
		job, err := do(cmd, c, args[0])
		if err != nil {
			return asked(err)
		}
		return cli.Print(cmd, job, func(p *cli.Page) { bulkPage(p, env, job) })
	}
	return cmd
}

func bulkShowCommand(env Env) *cobra.Command {
	return bulkOf(env, &cobra.Command{Use: "show ID", Short: "Show how far a job is", Example: "  licet-central bulk show " + exampleBulk},
		func(cmd *cobra.Command, c *client.Central, id string) (wire.Bulk, error) {
			return c.Bulk(cmd.Context(), id)
		})
}

func bulkCancelCommand(env Env) *cobra.Command {
	return bulkOf(env, &cobra.Command{Use: "cancel ID", Short: "End a job before its next item; what was done stays done", Example: "  licet-central bulk cancel " + exampleBulk},
		func(cmd *cobra.Command, c *client.Central, id string) (wire.Bulk, error) {
			return c.CancelBulk(cmd.Context(), id)
		})
}

func bulkWaitCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Show how a job gets on until it has ended", Example: "  licet-central bulk wait " + exampleBulk, Args: cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			job, err := c.Bulk(cmd.Context(), args[0])
			if err != nil {
				return asked(err)
			}
			return bulkWait(cmd, env, c, job)
		},
	}
}

func bulkResultsCommand(env Env) *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use: "results ID [--failed]", Short: "Show what came of the items of a job", Example: "  licet-central bulk results " + exampleBulk + " --failed", Args: cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			state := ""
			if failed, _ := cmd.Flags().GetBool("failed"); failed {
				state = wire.BulkFailed
			}
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.BulkResult], error) {
				return c.BulkResults(cmd.Context(), args[0], state, p)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, r := range list.Items {
					rows = append(rows, []string{strconv.FormatInt(r.Row, 10), r.State, bulkAbout(r), bulkSaid(r)})
				}
				p.Table("No results.", []string{"ROW", "STATE", "ABOUT", "WHAT"}, rows)
				more(p, list.Next)
			})
		},
	})
	cmd.Flags().Bool("failed", false, "only what was refused")
	return cmd
}

// bulkAbout is what a result is about.
func bulkAbout(r wire.BulkResult) string {
	for _, text := range []string{r.Order, string(r.License), r.Subscription, string(r.Container)} {
		if text != "" {
			return text
		}
	}
	return "–"
}

// bulkSaid is what came of it.
func bulkSaid(r wire.BulkResult) string {
	var parts []string
	switch {
	case r.State == wire.BulkFailed:
		return r.Message
	case r.Ticket != "":
		parts = append(parts, "ticket "+string(r.Ticket))
	}
	if r.Added > 0 {
		parts = append(parts, fmt.Sprintf("licenses added: %d", r.Added))
	}
	if r.When != "" {
		parts = append(parts, either(r.When == wire.Now, "now", "at the next contact"))
	}
	if r.With != "" {
		parts = append(parts, "with "+string(r.With))
	}
	if r.Ends != 0 {
		parts = append(parts, "until "+r.Ends.String())
	}
	if r.Update != "" {
		parts = append(parts, "an update file; see --json")
	}
	return strings.Join(parts, ", ")
}
