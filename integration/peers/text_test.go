package peers

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/ovloom/ovloom/integration/ovstest"
)

// textGaps are what go-openvswitch does not understand of flows as text although ovs-ofctl
// does. A flow with an action that it refuses it refuses whole; a match that it does not know
// it leaves out without a word.
var textGaps = func() map[string]string {
	gaps := map[string]string{}
	for verdict, names := range map[string]string{
		"refused":  "check_pkt_larger controller ct_clear goto_table group meter output:register pop pop_vlan push push_vlan",
		"misread":  "learn tun_src", // as a load of its last part; as nw_src
		"left out": "ct_label ct_nw_proto ct_tp_dst nw_frag reg0 reg1 reg2 reg3 reg4 reg5 reg6 reg7 reg10 reg15",
	} {
		for _, name := range strings.Fields(names) {
			gaps[name] = verdict
		}
	}
	gaps["ARP OP must in the range 1-4"] = "not written" // arp_op=0, which it reads
	return gaps
}()

// TestFlowsAsText lets go-openvswitch read the golden files of package pipeline, which
// ovs-ofctl accepts: each flow without the actions that it does not know.
func TestFlowsAsText(t *testing.T) {
	flows := golden(t)
	met, refused, whole := map[string]string{}, 0, 0
	for _, text := range flows {
		match, actions := ovstest.SplitFlow(text)
		if new(ovs.Flow).UnmarshalText([]byte(text)) != nil {
			refused++
		}
		known := slices.DeleteFunc(slices.Clone(actions), func(action string) bool {
			gap := actionGap(action)
			if gap != "" {
				met[actionName(action)] = gap
			}
			return gap != ""
		})
		lost := len(known) < len(actions)
		if len(known) == 0 {
			known = []string{"drop"}
		}
		var f ovs.Flow
		if err := f.UnmarshalText([]byte(match + "actions=" + strings.Join(known, ","))); err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if got, want := fmt.Sprintf("%d %d %#x", f.Table, f.Priority, f.Cookie), head(t, match); got != want {
			t.Errorf("%s\ngo-openvswitch reads table, priority and cookie %s, not %s", text, got, want)
		}
		again, err := f.MarshalText()
		if err != nil {
			met[err.Error()] = "not written"
			continue
		}
		read, readActions := ovstest.SplitFlow(string(again))
		if !strings.EqualFold(strings.Join(readActions, ","), strings.Join(known, ",")) {
			t.Errorf("%s\ngo-openvswitch reads actions %s", text, readActions)
		}
		for _, term := range terms(match) {
			if slices.Contains(terms(read), term) {
				continue
			}
			lost = true
			key, value, _ := strings.Cut(term, "=")
			met[key] = "left out"
			for _, other := range terms(read) {
				if strings.HasSuffix(other, "="+value) && !slices.Contains(terms(match), other) {
					met[key] = "misread"
				}
			}
		}
		if !lost {
			whole++
		}
	}
	t.Logf("go-openvswitch refuses %d of %d flows, and reads %d whole", refused, len(flows), whole)
	for name, gap := range met {
		if known := textGaps[name]; known != gap {
			t.Errorf("go-openvswitch: %s is %s; known is %q", name, gap, known)
		}
	}
	for name := range textGaps {
		if met[name] == "" {
			t.Errorf("go-openvswitch understands %s now, or no golden file has it; take it off the list", name)
		}
	}
}

// actionGap returns what is wrong with how go-openvswitch reads an action: "" if nothing.
func actionGap(action string) string {
	var f ovs.Flow
	if f.UnmarshalText([]byte("priority=1 actions="+action)) != nil {
		return "refused"
	}
	again, err := f.MarshalText()
	if _, read := ovstest.SplitFlow(string(again)); err != nil || len(read) != 1 || !strings.EqualFold(read[0], action) {
		return "misread"
	}
	return ""
}

// golden returns the flows of package pipeline's golden files, each once.
func golden(t *testing.T) (flows []string) {
	t.Helper()
	files, err := filepath.Glob("../../pipeline/testdata/*.flows")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
				flows = append(flows, line)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(flows)
	return slices.Compact(flows)
}

var headFields = []*regexp.Regexp{regexp.MustCompile(`\btable=(\w+)`), regexp.MustCompile(`\bpriority=(\w+)`), regexp.MustCompile(`\bcookie=(\w+)`)}

// head returns a flow's table, priority and cookie, read without any parser of flows.
func head(t *testing.T, match string) string {
	t.Helper()
	numbers := []uint64{0, 32768, 0}
	for i, field := range headFields {
		if found := field.FindStringSubmatch(match); found != nil {
			n, err := strconv.ParseUint(found[1], 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			numbers[i] = n
		}
	}
	return fmt.Sprintf("%d %d %#x", numbers[0], numbers[1], numbers[2])
}

// terms returns what a flow matches.
func terms(match string) []string {
	all := strings.FieldsFunc(match, func(r rune) bool { return r == ',' || r == ' ' })
	return slices.DeleteFunc(all, func(term string) bool {
		key, _, _ := strings.Cut(term, "=")
		return slices.Contains([]string{"table", "priority", "cookie", "idle_timeout"}, key)
	})
}

func actionName(action string) string {
	name := action[:strings.IndexAny(action+":", ":(=")]
	if name == "output" {
		return "output:register"
	}
	return name
}
