// Package store_test tests a store that is down, damaged, restored, lost or someone else's.
package store_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
