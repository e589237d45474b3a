package cluster

import (
	"flag"
	"os"
	"testing"
)

// Most of these tests wait for elections, leases and deadlines: on a machine with two CPUs,
// eight at once take no longer than two.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
