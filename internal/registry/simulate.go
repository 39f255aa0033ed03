package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// maxSimulated is how many past losses a simulation looks at.
const maxSimulated = 20_000

// Simulate says what another policy would have decided about the losses of a
// product that were reported in the last days (docs/restore.md).
func (r *Registry) Simulate(ctx context.Context, a Actor, req wire.SimulationRequest) (out wire.Simulation, err error) {
	if err := a.may(ScopeRecovery); err != nil {
		return out, err
	}
	if req.Days == 0 {
		req.Days = 365
	}
	out = wire.Simulation{Product: req.Product, Since: license.At(r.cfg.Now()).Add(-daysOf(req.Days)), Changed: []wire.SimulatedCase{}}
	var policy license.Restore
	var losses []store.Loss
	var past []recovery.PastCase
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.Product(req.Product)
		if errors.Is(err, store.ErrNotFound) {
			return refusal.New(refusal.ProductUnknown, "There is no product %s.", req.Product)
		}
		if err != nil {
			return err
		}
		if policy, err = policyOf(p, req.Restore); err != nil {
			return err
		}
		if losses, err = tx.LossesOf(p.Code, out.Since, maxSimulated+1); err != nil {
			return err
		}
		if out.More = len(losses) > maxSimulated; out.More {
			losses = losses[:maxSimulated]
		}
		past, err = pastCases(tx, p, losses)
		return err
	})
	if err != nil {
		return out, err
	}
	outcomes := recovery.Simulate(policy, past)
	out.Summary = recovery.Summarize(outcomes)
	for i, o := range outcomes {
		if o.Changed {
			out.Changed = append(out.Changed, wire.SimulatedCase{Recovery: losses[i].Recovery, License: o.License, Customer: losses[i].Customer, Time: o.Time,
				Then: o.Then, Outcome: losses[i].Outcome, Now: o.Now})
		}
	}
	return out, nil
}

func daysOf(n int64) time.Duration { return time.Duration(n) * day }

// policyOf reads a policy as strictly as a catalog. JSON is YAML but for how it
// can write characters, so it is written plainly first.
func policyOf(p license.Product, raw json.RawMessage) (license.Restore, error) {
	var value map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil || value == nil {
		return license.Restore{}, refusal.New(refusal.InvalidInput, "The policy is not an object, as restore in the catalog is.")
	}
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return license.Restore{}, err
	}
	return catalog.ParsePolicy(p, plain.Bytes())
}

// pastCases makes the cases again that were decided then. What a rule found is
// kept with each; what no rule looked at then did not count then either.
func pastCases(tx *store.Tx, p license.Product, losses []store.Loss) ([]recovery.PastCase, error) {
	restored := map[license.ID][]license.Time{} // by policy, before the first loss of each
	past := make([]recovery.PastCase, 0, len(losses))
	for _, l := range losses {
		earlier, known := restored[l.License]
		if !known {
			done, err := tx.RestoresOf(l.License)
			if err != nil {
				return nil, err
			}
			for _, x := range done {
				if x.How == store.ByPolicy && x.Time < l.Created {
					earlier = append(earlier, x.Time)
				}
			}
			restored[l.License] = earlier
		}
		var because []recovery.Reason
		if err := json.Unmarshal([]byte(l.Because), &because); err != nil {
			return nil, fmt.Errorf("registry: recovery %d: %w", l.Recovery, err)
		}
		found := func(rule recovery.Rule) bool {
			return slices.ContainsFunc(because, func(x recovery.Reason) bool { return x.Rule == rule && x.Applies })
		}
		c := recovery.Case{Scope: recovery.Scope(l.Scope), Hardware: recovery.Hardware(l.Hardware), Kind: l.Kind, Value: p.Value, Customer: l.Customer,
			State: license.Collected, Withdrawn: found(recovery.RuleWithdrawn), Waiting: found(recovery.RuleWaiting), Restored: earlier,
			Accepted: true, Now: l.Created} // nothing is kept of reports whose conditions were not accepted
		if found(recovery.RuleAvailable) {
			c.State = license.NotCollected
		}
		if found(recovery.RuleGrant) {
			c.Extra = 1
		}
		past = append(past, recovery.PastCase{Case: c, License: l.License, Then: recovery.Verdict(l.Verdict)})
	}
	return past, nil
}
