// Package host_test tests what happens on one host: starting and leaving, plugging, changes in the switch by others.
package host_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
