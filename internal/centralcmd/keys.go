package centralcmd

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/registry"
	"licet/refusal"
	"licet/seal"
)

func keysCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "The vendor's keys",
		Long: "The vendor's keys. These commands work on the data folder itself; servers that run on the same database go by what they change within a second.",
	}
	cmd.AddCommand(
		keysListCommand(env), exportRootCommand(env), nextRootCommand(env), rotateCommand(env), revokeCommand(env), signRootCommand(env),
		stopCommand(env), resumeCommand(env), rewrapCommand(env),
	)
	return cmd
}

// withFolder runs something on the data folder and its book.
func withFolder(cmd *cobra.Command, env Env, run func(folder, *registry.Registry) error) error {
	f, err := folderOf(cmd, env)
	if err != nil {
		return err
	}
	reg, done, err := f.open(cmd.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(run(f, reg), done())
}

func keysListCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list --data DIR", Short: "Show the keys: what each is for, and how often it signed",
		Example: `  licet-central keys list --data ./central`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withBook(cmd, env, func(reg *registry.Registry) error {
				list, err := reg.Keys(cmd.Context(), registry.System)
				if err != nil {
					return err
				}
				return cli.Print(cmd, list, func(p *cli.Page) { showKeys(p, list, env.Now()) })
			})
		},
	}
	databaseFlag(cmd)
	return cmd
}

// states are the states of keys in words.
var states = map[registry.KeyState]string{
	registry.KeyWaits: "waits for the root", registry.KeySigns: "signs", registry.KeyOverlap: "verifies, and may still sign",
	registry.KeyRetired: "verifies", registry.KeyRevoked: "revoked", registry.KeyHere: "on this server", registry.KeyOffline: "offline",
	registry.KeyOpens: "in use",
}

func showKeys(p *cli.Page, list registry.KeyList, now time.Time) {
	if s := list.Stopped; s != nil {
		p.Line("ISSUING IS STOPPED since %s, by %s: %s", s.Since, s.Actor, s.Reason)
		p.Blank()
	}
	var rows [][]string
	for _, k := range list.Keys {
		signatures := ""
		if k.Use == string(seal.Issuing) {
			if signatures = strconv.FormatInt(k.Signatures, 10); k.Signatures < 0 {
				signatures = "unknown"
			}
		}
		rows = append(rows, []string{k.ID, k.Use, states[k.State], k.Place, signatures, k.Created.String(), k.NotBefore.String(), k.NotAfter.String()})
	}
	p.Table("There are no keys.", []string{"id", "use", "state", "where", "signatures", "made", "valid from", "valid until"}, rows)
	for _, w := range list.Warnings {
		p.Line("WARNING: %s", w)
	}
	for _, k := range list.Keys {
		if k.Revoked != 0 {
			p.Line("%s was revoked %s: %s", k.ID, k.Revoked, k.Reason)
		}
	}
	if list.Behind > 0 {
		p.Line("%d containers have, or may have, something under a revoked key: it comes again with their next contact or file.", list.Behind)
	}
	p.Field("trust bundle", "%d of %s", list.Number, list.Time)
	if list.Until != 0 {
		p.Field("counts until", "%s", cli.When(list.Until, now))
	}
	if list.Format < 2 {
		p.Next("licet-central keys rotate  publishes the keys in the present format, in which they can be revoked")
	}
}

func exportRootCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export-root --data DIR -o FILE [--remove]",
		Short: "Write the root key to a file, to be kept offline",
		Long: "Write the root key to a file, to be kept offline.\n\n" +
			"The root key certifies the keys that sign licenses, and is needed for nothing else. Whoever has it can become the vendor. With --remove it is taken off the server once the file is safe.",
		Example: `  licet-central keys export-root --data ./central -o /media/safe/root.key --remove`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withBook(cmd, env, func(reg *registry.Registry) error {
				key, err := reg.ExportRoot(cmd.Context(), registry.System, false)
				if err != nil {
					return err
				}
				out, _ := cmd.Flags().GetString("out")
				if err := writeRoot(out, reg.WellKnown().VendorID, key); err != nil {
					return err
				}
				remove, _ := cmd.Flags().GetBool("remove")
				if remove {
					if _, err := reg.ExportRoot(cmd.Context(), registry.System, true); err != nil {
						return err
					}
				}
				return cli.Print(cmd, map[string]any{"file": out, "removed": remove}, func(p *cli.Page) {
					p.Line("The root key is in %s.", out)
					if remove {
						p.Line("It was removed from the database; servers that run forget it within a second.")
					}
					p.Next("Keep it in two places that are not this server.")
				})
			})
		},
	}
	cmd.Flags().StringP("out", "o", "", "file to write; it must not exist")
	cmd.Flags().Bool("remove", false, "take the root key off the server")
	_ = cmd.MarkFlagRequired("out") // the flag is there
	databaseFlag(cmd)
	return cmd
}

