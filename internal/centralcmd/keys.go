package centralcmd

import (
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/durable"
	"licet/internal/registry"
)

func keysCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "The vendor's keys"}
	cmd.AddCommand(exportRootCommand(env))
	return cmd
}

func exportRootCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export-root --data DIR -o FILE [--remove]",
		Short: "Write the root key to a file, to be kept offline",
		Long: "Write the root key to a file, to be kept offline.\n\n" +
			"The root key certifies the keys that sign licenses, and is needed for nothing else. Whoever has it can become the vendor. With --remove it is taken off the server once the file is safe.",
		Example: `  licet-central keys export-root --data ./central -o /media/safe/root.key --remove`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			reg, done, err := f.open(cmd.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer done()
			key, err := reg.ExportRoot(cmd.Context(), registry.System, false)
			if err != nil {
				return err
			}
			out, _ := cmd.Flags().GetString("out")
			text := pem.EncodeToMemory(&pem.Block{Type: "LICET ROOT KEY", Headers: map[string]string{"Vendor": reg.WellKnown().VendorID}, Bytes: key})
			if err := writeNew(out, text); err != nil {
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
					p.Line("It was removed from the database; a server that runs forgets it when it is started again.")
				}
				p.Next("Keep it in two places that are not this server.")
			})
		},
	}
	cmd.Flags().StringP("out", "o", "", "file to write; it must not exist")
	cmd.Flags().Bool("remove", false, "take the root key off the server")
	_ = cmd.MarkFlagRequired("out") // the flag is there
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
