package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// ProgressBar shows a person at a terminal how far something is, in one line. In a
// pipe and with --json it says nothing.
type ProgressBar struct {
	out   io.Writer // nil where nobody watches
	shown bool
}

// barWidth is how many characters a full bar has.
const barWidth = 30

// Bar makes a progress bar for a command.
func Bar(cmd *cobra.Command) *ProgressBar {
	if JSON(cmd) || !Terminal(cmd.ErrOrStderr()) {
		return &ProgressBar{}
	}
	return &ProgressBar{out: cmd.ErrOrStderr()}
}

// Show draws the bar anew.
func (b *ProgressBar) Show(done, total int64, note string) {
	if b.out == nil {
		return
	}
	b.shown = true
	full := int(done * barWidth / max(total, 1))
	fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %d%%, %d of %d%s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/max(total, 1), done, total, clean(note))
}

// End leaves the bar as it is and begins a new line.
func (b *ProgressBar) End() {
	if b.shown {
		fmt.Fprintln(b.out)
	}
}
