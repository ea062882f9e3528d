// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package interop holds tests against code that is not ours: OAuth clients and JWT
// libraries of others, buf, real servers. It is a module of its own so that the
// library does not depend on them.
package interop
