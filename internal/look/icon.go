package look

import (
	"context"
	"fmt"
	"io"
)

// Icon is one drawing of the set: 20 × 20, lines of 1.5, in the color of the
// text. It is hidden from screen readers: a word stands beside it.
type Icon string

// The set.
const (
	IconArrow    Icon = "arrow"
	IconBack     Icon = "back"
	IconBlock    Icon = "block"
	IconBox      Icon = "box"
	IconCheck    Icon = "check"
	IconClock    Icon = "clock"
	IconClose    Icon = "close"
	IconCloud    Icon = "cloud"
	IconCopy     Icon = "copy"
	IconDanger   Icon = "danger"
	IconDown     Icon = "down"
	IconDownload Icon = "download"
	IconFile     Icon = "file"
	IconFlag     Icon = "flag"
	IconInfo     Icon = "info"
	IconKey      Icon = "key"
	IconLicense  Icon = "license"
	IconMachine  Icon = "machine"
	IconMenu     Icon = "menu"
	IconMoon     Icon = "moon"
	IconNext     Icon = "next"
	IconOrder    Icon = "order"
	IconOut      Icon = "out"
	IconPerson   Icon = "person"
	IconPlus     Icon = "plus"
	IconRecovery Icon = "recovery"
	IconReport   Icon = "report"
	IconSearch   Icon = "search"
	IconSun      Icon = "sun"
	IconTicket   Icon = "ticket"
	IconToken    Icon = "token"
	IconUp       Icon = "up"
	IconUpload   Icon = "upload"
	IconWarning  Icon = "warning"
)

var drawings = map[Icon]string{
	IconArrow:    `<path d="M4 10h12m-5-5 5 5-5 5"/>`,
	IconBack:     `<path d="M12 5 7 10l5 5"/>`,
	IconBlock:    `<circle cx="10" cy="10" r="7"/><path d="m5.2 5.2 9.6 9.6"/>`,
	IconBox:      `<path d="M3 6.5 10 3l7 3.5v7L10 17l-7-3.5zM3 6.5l7 3.5 7-3.5M10 10v7"/>`,
	IconCheck:    `<path d="m4 10.5 4 4 8-9"/>`,
	IconClock:    `<circle cx="10" cy="10" r="7"/><path d="M10 6v4l2.5 2"/>`,
	IconClose:    `<path d="m5 5 10 10M15 5 5 15"/>`,
	IconCloud:    `<path d="M6 15.5a3.5 3.5 0 0 1-.4-7 4.5 4.5 0 0 1 8.7.6A3.2 3.2 0 0 1 14 15.5z"/>`,
	IconCopy:     `<rect x="7" y="7" width="9.5" height="9.5" rx="2"/><path d="M13 7V5.5a2 2 0 0 0-2-2H5.500a2 2 0 0 0-2 2V11a2 2 0 0 0 2 2H7"/>`,
	IconDanger:   `<path d="M7 3h6l4 4v6l-4 4H7l-4-4V7z"/><path d="M10 6.500v4.500m0 2.600v.01"/>`,
	IconDown:     `<path d="m5 8 5 5 5-5"/>`,
	IconDownload: `<path d="M10 3v9m-4-4 4 4 4-4M4 16.500h12"/>`,
	IconFile:     `<path d="M11.5 3H6a1.5 1.5 0 0 0-1.5 1.500v11A1.5 1.5 0 0 0 6 17h8a1.5 1.5 0 0 0 1.5-1.500V7zm0 0v4h4"/>`,
	IconFlag:     `<path d="M5 17V4m0 0h9l-2 3.5 2 3.500H5"/>`,
	IconInfo:     `<circle cx="10" cy="10" r="7"/><path d="M10 9.500V14m0-7.500v.01"/>`,
	IconKey:      `<circle cx="7" cy="13" r="3.5"/><path d="m9.5 10.5 6-6m-2 2 2.5 2.500m-5-.5L12.5 10"/>`,
	IconLicense:  `<rect x="3" y="4" width="14" height="12" rx="2"/><path d="M6 8h5m-5 3.500h3"/><path d="m11.5 12 1.5 1.5 2.5-3"/>`,
	IconMachine:  `<rect x="3" y="4" width="14" height="9.5" rx="1.5"/><path d="M7 16.500h6M10 13.500v3"/>`,
	IconMenu:     `<path d="M3 6h14M3 10h14M3 14h14"/>`,
	IconMoon:     `<path d="M16.5 11.800A7 7 0 0 1 8.2 3.500a7 7 0 1 0 8.3 8.300z"/>`,
	IconNext:     `<path d="m8 5 5 5-5 5"/>`,
	IconOrder:    `<path d="M5 3h10v14l-2.5-1.500L10 17l-2.5-1.500L5 17zM8 7h4m-4 3.500h4"/>`,
	IconOut:      `<path d="M8 4H5.500A1.5 1.5 0 0 0 4 5.500v9A1.5 1.5 0 0 0 5.5 16H8m4-9 3 3-3 3m3-3H8"/>`,
	IconPerson:   `<circle cx="10" cy="7" r="3"/><path d="M4 16.500c.6-3 3-4.5 6-4.500s5.4 1.5 6 4.5"/>`,
	IconPlus:     `<path d="M10 4v12M4 10h12"/>`,
	IconRecovery: `<path d="M4.5 10a5.5 5.5 0 1 0 1.6-3.900L4 8m0-4v4h4"/><path d="M10 7v3l2 1.5"/>`,
	IconReport:   `<path d="M3.5 16.500h13M6 16.500v-5m4 5V4m4 12.500V8"/>`,
	IconSearch:   `<circle cx="9" cy="9" r="5"/><path d="m13 13 4 4"/>`,
	IconSun:      `<circle cx="10" cy="10" r="3.2"/><path d="M10 2.500v1.800m0 11.400v1.800M2.5 10h1.800m11.4 0h1.800M4.7 4.7 6 6m8 8 1.3 1.300m0-10.600L14 6m-8 8-1.3 1.3"/>`,
	IconTicket:   `<path d="M3 7a1.5 1.5 0 0 1 1.5-1.500h11A1.5 1.5 0 0 1 17 7v1.300a1.8 1.8 0 0 0 0 3.400V13a1.5 1.5 0 0 1-1.5 1.500h-11A1.5 1.5 0 0 1 3 13v-1.300a1.8 1.8 0 0 0 0-3.400z"/><path d="M12 6v1m0 2.500v1m0 2.500v1"/>`,
	IconToken:    `<path d="M6 8h8v7.500a1.5 1.5 0 0 1-1.5 1.500h-5A1.5 1.5 0 0 1 6 15.500zM7.5 8V3h5v5M9.2 5.300v.01m1.6 0v.01"/>`,
	IconUp:       `<path d="m5 12 5-5 5 5"/>`,
	IconUpload:   `<path d="M10 12.500V3.500m-4 4 4-4 4 4M4 16.500h12"/>`,
	IconWarning:  `<path d="M10 3.5 17.5 16h-15zM10 8.500v3.500m0 1.800v.01"/>`,
}

