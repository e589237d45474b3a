package intent

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEtherType(t *testing.T) {
	for _, good := range []string{"0x88b5", "88B5", "0x0600"} {
		e, err := ParseEtherType(good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		b, err := json.Marshal(e)
		var again EtherType
		if err == nil {
			err = json.Unmarshal(b, &again)
		}
		if err != nil || again != e {
			t.Errorf("%s became %s and then %s: %v", good, b, again, err)
		}
	}
	for bad, words := range map[string]string{
		"": "malformed", "0x88": "malformed", "ipv4": "malformed", "0x05dc": "no Ethernet type",
		"0x8100": "announces a VLAN tag", "0x88a8": "announces a VLAN tag", "0x9200": "announces a VLAN tag",
		"0x0800": "need not be given", "0x86dd": "need not be given",
	} {
		if _, err := ParseEtherType(bad); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: got %v, want …%s…", bad, err, words)
		}
	}
	n := Network{Tenant: "acme", Name: "web", EtherTypes: []EtherType{0x88b5, 0x88b5}}
	if err := n.Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a type given twice: %v", err)
	}
	if got := (Network{EtherTypes: []EtherType{0x8864, 0x8863}}).WithDefaults().EtherTypes; got[0] != 0x8863 {
		t.Errorf("in order: %v", got)
	}
}
