package intent

import (
	"encoding/json"
	"testing"
)

// A port inside another object is written as users write it.
func TestPortRefText(t *testing.T) {
	f := Forward{To: PortRef{"acme", "web", "c1"}, ToPort: 80}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || m["to"] != "acme/web/c1" {
		t.Errorf("%s: %v", b, err)
	}
	var back Forward
	if err := json.Unmarshal(b, &back); err != nil || back != f {
		t.Errorf("%s reads as %+v: %v", b, back, err)
	}
	if err := json.Unmarshal([]byte(`{"to":""}`), &back); err != nil || back.To != (PortRef{}) {
		t.Errorf("an absent port reads as %v: %v", back.To, err)
	}
	check(t, json.Unmarshal([]byte(`{"to":"acme/web"}`), &back), "is no name of")
}

func TestParseAllowed(t *testing.T) {
	for _, c := range []struct{ in, is, want string }{
		{"192.0.2.0/24", "192.0.2.0/24", ""},
		{"192.0.2.5", "192.0.2.5/32", ""},
		{"169.254.169.254", "169.254.169.254/32", ""},
		{"0.0.0.0/0", "0.0.0.0/0", ""},
		{"192.0.2.5/24", "", "write 192.0.2.0/24"},
		{"192.0.2.5%eth0", "", "malformed"},
		{"fe80::1%eth0", "", "not IPv4"},
		{"::ffff:192.0.2.5", "", "not IPv4"},
		{"fd00::/8", "", "not IPv4"},
		{"net", "", "malformed"},
		{"", "", "malformed"},
	} {
		p, err := ParseAllowed(c.in)
		check(t, err, c.want)
		if c.want == "" && p.String() != c.is {
			t.Errorf("%s reads as %s", c.in, p)
		}
	}
}
