package centralcmd

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/internal/courier"
	"licet/internal/registry"
	"licet/internal/webhook"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// hooksEvery is how often the server looks for events to send.
const hooksEvery = 250 * time.Millisecond

func webhookFlags(cmd *cobra.Command) {
	cmd.Flags().StringSlice("webhooks-allow-internal", nil, "internal network, such as `10.1.0.0/16`, that webhooks may send to, also without TLS; may be repeated")
}

// hooksUntil sends events to receivers until ctx ends; the function it returns waits
// for that.
func hooksUntil(ctx context.Context, networks webhook.Networks, reg *registry.Registry, log *slog.Logger) (stopped func()) {
	build := cli.ThisBuild("licet-central")
	c := courier.New(courier.Config{Networks: networks, Program: "licet-central/" + build.Version}, reg, log)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx, hooksEvery) })
	return func() { cancel(); running.Wait() }
}

// allowNetworks reads which internal networks webhooks may send to.
func allowNetworks(cmd *cobra.Command, reg *registry.Registry) (webhook.Networks, error) {
	list, _ := cmd.Flags().GetStringSlice("webhooks-allow-internal")
	n, err := webhook.ParseNetworks(list)
	if err == nil {
		reg.AllowNetworks(n)
	}
	return n, err
}

func webhookCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "webhook", Short: "Servers that are told what happens"})
	cmd.AddCommand(webhookCreateCommand(env), webhookListCommand(env), webhookShowCommand(env), webhookUpdateCommand(env), webhookRotateCommand(env),
		webhookDeleteCommand(env), webhookTestCommand(env), webhookDeliveriesCommand(env), webhookReplayCommand(env), webhookEventsCommand(env))
	return cmd
}

// webhookFields are the flags that say what a webhook is.
func webhookFields(cmd *cobra.Command) {
	cmd.Flags().StringSlice("event", nil, "type of events, such as order.created or 'license.*'; may be repeated (default: all)")
	cmd.Flags().String("description", "", "what it is for")
}

func webhookKeyFlags(cmd *cobra.Command) {
	cmd.Flags().String("signature", "", "v1 (a secret that both sides know) or v1a (a key pair)")
	cmd.Flags().String("secret-file", "", "file whose first line is the key to sign with, whsec_… or whsk_…; - for standard input (default: one is made)")
}

func webhookCreateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create URL [--event TYPE…] [--description TEXT] [--signature v1a]",
		Short: "Have events sent to a server from now on; its secret is shown this once",
		Example: `  licet-central webhook create https://shop.example.com/licet
  licet-central webhook create https://erp.example.com/licet --event 'order.*,license.*' --signature v1a`,
		Args: cli.Args("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := wire.WebhookRequest{URL: args[0]}
			req.Events, _ = cmd.Flags().GetStringSlice("event")
			req.Description, _ = cmd.Flags().GetString("description")
			req.Signature, _ = cmd.Flags().GetString("signature")
			var err error
			if req.Secret, err = firstLine(cmd, "secret-file", "secret"); err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			h, err := c.CreateWebhook(cmd.Context(), req)
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, h, func(p *cli.Page) {
				webhookPage(p, env, h)
				p.Next("licet-central webhook test " + h.ID)
			})
		},
	}
	webhookFields(cmd)
	webhookKeyFlags(cmd)
	return cmd
}

func webhookPage(p *cli.Page, env Env, h wire.Webhook) {
	now := env.Now()
	p.Title("Webhook %s", h.ID)
	p.Field("url", "%s", h.URL)
	p.Field("events", "%s", strings.Join(h.Events, ", "))
	p.Field("description", "%s", h.Description)
	p.Field("state", "%s", webhookState(h, now))
	p.Field("why", "%s", h.Reason)
	if h.Succeeded != 0 {
		p.Field("last success", "%s", cli.Ago(h.Succeeded, now))
	}
	if h.Next != 0 {
		p.Field("next try", "%s", cli.When(h.Next, now))
	}
	p.Field("pending", "%d", h.Pending)
	if h.Failed > 0 {
		p.Field("given up", "%d", h.Failed)
	}
	if h.Behind > 0 {
		p.Field("to look at", "%d events of the log", h.Behind)
	}
	p.Field("created", "%s by %s", cli.When(h.Created, now), h.CreatedBy)
	for _, k := range h.Keys {
		text := k.Signature + " since " + cli.When(k.Created, now)
		if k.Ends != 0 {
			text = k.Signature + " until " + cli.When(k.Ends, now)
		}
		if k.Public != "" {
			text += ", " + k.Public
		}
		p.Field("key", "%s", text)
	}
	if h.Secret != "" {
		p.Field("secret", "%s", h.Secret)
		p.Blank()
		if strings.HasPrefix(h.Secret, "whpk_") {
			p.Line("The receiver verifies with this public key.")
		} else {
			p.Line("The receiver verifies with this secret. Keep it now: it is not shown again.")
		}
	}
}

