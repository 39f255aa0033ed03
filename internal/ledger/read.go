package ledger

import (
	"os"

	"licet/internal/durable"
)

// Read reads a ledger that it does not go on with, and changes nothing: each record,
// in order. Torn says that something follows which does not read: a crash cut a group
// off, or the file is damaged.
func Read(dir *os.Root, name string, replay func(record []byte) error) (end Point, torn bool, err error) {
	data, err := durable.ReadFile(dir, name, 1<<33)
	if err != nil {
		return end, false, err
	}
	end, at, err := scan(data, Point{}, replay)
	if err != nil {
		return end, false, err
	}
	for _, b := range data[at:] {
		if b != 0 {
			return end, true, nil
		}
	}
	return end, false, nil
}
