// Command demo shows an overlay at work: two tenants with equal addresses on
// three hosts, each host with an Open vSwitch of its own, and an internet. It runs
// the commands that a user would type, prints their output, and checks each of its
// claims. The exit code is not 0 if a check fails.
//
//	main.go     start and end
//	acts.go     what is shown, in order
//	route.go    packets between two networks
//	outside.go  packets to the internet and from there, and traces
//	machine.go  containers with a port, and commands that run in hosts and in them
//	refused.go  packets that must not get through
//	wire.go     a tunnel packet, layer by layer
//	server.go   what is connected to, in containers and in the internet
//	picture.go  hosts and ports, drawn
//	page.go     how all of it is printed
//
// LAB_KEEP=1 leaves the hosts in place at the end. "demo playground" starts the hosts, with an
// empty overlay, and leaves them in place.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// most is far longer than the demonstration takes, even on a busy machine.
const most = 3 * time.Minute

func main() {
	act := run
	if len(os.Args) == 3 && os.Args[1] == serveCommand {
		fmt.Fprintln(os.Stderr, serve(os.Args[2]))
		os.Exit(1)
	}
	if len(os.Args) == 2 && os.Args[1] == "playground" {
		act = playground
	} else if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "usage: demo [playground]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := newPage(os.Stdout)
	err := act(ctx, p)
	switch {
	case ctx.Err() != nil:
		p.say("Interrupted.")
		os.Exit(130)
	case err != nil:
		p.failed(err)
		os.Exit(1)
	}
}

// run shows everything, and removes the hosts in any case.
func run(ctx context.Context, p *page) (err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	start := time.Now()
	p.title("ovloom: two tenants, three hosts, one overlay")
	p.say(`Three hosts are started on this machine, each a network namespace with an Open vSwitch and an
ovloomd of its own, and one more that plays the internet. Nothing outside of them is touched,
and at the end all of it is removed. A line that begins with a name and # is a command, in that
host or container; what it printed follows. Lines that begin with "ok" were checked.`)

	l, err := lab.Start(ctx, lab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(p, l, start)) }()
	d := &demo{Lab: l, page: p}
	for _, act := range []func(context.Context) error{
		d.connect, d.hosts, d.tenants, d.ports, d.reach, d.route, d.refuse, d.wire, d.leave, d.enter, d.trace, d.flows, d.status,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	if err := l.Check(ctx); err != nil {
		return err
	}
	p.ok("no daemon of the three hosts has logged a warning")
	return nil
}

// playground starts hosts on which a user can try everything, and leaves them in place.
func playground(ctx context.Context, p *page) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	l, err := lab.Start(ctx, lab.Config{})
	if err != nil {
		return err
	}
	d := &demo{Lab: l, page: p}
	for _, act := range []func(context.Context) error{d.connect, d.hosts} {
		if err := act(ctx); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return keep(p, l)
}

// keep leaves the lab in place and prints how to enter it.
func keep(p *page, l *lab.Lab) error {
	how, err := l.Keep()
	p.section("The hosts stay")
	p.say(how)
	return err
}

// end removes the lab, or leaves it in place if that was requested.
func end(p *page, l *lab.Lab, start time.Time) error {
	if os.Getenv("LAB_KEEP") == "1" {
		return keep(p, l)
	}
	p.section("Clean up")
	if err := l.Close(); err != nil {
		return err
	}
	if left := lab.Leftovers(l.Mark()); len(left) > 0 {
		return fmt.Errorf("not everything is removed: %v", left)
	}
	p.ok("no process, namespace or file of the demonstration is left; it took %.1f s", time.Since(start).Seconds())
	return nil
}
