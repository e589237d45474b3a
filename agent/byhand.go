package agent

// Ports whose interfaces are configured by hand.

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
)

// ByHandTopic is the topic of the question that ByHand.Answer answers.
const ByHandTopic = "interfaces that are configured by hand"

// ByHand finds ports whose interfaces ovloom does not configure: users must apply changes of
// these ports inside their workloads. Every field is required.
type ByHand struct {
	Host string // this one

	// Status lists the ports plugged here, and Configured the ports that ovloom configures,
	// as Agent.Configured does.
	Status     func(ctx context.Context) (controller.Status, error)
	Configured func() map[intent.PortRef]bool

	// Ask asks another host through the store.
	Ask func(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error)
}

// byHandAnswer is a host's answer to ByHandTopic.
type byHandAnswer struct {
	Ports []api.ByHand `json:"ports"`
	Error string       `json:"error,omitempty"`
}

// Ports returns the ports, out of the given ones, that are plugged at a host with an
// interface that ovloom does not configure. It implements api.Backend.
func (b ByHand) Ports(ctx context.Context, host string, ports []intent.PortRef) ([]api.ByHand, error) {
	if host == b.Host {
		return b.here(ctx, ports)
	}
	body, err := json.Marshal(ports)
	if err != nil {
		return nil, err
	}
	raw, err := b.Ask(ctx, host, ByHandTopic, body)
	if err != nil {
		return nil, err
	}
	var a byHandAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, err
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Ports, nil
}

// Answer answers ByHandTopic for another host.
func (b ByHand) Answer(ctx context.Context, body json.RawMessage) any {
	var ports []intent.PortRef
	var a byHandAnswer
	err := json.Unmarshal(body, &ports)
	if err == nil {
		a.Ports, err = b.here(ctx, ports)
	}
	a.Error = intent.What(err)
	return a
}

// here is Ports for this host.
func (b ByHand) here(ctx context.Context, ports []intent.PortRef) ([]api.ByHand, error) {
	status, err := b.Status(ctx)
	if err != nil {
		return nil, err
	}
	asked := map[intent.PortRef]bool{}
	for _, ref := range ports {
		asked[ref] = true
	}
	configured := b.Configured()
	var list []api.ByHand
	for _, p := range status.Ports {
		if asked[p.Ref] && !configured[p.Ref] {
			list = append(list, api.ByHand{Port: p.Ref, Interface: p.Interface.Name})
		}
	}
	return list, nil
}
