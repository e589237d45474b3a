package ofconn

import (
	"log/slog"
	"time"

	"github.com/ovloom/ovloom/openflow"
)

// Defaults of Config.
const (
	DefaultTimeout      = 10 * time.Second
	DefaultEchoInterval = 5 * time.Second
	DefaultChunkMods    = 1000
	DefaultChunkBytes   = 1 << 20
)

// Config is what can be chosen about a connection. Its zero value has the defaults
// and hears nothing unasked.
type Config struct {
	// ControllerID is the id that openflow.ToController names. Packets sent to an
	// id that no connection has are lost.
	ControllerID uint16

	// Where messages go that the switch sends unasked; nil: it is told not to send them.
	// The connection never waits for these channels. A message that finds its channel
	// full is dropped and counted, so the capacity is the bound of the queue. The
	// channels are not closed, so that they can serve the next connection.
	PacketIns    chan<- openflow.PacketIn
	PortChanges  chan<- openflow.PortChange
	FlowsRemoved chan<- openflow.FlowRemoved

	// Timeout is how long a call waits for the next answer of the switch, and how
	// long a message may take to be written.
	Timeout time.Duration

	// EchoInterval is how long the switch may be silent before it is sent an echo
	// request, and how long it then has to say anything.
	EchoInterval time.Duration

	// ChunkMods and ChunkBytes bound a bundle. The switch forwards nothing that misses
	// its cache while it commits one: some milliseconds for the default of 1,000 flows,
	// hundreds for 100,000 flows at once.
	ChunkMods  int
	ChunkBytes int

	// Log hears what has no caller to return to: errors that belong to no request, and
	// messages that cannot be read. nil: nobody.
	Log *slog.Logger
}

// withDefaults returns c with its zero values replaced.
func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.EchoInterval <= 0 {
		c.EchoInterval = DefaultEchoInterval
	}
	if c.ChunkMods <= 0 {
		c.ChunkMods = DefaultChunkMods
	}
	if c.ChunkBytes <= 0 {
		c.ChunkBytes = DefaultChunkBytes
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
