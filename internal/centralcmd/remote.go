package centralcmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"licet/client"
	"licet/internal/cli"
	"licet/refusal"
	"licet/wire"
)

// remote makes a command speak to a server: it gets --url and --token.
func remote(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().String("url", defaultAddress, "address of the server")
	cmd.PersistentFlags().String("token", "", "API token (default: the file admin.token of --data)")
	return cmd
}

// central is the server that a command speaks to.
func central(cmd *cobra.Command, env Env) (*client.Central, error) {
	url, _ := cmd.Flags().GetString("url")
	token, _ := cmd.Flags().GetString("token")
	if token == "" {
		var err error
		if token, err = savedToken(cmd); err != nil {
			return nil, err
		}
	}
	return client.NewCentral(url, token, client.Options{HTTP: env.HTTP, Program: "licet-central/" + cli.ThisBuild("licet-central").Version}), nil
}

// savedToken is the administrator's token from the data folder.
func savedToken(cmd *cobra.Command) (string, error) {
	data, _ := cmd.Flags().GetString("data")
	if data == "" {
		return "", refusal.New(refusal.Unauthorized, "This needs a token, and none was given.").
			Hinted("Give one with --token or LICET_TOKEN, or name the server's folder with --data or LICET_DATA.")
	}
	path := filepath.Join(data, fileToken)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", refusal.New(refusal.Unauthorized, "This needs a token, and %s cannot be read.", path).
			Hinted("Give one with --token or LICET_TOKEN.")
	}
	return strings.TrimSpace(string(text)), err
}

// asked explains what a call to the server came to, in the words of whoever runs
// the server rather than of a user's machine.
func asked(err error) error {
	if r, ok := refusal.As(err); ok && r.Code == refusal.CentralUnreachable && r.Hint == "" {
		r.Hinted("Start it with licet-central serve, or name its address with --url or LICET_URL.")
	}
	return err
}

// listFlags lets a list be read in parts.
func listFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int("limit", 0, "at most so many (default: all)")
	cmd.Flags().String("cursor", "", "go on after an earlier part: its \"next\"")
	return cmd
}

// pageSize is how many things are asked for at once.
const pageSize = 200

// collect reads a list as far as the flags ask for.
func collect[T any](cmd *cobra.Command, read func(client.Page) (wire.List[T], error)) (wire.List[T], error) {
	limit, _ := cmd.Flags().GetInt("limit")
	cursor, _ := cmd.Flags().GetString("cursor")
	if limit < 0 {
		return wire.List[T]{}, cli.Usage("--limit is less than 0.")
	}
	all := wire.List[T]{Items: []T{}, Next: cursor}
	for {
		want := pageSize
		if limit > 0 {
			want = min(want, limit-len(all.Items))
		}
		part, err := read(client.Page{Cursor: all.Next, Limit: want})
		if err != nil {
			return wire.List[T]{}, asked(err)
		}
		all.Items, all.Next = append(all.Items, part.Items...), part.Next
		if all.Next == "" || (limit > 0 && len(all.Items) >= limit) {
			return all, nil
		}
	}
}

// more tells people how to read on.
func more(p *cli.Page, next string) {
	if next != "" {
		p.Blank()
		p.Line("There is more: add --cursor %s", next)
	}
}
