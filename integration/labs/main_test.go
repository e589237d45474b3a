// Package labs_test tests labs themselves: that hosts, wires, workloads, captures and
// faults are what they seem, and that nothing of a lab is left.
package labs_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) {
	if b := os.Getenv(leaverEnv); b != "" {
		os.Exit(leave(lab.Backend(b)))
	}
	os.Exit(lab.Main(m))
}