// Render draws the icon.
func (i Icon) Render(_ context.Context, w io.Writer) error {
	_, err := fmt.Fprintf(w, `<svg class="icon" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">%s</svg>`, drawings[i])
	return err
}

// shapes tell states apart without color: full, half, empty, crossed, and so on.
var shapes = map[State]string{
	NotCollected: `<circle cx="6" cy="6" r="4.25" fill="none"/>`,
	Collecting:   `<circle cx="6" cy="6" r="4.25" fill="none"/><path d="M6 1.750a4.25 4.25 0 0 1 0 8.500z" fill="currentColor" stroke="none"/>`,
	Collected:    `<circle cx="6" cy="6" r="4.75" fill="currentColor" stroke="none"/>`,
	Returning:    `<circle cx="6" cy="6" r="4.25" fill="none"/><path d="M6 1.750a4.25 4.25 0 0 0 0 8.500z" fill="currentColor" stroke="none"/>`,
	Returned:     `<circle cx="6" cy="6" r="4.25" fill="none"/><path d="m4 6 1.5 1.500L8.2 4.6" fill="none"/>`,
	Gone:         `<path d="m2.5 2.5 7 7m0-7-7 7" fill="none"/>`,
	Blocked:      `<rect x="1.25" y="1.25" width="9.5" height="9.5" rx="1.5" fill="currentColor" stroke="none"/><path d="M3.5 6h5" class="cut"/>`,
	Flagged:      `<path d="M2.75 11V1.500h7L8 4.25 9.75 7h-7" fill="currentColor"/>`,
	Waiting:      `<path d="M2.5 1.500h7m-7 9h7M3.25 1.500v1.750L6 6 3.25 8.750v1.750m5.5-9v1.750L6 6l2.75 2.750v1.75" fill="none"/>`,
}
