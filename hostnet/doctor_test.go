package hostnet

// What hostnet finds out for ovloom doctor.

import (
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
)

func TestUDPPortOfAnotherProgram(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{})
	must(t, err)
	port := conn.LocalAddr().(*net.UDPAddr).Port
	list, err := UDPSockets(port)
	must(t, err)
	if len(list) != 1 || list[0].PID != os.Getpid() || list[0].Program == "" {
		t.Errorf("port %d is reported as %+v, want process %d", port, list, os.Getpid())
	}
	must(t, conn.Close())
	if list, err := UDPSockets(port); err != nil || len(list) != 0 {
		t.Errorf("a released port is reported as %+v, %v", list, err)
	}
}

func TestUDPTable(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  119: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 61417 2 0000000000000000 0
  120: 0100007F:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000 0
  121: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 61418 2 0000000000000000 0
  cut off: here
`
	if got := udpInodes([]byte(table), 4789); !slices.Equal(got, []string{"61417"}) {
		t.Errorf("sockets %v", got)
	}
}

func FuzzUDPTable(f *testing.F) {
	f.Add([]byte("119: 00000000:12B5 00000000:0000 07 0:0 00:0 0 0 0 61417 2 0 0\n"), 4789)
	f.Fuzz(func(t *testing.T, table []byte, port int) {
		for _, inode := range udpInodes(table, port) {
			if inode == "" || inode == "0" {
				t.Errorf("inode %q", inode)
			}
		}
	})
}

func TestVXLANDevices(t *testing.T) {
	ovstest.IP(t, "link", "add", "doc-vx", "type", "vxlan", "id", "7", "dstport", "4790", "remote", "192.0.2.9")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", "doc-vx") })
	ovstest.IP(t, "link", "add", "vxlan_sys_4790", "type", "vxlan", "id", "8", "dstport", "4790", "remote", "192.0.2.9")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", "vxlan_sys_4790") })
	if names, err := VXLANDevices(4790); err != nil || !slices.Equal(names, []string{"doc-vx"}) {
		t.Errorf("devices %v, %v", names, err)
	}
	if names, err := VXLANDevices(4791); err != nil || len(names) != 0 {
		t.Errorf("devices of another port: %v, %v", names, err)
	}
}

func TestPeerEnds(t *testing.T) {
	ns := ovstest.Netns(t, "peerend")
	plugged, err := Plug(context.Background(), spec(ns))
	must(t, err)
	addLink(t, "doc-here") // its other end is in no other namespace
	left := func() bool {
		t.Helper()
		ends, err := ReadPeerEnds([]string{plugged.HostIf, "doc-here", "doc-none", "lo"})
		must(t, err)
		end, ok := ends[plugged.HostIf]
		if !ok || len(ends) != 1 || end.Name != "eth0" || !strings.HasSuffix(end.Namespace, "/"+ns) {
			t.Fatalf("far ends %+v", ends)
		}
		return end.ChecksumsLeft
	}
	if left() {
		t.Error("a plugged port is reported to leave checksums to a NIC")
	}
	if out, err := exec.Command("ip", "netns", "exec", ns, "ethtool", "-K", "eth0", "tx", "on").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !left() {
		t.Error("checksums left to a NIC were not reported")
	}
}
