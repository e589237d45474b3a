package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
)

// byHandTopic is what hosts ask each other for after a change that machines must follow.
const byHandTopic = "interfaces that are configured by hand"

// byHand returns those of ports plugged at a host whose interfaces ovloom does not
// configure.
func (l *traceLink) byHand(ctx context.Context, host string, ports []intent.PortRef) ([]api.ByHand, error) {
	if host == l.cfg.HostName {
		return l.byHandHere(ctx, ports)
	}
	body, err := json.Marshal(ports)
	if err != nil {
		return nil, err
	}
	raw, err := l.store.Ask(ctx, host, byHandTopic, body)
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

// byHandAnswer is what one host tells another.
type byHandAnswer struct {
	Ports []api.ByHand `json:"ports"`
	Error string       `json:"error,omitempty"`
}

func (l *traceLink) answerByHand(ctx context.Context, q store.Question) {
	var ports []intent.PortRef
	var a byHandAnswer
	err := json.Unmarshal(q.Body, &ports)
	if err == nil {
		a.Ports, err = l.byHandHere(ctx, ports)
	}
	a.Error = intent.What(err)
	l.reply(ctx, q, a)
}

// byHandHere is byHand for this host.
func (l *traceLink) byHandHere(ctx context.Context, ports []intent.PortRef) ([]api.ByHand, error) {
	status, err := l.controller.Status(ctx)
	if err != nil {
		return nil, err
	}
	asked := map[intent.PortRef]bool{}
	for _, ref := range ports {
		asked[ref] = true
	}
	configured := l.agent.Configured()
	var list []api.ByHand
	for _, p := range status.Ports {
		if asked[p.Ref] && !configured[p.Ref] {
			list = append(list, api.ByHand{Port: p.Ref, Interface: p.Interface.Name})
		}
	}
	return list, nil
}
