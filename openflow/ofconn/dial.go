package ofconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ovloom/ovloom/openflow/ofp"
)

// Dial connects to a switch: "unix:" and the path of a socket such as BRIDGE.mgmt in
// Open vSwitch's run directory, or "tcp:host:port". It returns when OpenFlow 1.5 is
// negotiated and cfg is applied. ctx is for dialling only.
func Dial(ctx context.Context, addr string, cfg Config) (*Conn, error) {
	c, err := dial(ctx, addr, cfg.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("openflow: dial %s: %w", addr, err)
	}
	return c, nil
}

func dial(ctx context.Context, addr string, cfg Config) (*Conn, error) {
	network, address, ok := strings.Cut(addr, ":")
	if !ok || (network != "unix" && network != "tcp") {
		return nil, errors.New("address is neither unix:PATH nor tcp:HOST:PORT")
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		cfg:      cfg,
		conn:     conn,
		framer:   newFramer(conn),
		out:      make(chan []byte, 4),
		done:     make(chan struct{}),
		applying: make(chan struct{}, 1),
		nextXID:  1,
	}
	if err := c.hello(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	c.work.Add(2)
	go c.read()
	go c.write()
	if err := c.setUp(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// hello negotiates the version, before the reader and the writer run.
func (c *Conn) hello(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.exchangeHello()
	if ctx.Err() != nil {
		return fmt.Errorf("no hello from the switch: %w", context.Cause(ctx))
	}
	return err
}

func (c *Conn) exchangeHello() error {
	if _, err := c.conn.Write(ofp.AppendHello(nil, c.reserve(1))); err != nil {
		return err
	}
	for {
		h, body, err := c.framer.next()
		if err != nil {
			return fmt.Errorf("no hello from the switch: %w", err)
		}
		switch h.Type {
		case ofp.TypeError:
			return decodeError(body)
		case ofp.TypeHello:
			ok, err := ofp.Offers(h, body)
			if err == nil && !ok {
				err = errors.New("the switch does not offer OpenFlow 1.5: add OpenFlow15 to the bridge's protocols")
			}
			return err
		}
	}
}

// setUp applies cfg to the switch.
func (c *Conn) setUp(ctx context.Context) error {
	if err := c.askFeatures(ctx); err != nil {
		return err
	}
	async := c.async()
	config := c.config()
	steps := []struct {
		name   string
		append func(b []byte, xid uint32) []byte
	}{
		{"set-async", func(b []byte, xid uint32) []byte { return ofp.AppendSetAsync(b, xid, async) }},
		{"packet-in format", ofp.AppendPacketIn2Format},
		{"controller id", func(b []byte, xid uint32) []byte {
			return ofp.AppendSetControllerID(b, xid, c.cfg.ControllerID)
		}},
		{"set-config", func(b []byte, xid uint32) []byte { return ofp.AppendSetConfig(b, xid, config) }},
	}
	refused, err := c.confirm(ctx, len(steps), func(b []byte, i int, xid uint32) ([]byte, error) {
		return steps[i].append(b, xid), nil
	})
	if err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	var errs []error
	for _, r := range refused {
		errs = append(errs, fmt.Errorf("%s: %w", steps[min(r.index, len(steps)-1)].name, r.err))
	}
	return errors.Join(errs...)
}

// async selects the switch's unsolicited messages.
func (c *Conn) async() ofp.Async {
	var async ofp.Async
	if c.cfg.PacketIns != nil {
		async.PacketIns = ofp.AllPacketIns
	}
	if c.cfg.PortChanges != nil {
		async.PortChanges = ofp.AllPortChanges
	}
	if c.cfg.FlowsRemoved != nil {
		async.FlowsRemoved = ofp.AllFlowsRemoved
	}
	return async
}

// config is the switch's configuration for this connection. The treatment of fragments
// is one setting of the whole switch, so every connection gives the same value.
func (c *Conn) config() ofp.Config {
	config := ofp.Config{Flags: ofp.FragmentsMatch}
	if c.async() != (ofp.Async{}) {
		config.MissSendLen = 0xffff // at 0 a management connection receives no unsolicited messages
	}
	return config
}

// PutConfigBack restores Dial's configuration of the switch if another program has
// changed it, and returns the foreign setting: how fragments are treated, as ovs-ofctl
// set-frags names it. "": it was unchanged.
func (c *Conn) PutConfigBack(ctx context.Context) (was string, err error) {
	var now ofp.Config
	err = c.ask(ctx, "get-config", ofp.AppendGetConfigRequest, ofp.TypeGetConfigReply, func(body []byte) (err error) {
		now, err = ofp.DecodeConfig(body)
		return err
	})
	want := c.config()
	if err != nil || now == want {
		return "", err
	}
	refused, err := c.confirm(ctx, 1, func(b []byte, _ int, xid uint32) ([]byte, error) {
		return ofp.AppendSetConfig(b, xid, want), nil
	})
	if err == nil && len(refused) > 0 {
		err = refused[0].err
	}
	if err != nil {
		return "", fmt.Errorf("openflow set-config: %w", err)
	}
	return ofp.FragmentsName(now.Flags), nil
}

func (c *Conn) askFeatures(ctx context.Context) error {
	return c.ask(ctx, "features", ofp.AppendFeaturesRequest, ofp.TypeFeaturesReply, func(body []byte) (err error) {
		c.features, err = ofp.DecodeFeatures(body)
		return err
	})
}

// ask sends a request of one message, and reads its single reply.
func (c *Conn) ask(ctx context.Context, what string, request func(b []byte, xid uint32) []byte, reply ofp.Type, read func(body []byte) error) error {
	var done bool
	var failed error
	k := c.expect(1, func(h ofp.Header, body []byte) {
		switch {
		case done:
		case h.Type == ofp.TypeError:
			failed, done = decodeError(body), true
		case h.Type == reply:
			failed, done = read(body), true
		}
	})
	defer c.forget(k)
	err := c.send(ctx, request(c.buffer(), k.first))
	if err == nil {
		err = c.wait(ctx, k, func() bool { return done })
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("openflow %s: %w", what, err)
	}
	return nil
}
