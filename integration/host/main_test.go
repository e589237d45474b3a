// Package host_test tests what happens on one host: starting and leaving, plugging, hands in the switch.
package host_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
