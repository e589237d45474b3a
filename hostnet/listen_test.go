package hostnet

import (
	"net"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

func TestListens(t *testing.T) {
	ovstest.IP(t, "link", "set", "lo", "up")
	for _, c := range []struct {
		name    string
		network string
		addr    string
		want    bool
	}{
		{"TCP on all addresses", "tcp", ":0", true},
		{"TCP on all IPv4 addresses", "tcp4", "0.0.0.0:0", true},
		{"TCP on loopback", "tcp4", "127.0.0.1:0", false},
		{"UDP on all addresses", "udp", ":0", true},
		{"UDP on loopback", "udp4", "127.0.0.1:0", false},
	} {
		var port int
		p := intent.Protocol(c.network[:3])
		if p == intent.TCP {
			l, err := net.Listen(c.network, c.addr)
			must(t, err)
			defer l.Close()
			port = l.Addr().(*net.TCPAddr).Port
		} else {
			l, err := net.ListenPacket(c.network, c.addr)
			must(t, err)
			defer l.Close()
			port = l.LocalAddr().(*net.UDPAddr).Port
		}
		got, err := Listens(p, uint16(port))
		must(t, err)
		if (got == ServedByRoot) != c.want || got == ServedByUser { // tests run as root
			t.Errorf("%s: %v", c.name, got)
		}
		other := intent.UDP
		if p == intent.UDP {
			other = intent.TCP
		}
		if got, err := Listens(other, uint16(port)); err != nil || got != NotServed {
			t.Errorf("%s, the same port of %s: %v, %v", c.name, other, got, err)
		}
	}
}

func TestWhoseServiceItIs(t *testing.T) {
	line := func(uid string) string {
		return "  0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 " + uid + " 0 0 1\n"
	}
	for table, want := range map[string]Service{"": NotServed, line("0"): ServedByRoot, line("1000"): ServedByUser, line("1000") + line("0"): ServedByRoot} {
		if got := serves([]byte(table), intent.TCP, 8080); got != want {
			t.Errorf("%q: %d, want %d", table, got, want)
		}
	}
}

func FuzzServes(f *testing.F) {
	f.Add([]byte("  0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n"), uint16(8080))
	f.Add([]byte("  0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A\n"), uint16(22))
	f.Fuzz(func(t *testing.T, table []byte, port uint16) {
		if serves(table, intent.SCTP, port) != NotServed {
			t.Error("SCTP")
		}
		serves(table, intent.TCP, port)
		serves(table, intent.UDP, port)
	})
}
