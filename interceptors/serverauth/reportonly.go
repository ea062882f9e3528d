// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// ReportOnly lets calls pass that would be refused, and reports them as would_deny: to
// find out who would be locked out before anybody is. what says which refusals and
// which methods; its mandatory date is for people and for CI, see [policy.ReportOnly]:
// nothing changes at run time when it passes.
//
// A call that passes without a valid token has no principal: [PrincipalFromContext]
// finds nobody. Refused in any case is what is closed on purpose, and what may be: a
// method without a rule, a revoked token, a caller that the access file denies, and one
// about whom CheckRevoked or the file cannot be asked.
func ReportOnly(what policy.ReportOnly) Option {
	return optionFunc(func(cfg *config) {
		if cfg.reportOnly != nil {
			cfg.errs = append(cfg.errs, errors.New("ReportOnly is given twice: name all methods in one"))
			return
		}
		what.Methods = slices.Clone(what.Methods)
		cfg.reportOnly = &what
	})
}

// waives reports whether a refusal is only reported.
func (a *Authorizer) waives(method string, refusal *Error) bool {
	if a.reportOnly == nil || refusal.firm || !a.reportOnly.Covers(method) {
		return false
	}
	switch a.ruleKind(method) {
	case policy.KindScopes, policy.KindAuthenticated:
	default:
		return false
	}
	if c := refusal.Code(); c == codes.Canceled || c == codes.DeadlineExceeded {
		return false // the caller has gone
	}
	switch refusal.reason {
	case ReasonTokenRevoked, ReasonRevocationUnavailable, ReasonMethodNotAnnotated, ReasonMethodNotAllowed:
		return false
	default:
	}
	if refusal.ofAuthorization() {
		return a.reportOnly.Authorization
	}
	return a.reportOnly.Authentication
}

// ofAuthorization reports whether the refusal is of a verified caller that may not make
// this call. Nobody else is ever let pass because of authorization.
func (e *Error) ofAuthorization() bool {
	if e.principal == nil {
		return false
	}
	if _, ok := errors.AsType[*checkCallError](e.cause); ok {
		return true // whatever reason the server's own check chose
	}
	return e.reason == ReasonInsufficientScope || e.reason == ReasonForeignScope
}

func (a *Authorizer) ruleKind(method string) policy.Kind {
	rule, _ := a.policy.Rule(method)
	return rule.Kind()
}

// announceReportOnly says at start what is not enforced, and how long that may go on.
func (a *Authorizer) announceReportOnly(cfg *config) {
	r := a.reportOnly
	if r == nil {
		return
	}
	days := r.DaysLeft(time.Now())
	methods := "all"
	if len(r.Methods) > 0 {
		methods = fmt.Sprint(r.Methods)
	}
	cfg.logger.Warn("scopeauth: refusals are only reported, calls pass",
		"authentication", r.Authentication, "authorization", r.Authorization, "methods", methods,
		"mandatory", r.Mandatory, "days_left", days)
}