func webhookState(h wire.Webhook, now time.Time) string {
	if h.Since == 0 {
		return h.State
	}
	return h.State + " since " + cli.When(h.Since, now)
}

func webhookListCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List webhooks and how they are", Example: "  licet-central webhook list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := c.Webhooks(cmd.Context())
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, h := range list.Items {
					rows = append(rows, []string{h.ID, h.URL, h.State, strconv.FormatInt(h.Pending, 10), strconv.FormatInt(h.Failed, 10), cli.Ago(h.Succeeded, env.Now())})
				}
				p.Table("No webhooks. licet-central webhook create URL makes one.", []string{"ID", "URL", "STATE", "PENDING", "GIVEN UP", "LAST SUCCESS"}, rows)
			})
		},
	}
}

// webhookOf makes a command that does something with one webhook and shows it.
func webhookOf(env Env, cmd *cobra.Command, do func(context.Context, *client.Central, string) (wire.Webhook, error), show func(*cli.Page, wire.Webhook)) *cobra.Command {
	cmd.Args = cli.Args("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := central(cmd, env)
		if err != nil {
			return err
		}
		h, err := do(cmd.Context(), c, args[0])
		if err != nil {
			return asked(err)
		}
		return cli.Print(cmd, h, func(p *cli.Page) { show(p, h) })
	}
	return cmd
}

func webhookShowCommand(env Env) *cobra.Command {
	return webhookOf(env, &cobra.Command{Use: "show ID", Short: "Show a webhook and how it is", Example: "  licet-central webhook show whk_06bq3c8v4w9x2m5n7p1d8a"},
		func(ctx context.Context, c *client.Central, id string) (wire.Webhook, error) {
			return c.Webhook(ctx, id)
		},
		func(p *cli.Page, h wire.Webhook) {
			webhookPage(p, env, h)
			var next []string
			if h.State == wire.WebhookPaused || h.State == wire.WebhookDisabled {
				next = append(next, "licet-central webhook update "+h.ID+" --state active  sends everything since")
			}
			if h.Failed > 0 {
				next = append(next, "licet-central webhook deliveries "+h.ID+" --state failed", "licet-central webhook replay "+h.ID+" --failed")
			}
			p.Next(next...)
		})
}

func webhookUpdateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update ID [--endpoint URL] [--event TYPE…] [--description TEXT] [--state active|paused]",
		Short: "Change a webhook; what is not named stays",
		Long: "Change a webhook; what is not named stays.\n\n" +
			"While it is paused nothing is sent and nothing is lost: made active, it gets everything that happened meanwhile.",
		Example: `  licet-central webhook update whk_06bq3c8v4w9x2m5n7p1d8a --state paused
  licet-central webhook update whk_06bq3c8v4w9x2m5n7p1d8a --event 'order.*'`,
	}
	webhookOf(env, cmd, func(ctx context.Context, c *client.Central, id string) (wire.Webhook, error) {
		change := wire.WebhookChange{}
		text := func(flag string) *string {
			if !cmd.Flags().Changed(flag) {
				return nil
			}
			v, _ := cmd.Flags().GetString(flag)
			return &v
		}
		change.URL, change.Description = text("endpoint"), text("description")
		change.Events, _ = cmd.Flags().GetStringSlice("event")
		change.State, _ = cmd.Flags().GetString("state")
		if change.URL == nil && change.Description == nil && len(change.Events) == 0 && change.State == "" {
			return wire.Webhook{}, cli.Usage("Nothing to change is named.")
		}
		return c.ChangeWebhook(ctx, id, change)
	}, func(p *cli.Page, h wire.Webhook) { webhookPage(p, env, h) })
	webhookFields(cmd)
	cmd.Flags().String("endpoint", "", "`URL` that events are sent to")
	cmd.Flags().String("state", "", "active or paused")
	return cmd
}

func webhookRotateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate ID [--overlap DURATION]", Short: "Make a new key; messages are signed with the old ones too until the overlap ends",
		Example: `  licet-central webhook rotate whk_06bq3c8v4w9x2m5n7p1d8a
  licet-central webhook rotate whk_06bq3c8v4w9x2m5n7p1d8a --overlap 0s`,
	}
	webhookOf(env, cmd, func(ctx context.Context, c *client.Central, id string) (h wire.Webhook, err error) {
		var rot wire.WebhookRotation
		text, _ := cmd.Flags().GetString("overlap")
		overlap, err := license.ParseDuration(text)
		if err != nil {
			return h, err
		}
		rot.Overlap = &overlap
		rot.Signature, _ = cmd.Flags().GetString("signature")
		if rot.Secret, err = firstLine(cmd, "secret-file", "secret"); err != nil {
			return h, err
		}
		return c.RotateWebhook(ctx, id, rot)
	}, func(p *cli.Page, h wire.Webhook) { webhookPage(p, env, h) })
	cmd.Flags().String("overlap", "24h", "how long the keys before sign too; 0s ends them at once")
	webhookKeyFlags(cmd)
	return cmd
}

func webhookDeleteCommand(env Env) *cobra.Command {
	return webhookOf(env, &cobra.Command{Use: "delete ID", Short: "Delete a webhook, with what was still to be sent to it", Example: "  licet-central webhook delete whk_06bq3c8v4w9x2m5n7p1d8a"},
		func(ctx context.Context, c *client.Central, id string) (wire.Webhook, error) {
			return c.DeleteWebhook(ctx, id)
		},
		func(p *cli.Page, h wire.Webhook) {
			p.Line("The webhook %s to %s is deleted.", h.ID, h.URL)
		})
}

const (
	// testLasts is longer than a test takes: the log, the courier, and the receiver's
	// time for its answer.
	testLasts = 25 * time.Second
	testEvery = 200 * time.Millisecond
)

func webhookTestCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Send a message that says nothing, and show what came of it", Example: "  licet-central webhook test whk_06bq3c8v4w9x2m5n7p1d8a", Args: cli.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			d, err := c.TestWebhook(cmd.Context(), args[0])
			if err != nil {
				return asked(err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), testLasts)
			defer cancel()
			for d.State == "pending" {
				select {
				case <-ctx.Done():
					return refusal.New(refusal.NotFound, "The server has not sent the message yet.").
						Hinted("See later what became of it: licet-central webhook deliveries %s %s", args[0], d.Event)
				case <-time.After(testEvery):
				}
				if d, err = c.WebhookDelivery(cmd.Context(), args[0], d.Event); err != nil {
					return asked(err)
				}
			}
			if err := cli.Print(cmd, d, func(p *cli.Page) { deliveryPage(p, env, d) }); err != nil || d.State == "delivered" {
				return err
			}
			return cli.Exit(1)
		},
	}
}

func deliveryPage(p *cli.Page, env Env, d wire.WebhookDelivery) {
	now := env.Now()
	p.Title("Event %s", d.Event)
	p.Field("type", "%s", d.Type)
	p.Field("happened", "%s", cli.When(d.Time, now))
	p.Field("state", "%s", d.State)
	if d.Next != 0 {
		p.Field("next try", "%s", cli.When(d.Next, now))
	}
	p.Field("message", "%s", d.Message)
	for _, t := range d.Tries {
		p.Title("%s: %s", cli.When(t.Time, now), answered(t.Status, t.Fault))
		p.Field("took", "%d ms", t.Millis)
		for _, line := range strings.Split(t.Answer, "\n") {
			p.Field("answer", "%s", line)
		}
	}
}

// answered is what came of a try in a few words.
func answered(status int64, fault string) string {
	switch {
	case status != 0:
		return fmt.Sprintf("answered %d", status)
	case fault != "":
		return "no answer: " + fault
	}
	return ""
}

