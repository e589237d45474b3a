// Package l2_test tests what machines of one network see of each other: floods, address resolution,
// learning, peers, spoofed senders, and tenants with equal addresses.
package l2_test

import (
	"os"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
