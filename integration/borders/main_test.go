// Package borders_test tests what does not cross the borders of a tenant, a host or an external.
package borders_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