func webhookDeliveriesCommand(env Env) *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use: "deliveries ID [EVENT] [--state pending|delivered|failed]", Short: "List what was sent, newest first, or show one event with its message and every try",
		Example: `  licet-central webhook deliveries whk_06bq3c8v4w9x2m5n7p1d8a --state failed
  licet-central webhook deliveries whk_06bq3c8v4w9x2m5n7p1d8a evt_06bq3c8v4w9x2m5n7p1d8a`,
		Args: cli.Args("ID", "[EVENT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			if len(args) == 2 {
				d, err := c.WebhookDelivery(cmd.Context(), args[0], args[1])
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, d, func(p *cli.Page) {
					deliveryPage(p, env, d)
					p.Next("licet-central webhook replay " + args[0] + " " + d.Event)
				})
			}
			state, _ := cmd.Flags().GetString("state")
			list, err := collect(cmd, func(p client.Page) (wire.List[wire.WebhookDelivery], error) {
				return c.WebhookDeliveries(cmd.Context(), args[0], state, p)
			})
			if err != nil {
				return err
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				now := env.Now()
				var rows [][]string
				for _, d := range list.Items {
					last, next := "", ""
					if d.Attempts > 0 {
						last = cli.Ago(d.Last, now) + ": " + either(d.Status == 0, "no answer", answered(d.Status, ""))
					}
					if d.Next != 0 {
						next = cli.When(d.Next, now)
					}
					rows = append(rows, []string{d.Event, d.Type, d.State, strconv.FormatInt(d.Attempts, 10), last, next})
				}
				p.Table("Nothing.", []string{"EVENT", "TYPE", "STATE", "TRIES", "LAST", "NEXT"}, rows)
				more(p, list.Next)
			})
		},
	})
	cmd.Flags().String("state", "", "pending, delivered or failed")
	return cmd
}

func webhookReplayCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay ID {EVENT | --from TIME [--to TIME] | --failed}", Short: "Send events again: one, those of a span of time, or all that were given up",
		Example: `  licet-central webhook replay whk_06bq3c8v4w9x2m5n7p1d8a evt_06bq3c8v4w9x2m5n7p1d8a
  licet-central webhook replay whk_06bq3c8v4w9x2m5n7p1d8a --from 2026-03-01T12:00:00Z --to 2026-03-02T00:00:00Z
  licet-central webhook replay whk_06bq3c8v4w9x2m5n7p1d8a --from 12h
  licet-central webhook replay whk_06bq3c8v4w9x2m5n7p1d8a --failed`,
		Args: cli.Args("ID", "[EVENT]"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var req wire.WebhookReplay
			if len(args) == 2 {
				req.Event = args[1]
			}
			req.Failed, _ = cmd.Flags().GetBool("failed")
			if req.From, err = momentOf(cmd, "from", env.Now()); err != nil {
				return err
			}
			if req.To, err = momentOf(cmd, "to", env.Now()); err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			var all wire.WebhookReplayed
			for {
				part, err := c.ReplayWebhook(cmd.Context(), args[0], req)
				if err != nil {
					return asked(err)
				}
				all.Queued += part.Queued
				if req.Cursor = part.Next; part.Next == "" {
					break
				}
			}
			return cli.Print(cmd, all, func(p *cli.Page) {
				p.Line("Events that are sent again: %d.", all.Queued)
			})
		},
	}
	cmd.Flags().String("from", "", "what happened from this `TIME` on: 2026-03-01T12:00:00Z, 2026-03-01, or 12h for so long ago")
	cmd.Flags().String("to", "", "and before this `TIME` (default: now)")
	cmd.Flags().Bool("failed", false, "all that were given up")
	return cmd
}

// momentOf reads a time, or how long ago it was; 0 where none is given.
func momentOf(cmd *cobra.Command, flag string, now time.Time) (license.Time, error) {
	text, _ := cmd.Flags().GetString(flag)
	if text == "" {
		return 0, nil
	}
	if d, err := license.ParseDuration(text); err == nil {
		return license.At(now.Add(-d.Go())), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return license.At(t), nil
		}
	}
	return 0, cli.Usage("--%s %q is no time: write 2026-03-01T12:00:00Z, 2026-03-01, or 12h for so long ago.", flag, text)
}

func webhookEventsCommand(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "events", Short: "List the types of events that webhooks tell of", Example: "  licet-central webhook events", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			list, err := c.WebhookEvents(cmd.Context())
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, list, func(p *cli.Page) {
				var rows [][]string
				for _, e := range list.Items {
					rows = append(rows, []string{e.Type, e.Description})
				}
				p.Table("", []string{"TYPE", "WHAT HAPPENED"}, rows)
			})
		},
	}
}
