// Package routing_test tests packets that are routed between networks.
package routing_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
