//go:build tools

// Package etcd only names the program that the test cluster is built from.
package etcd

import _ "go.etcd.io/etcd/server/v3"
