package seats

import "licet/license"

// heap holds leases by when their seats are free, the first on top. A lease
// that lasts longer is left where it is and moves when it comes to the top, so
// that an extension costs nothing here.
type heap []heapEntry

type heapEntry struct {
	due license.Time // not after the lease's own
	l   *lease
}

func (h *heap) push(l *lease) {
	*h = append(*h, heapEntry{l.due, l})
	l.at = len(*h) - 1
	h.up(l.at)
}

// first is the lease whose seat is free first, nil if there is none.
func (h *heap) first() *lease {
	for len(*h) > 0 {
		top := &(*h)[0]
		if top.due >= top.l.due {
			return top.l
		}
		top.due = top.l.due
		h.down(0)
	}
	return nil
}

// sooner moves a lease whose seat is now free earlier than it was.
func (h *heap) sooner(l *lease) {
	(*h)[l.at].due = l.due
	h.up(l.at)
	h.down(l.at)
}

func (h *heap) remove(l *lease) {
	last := len(*h) - 1
	i := l.at
	(*h)[i] = (*h)[last]
	(*h)[i].l.at = i
	(*h)[last] = heapEntry{}
	*h = (*h)[:last]
	if i < last {
		h.up(i)
		h.down(i)
	}
	l.at = -1
}

func (h heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].due <= h[i].due {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].due < h[child].due {
			child = right
		}
		if h[i].due <= h[child].due {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].l.at, h[j].l.at = i, j
}
