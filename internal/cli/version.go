package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Build says which program this is.
type Build struct {
	Program  string `json:"program"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
}

// ThisBuild reads what the Go tool wrote into the program.
func ThisBuild(program string) Build {
	b := Build{Program: program, Version: "development", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

// VersionCommand is the command "version" of a program.
func VersionCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Example: "  " + program + " version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := ThisBuild(program)
			return Print(cmd, b, func(p *Page) { p.Line("%s %s (%s, %s)", b.Program, b.Version, b.Go, b.System) })
		},
	}
}
