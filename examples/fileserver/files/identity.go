// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// WhoAmI tells the caller what its token says. Without a verified caller it ends
// UNAUTHENTICATED, also on a server that lacks the interceptors.
func (s *Service) WhoAmI(ctx context.Context, _ *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	p, err := serverauth.RequirePrincipal(ctx)
	if err != nil {
		return nil, err
	}
	return &filesv1.WhoAmIResponse{
		ClientId:   p.ClientID(),
		Scopes:     p.Scopes(),
		Issuer:     p.Issuer(),
		ExpireTime: timestamppb.New(p.ExpiresAt()),
	}, nil
}
