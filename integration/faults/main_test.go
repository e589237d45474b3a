// Package faults_test tests daemons, switches and hosts that die, hang and return, at random
// and one by one.
package faults_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
