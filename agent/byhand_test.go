package agent

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
)

// A host lists the plugged ports that ovloom does not configure, and reports when it cannot
// know them.
func TestByHand(t *testing.T) {
	byHand, unasked, configured := c1, c1, c1
	unasked.Port, configured.Port = "c2", "c3"
	var failure error
	remote := ByHand{Host: "host2", Configured: func() map[intent.PortRef]bool { return map[intent.PortRef]bool{configured: true} },
		Status: func(context.Context) (controller.Status, error) {
			var s controller.Status
			for _, ref := range []intent.PortRef{byHand, unasked, configured} {
				s.Ports = append(s.Ports, controller.PortStatus{Interface: controller.Interface{Name: "if-" + ref.Port}, Ref: ref})
			}
			return s, failure
		}}
	asker := ByHand{Host: "host1", Ask: func(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error) {
		if host != "host2" || topic != ByHandTopic {
			return nil, errors.New("asked " + host + " for " + topic)
		}
		return json.Marshal(remote.Answer(ctx, body))
	}}
	asked := []intent.PortRef{byHand, configured, {Tenant: "acme", Network: "web", Port: "not-plugged"}}
	for name, b := range map[string]ByHand{"there": asker, "here": remote} {
		got, err := b.Ports(t.Context(), "host2", asked)
		if err != nil || len(got) != 1 || got[0].Port != byHand || got[0].Interface != "if-c1" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	failure = errors.New("it hangs")
	for name, b := range map[string]ByHand{"there": asker, "here": remote} {
		if _, err := b.Ports(t.Context(), "host2", asked); err == nil || err.Error() != "it hangs" {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
	}
	if _, err := asker.Ports(t.Context(), "host3", asked); err == nil {
		t.Error("a host that does not answer has a list")
	}
}
