// Package shares_test tests that what one tenant does takes nothing from another.
package shares_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
