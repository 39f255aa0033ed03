package bare

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Commits is how many transactions per second, of one row each, a PostgreSQL
// server makes durable for so many clients with a connection each.
func Commits(ctx context.Context, server string, clients, n int) (rate float64, err error) {
	conns := make([]*pgx.Conn, clients)
	for i := range conns {
		if conns[i], err = pgx.Connect(ctx, server); err != nil {
			return 0, err
		}
		defer conns[i].Close(ctx)
	}
	if _, err := conns[0].Exec(ctx, `CREATE TABLE IF NOT EXISTS bare_rows (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value TEXT NOT NULL)`); err != nil {
		return 0, err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, clients)
	start := time.Now()
	for i, c := range conns {
		all.Go(func() {
			for next.Add(1) <= int64(n) && errs[i] == nil {
				_, errs[i] = c.Exec(ctx, `INSERT INTO bare_rows (value) VALUES ($1)`, Fingerprint(i))
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds(), errors.Join(errs...)
}