const rootBlock = "LICET ROOT KEY"

func writeRoot(path, vendor string, key []byte) error {
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: rootBlock, Headers: map[string]string{"Vendor": vendor}, Bytes: key}))
}

func readRoot(path string) (*seal.SigningKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != rootBlock {
		return nil, refusal.New(refusal.WrongFile, "%s holds no root key.", path).Hinted("Use the file of licet-central keys export-root.")
	}
	key, err := seal.ParseSigningKey(seal.Root, block.Bytes)
	if err != nil {
		return nil, refusal.New(refusal.DamagedFile, "The root key in %s is damaged.", path).Hinted("Use another copy of it.")
	}
	return key, nil
}

func nextRootCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "next-root --data DIR -o FILE [--request FILE]",
		Short: "Make the root key that may come after the present one",
		Long: "Make the root key that may come after the present one, and publish a hash of it.\n\n" +
			"If the present root key is lost one day, keys sign-root signs with this one, and machines that have heard of it go by it from then on. Keep it elsewhere than the root key: one theft must not take both.",
		Example: `  licet-central keys next-root --data ./central -o /media/other/next-root.key`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withFolder(cmd, env, func(f folder, reg *registry.Registry) error {
				seed := make([]byte, 32)
				env.Random(seed)
				key, err := seal.ParseSigningKey(seal.Root, seed)
				if err != nil {
					return err
				}
				out, _ := cmd.Flags().GetString("out")
				if err := writeRoot(out, reg.WellKnown().VendorID, key.Bytes()); err != nil {
					return err
				}
				return changeKeys(cmd, f, reg, registry.KeyChange{NextRoot: key.Public()}, "The next root key is in "+out+", and published by its hash.")
			})
		},
	}
	cmd.Flags().StringP("out", "o", "", "file to write; it must not exist")
	_ = cmd.MarkFlagRequired("out") // the flag is there
	cmd.Flags().String("request", "", "write what the root is to sign to `FILE`, where the root is not on this server")
	databaseFlag(cmd)
	return cmd
}

func rotateCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate --data DIR [--request FILE | --accept FILE]",
		Short: "Replace the key that signs licenses by a new one",
		Long: "Replace the key that signs licenses by a new one. What the old one signed stays good.\n\n" +
			"With the root key on the server that is one command. Without, --request writes a file; keys sign-root signs it where the root is; --accept takes the trust file that it gives.",
		Example: `  licet-central keys rotate --data ./central
  licet-central keys rotate --data ./central --request next.json
  licet-central keys rotate --data ./central --accept vendor.trust
  licet-central keys rotate --data ./central --follows published.trust`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withFolder(cmd, env, func(f folder, reg *registry.Registry) error {
				change := registry.KeyChange{Rotate: true}
				change.Signer = signerFlag(cmd)
				change.Overlap, _ = cmd.Flags().GetDuration("overlap")
				if err := untilOf(cmd, env, &change); err != nil {
					return err
				}
				if path, _ := cmd.Flags().GetString("follows"); path != "" {
					file, err := os.ReadFile(path)
					if err != nil {
						return err
					}
					change.Follows = file
				}
				return changeKeys(cmd, f, reg, change, "A new key signs from now on.")
			})
		},
	}
	cmd.Flags().Duration("overlap", registry.Overlap, "how long the old key may still sign, for servers that do not know yet")
	cmd.Flags().String("follows", "", "newest trust `FILE` that was published, where the database is older because it came back from a back-up")
	cmd.Flags().String("trust-until", "", "date from which on machines take in nothing new without a newer trust bundle, such as 2028-01-31; never is no date")
	rootFlags(cmd)
	databaseFlag(cmd)
	return cmd
}

func untilOf(cmd *cobra.Command, env Env, change *registry.KeyChange) error {
	switch text, _ := cmd.Flags().GetString("trust-until"); text {
	case "":
	case "never":
		change.Endless = true
	default:
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return cli.Usage("%q is no date such as 2028-01-31.", text)
		}
		change.Until = at
	}
	return nil
}

func revokeCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke KEY --data DIR --reason TEXT [--request FILE | --accept FILE]",
		Short: "Revoke a key that may be in wrong hands",
		Long: "Revoke a key that may be in wrong hands: nothing that it ever signed counts, on every machine that hears of it.\n\n" +
			"If it is the key that signs, a new one takes its place at once. What containers hold under the revoked key comes again, under the new one, with their next contact or file. Until then a machine that heard of the revocation in another way, such as by a newer release of a program, refuses it.",
		Example: `  licet-central keys revoke 7d3f… --data ./central --reason 'server broken into'`,
		Args:    cli.Args("[KEY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withFolder(cmd, env, func(f folder, reg *registry.Registry) error {
				change := registry.KeyChange{}
				change.Signer = signerFlag(cmd)
				if len(args) > 0 {
					change.Revoke = args[0]
				}
				change.Reason, _ = cmd.Flags().GetString("reason")
				if accept, _ := cmd.Flags().GetString("accept"); accept == "" && change.Revoke == "" {
					return cli.Usage("Which key is meant? licet-central keys list names them.")
				}
				return changeKeys(cmd, f, reg, change, "The key "+change.Revoke+" is revoked.")
			})
		},
	}
	cmd.Flags().String("reason", "", "why; the audit trail keeps it")
	rootFlags(cmd)
	databaseFlag(cmd)
	return cmd
}

func rootFlags(cmd *cobra.Command) {
	cmd.Flags().String("request", "", "write what the root is to sign to `FILE`, where the root is not on this server")
	cmd.Flags().String("accept", "", "publish the trust `FILE` that the root has signed")
	cmd.Flags().String("signer", "", "where a new key is made: a signer, such as unix:/run/licet-signer/signer.sock, or database (default: where the present one is)")
}

// changeKeys carries a change of the keys out, or the half of it that is asked for.
func changeKeys(cmd *cobra.Command, f folder, reg *registry.Registry, change registry.KeyChange, done string) error {
	ctx := cmd.Context()
	request, _ := cmd.Flags().GetString("request")
	var accept string
	if cmd.Flags().Lookup("accept") != nil {
		accept, _ = cmd.Flags().GetString("accept")
	}
	switch {
	case request != "" && accept != "":
		return cli.Usage("--request and --accept exclude each other.")
	case request != "":
		p, err := reg.ProposeKeys(ctx, registry.System, change)
		if err != nil {
			return err
		}
		file, err := p.File()
		if err == nil {
			err = writeNew(request, file)
		}
		if err != nil {
			return err
		}
		return cli.Print(cmd, map[string]any{"file": request, "trust_number": p.Number}, func(page *cli.Page) {
			page.Line("What the root is to sign is in %s.", request)
			page.Next("licet-central keys sign-root "+request+" --root ROOT-FILE -o vendor.trust  where the root is",
				"licet-central keys "+cmd.Name()+" --accept vendor.trust  here, with what that gives")
		})
	case accept != "":
		file, err := os.ReadFile(accept)
		if err != nil {
			return err
		}
		if _, err := reg.AcceptTrust(ctx, registry.System, file); err != nil && !refusal.Is(err, refusal.AlreadyApplied) {
			return err
		}
		done = "The trust file is published."
	default:
		if err := reg.ChangeKeys(ctx, registry.System, change); err != nil {
			return err
		}
	}
	if err := f.keepTrust(ctx, reg); err != nil {
		return err
	}
	list, err := reg.Keys(ctx, registry.System)
	if err != nil {
		return err
	}
	return cli.Print(cmd, list, func(p *cli.Page) {
		p.Line("%s", done)
		if change.Revoke != "" && reg.HasRoot() {
			p.Line("WARNING: the root key is on this server. Whoever took the other from here took it too, and can undo this: docs/keys.md, section 6.")
		}
		p.Blank()
		showKeys(p, list, f.env.Now())
		p.Field("trust file", "%s (machines hear of it by themselves; give it to new ones, and build it into the next release)", f.file(fileTrust))
	})
}

// keepTrust writes the current trust file into the folder. Of several who change the
// keys at the same time, the last to write has looked for a newer one since.
func (f folder) keepTrust(ctx context.Context, reg *registry.Registry) error {
	var disk durable.Disk
	for {
		if err := disk.WritePath(f.file(fileTrust), []byte(reg.WellKnown().Trust), 0o644); err != nil {
			return err
		}
		if newer, err := reg.RefreshKeys(ctx); err != nil || !newer {
			return err
		}
	}
}

func signRootCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign-root REQUEST --root FILE [-o FILE]",
		Short: "Sign with the root key, on the machine that has it",
		Long: "Sign with the root key, on the machine that has it. It needs no server, no database and no network.\n\n" +
			"It says what the signature changes. Without -o nothing is signed.",
		Example: `  licet-central keys sign-root next.json --root /media/safe/root.key -o vendor.trust`,
		Args:    cli.Args("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			request, err := registry.ParseProposal(text)
			if err != nil {
				return err
			}
			changes, err := request.Changes()
			if err != nil {
				return err
			}
			from, _ := cmd.Flags().GetString("root")
			root, err := readRoot(from)
			if err != nil {
				return err
			}
			file, err := request.Sign(root)
			if err != nil {
				return err
			}
			out, _ := cmd.Flags().GetString("out")
			if out != "" {
				if err := writeNew(out, file); err != nil {
					return err
				}
			}
			answer := map[string]any{"vendor": request.Vendor, "vendor_id": request.VendorID, "environment": request.Environment,
				"trust_number": request.Number, "changes": changes, "file": out}
			return cli.Print(cmd, answer, func(p *cli.Page) {
				p.Line("Trust bundle %d of %s (%s, %s):", request.Number, request.Vendor, request.VendorID, request.Environment)
				for _, c := range changes {
					p.Line("- %s", c)
				}
				if out == "" {
					p.Next("The same with -o FILE signs it.")
					return
				}
				p.Line("It is signed, in %s.", out)
				p.Next("licet-central keys rotate --accept " + filepath.Base(out) + "  on the server")
			})
		},
	}
	cmd.Flags().String("root", "", "the root key's `FILE`")
	_ = cmd.MarkFlagRequired("root") // the flag is there
	cmd.Flags().StringP("out", "o", "", "trust file to write; it must not exist")
	return cmd
}

