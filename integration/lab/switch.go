package lab

// This file runs the host's Open vSwitch: its database server and its switch.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// schema is the path of the switch's schema in Debian's openvswitch-common.
const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// StartSwitch makes the database if there is none, and starts ovsdb-server and
// ovs-vswitchd.
func (h *Host) StartSwitch(ctx context.Context) error {
	db := filepath.Join(h.dbDir(), "conf.db")
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) {
		create := []string{"ovsdb-tool", "create", db, schema}
		if _, err := run(ctx, create, create); err != nil {
			return err
		}
	}
	if err := h.StartOVSDB(ctx); err != nil {
		return err
	}
	if err := h.StartVswitchd(ctx); err != nil || !h.lab.config.NICInBridge {
		return err
	}
	h.bridged = true
	return h.bridgeNIC(ctx)
}

// StartOVSDB starts ovsdb-server and returns when it answers.
func (h *Host) StartOVSDB(ctx context.Context) error {
	if h.OVSDB != nil && h.OVSDB.Running() {
		return errors.New("start ovsdb-server: it runs already")
	}
	p, err := h.Start(ctx, "ovsdb-server", "ovsdb-server", filepath.Join(h.dbDir(), "conf.db"),
		"--remote=punix:"+h.DBSock(), "--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off")
	if err != nil {
		return err
	}
	h.OVSDB = p
	return h.await(ctx, p, h.DBSock())
}

// StartVswitchd starts ovs-vswitchd and returns when it has applied the database.
func (h *Host) StartVswitchd(ctx context.Context) error {
	if h.bridged {
		return both(ctx, h.startVswitchd, h.addressBridge)
	}
	return h.startVswitchd(ctx)
}

func (h *Host) startVswitchd(ctx context.Context) error {
	if h.Vswitchd != nil && h.Vswitchd.Running() {
		return errors.New("start ovs-vswitchd: it runs already")
	}
	args := []string{"ovs-vswitchd", "unix:" + h.DBSock(), "--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off"}
	if !kernelDatapath() {
		args = append(args, "--disable-system")
	}
	p, err := h.Start(ctx, "ovs-vswitchd", args...)
	if err != nil {
		return err
	}
	h.Vswitchd = p
	version, err := h.Exec(ctx, "ovs-vswitchd", "--version")
	if err != nil {
		return err
	}
	// Like a distribution's scripts at each start. Ovs-vsctl waits until ovs-vswitchd has
	// applied a change; so make a change.
	line, _, _ := strings.Cut(version, "\n") // the version number is at its end
	_, err = h.Vsctl(ctx, "set", "Open_vSwitch", ".", "external_ids:system-id="+h.Name,
		"ovs_version="+line[strings.LastIndexByte(line, ' ')+1:], fmt.Sprintf("external_ids:lab-start=%d", h.started.Load()))
	return err
}

// Vsctl runs ovs-vsctl, which waits until ovs-vswitchd has applied the change.
func (h *Host) Vsctl(ctx context.Context, args ...string) (string, error) {
	return h.Exec(ctx, append([]string{"ovs-vsctl", "--timeout=20"}, args...)...)
}

// await waits until a process listens on the unix socket, or p has ended.
func (h *Host) await(ctx context.Context, p *Process, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, Patient(execTimeout))
	defer cancel()
	var ended error
	err := poll(ctx, p.Name+" to answer", func() error {
		if !p.Running() {
			ended = fmt.Errorf("%s ended at once: %w", p.Name, p.failure())
			return nil
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return errors.Join(ended, err)
}
