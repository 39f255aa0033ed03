package catalog

import (
	"slices"

	"licet/license"
)

// restore reads the policy for lost licenses.
func (f *file) restore(n *node, r *license.Restore) {
	l, c := &r.License, &r.Container
	f.mapping(n, "restore", fields{
		"license": func(n *node) {
			f.mapping(n, "restore.license", fields{
				"mode":        f.mode("mode", &l.Mode),
				"automatic":   func(n *node) { f.whole(n, "automatic", MaxCount, &l.Automatic) },
				"per":         func(n *node) { f.duration(n, "per", &l.Per) },
				"wait":        func(n *node) { f.duration(n, "wait", &l.Wait) },
				"value_limit": func(n *node) { f.whole(n, "value_limit", MaxCount, &l.ValueLimit) },
				"customers": func(n *node) {
					f.entries(n, "restore.license.customers", maxName, func(name string, n *node) {
						modeFor(f, n, name, &l.Customers)
					})
				},
			})
		},
		"container": func(n *node) {
			f.mapping(n, "restore.container", fields{
				"same_hardware": f.mode("same_hardware", &c.SameHardware),
				"new_hardware":  f.mode("new_hardware", &c.NewHardware),
				"damaged":       f.mode("damaged", &c.Damaged),
			})
		},
		"kinds": func(n *node) {
			known := fields{}
			for _, k := range license.Kinds {
				known[string(k)] = func(n *node) { modeFor(f, n, k, &r.Kinds) }
			}
			f.mapping(n, "restore.kinds", known)
		},
		"self_service": func(n *node) { f.boolean(n, "self_service", r.SelfService) },
		"stop":         func(n *node) { enum(&f.problems, n, "stop", license.Stops, &r.Stop) },
		"found":        func(n *node) { enum(&f.problems, n, "found", license.Founds, &r.Found) },
		"conditions":   func(n *node) { f.text(n, "conditions", maxText, &r.Conditions) },
	})
}

func (f *file) mode(what string, into *license.RestoreMode) func(*node) {
	return func(n *node) { enum(&f.problems, n, what, license.RestoreModes, into) }
}

// modeFor reads the mode for one kind or customer; without any the map stays nil.
func modeFor[K comparable](f *file, n *node, key K, into *map[K]license.RestoreMode) {
	var mode license.RestoreMode
	if !enum(&f.problems, n, "mode", license.RestoreModes, &mode) {
		return
	}
	if *into == nil {
		*into = map[K]license.RestoreMode{}
	}
	(*into)[key] = mode
}

// coherentRestore checks that every limit has an effect and is complete.
func (f *file) coherentRestore(line int, p license.Product) {
	r, l := p.Restore, p.Restore.License
	modes := []license.RestoreMode{l.Mode, r.Container.SameHardware, r.Container.NewHardware, r.Container.Damaged}
	for _, m := range r.Kinds {
		modes = append(modes, m)
	}
	for _, m := range l.Customers {
		modes = append(modes, m)
	}
	isHybrid := slices.Contains(modes, license.RestoreHybrid)
	byPolicy := isHybrid || slices.Contains(modes, license.RestoreAutomatic)
	switch {
	case isHybrid && l.Automatic == 0:
		f.add(line, "restore.license: mode hybrid needs automatic, the number of restores that need no approval")
	case !byPolicy && (l.Automatic != 0 || l.Per != 0 || l.Wait != 0 || l.ValueLimit != 0):
		f.add(line, "restore.license: automatic, per, wait and value_limit have no effect where no mode is automatic or hybrid")
	case l.Per != 0 && l.Automatic == 0:
		f.add(line, "restore.license: per needs automatic, the number of restores in that time")
	}
	if l.ValueLimit != 0 && p.Value == 0 {
		f.add(line, "restore.license: value_limit needs value, what the product is worth")
	}
}
