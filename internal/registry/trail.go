package registry

import (
	"context"

	"licet/internal/audit"
	"licet/license"
	"licet/wire"
)

// Sequence appends the events that are not yet in the audit log and signs a
// checkpoint over them. It returns how many it appended.
func (r *Registry) Sequence(ctx context.Context) (int, error) {
	return audit.Sequence(ctx, r.cfg.DB, int64(license.At(r.cfg.Now())), r.keys().signer)
}

// VerifyAudit proves that the audit trail is whole, or names what is not.
func (r *Registry) VerifyAudit(ctx context.Context, a Actor) (wire.AuditReport, error) {
	if err := a.may(ScopeAudit); err != nil {
		return wire.AuditReport{}, err
	}
	if _, err := r.Sequence(ctx); err != nil { // so that what was done a moment ago is proven too
		return wire.AuditReport{}, err
	}
	found, err := audit.Verify(ctx, r.cfg.DB, r.keys().verifier)
	out := wire.AuditReport{Whole: found.OK(), Sequenced: found.Sequenced, Tail: found.Tail, Checkpoints: found.Checkpoints, Problems: []wire.AuditProblem{}}
	for _, p := range found.Problems {
		out.Problems = append(out.Problems, wire.AuditProblem{Event: p.Event, What: p.String()})
	}
	return out, err
}
