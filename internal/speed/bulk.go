package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"licet/internal/speed/bare"
)

const targetBulk = 1.4

// bulk takes orders of many licenses at once.
func (s *stage) bulk(context.Context) error {
	const licenses = 100_000
	const part = "Order of 100 000 licenses, SQLite"
	v, err := newVendor(s.central, s.folder("central"), "")
	if err != nil {
		return err
	}
	defer func() { v.stop() }()
	for i := range s.rounds {
		s.hush()
		l, err := run(v.process, 1, [][]byte{request("POST", "/api/v1/orders", v.header,
			fmt.Sprintf(`{"number":"B-%d","customer":"Example Customer","items":[{"product":"CAD","quantity":%d}]}`, i, licenses))}, true, true)
		if err != nil {
			return err
		}
		runtime.GC()
		before, start := cpuOf(os.Getpid()), time.Now()
		if err := bare.Bulk(s.folder("bulk")+".db", licenses); err != nil {
			return err
		}
		s.table.row(part, "processor time", "ms", targetBulk).add(l.CPU/1000, micros(cpuOf(os.Getpid())-before)/1000)
		s.table.row(part, "until the answer", "ms", 0).add(l.P50, micros(time.Since(start))/1000)
		s.table.row(part, "answer", "MiB", 0).add(float64(len(l.Answers[0])) / (1 << 20))
	}
	_, peak := v.memory()
	s.table.row(part, "memory of central at most", "MiB", 0).add(peak)
	return nil
}
