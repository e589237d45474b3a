package hostnet

// Which ports of the host's own addresses its programs use.

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// Service says whether programs serve a port, and which user's.
type Service uint8

// Services.
const (
	NotServed    Service = iota
	ServedByUser         // only by programs of users other than root
	ServedByRoot
)

// Listens reports whether a program in this host's namespace serves a port on an
// address that others can reach over IPv4: for TCP a listening socket, for UDP an
// unconnected one. The kernel has no such list for SCTP; the answer is no.
func Listens(p intent.Protocol, port uint16) (Service, error) {
	most := NotServed
	for _, file := range []string{string(p), string(p) + "6"} {
		if p == intent.SCTP {
			return NotServed, nil
		}
		b, err := os.ReadFile("/proc/thread-self/net/" + file)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return NotServed, fmt.Errorf("see whether %s port %d is in use: %w", p, port, err)
		}
		most = max(most, serves(b, p, port))
	}
	return most, nil
}

// tcpListen is TCP_LISTEN as /proc/net/tcp writes it.
const tcpListen = "0A"

// serves looks up a port in a table such as /proc/net/tcp or udp (proc(5)): local and
// remote address in the second and third column, the state in the fourth, the user in
// the eighth.
func serves(table []byte, p intent.Protocol, port uint16) Service {
	most := NotServed
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 8 {
			continue
		}
		local, ok := parseSocketAddr(f[1])
		remote, ok2 := parseSocketAddr(f[2])
		a := local.Addr()
		switch {
		case !ok || !ok2 || local.Port() != port || a.IsLoopback():
		case a.Is6() && !a.IsUnspecified(): // IPv6 only
		case p == intent.TCP && f[3] == tcpListen, p == intent.UDP && remote.Port() == 0:
			if f[7] == "0" {
				return ServedByRoot
			}
			most = ServedByUser
		}
	}
	return most
}

// parseSocketAddr parses an address in these tables: hexadecimal 32-bit words in the
// machine's byte order.
func parseSocketAddr(s string) (netip.AddrPort, bool) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for word := range slices.Chunk(b, 4) {
			slices.Reverse(word)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}
