// Package demo_test tests the smallest overlay, and the demonstration.
package demo_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
