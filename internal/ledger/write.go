package ledger

import (
	"encoding/binary"
	"fmt"

	"licet/internal/durable"
)

// work writes group after group until the ledger is closed. It alone touches the
// file.
func (l *Ledger[T]) work() {
	defer close(l.stopped)
	var items []T
	for {
		l.mu.Lock()
		for l.next == nil && !l.closed {
			l.wake.Wait()
		}
		if l.next == nil {
			l.mu.Unlock()
			return
		}
		g, content, snapshot := l.next, l.content, l.snapshot
		items, l.items = l.items, items[:0]
		l.next, l.flying, l.content, l.snapshot = nil, g, l.spare[:0], nil
		failed, end, at := l.failed, l.end, l.at
		l.mu.Unlock()

		err := failed
		if err == nil {
			end, at, err = l.commit(end, at, items, content, snapshot)
		}

		l.mu.Lock()
		l.flying, l.spare, g.err = nil, content, err
		if err == nil {
			l.end, l.at = end, at
		} else if l.failed == nil {
			l.failed = err
		}
		l.mu.Unlock()
		close(g.done)
		clear(items)
	}
}

// commit makes one group durable and answers where the ledger ends then.
func (l *Ledger[T]) commit(end Point, at int64, items []T, content []byte, snapshot *[][]byte) (Point, int64, error) {
	if snapshot != nil {
		if err := l.rewrite(end, *snapshot); err != nil {
			return end, at, err
		}
		end, at = l.end, l.at
	}
	var finish func()
	if l.opts.Begin != nil && len(items) > 0 {
		var record []byte
		if record, finish = l.opts.Begin(items); len(record) > 0 {
			content = appendRecord(content, record)
		}
	}
	number, head := end.Number+1, end.Head
	beside := make(chan struct{})
	go func() {
		defer close(beside)
		if finish != nil {
			finish()
		}
		if len(content) > 0 {
			head = head.follow(number, content)
		}
	}()
	length, err := l.write(at, end.Identity, number, content)
	<-beside
	if err == nil && len(content) > 0 {
		end.Number, end.Head = number, head
	}
	return end, at + length, err
}

// write writes a group at its place and syncs it.
func (l *Ledger[T]) write(at int64, id Identity, number uint64, content []byte) (int64, error) {
	if len(content) == 0 {
		return 0, nil
	}
	if len(content) > maxGroup {
		return 0, fmt.Errorf("ledger: a group of %d bytes is too large", len(content))
	}
	frame := appendGroup(l.frame[:0], id, number, content)
	l.frame = frame
	need := at + int64(len(frame))
	if need > l.file.Size() {
		if err := l.file.Grow(need + l.opts.Grow); err != nil {
			return 0, err
		}
	}
	if err := l.file.WriteAt(frame, at); err != nil {
		return 0, err
	}
	return int64(len(frame)), l.file.Sync()
}

// rewrite puts a new file in place of the old one: it begins at base, with records
// as its first group.
func (l *Ledger[T]) rewrite(base Point, records [][]byte) error {
	if l.opts.Carry != nil {
		if record := l.opts.Carry(); len(record) > 0 {
			records = append(records[:len(records):len(records)], record)
		}
	}
	size := 0
	for _, r := range records {
		size += len(r) + binary.MaxVarintLen32
	}
	content := make([]byte, 0, size)
	for _, r := range records {
		content = appendRecord(content, r)
	}
	if len(content) > maxGroup {
		return fmt.Errorf("ledger: a snapshot of %d bytes is too large", len(content))
	}
	data := make([]byte, 0, headerSize+groupHead+len(content)+int(l.opts.Grow))
	data = append(data, encodeHeader(base)...)
	end := base
	if len(content) > 0 {
		data = appendGroup(data, base.Identity, base.Number+1, content)
		end.Number, end.Head = base.Number+1, base.Head.follow(base.Number+1, content)
	}
	at := int64(len(data))
	data = data[:cap(data)]
	if err := l.opts.Disk.WriteFile(l.dir, l.name, data, durable.PrivateFile); err != nil {
		return err
	}
	file, err := l.opts.Disk.OpenInPlace(l.dir, l.name)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // nothing of it is needed any more
	}
	l.mu.Lock()
	l.file, l.end, l.at, l.base = file, end, at, at
	l.mu.Unlock()
	return nil
}
