package faults_test

// Faults of a host in TestRandomFaults: changes in the switch, in the host's own network and in
// the daemons, and failures.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// machineOn returns a random machine of a host.
func (r *faultRun) machineOn(h *lab.Host) *overlay.Machine {
	machines := r.tenants[r.rand.IntN(len(r.tenants))]
	for _, m := range machines {
		if m.Host == h {
			return m
		}
	}
	return machines[0]
}

// run returns a function that runs a command on a host.
func (r *faultRun) run(args ...string) func(*lab.Host) error {
	return func(h *lab.Host) error {
		limited, cancel := context.WithTimeout(r.t.Context(), lab.Patient(10*time.Second))
		defer cancel()
		_, err := h.Exec(limited, args...)
		return err
	}
}

// port is run with PORT replaced by the interface of a random port of the host.
func (r *faultRun) port(command ...string) func(*lab.Host) error {
	return func(h *lab.Host) error {
		m := r.machineOn(h)
		var args []string
		for _, a := range command {
			args = append(args, strings.ReplaceAll(a, "PORT", overlay.HostIf(m)))
		}
		return r.run(args...)(h)
	}
}

// inside is run in a random machine of the host.
func (r *faultRun) inside(command ...string) func(*lab.Host) error {
	return func(h *lab.Host) error {
		_, err := r.machineOn(h).Exec(r.t.Context(), command...)
		return err
	}
}

func (r *faultRun) ovloom(args ...string) func(*lab.Host) error {
	return func(h *lab.Host) error {
		_, err := h.Ovloom(r.t.Context(), args...)
		return err
	}
}

func (r *faultRun) ofctl(args ...string) func(*lab.Host) error {
	return r.run(append([]string{"ovs-ofctl", "-O", "OpenFlow15", "--timeout=5"}, args...)...)
}

func (r *faultRun) vsctl(args ...string) func(*lab.Host) error {
	return r.run(append([]string{"ovs-vsctl", "--timeout=5"}, args...)...)
}

func (r *faultRun) appctl(args ...string) func(*lab.Host) error {
	return r.run(append([]string{"ovs-appctl", "--timeout=5"}, args...)...)
}

// shell is run for a shell script.
func (r *faultRun) shell(script string) func(*lab.Host) error { return r.run("sh", "-ec", script) }

// startOvloomd starts ovloomd unless it is running.
func (r *faultRun) startOvloomd(h *lab.Host) error {
	if h.Ovloomd.Running() {
		return nil
	}
	_, err := h.StartOvloomd(r.t.Context())
	return err
}

// startSwitch starts the daemons of Open vSwitch that are not running.
func (r *faultRun) startSwitch(h *lab.Host) error {
	if !h.OVSDB.Running() {
		if err := h.StartOVSDB(r.t.Context()); err != nil {
			return err
		}
	}
	if h.Vswitchd.Running() {
		return nil
	}
	return h.StartVswitchd(r.t.Context())
}

// faults lists all faults. Each draws its random choices when it is caused, in a fixed order,
// so that a seed replays.
func (r *faultRun) faults() []fault {
	var all []fault
	for _, kind := range [][]fault{r.daemonFaults(), r.flowFaults(), r.bridgeFaults(), r.datapathFaults(), r.hostFaults(), r.networkFaults(), r.diskFaults(), r.changes()} {
		all = append(all, kind...)
	}
	return all
}

