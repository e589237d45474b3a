package lab

// This file has the TestMain of packages whose tests build labs.

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// Main runs the tests and stops what labs share. If the requirements of labs are missing, it
// reports that once and runs no test.
func Main(m *testing.M) int {
	for _, b := range Backends {
		if err := Ready(b); err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: %v\n", err)
			return 1
		}
	}
	code := m.Run()
	if !kept(Mark()) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := remove(ctx, Mark()); err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: remove what the labs shared: %v\n", err)
			return 1
		}
	}
	return code
}
