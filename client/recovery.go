package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"licet/license"
	"licet/recovery"
	"licet/wire"
)

// Recoveries lists reports of lost licenses, newest first; with open, those that
// wait, oldest first.
func (c *Central) Recoveries(ctx context.Context, open bool, p Page) (wire.List[wire.Recovery], error) {
	q := p.query()
	if open {
		q.Set("open", "true")
	}
	return get[wire.List[wire.Recovery]](ctx, c, "/recoveries", q)
}

// Recovery returns one report.
func (c *Central) Recovery(ctx context.Context, number uint64) (wire.Recovery, error) {
	return get[wire.Recovery](ctx, c, recoveryPath(number, ""), nil)
}

// ApproveRecovery restores what waits in a report.
func (c *Central) ApproveRecovery(ctx context.Context, number uint64, req wire.Approval) (wire.Recovery, error) {
	return send[wire.Recovery](ctx, c, http.MethodPost, recoveryPath(number, "/approve"), req)
}

// RefuseRecovery refuses a report.
func (c *Central) RefuseRecovery(ctx context.Context, number uint64, reason string) (wire.Recovery, error) {
	return send[wire.Recovery](ctx, c, http.MethodPost, recoveryPath(number, "/refuse"), wire.Reason{Reason: reason})
}

// AskRecovery asks the user back.
func (c *Central) AskRecovery(ctx context.Context, number uint64, question string) (wire.Recovery, error) {
	return send[wire.Recovery](ctx, c, http.MethodPost, recoveryPath(number, "/ask"), wire.Question{Question: question})
}

// EnableRestore allows restores of licenses beyond their policy.
func (c *Central) EnableRestore(ctx context.Context, req wire.RestoreGrants) (wire.List[wire.License], error) {
	return send[wire.List[wire.License]](ctx, c, http.MethodPost, "/restore-grants", req)
}

// ExplainRestore says what would be decided about a license that was lost now.
func (c *Central) ExplainRestore(ctx context.Context, id license.ID, scope recovery.Scope, hw recovery.Hardware) (wire.Explanation, error) {
	q := url.Values{"scope": {string(scope)}}
	if hw != "" {
		q.Set("hardware", string(hw))
	}
	return get[wire.Explanation](ctx, c, licensePath(id, "restore-explanation"), q)
}

// Simulate says what another policy would have decided.
func (c *Central) Simulate(ctx context.Context, req wire.SimulationRequest) (wire.Simulation, error) {
	return send[wire.Simulation](ctx, c, http.MethodPost, "/recoveries/simulate", req)
}

// Excess lists who restored more than count times in so many days; 0 stands for
// what the server notices by itself.
func (c *Central) Excess(ctx context.Context, count, days int64) (wire.Excess, error) {
	q := url.Values{}
	for name, n := range map[string]int64{"count": count, "days": days} {
		if n > 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	return get[wire.Excess](ctx, c, "/recoveries/excess", q)
}

func recoveryPath(number uint64, what string) string {
	return "/recoveries/" + strconv.FormatUint(number, 10) + what
}
