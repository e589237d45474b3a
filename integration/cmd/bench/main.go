// Command bench measures how fast ovloom is, beside the tools that do the same, and
// prints one table. It needs root and takes some minutes.
//
//	main.go      flags, and the rows one after the other
//	table.go     the table, for a terminal and for docs/performance.md
//	machine.go   what it ran on; CPU time and memory of processes
//	driven.go    a controller without store or database, on a real switch
//	probe.go     packets that each miss the switch's cache, and an echo at a steady rate
//	station.go   what ovloom and OVN are both asked to do
//	lab.go       hosts with ovloom, and many ports that exist in the store only
//	ovn.go, ovsdbcall.go   the same with OVN
//	install.go, stall.go, resync.go, change.go   rows about the driven controller
//	wait.go      waiting for conditions
//	peers.go     the row about another project's OpenFlow library
//	plug.go, crash.go, outage.go, cold.go        rows about whole hosts
//	compile.go   the row about a host that must know 20,000 ports
//	wire.go, connect.go                          the row about packets through the tables
//	fair.go      the row about a tenant beside another one that floods
//	fleet.go, fleetagent.go, fleetstore.go       rows about 200 hosts without switches
//
// Systems that are compared take turns, in rounds, and the table has the medians: so other load
// on the machine affects both alike.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// bench is one run.
type bench struct {
	rounds int
	ovn    bool // OVN is installed for comparison
}

// row is a measurement.
type row struct {
	name    string
	measure func(*bench, context.Context) ([]figure, error)
}

// rows are in the order of the table.
var rows = []row{
	{"install", (*bench).install},
	{"ofnet", (*bench).ofnet},
	{"stall", (*bench).stall},
	{"resync", (*bench).resync},
	{"change", (*bench).change},
	{"plug", (*bench).plug},
	{"crash", (*bench).crash},
	{"outage", (*bench).outage},
	{"cold", (*bench).cold},
	{"fleet", (*bench).fleet},
	{"compile", (*bench).compile},
	{"wire", (*bench).wire},
	{"fair", (*bench).fair},
}

// most is far longer than a row takes.
const most = 30 * time.Minute

func main() {
	if len(os.Args) > 1 && os.Args[1] == storeMember {
		memberMain(os.Args[2:])
	}
	only := flag.String("rows", "", "names of the rows to measure, separated by commas: "+names()+"; none: all")
	rounds := flag.Int("rounds", 5, "how often each figure is measured; the table has the median")
	out := flag.String("o", "", "file to write the table to, in markdown")
	profile := flag.String("cpuprofile", "", "file to write a profile of this process's CPU time to, for go tool pprof")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := profiled(*profile, func() error { return run(ctx, *only, *rounds, *out) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// profiled runs f, and writes a profile of it to the named file, if any.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	w, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		return errors.Join(err, w.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, w.Close())
}

// run measures the rows and prints the table, even if a row failed.
func run(ctx context.Context, only string, rounds int, out string) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if err := lab.Ready(lab.Namespaces); err != nil {
		return err
	}
	where, err := thisMachine(ctx)
	if err != nil {
		return err
	}
	b := &bench{rounds: rounds, ovn: where.ovn != ""}
	if !b.ovn {
		fmt.Fprintln(os.Stderr, "OVN is not installed here: it is not compared with; make bench installs it")
	}
	var figures []figure
	var errs []error
	for _, r := range chosen {
		fmt.Fprintf(os.Stderr, "%s …\n", r.name)
		rowCtx, cancel := context.WithTimeout(ctx, most)
		got, err := r.measure(b, rowCtx)
		cancel()
		figures = append(figures, got...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	t := table{where: where, after: load(), rounds: rounds, figures: figures}
	fmt.Print(t.text())
	if out != "" {
		errs = append(errs, os.WriteFile(out, []byte(t.markdown()), 0o644))
	}
	return errors.Join(errs...)
}

// choose returns the rows with the given names.
func choose(only string) ([]row, error) {
	if only == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; choose from %s", name, names())
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

func names() string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}
