// Package config is the daemon's configuration: a YAML file, and flags of the same names,
// which override it.
//
// Every option is declared once, as a field of Config.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// DefaultFile is read if it exists. A file named by the user must exist.
const DefaultFile = "/etc/ovloom/ovloomd.yaml"

// Config is the configuration of a daemon. Two daemons can run on one machine if they differ
// in host name, bridge, directories and socket. A field's tags are the name of its flag, which
// is also its key in the file; the flag's help; and the default's description, if it is not a
// plain value.
type Config struct {
	HostName string `yaml:"host-name" help:"|NAME| of this host in the overlay" default:"the machine's short name"`
	VTEP     string `yaml:"vtep" help:"IPv4 |ADDRESS| where this host's tunnels end" default:"that of the interface with the default route"`

	Bridge     string `yaml:"bridge" help:"integration |BRIDGE|, made if it is missing"`
	Datapath   string `yaml:"datapath" help:"|KIND| of datapath: auto (system if the kernel has the module), system or netdev"`
	VXLANName  string `yaml:"vxlan-name" help:"|NAME| of the tunnel port"`
	VXLANPort  int    `yaml:"vxlan-port" help:"UDP |PORT| of the tunnels"`
	TakeNIC    string `yaml:"take-nic" help:"netdev datapath: move the underlay's |NIC| with its addresses and routes into --phy-bridge"`
	PhyBridge  string `yaml:"phy-bridge" help:"netdev datapath: |BRIDGE| that holds the underlay's NIC"`
	HostUplink string `yaml:"host-uplink" help:"|INTERFACE|, made when it is needed, by which tenants leave through this host's routing"`
	OVSDB      string `yaml:"ovsdb" help:"|SOCKET| of the local ovsdb-server"`
	OVSRunDir  string `yaml:"ovs-run-dir" help:"|DIR| with the sockets of ovs-vswitchd"`

	Store         []string `yaml:"store" help:"|URL| of the store, such as https://host1:2379 (repeatable)" default:"embedded in this process"`
	StoreListen   []string `yaml:"store-listen" help:"|URL| where the embedded store serves other hosts too, such as https://10.0.0.1:2379"`
	StorePeer     string   `yaml:"store-peer" help:"|URL| where other members of the store reach the embedded one, such as https://10.0.0.1:2380" default:"the first of --store-listen, with the next port"`
	StoreJoin     []string `yaml:"store-join" help:"|URL| of a store that the embedded one joins as a member, see ovloom store member add (repeatable)"`
	StoreInsecure bool     `yaml:"store-insecure" help:"allow the store beyond this machine without TLS: whoever reaches it controls every tenant"`
	StoreCA       string   `yaml:"store-ca" help:"|FILE| with the CA certificate, see ovloom cert ca"`
	StoreCert     string   `yaml:"store-cert" help:"|FILE| with this host's certificate, see ovloom cert host"`
	StoreKey      string   `yaml:"store-key" help:"|FILE| with this host's key"`

	StateDir  string `yaml:"state-dir" help:"|DIR| for all that outlives the process"`
	Socket    string `yaml:"socket" help:"API |SOCKET|"`
	Group     string `yaml:"group" help:"|GROUP| that may use the API"`
	LogLevel  string `yaml:"log-level" help:"|LEVEL|: debug, info, warn or error"`
	LogFormat string `yaml:"log-format" help:"|FORMAT|: text or json"`
}

// Default returns the defaults. The host's name is filled in by Validate.
func Default() Config {
	return Config{
		Bridge: "br-int", Datapath: "auto", VXLANName: "vx0", VXLANPort: 4789, PhyBridge: "br-phy", HostUplink: intent.HostUplink,
		OVSDB: "unix:/run/openvswitch/db.sock", OVSRunDir: "/run/openvswitch",
		StateDir: "/var/lib/ovloom", Socket: "/run/ovloom/ovloomd.sock", Group: "ovloom", LogLevel: "info", LogFormat: "text",
	}
}

// Option is an option that a flag can set.
type Option struct {
	Name    string // of the flag
	Help    string // with the name of its value in backquotes
	Default string // for people
	Value   any    // points to the field: *string, *int, *bool or *[]string
}

// Options returns all options of c. Their values point into c.
func (c *Config) Options() []Option {
	var list []Option
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		o := Option{Name: tag.Get("yaml"), Help: strings.ReplaceAll(tag.Get("help"), "|", "`"), Default: tag.Get("default"), Value: v.Field(i).Addr().Interface()}
		switch value := o.Value.(type) {
		case *string:
			o.Default = cmp.Or(o.Default, *value)
		case *int:
			o.Default = cmp.Or(o.Default, fmt.Sprint(*value))
		}
		list = append(list, o)
	}
	return list
}

// ReadFile overlays c with the options in a file. It is an error if a named file does not
// exist.
func (c *Config) ReadFile(name string, named bool) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return intent.Invalidf("read the configuration: %w", err)
	}
	defer f.Close()
	return c.read(f, name)
}

// read overlays c with the options in r.
func (c *Config) read(r io.Reader, name string) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return intent.Invalidf("%s: %w", name, err).WithHint("its keys are the flags' names, see ovloomd --help")
	}
	return nil
}

// Validate checks the options as far as possible without looking at the machine, and fills in
// the host's name.
func (c *Config) Validate() error {
	if c.HostName == "" {
		name, err := os.Hostname()
		if err != nil {
			return intent.Invalidf("this machine has no name: %w", err).WithHint("give --host-name")
		}
		c.HostName, _, _ = strings.Cut(strings.ToLower(name), ".")
	}
	if err := intent.ValidateName("host", c.HostName); err != nil {
		return err
	}
	if c.VTEP != "" {
		a, err := netip.ParseAddr(c.VTEP)
		if err != nil {
			return intent.Invalidf("--vtep %q is not an IP address", c.VTEP).WithHint("give an IPv4 address of this host, such as 192.0.2.1")
		}
		if err := (intent.Host{Name: c.HostName, VTEP: a}).Validate(); err != nil {
			return err
		}
	}
	switch c.Datapath {
	case "auto", "system", "netdev":
	default:
		return intent.Invalidf("--datapath %q is unknown", c.Datapath).WithHint("use auto, system or netdev")
	}
	if c.VXLANPort < 1 || c.VXLANPort > 65535 {
		return intent.Invalidf("--vxlan-port %d is out of range", c.VXLANPort).WithHint("use 1 to 65535; the standard's is 4789")
	}
	for _, p := range []struct{ flag, path string }{{"--ovs-run-dir", c.OVSRunDir}, {"--state-dir", c.StateDir}, {"--socket", c.Socket}} {
		if !filepath.IsAbs(p.path) {
			return intent.Invalidf("%s %q is not an absolute path", p.flag, p.path)
		}
	}
	_, err := c.Logger(io.Discard)
	return err
}

// Cluster returns the configuration of the store.
func (c *Config) Cluster(log *slog.Logger) cluster.Config {
	return cluster.Config{
		StateDir: filepath.Join(c.StateDir, "store"), Endpoints: c.Store, Listen: c.StoreListen, Name: c.HostName, Peer: c.StorePeer, Join: c.StoreJoin,
		CA: c.StoreCA, Cert: c.StoreCert, Key: c.StoreKey, Insecure: c.StoreInsecure, Logger: log,
	}
}

// Logger returns the daemon's log.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, intent.Invalidf("--log-level %q is unknown", c.LogLevel).WithHint("use debug, info, warn or error")
	}
	opts := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, intent.Invalidf("--log-format %q is unknown", c.LogFormat).WithHint("use text or json")
}
