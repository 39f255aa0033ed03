package verify_test

import (
	"testing"

	"licet/internal/pgtest"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/internal/verify"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestWholeHistoryIsClean(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b, _ := story(t, open())
		r, err := verify.Run(t.Context(), b.db, verify.Options{Trust: b.file})
		must(t, err)
		for _, f := range r.Findings {
			t.Error(f)
		}
		for _, c := range r.Tables {
			t.Log(c)
			if c.Good == 0 {
				t.Errorf("nothing of %s was checked", c.Table)
			}
		}
		if len(r.Tables) != 24 || r.Tail == 0 || r.Checkpoints == 0 || r.Bad != 0 {
			t.Errorf("%+v", r)
		}
	})
}
