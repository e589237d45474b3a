package main

// This file is the same hosts with OVN: its databases and ovn-northd on the first, an
// ovn-controller on each. The daemons run as the distribution configures them.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/ovloom/ovloom/integration/lab"
)

const (
	ovnSchemas = "/usr/share/ovn"
	ovnSwitch  = "web" // the logical switch, OVN's word for a network
	ovnPort    = 6642  // of the southbound database
)

// ovnPrograms are the programs that OVN needs.
var ovnPrograms = []string{"ovn-northd", "ovn-controller", "ovn-nbctl", "ovsdb-server", "ovsdb-tool"}

// ovnVersion returns the version of the installed OVN; "" without one.
func ovnVersion(ctx context.Context) string {
	for _, p := range ovnPrograms {
		if _, err := exec.LookPath(p); err != nil {
			return ""
		}
	}
	out, err := exec.CommandContext(ctx, "ovn-controller", "--version").Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// ovn is hosts that run OVN, with one logical switch.
type ovn struct {
	*lab.Lab
	nbServer, sbServer, northd *lab.Process
	nb, sb                     *database   // nil until dialled
	local                      []*database // by host: Open vSwitch's
	ports                      int         // made by grow
	stations                   int
	open                       context.Context // until close
	shut                       context.CancelFunc

	mu          sync.Mutex
	controllers []*lab.Process // by host; guarded by mu
}

// startOVN starts hosts with OVN, and adds the logical switch.
func startOVN(ctx context.Context, hosts int) (*ovn, error) {
	o, err := layOVN(ctx, hosts)
	if err != nil {
		return nil, err
	}
	if err = o.found(ctx); err == nil {
		err = o.dial(ctx)
	}
	if err == nil {
		err = o.makeSwitch(ctx)
	}
	if err == nil {
		err = o.registered(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// makeSwitch adds the logical switch.
func (o *ovn) makeSwitch(ctx context.Context) error {
	_, err := o.nb.transact(ctx, insert("Logical_Switch", "new", columns{"name": ovnSwitch}))
	return err
}

// layOVN starts hosts with the requirements of OVN: databases, and the host's settings in Open
// vSwitch's.
func layOVN(ctx context.Context, hosts int) (_ *ovn, err error) {
	l, err := lab.Start(ctx, lab.Config{Hosts: hosts, NICInBridge: true})
	if err != nil {
		return nil, err
	}
	o := &ovn{Lab: l, controllers: make([]*lab.Process, hosts)}
	o.open, o.shut = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	for _, db := range []string{"nb", "sb"} {
		create := exec.CommandContext(ctx, "ovsdb-tool", "create", o.path(db+".db"), filepath.Join(ovnSchemas, "ovn-"+db+".ovsschema"))
		if out, err := create.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make OVN's database %s: %w: %s", db, err, out)
		}
	}
	for _, h := range o.Hosts {
		if _, err := h.Vsctl(ctx, "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type="+lab.Datapath(), "fail_mode=secure"); err != nil {
			return nil, err
		}
		// OVN recommends monitor-all where most of the database concerns every host.
		if _, err := h.Vsctl(ctx, "set", "Open_vSwitch", ".",
			"external_ids:ovn-remote="+o.southbound(), "external_ids:ovn-monitor-all=true",
			"external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip="+h.VTEP.String(),
			"external_ids:ovn-bridge-datapath-type="+lab.Datapath()); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *ovn) path(name string) string { return filepath.Join(o.Hosts[0].Dir, name) }

func (o *ovn) southbound() string {
	return "tcp:" + net.JoinHostPort(o.Hosts[0].Mgmt.String(), strconv.Itoa(ovnPort))
}

// found starts OVN on all hosts: the databases, and the other daemons as soon as they answer.
func (o *ovn) found(ctx context.Context) (err error) {
	h := o.Hosts[0]
	if o.nbServer, err = o.serve(ctx, h, "nb"); err != nil {
		return err
	}
	if o.sbServer, err = o.serve(ctx, h, "sb", fmt.Sprintf("--remote=ptcp:%d:%s", ovnPort, h.Mgmt)); err != nil {
		return err
	}
	for _, db := range []string{"nb.sock", "sb.sock"} {
		if err := listens(ctx, o.path(db)); err != nil {
			return err
		}
	}
	if o.northd, err = o.daemon(ctx, h, "ovn-northd", "ovn-northd", "--ovnnb-db=unix:"+o.path("nb.sock"), "--ovnsb-db=unix:"+o.path("sb.sock")); err != nil {
		return err
	}
	for i := range o.Hosts {
		if err := o.startController(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// registered waits until every ovn-controller has registered and has caught up, as ovn-nbctl
// --wait=hv does. Adding ports before that often makes 23.03.1 crash.
func (o *ovn) registered(ctx context.Context) error {
	err := often(ctx, func() error {
		chassis, err := o.chassis(ctx)
		if err == nil && len(chassis) < len(o.Hosts) {
			err = fmt.Errorf("%d of %d hosts have registered", len(chassis), len(o.Hosts))
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := o.nb.transact(ctx, op{"op": "mutate", "table": "NB_Global", "where": []any{}, "mutations": []any{[]any{"nb_cfg", "+=", 1}}}); err != nil {
		return err
	}
	return often(ctx, func() error {
		r, err := o.nb.transact(ctx, op{"op": "select", "table": "NB_Global", "where": []any{}, "columns": []string{"nb_cfg", "hv_cfg"}})
		if err != nil {
			return err
		}
		if len(r[0].Rows) != 1 || r[0].Rows[0]["nb_cfg"] != r[0].Rows[0]["hv_cfg"] {
			return errors.New("not every host has done what the database says")
		}
		return nil
	})
}

// startController starts the ovn-controller of a host. After a crash it is restarted at once,
// as by the distribution's scripts (--monitor): 23.03.1 sometimes crashes if ports are added
// while it starts.
func (o *ovn) startController(ctx context.Context, host int) error {
	h := o.Hosts[host]
	p, err := o.daemon(ctx, h, "ovn-controller", "ovn-controller", "unix:"+h.DBSock())
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.controllers[host] = p
	go func() {
		if p.Wait(o.open) == nil || p.Ended() || o.open.Err() != nil {
			return
		}
		fmt.Fprintf(os.Stderr, "OVN: ovn-controller of %s crashed and is started again\n", h.Name)
		if err := o.startController(o.open, host); err != nil && o.open.Err() == nil {
			fmt.Fprintln(os.Stderr, "OVN:", err)
		}
	}()
	return nil
}

// controller returns the ovn-controller of a host.
func (o *ovn) controller(host int) *lab.Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.controllers[host]
}

// serve starts the server of a database.
func (o *ovn) serve(ctx context.Context, h *lab.Host, db string, more ...string) (*lab.Process, error) {
	args := append([]string{"ovsdb-server", o.path(db + ".db"), "--remote=punix:" + o.path(db+".sock")}, more...)
	return o.daemon(ctx, h, "ovn-"+db, args...)
}

// daemon starts a daemon of OVN.
func (o *ovn) daemon(ctx context.Context, h *lab.Host, name string, args ...string) (*lab.Process, error) {
	args = append([]string{"env", "OVN_RUNDIR=" + h.Dir}, args...)
	return h.Start(ctx, name, append(args, "--pidfile="+filepath.Join(h.Dir, name+".pid"), "--log-file="+filepath.Join(h.LogDir(), name+".log"),
		"-vconsole:off", "-vsyslog:off")...)
}

// dial connects to the databases, to add ports without command lines.
func (o *ovn) dial(ctx context.Context) (err error) {
	if o.nb, err = dialDatabase(ctx, o.path("nb.sock"), "OVN_Northbound"); err != nil {
		return err
	}
	if o.sb, err = dialDatabase(ctx, o.path("sb.sock"), "OVN_Southbound"); err != nil {
		return err
	}
	for _, h := range o.Hosts {
		d, err := dialDatabase(ctx, h.DBSock(), "Open_vSwitch")
		if err != nil {
			return err
		}
		o.local = append(o.local, d)
	}
	return nil
}

func (o *ovn) close() error {
	o.shut()
	var errs []error
	for _, d := range append([]*database{o.nb, o.sb}, o.local...) {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	return errors.Join(append(errs, o.Close())...)
}

// host implements system.
func (o *ovn) host(i int) *lab.Host { return o.Hosts[i] }

// restartController implements system.
func (o *ovn) restartController(ctx context.Context, host int) error {
	if err := o.controller(host).Kill(); err != nil {
		return err
	}
	return o.startController(ctx, host)
}

// daemons returns OVN's own processes.
func (o *ovn) daemons() []*lab.Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*lab.Process{o.nbServer, o.sbServer, o.northd}, o.controllers...)
}

// station makes a workload with an interface to be added to the switch. Ovloom makes such an
// interface itself, when it plugs a port.
func (o *ovn) station(ctx context.Context, host int) (*station, error) {
	o.stations++
	s, err := newStation(ctx, o.Hosts[host], o.stations)
	if err != nil {
		return nil, err
	}
	return s, s.AddVeth(ctx, lab.Veth{HostIf: s.hostIf(), MAC: s.mac.String(), Addrs: []netip.Prefix{netip.PrefixFrom(s.addr, prefix.Bits())}})
}

// hostIf is the name on the host of a station's interface.
func (s *station) hostIf() string { return "v" + s.Name }

// where returns a port's addresses in OVN's syntax.
func (s *station) where() string { return s.mac.String() + " " + s.addr.String() }

// nbctl runs ovn-nbctl, and vsctl ovs-vsctl on a host. Both only need a socket, so they run
// outside the hosts, like ovloom.
func (o *ovn) nbctl(ctx context.Context, args ...string) error {
	return command(ctx, nil, append([]string{"ovn-nbctl", "--db=unix:" + o.path("nb.sock")}, args...)...)
}

func (o *ovn) vsctl(ctx context.Context, host int, args ...string) error {
	return command(ctx, nil, append([]string{"ovs-vsctl", "--timeout=20", "--db=unix:" + o.Hosts[host].DBSock()}, args...)...)
}

// command runs a command, with variables added to this process's environment.
func command(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// add adds a station's port: by the command line, or in one transaction.
func (o *ovn) add(ctx context.Context, by means, _ int, s *station) error {
	if by == byCommands {
		return o.nbctl(ctx, "lsp-add", ovnSwitch, s.Name, "--", "lsp-set-addresses", s.Name, s.where(), "--", "lsp-set-port-security", s.Name, s.where())
	}
	_, err := o.nb.transact(ctx, logicalPort(s.Name, s.where()),
		mutate("Logical_Switch", "name", ovnSwitch, "ports", "insert", set(named(symbol("p", s.Name)))))
	return err
}

// logicalPort inserts a port of the logical switch.
func logicalPort(name, where string) op {
	return insert("Logical_Switch_Port", symbol("p", name), columns{"name": name, "addresses": set(where), "port_security": set(where)})
}

// plug adds a station's interface to the switch.
func (o *ovn) plug(ctx context.Context, by means, host int, s *station) error {
	if by == byCommands {
		return o.vsctl(ctx, host, "add-port", "br-int", s.hostIf(), "--", "set", "Interface", s.hostIf(), "external_ids:iface-id="+s.Name)
	}
	_, err := o.local[host].transact(ctx,
		insert("Interface", "i", columns{"name": s.hostIf(), "external_ids": mapping("iface-id", s.Name)}),
		insert("Port", "p", columns{"name": s.hostIf(), "interfaces": set(named("i"))}),
		mutate("Bridge", "name", "br-int", "ports", "insert", set(named("p"))),
		// Its change tells ovs-vswitchd that there is work, and ovs-vsctl when it is done.
		op{"op": "mutate", "table": "Open_vSwitch", "where": []any{}, "mutations": []any{[]any{"next_cfg", "+=", 1}}})
	return err
}

// remove removes a station.
func (o *ovn) remove(ctx context.Context, host int, s *station) error {
	if err := o.vsctl(ctx, host, "del-port", "br-int", s.hostIf()); err != nil {
		return err
	}
	if _, err := o.Hosts[host].Exec(ctx, "ip", "link", "del", s.hostIf()); err != nil {
		return err
	}
	return o.nbctl(ctx, "lsp-del", s.Name)
}

// pair plugs a station on each of the first two hosts, and returns when packets pass between
// them.
func (o *ovn) pair(ctx context.Context) (a, b *station, err error) {
	for host, s := range []**station{&a, &b} {
		if *s, err = o.station(ctx, host); err == nil {
			err = o.add(ctx, byAPI, host, *s)
		}
		if err == nil {
			err = o.plug(ctx, byAPI, host, *s)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return a, b, pings(ctx, a, b)
}

// grow grows the logical switch to n ports, which chassis without a switch have bound.
func (o *ovn) grow(ctx context.Context, n int) error {
	const atOnce = 1000
	if o.ports == 0 {
		if err := o.addChassis(ctx); err != nil {
			return err
		}
	}
	for o.ports < n {
		var ports, bound []op
		var refs []any
		for range min(atOnce, n-o.ports) {
			o.ports++
			p := port(o.ports)
			ports = append(ports, logicalPort(p.Name, p.MAC.String()+" "+p.Addrs[0].String()))
			refs = append(refs, named(symbol("p", p.Name)))
			bound = append(bound, op{"op": "update", "table": "Port_Binding", "where": where("logical_port", p.Name),
				"row": columns{"chassis": named("c" + hostOf(o.ports)), "up": true}})
		}
		if _, err := o.nb.transact(ctx, append(ports, mutate("Logical_Switch", "name", ovnSwitch, "ports", "insert", set(refs...)))...); err != nil {
			return err
		}
		if err := o.bind(ctx, bound); err != nil {
			return err
		}
	}
	return nil
}

// addChassis adds the chassis.
func (o *ovn) addChassis(ctx context.Context) error {
	var ops []op
	for i := range remotes {
		name, ip := "far"+hostOf(i+1), netip.AddrFrom4([4]byte{198, 18, 0, byte(1 + i)}).String()
		ops = append(ops,
			insert("Encap", symbol("e", name), columns{"type": "geneve", "ip": ip, "chassis_name": name, "options": mapping("csum", "true")}),
			insert("Chassis", symbol("c", name), columns{"name": name, "hostname": name, "encaps": set(named(symbol("e", name)))}))
	}
	_, err := o.sb.transact(ctx, ops...)
	return err
}

// bind binds ports to chassis, once ovn-northd has created them.
func (o *ovn) bind(ctx context.Context, updates []op) error {
	chassis, err := o.chassis(ctx)
	if err != nil {
		return err
	}
	for _, u := range updates {
		row := u["row"].(columns)
		row["chassis"] = []string{"uuid", chassis["far"+strings.TrimPrefix(row["chassis"].([]string)[1], "c")]}
	}
	// Not by trying the updates: that would delay ovn-northd's own transactions.
	last := op{"op": "select", "table": "Port_Binding", "where": updates[len(updates)-1]["where"], "columns": []string{"logical_port"}}
	if err := patiently(ctx, func() error {
		results, err := o.sb.transact(ctx, last)
		if err == nil && len(results[0].Rows) == 0 {
			err = errors.New("ovn-northd does not know the ports yet")
		}
		return err
	}); err != nil {
		return err
	}
	results, err := o.sb.transact(ctx, updates...)
	if err != nil {
		return err
	}
	for i := range updates {
		if results[i].Count != 1 {
			return fmt.Errorf("ovn-northd knows only some ports: not that of %v", updates[i]["where"])
		}
	}
	return nil
}

// chassis returns the UUIDs of the chassis by name.
func (o *ovn) chassis(ctx context.Context) (map[string]string, error) {
	results, err := o.sb.transact(ctx, op{"op": "select", "table": "Chassis", "where": []any{}, "columns": []string{"_uuid", "name"}})
	if err != nil {
		return nil, err
	}
	uuids := map[string]string{}
	for _, row := range results[0].Rows {
		uuid, _ := row["_uuid"].([]any)
		name, _ := row["name"].(string)
		if len(uuid) == 2 {
			uuids[name], _ = uuid[1].(string)
		}
	}
	return uuids, nil
}