func (r *faultRun) daemonFaults() []fault {
	signal := func(of func(*lab.Host) *lab.Process, s unix.Signal) func(*lab.Host) error {
		return func(h *lab.Host) error { return of(h).Signal(s) }
	}
	daemon := func(h *lab.Host) *lab.Process { return h.Ovloomd }
	vswitchd := func(h *lab.Host) *lab.Process { return h.Vswitchd }
	ovsdb := func(h *lab.Host) *lab.Process { return h.OVSDB }
	var files unix.Rlimit // the limit for ovloomd
	daemonFirst := false
	return []fault{
		{name: "kill -9 ovloomd", do: func(h *lab.Host) error { return h.Ovloomd.Kill() }, undo: r.startOvloomd},
		{name: "ovloomd restarted", do: func(h *lab.Host) error { return h.Ovloomd.Stop() }, undo: r.startOvloomd},
		{name: "SIGSTOP ovloomd", do: signal(daemon, unix.SIGSTOP), undo: signal(daemon, unix.SIGCONT)},
		{name: "kill -9 ovs-vswitchd", do: func(h *lab.Host) error { return h.Vswitchd.Kill() }, undo: r.startSwitch},
		{name: "SIGSTOP ovs-vswitchd", do: signal(vswitchd, unix.SIGSTOP), undo: signal(vswitchd, unix.SIGCONT)},
		{name: "kill -9 ovsdb-server", do: func(h *lab.Host) error { return h.OVSDB.Kill() }, undo: r.startSwitch},
		{name: "SIGSTOP ovsdb-server", do: signal(ovsdb, unix.SIGSTOP), undo: signal(ovsdb, unix.SIGCONT)},
		{name: "all daemons killed",
			do: func(h *lab.Host) error {
				daemonFirst = r.rand.IntN(2) == 0
				return errors.Join(h.Ovloomd.Kill(), h.Vswitchd.Kill(), h.OVSDB.Kill())
			},
			undo: func(h *lab.Host) error {
				if !daemonFirst {
					return errors.Join(r.startSwitch(h), r.startOvloomd(h))
				}
				if !h.Ovloomd.Running() { // it serves its API only after it has connected to the switch
					if _, err := h.LaunchOvloomd(r.t.Context()); err != nil {
						return err
					}
				}
				return r.startSwitch(h)
			}},
		{name: "ovloomd out of file descriptors",
			do: func(h *lab.Host) error {
				few := unix.Rlimit{Cur: 8}
				if err := unix.Prlimit(h.Ovloomd.Pid(), unix.RLIMIT_NOFILE, nil, &files); err != nil {
					return err
				}
				few.Max = files.Max
				return unix.Prlimit(h.Ovloomd.Pid(), unix.RLIMIT_NOFILE, &few, nil)
			},
			undo: func(h *lab.Host) error { return unix.Prlimit(h.Ovloomd.Pid(), unix.RLIMIT_NOFILE, &files, nil) }},
	}
}

