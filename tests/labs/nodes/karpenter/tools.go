//go:build tools

// Package karpenter only names the program that NodeClaims are tested against.
package karpenter

import _ "sigs.k8s.io/karpenter/kwok"
