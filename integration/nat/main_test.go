// Package nat_test tests SNAT, floating addresses and forwards, by the host and by a bridge.
package nat_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
