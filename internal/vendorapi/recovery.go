package vendorapi

import (
	"cmp"
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/license"
	"licet/recovery"
	"licet/wire"
)

// RecoveryPath names a report of lost licenses.
type RecoveryPath struct {
	Number uint64 `path:"number" minimum:"1" doc:"Number of the report."`
}

// recoveryRoutes is what staff decide about lost licenses.
func recoveryRoutes(api huma.API, reg *registry.Registry) {
	add(api, route{"GET", "/recoveries", "read", "Recoveries", "listRecoveries", "List reports of lost licenses",
		"Newest first; with open, those that wait for staff or for the user's answer, oldest first."},
		func(ctx context.Context, a registry.Actor, in *struct {
			Open bool `query:"open" doc:"Only those that wait."`
			Page
		}) (wire.List[wire.Recovery], error) {
			return reg.Recoveries(ctx, a, in.Open, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/recoveries/{number}", "read", "Recoveries", "getRecovery", "Show a report",
		"With every rule that policy looked at, and every earlier restore of its licenses."},
		func(ctx context.Context, a registry.Actor, in *RecoveryPath) (wire.Recovery, error) {
			return reg.Recovery(ctx, a, in.Number)
		})
	add(api, route{"POST", "/recoveries/{number}/approve", "recovery", "Recoveries", "approveRecovery", "Approve a report",
		"The licenses that wait are restored: they can be activated as usual, and the lost copies are dead."},
		func(ctx context.Context, a registry.Actor, in *struct {
			RecoveryPath
			Creation[wire.Approval]
		}) (wire.Recovery, error) {
			return reg.ApproveRecovery(in.asked(ctx, "POST", recoveryPath(in.Number, "approve")), a, in.Number, in.Body)
		})
	add(api, route{"POST", "/recoveries/{number}/refuse", "recovery", "Recoveries", "refuseRecovery", "Refuse a report", "The user reads the reason."},
		func(ctx context.Context, a registry.Actor, in *struct {
			RecoveryPath
			Creation[wire.Reason]
		}) (wire.Recovery, error) {
			return reg.RefuseRecovery(in.asked(ctx, "POST", recoveryPath(in.Number, "refuse")), a, in.Number, in.Body.Reason)
		})
	add(api, route{"POST", "/recoveries/{number}/ask", "recovery", "Recoveries", "askRecovery", "Ask the user back", "The report waits for the answer."},
		func(ctx context.Context, a registry.Actor, in *struct {
			RecoveryPath
			Creation[wire.Question]
		}) (wire.Recovery, error) {
			return reg.AskRecovery(in.asked(ctx, "POST", recoveryPath(in.Number, "ask")), a, in.Number, in.Body.Question)
		})
	add(api, route{"POST", "/recoveries/simulate", "recovery", "Recoveries", "simulatePolicy", "Try a policy on past reports",
		"Says what would have been decided otherwise. Nothing changes."},
		func(ctx context.Context, a registry.Actor, in *body[wire.SimulationRequest]) (wire.Simulation, error) {
			return reg.Simulate(ctx, a, in.Body)
		})
	add(api, route{"GET", "/recoveries/excess", "read", "Recoveries", "listExcess", "List who restores too often",
		"Customers, containers and members of staff with more reports than count in so many days. The event recovery_excess tells it as it happens."},
		func(ctx context.Context, a registry.Actor, in *struct {
			Count int64 `query:"count" minimum:"1" maximum:"1000" default:"3" doc:"More than so many."`
			Days  int64 `query:"days" minimum:"1" maximum:"1000" default:"30" doc:"In so many days."`
		}) (wire.Excess, error) {
			return reg.Excess(ctx, a, in.Count, in.Days)
		})
	add(api, route{"POST", "/licenses/{id}/restore-grants", "recovery", "Licenses", "enableRestore", "Allow restores of a license",
		"Beyond its policy, with a report in the system or without."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.RestoreGrant]
		}) (wire.License, error) {
			list, err := reg.EnableRestore(in.asked(ctx, "POST", "/licenses/"+in.ID+"/restore-grants"), a, []license.ID{license.ID(in.ID)}, cmp.Or(in.Body.Count, 1), in.Body.Reason)
			if err != nil {
				return wire.License{}, err
			}
			return list.Items[0], nil
		})
	add(api, route{"POST", "/restore-grants", "recovery", "Licenses", "enableRestores", "Allow restores of several licenses",
		"Of all of them or, if one cannot be restored, of none."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.RestoreGrants]) (wire.List[wire.License], error) {
			return reg.EnableRestore(in.asked(ctx, "POST", "/restore-grants"), a, in.Body.Licenses, cmp.Or(in.Body.Count, 1), in.Body.Reason)
		})
	add(api, route{"GET", "/licenses/{id}/restore-explanation", "read", "Licenses", "explainRestore", "Explain what a report would come to",
		"Every rule of the policy in order, as if the license were reported lost now and its conditions accepted."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Scope    string `query:"scope" enum:"license,container" default:"license" doc:"What is lost: the license alone, or its container with everything in it."`
			Hardware string `query:"hardware" enum:"same,new,damaged" doc:"What became of the machine of a lost container."`
		}) (wire.Explanation, error) {
			return reg.ExplainRestore(ctx, a, license.ID(in.ID), recovery.Scope(in.Scope), recovery.Hardware(in.Hardware))
		})
}

func recoveryPath(n uint64, what string) string {
	return "/recoveries/" + strconv.FormatUint(n, 10) + "/" + what
}
