package centralcmd

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/catalog"
	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

func applyCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{
		Use:   "apply -f FILE [--dry-run]",
		Short: "Create and change products from a catalog file",
		Long: "Create and change products from a catalog file, and say what differs.\n\n" +
			"What the file does not name stays. The same file again changes nothing. Licenses that are sold keep their terms.",
		Example: `  licet-central apply -f catalog.yaml --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, _ := cmd.Flags().GetString("file")
			dry, _ := cmd.Flags().GetBool("dry-run")
			text, err := readInput(cmd, name)
			if err != nil {
				return err
			}
			c, err := central(cmd, env)
			if err != nil {
				return err
			}
			res, err := c.ApplyCatalog(cmd.Context(), wire.CatalogRequest{YAML: string(text), DryRun: dry})
			if err != nil {
				return asked(err)
			}
			return cli.Print(cmd, res, func(p *cli.Page) { applied(p, res) })
		},
	})
	cmd.Flags().StringP("file", "f", "", "catalog file; - reads standard input")
	cmd.Flags().Bool("dry-run", false, "only say what would change")
	_ = cmd.MarkFlagRequired("file") // the flag is there
	return cmd
}

// readInput reads a file or, for "-", standard input.
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, refusal.New(refusal.NotFound, "Cannot read %s.", name).Hinted("Check the name and whether you may read it.")
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, catalog.MaxSize+1))
	if err == nil && len(text) > catalog.MaxSize {
		return nil, refusal.New(refusal.TooLarge, "%s is larger than %d MiB.", name, catalog.MaxSize>>20)
	}
	return text, err
}

func applied(p *cli.Page, res wire.CatalogResult) {
	var rows [][]string
	unchanged := 0
	for _, c := range res.Changes {
		if c.Change == "unchanged" {
			unchanged++
			continue
		}
		rows = append(rows, []string{c.Change, c.Kind, c.Code, strings.Join(c.Fields, ", ")})
	}
	p.Table("Nothing differs.", []string{"CHANGE", "KIND", "CODE", "FIELDS"}, rows)
	if unchanged > 0 && len(rows) > 0 {
		p.Line("%d unchanged.", unchanged)
	}
	if res.DryRun {
		p.Line("This was a dry run: nothing was changed.")
	}
}

func productCommand(env Env) *cobra.Command {
	cmd := remote(&cobra.Command{Use: "product", Short: "What is sold"})
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List products", Example: "  licet-central product list",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := c.Products(cmd.Context())
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, x := range list.Items {
						rows = append(rows, []string{x.Code, x.Name, string(x.Model), x.Category})
					}
					p.Table("No products yet; licet-central apply -f catalog.yaml creates them.", []string{"CODE", "NAME", "MODEL", "CATEGORY"}, rows)
				})
			},
		},
		&cobra.Command{
			Use: "bundles", Short: "List bundles: articles that stand for several products", Example: "  licet-central product bundles",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				list, err := c.Bundles(cmd.Context())
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, x := range list.Items {
						rows = append(rows, []string{x.Code, x.Name, strings.Join(x.Products, ", ")})
					}
					p.Table("No bundles yet; the catalog file creates them, under bundles.", []string{"CODE", "NAME", "PRODUCTS"}, rows)
				})
			},
		},
		&cobra.Command{
			Use: "show CODE", Short: "Show a product with every default", Example: "  licet-central product show CAD-PRO", Args: cli.Args("CODE"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := central(cmd, env)
				if err != nil {
					return err
				}
				x, err := c.Product(cmd.Context(), args[0])
				if err != nil {
					return asked(err)
				}
				return cli.Print(cmd, x, func(p *cli.Page) { productPage(p, env, x) })
			},
		},
	)
	return cmd
}

func productPage(p *cli.Page, env Env, x license.Product) {
	p.Title("%s  %s", x.Code, x.Name)
	p.Field("category", "%s", x.Category)
	p.Field("model", "%s", x.Model)
	p.Field("value", "%s", either(x.Value > 0, strconv.FormatInt(x.Value, 10), ""))
	p.Field("features", "%s", strings.Join(x.Features, ", "))
	p.Field("containers", "%s", strings.Join(texts(x.Containers), ", "))
	p.Field("requires", "%s", strings.Join(x.Requires, ", "))
	p.Field("binding", "%s; %s", x.Binding, either(x.Repair, "users may rebind a changed machine", "only the vendor rebinds a changed machine"))
	p.Field("deactivation", "%s", either(x.Deactivation, "users may return it themselves", "users cannot return it themselves"))
	if units := x.Terms.Units > 0; units || x.Model.MultiSeat() {
		what := either(units, "units", "seats")
		p.Field("split", "%s", either(x.Split, "users may spread the "+what+" over several containers", "all "+what+" stay in one container"))
	}
	termFields(p, env, x.Terms)
	restoreFields(p, x.Restore)
	p.Next(`licet-central order create --customer "NAME" --item ` + x.Code)
}

// restoreFields shows the policy for lost licenses.
func restoreFields(p *cli.Page, r license.Restore) {
	l, c := r.License, r.Container
	p.Field("restore", "%s", l.Mode)
	p.Field("restore container", "same hardware %s, new hardware %s, damaged %s", c.SameHardware, c.NewHardware, c.Damaged)
	p.Field("restore by kind", "%s", modes(r.Kinds))
	p.Field("restore by customer", "%s", modes(l.Customers))
	p.Field("by policy", "%s", either(l.Automatic > 0, fmt.Sprintf("%d per %s", l.Automatic, either(l.Per > 0, l.Per.String(), "life")), ""))
	p.Field("wait", "%s", either(l.Wait > 0, l.Wait.String()+" between two by policy", ""))
	p.Field("value limit", "%s", either(l.ValueLimit > 0, fmt.Sprintf("%d by policy", l.ValueLimit), ""))
	p.Field("self-service", "%s", either(r.SelfService == nil || *r.SelfService, "users may move it without the old container", "only staff move it without the old container"))
	p.Field("lost copy", "%s; if it turns up: %s", r.Stop, r.Found)
	p.Field("conditions", "%s", r.Conditions)
}

// modes lists the mode for each name, in order.
func modes[K ~string](of map[K]license.RestoreMode) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, fmt.Sprintf("%s: %s", name, of[name]))
	}
	return strings.Join(list, ", ")
}

// termFields shows the terms that are set.
func termFields(p *cli.Page, env Env, t license.Terms) {
	now := env.Now()
	p.Field("seats", "%s", either(t.Seats > 0, strconv.FormatInt(t.Seats, 10), "local use only"))
	p.Field("valid from", "%s", cli.When(t.ValidFrom, now))
	p.Field("expires", "%s", cli.When(t.ExpiresAt, now))
	p.Field("expires in", "%s", either(t.ExpiresIn > 0, t.ExpiresIn.String()+" from the first activation", ""))
	p.Field("maintenance until", "%s", cli.When(t.MaintenanceUntil, now))
	p.Field("maintenance", "%s", either(t.Maintenance > 0, t.Maintenance.String()+" from the first activation", ""))
	p.Field("versions", "%s", either(t.MinVersion != "", t.MinVersion+" and later", ""))
	p.Field("check-in", "%s", either(t.CheckIn > 0, "every "+t.CheckIn.String()+" at least", ""))
	p.Field("grace", "%s", either(t.Grace > 0, t.Grace.String(), ""))
	p.Field("units", "%s", either(t.Units > 0, strconv.FormatInt(t.Units, 10), ""))
	p.Field("counting", "%s", t.Counting)
	p.Field("linger", "%s", either(t.Linger > 0, t.Linger.String()+" after a seat was released", ""))
	p.Field("borrow", "%s", either(t.Borrow.Max > 0, fmt.Sprintf("%d seats for %s at most", t.Borrow.Seats, t.Borrow.Max), ""))
	p.Field("return while lent", "%s", either(t.Borrow.Max > 0, either(t.Borrow.Out == license.OutAllow, "allowed", "refused until the seats are back"), ""))
	p.Field("transfer", "%s", t.Transfer)
	p.Field("customer text", "%s", t.CustomerText)
	p.Field("vendor data", "%s", t.VendorData)
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
