package main

// This file runs the comparison with antrea's ofnet, which has a module of its own.

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// ofnet runs the benchmark of integration/peers. It needs the source tree and the Go
// toolchain.
func (b *bench) ofnet(ctx context.Context) ([]figure, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkInstall$/flows=100000",
		"-benchtime", fmt.Sprintf("%dx", b.rounds), ".")
	cmd.Dir = "integration/peers"
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	value := func(unit string) float64 {
		m := regexp.MustCompile(`([0-9.]+) ` + unit).FindSubmatch(out)
		if m == nil {
			return 0
		}
		v, _ := strconv.ParseFloat(string(m[1]), 64) // the pattern matches only numbers
		return v
	}
	ours, theirs := value("ovloom-ms"), value("ofnet-ms")
	if ours == 0 || theirs == 0 {
		return nil, fmt.Errorf("the benchmark says no times:\n%s", out)
	}
	return []figure{{
		what: "100000 flows, encode to barrier", ours: fmt.Sprintf("%.0f ms", ours),
		peer: fmt.Sprintf("ofnet, one bundle: %.0f ms", theirs), ratio: fmt.Sprintf("%.2f ×", theirs/ours),
		target: "≥ 4 ×", met: judge(theirs >= 4*ours),
	}}, nil
}
