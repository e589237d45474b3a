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

// Config holds the options of a connection. Its zero value has the defaults and
// receives no unsolicited messages.
type Config struct {
	// ControllerID is the id that openflow.ToController names. Packets to an id without
	// a connection are lost.
	ControllerID uint16

	// Channels for unsolicited messages; nil: the switch is told not to send them. The
	// connection never blocks on these channels. A message for a full channel is
	// dropped and counted, so the capacity bounds the queue. The channels are not
	// closed, so that they can serve the next connection.
	PacketIns    chan<- openflow.PacketIn
	PortChanges  chan<- openflow.PortChange
	FlowsRemoved chan<- openflow.FlowRemoved

	// Timeout is how long a call waits for the next answer of the switch, and for a
	// message to be written.
	Timeout time.Duration

	// EchoInterval is how long the switch may be silent before it is sent an echo
	// request, and how long it then has to respond.
	EchoInterval time.Duration

	// ChunkMods and ChunkBytes bound a bundle. While the switch commits one it forwards
	// no packet that misses its cache: some milliseconds for the default of 1,000
	// flows, hundreds for 100,000 flows at once.
	ChunkMods  int
	ChunkBytes int

	// Log logs errors that no caller gets: errors without a request, and messages that
	// cannot be decoded. nil: no logging.
	Log *slog.Logger
}

// withDefaults returns c with defaults for zero values.
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
