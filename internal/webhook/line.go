package webhook

// Line lets the deliveries for one receiver pass in order: given those that are not
// done, in the order of the audit log, none goes before an earlier one that is about
// the same thing. The zero value is ready.
type Line struct{ busy map[string]bool }

// Free reports whether nothing that was asked for before is about any of these, and
// keeps what comes behind from going before this one.
func (l *Line) Free(about []string) bool {
	if l.busy == nil {
		l.busy = map[string]bool{}
	}
	free := true
	for _, a := range about {
		free = free && !l.busy[a]
	}
	// Also where it has to wait itself: what shares another thing with it must not
	// overtake it.
	for _, a := range about {
		l.busy[a] = true
	}
	return free
}
