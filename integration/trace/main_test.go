// Package trace_test tests that packets behave as ovloom trace and doctor say.
package trace_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
