//go:build tools

// Package kwok only names the program that the simulated nodes are driven by.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
