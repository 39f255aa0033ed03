package centralcmd

import (
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"licet/internal/cli"
	"licet/internal/registry"
	"licet/internal/signerlink"
)

// defaultListen is where the server listens, and defaultAddress how machines
// reach it, unless said otherwise.
const (
	defaultListen  = "127.0.0.1:8080"
	defaultAddress = "http://" + defaultListen
)

func initCommand(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --data DIR [--vendor NAME]",
		Short: "Set up a server: database, keys, first administrator",
		Long: "Set up a server: database, keys, first administrator.\n\n" +
			"Writes admin.token, which management commands use, and vendor.trust, which users' machines trust. Overwrites nothing.",
		Example: `  licet-central init --data ./central --vendor "Example Software"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folderOf(cmd, env)
			if err != nil {
				return err
			}
			m, err := f.initialize(cmd.Context(), vendorOf(cmd, defaultAddress), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			return cli.Print(cmd, m, func(p *cli.Page) {
				p.Line("%s is set up.", m.Vendor)
				p.Field("vendor id", "%s", m.VendorID)
				p.Field("environment", "%s", m.Environment)
				p.Field("address", "%s", m.Address)
				p.Field("database", "%s", m.Database)
				p.Field("administrator", "%s (keep it secret)", m.Files["admin_token"])
				p.Field("secret", "%s (keep it secret, and back it up apart from the database)", m.Files["secret_key"])
				p.Field("trust file", "%s (give it to users' machines)", m.Files["trust"])
				p.Next("licet-central serve --data " + m.Data)
			})
		},
	}
	vendorFlags(cmd)
	databaseOnly(cmd)
	return cmd
}

func vendorFlags(cmd *cobra.Command) {
	cmd.Flags().String("vendor", "Vendor", "your name, as customers see it")
	cmd.Flags().String("environment", "production", "kind of instance; licenses of one are worth nothing in another")
	cmd.Flags().String("address", "", "where users' machines reach the server, such as https://licenses.example.com (default: where it listens)")
	cmd.Flags().String("signer", "", "where the key that signs is made and kept: a signer, such as unix:/run/licet-signer/signer.sock (default: in the database)")
}

// signerFlag is the address of a signer, whose path means the same wherever it is read.
func signerFlag(cmd *cobra.Command) string {
	address, _ := cmd.Flags().GetString("signer")
	path, ok := strings.CutPrefix(address, signerlink.Scheme)
	if !ok || path == "" {
		return address
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return signerlink.Scheme + path
}

func vendorOf(cmd *cobra.Command, address string) (req registry.InitRequest) {
	req.Vendor, _ = cmd.Flags().GetString("vendor")
	req.Environment, _ = cmd.Flags().GetString("environment")
	if req.Address, _ = cmd.Flags().GetString("address"); req.Address == "" {
		req.Address = address
	}
	req.Signer = signerFlag(cmd)
	return req
}