func stopCommand(env Env) *cobra.Command {
	return switchCommand(env, "stop", "Stop issuing at once, on every server",
		"Stop issuing at once, on every server: for the moment in which a key may be in wrong hands.\n\n"+
			"No step is signed any more: nothing is activated, returned or withdrawn. What was issued is sent on, receipts are taken, contact renews, losses are decided, and whatever is on machines stays usable.",
		"Issuing is stopped.", (*registry.Registry).StopIssuing)
}

func resumeCommand(env Env) *cobra.Command {
	return switchCommand(env, "resume", "Issue again", "Issue again, after keys stop.", "Issuing goes on.", (*registry.Registry).ResumeIssuing)
}

func switchCommand(env Env, name, short, long, done string, do func(*registry.Registry, context.Context, registry.Actor, string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " --data DIR --reason TEXT", Short: short, Long: long,
		Example: "  licet-central keys " + name + " --data ./central --reason 'suspicion, see ticket 4711'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withBook(cmd, env, func(reg *registry.Registry) error {
				reason, _ := cmd.Flags().GetString("reason")
				err := do(reg, cmd.Context(), registry.System, reason)
				if no, ok := refusal.As(err); ok && no.Code == refusal.AlreadyApplied {
					done, err = no.Message, nil
				}
				if err != nil {
					return err
				}
				return cli.Print(cmd, map[string]any{"stopped": reg.Stopped()}, func(p *cli.Page) { p.Line("%s", done) })
			})
		},
	}
	cmd.Flags().String("reason", "", "why; the audit trail keeps it")
	_ = cmd.MarkFlagRequired("reason") // the flag is there
	databaseFlag(cmd)
	return cmd
}

func rewrapCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rewrap --data DIR",
		Short: "Encrypt the secrets in the database under a new secret",
		Long: "Encrypt the secrets in the database under a new secret: keys, copies of tickets, keys of webhooks. For when " + fileSecret + " may have been read by others.\n\n" +
			"Stop every server first (while one runs, the command refuses), and give each the new " + fileSecret + " before it starts again. The first line of the file stays: it finds tickets and tokens, which are kept as hashes. Killed half-way, the command goes on where it was.",
		Example: `  licet-central keys rewrap --data ./central`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			secrets, err := f.secret()
			if err != nil {
				return err
			}
			// What an earlier run has not finished comes first.
			rewrap := func() (done int, err error) {
				reg, closed, err := f.openAlone(cmd.Context(), slog.New(slog.DiscardHandler))
				if err != nil {
					return 0, err
				}
				done, err = reg.Rewrap(cmd.Context(), registry.System)
				return done, errors.Join(err, closed())
			}
			done, err := rewrap()
			if err != nil {
				return err
			}
			if done == 0 {
				fresh := make([]byte, secretSize)
				env.Random(fresh)
				secrets = append(secrets, fresh...)
				if err := f.writeSecret(secrets); err != nil {
					return err
				}
				if done, err = rewrap(); err != nil {
					return err
				}
			}
			// Nothing is under those in between any more.
			if n := len(secrets); n > 2*secretSize {
				secrets = append(secrets[:secretSize:secretSize], secrets[n-secretSize:]...)
				if err := f.writeSecret(secrets); err != nil {
					return err
				}
			}
			return cli.Print(cmd, map[string]any{"values": done, "secret_key": f.file(fileSecret)}, func(p *cli.Page) {
				p.Line("%d values in the database were encrypted anew.", done)
				p.Next("Copy "+f.file(fileSecret)+" to every server, and to its back-up; then start them",
					"Keep the old file as long as you keep back-ups of the database from before")
			})
		},
	}
	databaseFlag(cmd)
	return cmd
}

// writeNew writes a secret to a file that does not exist yet.
func writeNew(path string, data []byte) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	var disk durable.Disk
	return disk.CreateFile(dir, filepath.Base(path), data, durable.PrivateFile)
}
