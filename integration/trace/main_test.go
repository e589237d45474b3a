// Package trace_test tests that what ovloom trace and doctor say is what packets do.
package trace_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
