package integration_test

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
