package licetcmd

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"licet/container"
	"licet/internal/cli"
	"licet/license"
	"licet/refusal"
)

// durationFlag is a flag such as 12h or 7d.
type durationFlag struct{ license.Duration }

func (f *durationFlag) String() string {
	if f.Duration == 0 {
		return ""
	}
	return f.Duration.String()
}

func (f *durationFlag) Set(text string) (err error) {
	f.Duration, err = license.ParseDuration(text)
	return err
}

func (f *durationFlag) Type() string { return "duration" }

// timeFlag is a flag such as 2027-06-30.
type timeFlag struct{ license.Time }

func (f *timeFlag) String() string { return f.Time.String() }

func (f *timeFlag) Set(text string) (err error) {
	f.Time, err = license.ParseTime(text)
	return err
}

func (f *timeFlag) Type() string { return "date" }

// tickets reads tickets as people type them; a mistyped one is refused before
// anything is done.
func tickets(texts []string) ([]license.Ticket, error) {
	var list []license.Ticket
	for _, text := range texts {
		t, err := license.ParseTicket(text)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// ids turns texts into license ids.
func ids(texts []string) []license.ID {
	var list []license.ID
	for _, text := range texts {
		list = append(list, license.ID(text))
	}
	return list
}

// amounts reads license ids, each of which may go on with = and a number of seats or
// units.
func amounts(texts []string) (list []license.ID, some []container.Amount, err error) {
	for _, text := range texts {
		id, number, named := strings.Cut(text, "=")
		if named {
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || n < 1 || id == "" {
				return nil, nil, cli.Usage("%q is not a license with a number of seats or units. Write the license id, or ID=NUMBER with a number of 1 or more.", text)
			}
			some = append(some, container.Amount{License: license.ID(id), Seats: n})
		}
		list = append(list, license.ID(id))
	}
	return list, some, nil
}

// texts turns license ids into texts.
func texts(ids []license.ID) []string {
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	return list
}

// where is the part of a command line that says which container and server are
// meant.
type where struct {
	central   string
	container string
}

func (w *where) containerFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&w.container, "container", "", usage)
}

func (w *where) centralFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.central, "central", "", "address `URL` of the vendor's server (default: the trust file's)")
}

func (w *where) serial() license.Serial { return license.Serial(w.container) }

// fileError says what is wrong with a file that a person named.
func fileError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refusal.New(refusal.NotFound, "There is no file %s.", name).Hinted("Check the name.")
	case errors.Is(err, fs.ErrPermission):
		return refusal.New(refusal.Forbidden, "%s may not be used by this user.", name).Hinted("Choose another place, or change the file's mode.")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return refusal.New(refusal.StorageFull, "%s cannot be written: the disk is full or broken.", name)
	}
	return err
}
