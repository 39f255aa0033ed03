package centralcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/registry"
	"licet/refusal"
	"licet/wire"
)

// staffCommand works in the data folder itself, as init and keys do: whoever has
// the folder has the vendor's keys, and needs no token to let people in.
func staffCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "staff", Short: "The vendor's staff, who sign in at /console"}
	cmd.AddCommand(staffAddCommand(env), staffListCommand(env),
		staffChangeCommand(env, &cobra.Command{
			Use: "disable NAME --data DIR", Short: "End an account's sessions; it can sign in no more",
			Example: "  licet-central staff disable maren --data ./central",
		}, false, func(ctx context.Context, reg *registry.Registry, name, _ string) (wire.Staff, error) {
			return reg.DisableStaff(ctx, registry.System, name)
		}),
		staffChangeCommand(env, &cobra.Command{
			Use: "password NAME --data DIR", Short: "Set a new password; ends the account's sessions, and enables it if it was disabled",
			Example: "  licet-central staff password maren --data ./central",
		}, true, func(ctx context.Context, reg *registry.Registry, name, password string) (wire.Staff, error) {
			return reg.SetStaffPassword(ctx, registry.System, name, password)
		}),
		staffScopesCommand(env),
	)
	return cmd
}

// withBook runs fn with the book of the data folder; central may be running.
func withBook(cmd *cobra.Command, env Env, fn func(*registry.Registry) error) error {
	return withFolder(cmd, env, func(_ folder, reg *registry.Registry) error { return fn(reg) })
}

func staffAddCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME --data DIR [--email ADDRESS] [--scope S…] [--password-file FILE]",
		Short: "Let somebody sign in at the console; prints a password once",
		Long: "Let somebody sign in at the console; prints a password once.\n\n" +
			"It works in the server's data folder, whether the server runs or not. The first account may do everything, later ones may only look, unless --scope says otherwise.",
		Example: `  licet-central staff add maren --data ./central
  licet-central staff add jonas --data ./central --email jonas@example.com --scope recovery,licenses`,
		Args: cli.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := wire.Staff{Name: args[0]}
			s.Email, _ = cmd.Flags().GetString("email")
			s.Scopes, _ = cmd.Flags().GetStringSlice("scope")
			var err error
			if s.Password, err = passwordOf(cmd); err != nil {
				return err
			}
			return withBook(cmd, env, func(reg *registry.Registry) error {
				if !cmd.Flags().Changed("scope") {
					has, err := reg.HasStaff(cmd.Context())
					if err != nil {
						return err
					}
					if !has {
						s.Scopes = []string{registry.ScopeAdmin}
					}
				}
				made, err := reg.AddStaff(cmd.Context(), registry.System, s)
				if err != nil {
					return err
				}
				return printStaff(cmd, made)
			})
		},
	}
	cmd.Flags().String("email", "", "address")
	cmd.Flags().StringSlice("scope", nil, strings.Join(registry.Scopes, ", ")+" (all of them); may be repeated")
	passwordFlag(cmd)
	databaseFlag(cmd)
	return cmd
}

func passwordFlag(cmd *cobra.Command) {
	cmd.Flags().String("password-file", "", "file whose first line is the password; - for standard input (default: one is made and printed once)")
}

// passwordOf reads a password; "" if one is to be made.
func passwordOf(cmd *cobra.Command) (string, error) {
	return firstLine(cmd, "password-file", "password")
}

// firstLine reads a secret from the file that a flag names; "" if it names none. A
// secret is never a flag itself: other users of the machine see those.
func firstLine(cmd *cobra.Command, flag, what string) (string, error) {
	path, _ := cmd.Flags().GetString(flag)
	if path == "" {
		return "", nil
	}
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimSuffix(first, "\r"); first == "" {
		return "", refusal.New(refusal.InvalidInput, "The first line of the %s file is empty.", what)
	}
	return first, nil
}

func printStaff(cmd *cobra.Command, s wire.Staff) error {
	return cli.Print(cmd, s, func(p *cli.Page) {
		p.Title("Account %s", s.Name)
		if s.Email != "" {
			p.Field("email", "%s", s.Email)
		}
		p.Field("scopes", "%s", strings.Join(s.Scopes, ", "))
		if s.Password != "" {
			p.Field("password", "%s", s.Password)
			p.Blank()
			p.Line("Keep the password now: it is not shown again. Sign in at /console of the server.")
		}
	})
}

func staffListCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list --data DIR", Short: "List accounts", Example: "  licet-central staff list --data ./central", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withBook(cmd, env, func(reg *registry.Registry) error {
				list, err := reg.Staff(cmd.Context(), registry.System)
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) {
					var rows [][]string
					for _, s := range list.Items {
						state := "active"
						if s.Disabled != 0 {
							state = "disabled " + cli.Ago(s.Disabled, env.Now())
						}
						rows = append(rows, []string{s.Name, s.Email, strings.Join(s.Scopes, ","), state, cli.Ago(s.Seen, env.Now())})
					}
					p.Table("No accounts. licet-central staff add NAME makes one.", []string{"NAME", "EMAIL", "SCOPES", "STATE", "SIGNED IN"}, rows)
				})
			})
		},
	}
	databaseFlag(cmd)
	return cmd
}

// staffChangeCommand changes one account.
func staffChangeCommand(env Env, cmd *cobra.Command, password bool, change func(context.Context, *registry.Registry, string, string) (wire.Staff, error)) *cobra.Command {
	cmd.Args = cli.Args("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given := ""
		if password {
			var err error
			if given, err = passwordOf(cmd); err != nil {
				return err
			}
		}
		return withBook(cmd, env, func(reg *registry.Registry) error {
			s, err := change(cmd.Context(), reg, args[0], given)
			if err != nil {
				return err
			}
			return printStaff(cmd, s)
		})
	}
	if password {
		passwordFlag(cmd)
	}
	databaseFlag(cmd)
	return cmd
}

func staffScopesCommand(env Env) *cobra.Command {
	var scopes []string
	cmd := staffChangeCommand(env, &cobra.Command{
		Use: "scopes NAME --data DIR --scope S…", Short: "Set what an account may do; ends its sessions",
		Example: "  licet-central staff scopes jonas --data ./central --scope recovery,licenses",
	}, false, func(ctx context.Context, reg *registry.Registry, name, _ string) (wire.Staff, error) {
		return reg.SetStaffScopes(ctx, registry.System, name, scopes)
	})
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, strings.Join(registry.Scopes, ", ")+" (all of them); may be repeated")
	_ = cmd.MarkFlagRequired("scope") // the flag is there
	return cmd
}
