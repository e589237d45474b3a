package explain

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

func TestConnectionsInWords(t *testing.T) {
	snap := intent.Snapshot{Ports: []intent.Port{{Tenant: "acme", Network: "web", Name: "c1", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}}}
	got, err := Connections(snap, []string{
		"tcp,orig=(src=10.0.0.2,dst=198.51.100.7,sport=40112,dport=443),reply=(src=198.51.100.7,dst=203.0.113.10,sport=443,dport=50000),zone=16384,protoinfo=(state=ESTABLISHED)",
		"udp,orig=(src=203.0.113.1,dst=203.0.113.10,sport=42585,dport=8080),reply=(src=10.0.0.2,dst=203.0.113.1,sport=8000,dport=42585),zone=16384",
		"icmp,orig=(src=10.0.0.9,dst=198.51.100.7,id=3,type=8,code=0),reply=(src=198.51.100.7,dst=203.0.113.11,id=3,type=0,code=0),zone=16384",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{ icmp 10.0.0.9 198.51.100.7 203.0.113.11  }
{acme/web/c1 tcp 10.0.0.2:40112 198.51.100.7:443 203.0.113.10:50000  ESTABLISHED}
{acme/web/c1 udp 203.0.113.1:42585 203.0.113.10:8080  10.0.0.2:8000 }`
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprint(c))
	}
	if s := strings.Join(lines, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
	if _, err := Connections(snap, []string{"nonsense"}); err == nil {
		t.Error("an invalid line counts as a connection")
	}
}
