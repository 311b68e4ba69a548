//go:build tools

// Package s3 pins the S3 server of the tests; scripts/get-s3 builds it.
package s3

import _ "github.com/versity/versitygw/cmd/versitygw"