func (r *faultRun) flowFaults() []fault {
	table := func() int {
		tables := pipeline.Tables()
		return int(tables[r.rand.IntN(len(tables))].ID)
	}
	fork := pipeline.TableByName("fork").ID
	return []fault{
		{name: "del-flows", do: r.ofctl("del-flows", "br-int")},
		{name: "del-flows of one table", do: func(h *lab.Host) error {
			return r.ofctl("del-flows", "br-int", fmt.Sprintf("table=%d", table()))(h)
		}},
		{name: "mod-flows of one table", do: func(h *lab.Host) error {
			return r.ofctl("mod-flows", "br-int", fmt.Sprintf("table=%d,actions=drop", table()))(h)
		}},
		{name: "a flow past port security", do: func(h *lab.Host) error {
			return r.ofctl("add-flow", "br-int", fmt.Sprintf("table=%d,priority=65535,actions=goto_table:%d", pipeline.TableByName("port_security").ID, fork))(h)
		}},
		{name: "a flow that drops all", do: r.ofctl("add-flow", "br-int", "table=0,priority=65535,actions=drop")},
		{name: "del-flows of the underlay's bridge", do: r.ofctl("del-flows", "br-phy")},
		{name: "del-groups", do: r.ofctl("del-groups", "br-int")},
		{name: "a group emptied", do: r.shell(`id=$(ovs-ofctl -O OpenFlow15 dump-groups br-int | sed -n 's/.*group_id=\([0-9]*\),.*/\1/p' | head -n 1)
			[ -z "$id" ] || ovs-ofctl -O OpenFlow15 mod-group br-int group_id=$id,type=all`)},
		{name: "a foreign group", do: r.ofctl("add-group", "br-int", "group_id=4000000000,type=all,bucket=actions=drop")},
		{name: "del-meters", do: r.ofctl("del-meters", "br-int")},
		{name: "a meter changed", do: r.shell(`id=$(ovs-ofctl -O OpenFlow15 dump-meters br-int | sed -n 's/.*meter=\([0-9]*\) .*/\1/p' | head -n 1)
			[ -z "$id" ] || ovs-ofctl -O OpenFlow15 mod-meter br-int meter=$id,pktps,bands=type=drop,rate=1`)},
		{name: "mod-port down", do: r.port("ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "mod-port", "br-int", "PORT", "down")},
		{name: "mod-port no-forward", do: r.ofctl("mod-port", "br-int", "vx0", "no-forward")},
		{name: "mod-port no-receive", do: r.port("ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "mod-port", "br-int", "PORT", "no-receive")},
		{name: "set-frags drop", do: r.ofctl("set-frags", "br-int", "drop")},
	}
}

func (r *faultRun) bridgeFaults() []fault {
	table := func(h *lab.Host) error {
		tables := pipeline.Tables()
		return r.vsctl("--", "--id=@t", "create", "Flow_Table", "flow_limit=1", "overflow_policy=evict",
			"--", "set", "bridge", "br-int", fmt.Sprintf("flow_tables:%d=@t", tables[r.rand.IntN(len(tables))].ID))(h)
	}
	return []fault{
		{name: "del-port", do: r.port("ovs-vsctl", "--timeout=5", "del-port", "br-int", "PORT")},
		{name: "del-port vx0", do: r.vsctl("del-port", "br-int", "vx0")},
		{name: "del-port ovl0", do: r.vsctl("del-port", "br-int", "ovl0")},
		{name: "vx0's options", do: r.vsctl("set", "interface", "vx0", "options:key=7", "options:remote_ip=172.31.0.99")},
		{name: "vx0's type", do: r.vsctl("set", "interface", "vx0", "type=geneve")},
		{name: "a port's number", do: r.port("ovs-vsctl", "--timeout=5", "set", "interface", "PORT", "ofport_request=4321")},
		{name: "vx0's number", do: r.vsctl("set", "interface", "vx0", "ofport_request=5432")},
		{name: "del-br", do: r.vsctl("del-br", "br-int")},
		{name: "external_ids of the bridge cleared", do: r.vsctl("clear", "Bridge", "br-int", "external_ids")},
		{name: "external_ids of a port cleared", do: r.port("ovs-vsctl", "--timeout=5", "clear", "Interface", "PORT", "external_ids")},
		{name: "another iface-id", do: r.port("ovs-vsctl", "--timeout=5", "set", "Interface", "PORT", "external_ids:iface-id=vm7")},
		{name: "set-controller", do: r.vsctl("set-controller", "br-int", "tcp:127.0.0.1:9"),
			undo: r.vsctl("del-controller", "br-int")}, // from the fourth within ten minutes on, ovloom only warns
		{name: "a table's limit", do: table},
		{name: "fail mode", do: r.vsctl("set-fail-mode", "br-int", "standalone"), opens: r.closedAgain},
		{name: "emer-reset", do: r.vsctl("emer-reset"), opens: r.closedAgain},
		{name: "protocols", do: r.vsctl("set", "bridge", "br-int", "protocols=OpenFlow10")},

		{name: "del-br br-phy", do: r.vsctl("del-br", "br-phy")},
		{name: "the underlay's card taken off br-phy", do: r.vsctl("del-port", "br-phy", lab.UnderlayNIC)},
		{name: "fail mode of br-phy", do: r.vsctl("set-fail-mode", "br-phy", "secure")},
		{name: "mod-port of br-phy down", do: r.ofctl("mod-port", "br-phy", lab.UnderlayNIC, "down"),
			undo: r.run("ip", "link", "set", lab.UnderlayNIC, "up")}, // whether the NIC is up is its owner's decision
		{name: "external_ids of br-phy cleared", do: r.vsctl("clear", "Bridge", "br-phy", "external_ids")},
		{name: "the patch to br-ex taken off", do: r.shell(`for p in $(ovs-vsctl --timeout=5 list-ports br-ex); do case $p in *-out) ovs-vsctl --timeout=5 del-port br-ex $p;; esac; done`)},
	}
}

// closedAgain reports whether br-int is right again, and no cached flow is left from the time
// when it was an ordinary bridge.
func (r *faultRun) closedAgain(h *lab.Host) error {
	ctx := r.t.Context()
	if mode, err := h.Exec(ctx, "ovs-vsctl", "--timeout=5", "get-fail-mode", "br-int"); err != nil || mode != "secure\n" {
		return fmt.Errorf("fail mode %q: %v", mode, err)
	}
	if flows, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "dump-flows", "br-int", "table=0"); err != nil || strings.Contains(flows, "NORMAL") {
		return fmt.Errorf("flows of table 0: %v\n%s", err, flows)
	}
	return r.appctl("revalidator/wait")(h) // until the cached flows are gone
}

func (r *faultRun) datapathFaults() []fault {
	limited := func(h *lab.Host) error {
		script := `for zone in $(ovs-vsctl --timeout=5 get bridge br-int external_ids:ovloom-zones | grep -o ':[0-9]*' | tr -d :); do
			ovs-appctl --timeout=5 dpctl/ct-set-limits zone=$zone,limit=1; done; ovs-appctl --timeout=5 dpctl/flush-conntrack`
		return r.shell(script)(h)
	}
	forged := func(h *lab.Host) error {
		other := r.Hosts[r.rand.IntN(len(r.Hosts))]
		return r.appctl("tnl/neigh/set", "br-phy", other.VTEP.String(), "02:00:00:00:00:66")(h)
	}
	return []fault{
		{name: "limits of conntrack", do: limited},
		{name: "flush-conntrack", do: r.appctl("dpctl/flush-conntrack")},
		{name: "a tunnel neighbour set", do: forged},
		{name: "tunnel neighbours flushed", do: r.appctl("tnl/neigh/flush")},
		{name: "cached flows purged", do: r.appctl("revalidator/purge")},
	}
}

func (r *faultRun) hostFaults() []fault {
	var gone *overlay.Machine
	plug := func(h *lab.Host) error {
		_, err := h.Ovloom(r.t.Context(), "port", "plug", gone.Port.Ref().String(), "--netns", gone.NetNS)
		if err != nil {
			return err
		}
		c, err := gone.Capture("eth0")
		if err == nil {
			r.heard[gone].Close()
			r.heard[gone].Capture = c
		}
		return err
	}
	return []fault{
		{name: "a port's link down", do: r.port("ip", "link", "set", "PORT", "down")},
		{name: "a port's MTU", do: r.port("ip", "link", "set", "PORT", "mtu", "900")},
		{name: "addresses inside flushed", do: r.inside("ip", "addr", "flush", "dev", "eth0", "scope", "global")},
		{name: "default route inside deleted", do: r.inside("ip", "route", "del", "default")},
		{name: "the MTU inside changed", do: r.inside("ip", "link", "set", "eth0", "mtu", "1200")},
		{name: "the MAC inside changed", do: r.inside("ip", "link", "set", "eth0", "address", "02:00:00:00:77:77")},
		{name: "the link inside down", do: r.inside("ip", "link", "set", "eth0", "down")},
		{name: "a port's link deleted", do: func(h *lab.Host) error {
			gone = r.machineOn(h)
			return r.run("ip", "link", "del", overlay.HostIf(gone))(h)
		}, undo: plug},
		{name: "a namespace deleted", do: func(h *lab.Host) error {
			gone = r.machineOn(h)
			r.heard[gone].Close() // it would keep the namespace alive
			return r.run("ip", "netns", "del", gone.NetNS)(h)
		}, undo: func(h *lab.Host) error {
			if _, err := os.Stat(filepath.Join("/run/netns", gone.NetNS)); errors.Is(err, os.ErrNotExist) {
				if err := r.run("ip", "netns", "add", gone.NetNS)(h); err != nil {
					return err
				}
			}
			return plug(h)
		}},
		{name: "a port unplugged", do: func(h *lab.Host) error {
			gone = r.machineOn(h)
			_, err := h.Ovloom(r.t.Context(), "port", "unplug", gone.Port.Ref().String())
			return err
		}, undo: plug, tellsNothing: true}, // it was requested

		{name: "nft flushed", do: r.run("nft", "flush", "ruleset")},
		{name: "ovloom's table deleted", do: r.run("nft", "delete", "table", "ip", "ovloom")},
		{name: "forwarding off", do: r.run("sysctl", "-qw", "net.ipv4.ip_forward=0"), undo: r.run("sysctl", "-qw", "net.ipv4.ip_forward=1")},
		{name: "a firewall that drops", do: r.run("nft", "add table ip fw; add chain ip fw forward { type filter hook forward priority 0; policy drop; }"),
			undo: r.run("nft", "add table ip fw; delete table ip fw")},
		{name: "ovl0 down", do: r.run("ip", "link", "set", "ovl0", "down")},
		{name: "ovl0 deleted", do: r.run("ip", "link", "del", "ovl0")},
		{name: "the external's gateway deleted", do: r.shell("ip addr del 100.64.0.1/32 dev lo")},
		{name: "the external's route deleted", do: r.shell("ip route del 100.64.0.0/16")},

		{name: "br-phy down", do: r.run("ip", "link", "set", "br-phy", "down")},
		{name: "the underlay's card down", do: r.run("ip", "link", "set", lab.UnderlayNIC, "down"), undo: r.run("ip", "link", "set", lab.UnderlayNIC, "up")},
		{name: "the VTEP's address deleted", do: r.run("ip", "addr", "flush", "dev", "br-phy"),
			undo: func(h *lab.Host) error {
				return r.run("ip", "addr", "replace", h.Underlay.String(), "dev", "br-phy")(h)
			}},
	}
}

func (r *faultRun) networkFaults() []fault {
	oneWay := func(h *lab.Host) error {
		way := []lab.Direction{lab.FromHost, lab.ToHost}[r.rand.IntN(2)]
		return h.FilterUDP(r.t.Context(), 4789, way)
	}
	lossy := func(nic string, percent int) func(*lab.Host) error {
		return func(h *lab.Host) error { return h.Lossy(r.t.Context(), nic, percent) }
	}
	return []fault{
		{name: "the underlay's cable out", do: (*lab.Host).LinkDown, undo: (*lab.Host).LinkUp},
		{name: "the management's cable out", do: (*lab.Host).ManagementDown, undo: (*lab.Host).ManagementUp},
		{name: "the underlay cut one way", do: oneWay, undo: func(h *lab.Host) error { return h.FilterUDP(r.t.Context(), 4789) }, tellsNothing: true},
		{name: "a lossy underlay", do: lossy(lab.UnderlayNIC, 20), undo: lossy(lab.UnderlayNIC, 0), tellsNothing: true},
		{name: "a lossy management network", do: lossy(lab.ManagementNIC, 15), undo: lossy(lab.ManagementNIC, 0)},
	}
}

// smallDisk is the size of a state directory, with the store and without. The store takes 64 MB
// for each file of its log, and keeps the data from before a restore.
const smallDiskStore, smallDisk = "1g", "16m"

// changes are the concurrent changes by users.
func (r *faultRun) changes() []fault {
	deleted := func(args ...string) func(*lab.Host) error {
		return func(h *lab.Host) error {
			_, err := h.Ovloom(r.t.Context(), args...)
			if lab.ExitCode(err) == 3 { // it was never added
				err = nil
			}
			return err
		}
	}
	return []fault{
		{name: "a port added", do: r.ovloom("port", "add", "acme/web/more", "--no-wait"),
			undo: deleted("port", "delete", "acme/web/more", "--cascade", "--no-wait")},
		{name: "the MTU of a network set", do: r.ovloom("network", "set", "umbrella/web", "--mtu", "1300", "--no-wait"),
			undo: r.ovloom("network", "set", "umbrella/web", "--mtu", "1500", "--no-wait")},
		{name: "a tenant comes and goes", do: r.guestComes, undo: r.guestGoes},
	}
}

// guestComes adds a tenant with a port on a host, which sends like the others.
func (r *faultRun) guestComes(h *lab.Host) error {
	m := r.guests[h]
	for _, args := range [][]string{
		{"tenant", "add", "guest"}, {"network", "add", "guest/web", "--subnet", "10.0.1.0/24"},
		{"nat", "snat", "add", "guest", "--external", "internet"}, {"port", "add", "guest/web/c1"},
		{"port", "plug", "guest/web/c1", "--netns", m.NetNS},
	} {
		if _, err := h.Ovloom(r.t.Context(), append(args, "--no-wait")...); err != nil {
			return err
		}
	}
	out, err := h.Ovloom(r.t.Context(), "port", "show", "guest/web/c1", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &m.Port)
	}
	if err != nil {
		return err
	}
	c, err := m.Capture("eth0")
	if err != nil {
		return err
	}
	r.heard[m] = &heardTags{c, tagOf(len(r.tenants))}
	for _, to := range r.tenants[0] {
		for _, mac := range []intent.MAC{to.Port.MAC, lab.Broadcast} {
			_ = m.SendFrame("eth0", overlay.Datagram(m.Port.MAC, mac, m.V4(), to.V4(), tagOf(len(r.tenants))))
		}
	}
	return nil
}

func (r *faultRun) guestGoes(h *lab.Host) error {
	m := r.guests[h]
	if c := r.heard[m]; c != nil {
		r.nothingCrossed("before the guest goes")
		c.Close()
		delete(r.heard, m)
	}
	for _, args := range [][]string{{"port", "unplug", "guest/web/c1"}, {"tenant", "delete", "guest", "--cascade"}} {
		if _, err := h.Ovloom(r.t.Context(), args...); err != nil && lab.ExitCode(err) != 3 { // it may never have been added
			return err
		}
	}
	return nil
}
