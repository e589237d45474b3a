// The configuration: a YAML file with the flags' names, and flags, which win.

package main

import (
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

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/ovloom/ovloom/intent"
)

// defaultConfigFile may be missing; a file named by --config may not.
const defaultConfigFile = "/etc/ovloom/ovloomd.yaml"

// config is what can be chosen about a daemon. Two daemons can run on one machine
// when they differ in host name, bridge, directories and socket.
type config struct {
	HostName string `yaml:"host-name"`
	VTEP     string `yaml:"vtep"`

	Bridge    string `yaml:"bridge"`
	Datapath  string `yaml:"datapath"`
	VXLANName string `yaml:"vxlan-name"`
	VXLANPort int    `yaml:"vxlan-port"`
	TakeNIC   string `yaml:"take-nic"`
	PhyBridge string `yaml:"phy-bridge"`
	// HostUplink is the interface by which tenants leave through the host's routing.
	HostUplink string `yaml:"host-uplink"`
	OVSDB      string `yaml:"ovsdb"`
	OVSRunDir  string `yaml:"ovs-run-dir"`

	Store         []string `yaml:"store"`
	StoreListen   []string `yaml:"store-listen"`
	StorePeer     string   `yaml:"store-peer"`
	StoreJoin     []string `yaml:"store-join"`
	StoreInsecure bool     `yaml:"store-insecure"`
	StoreCA       string   `yaml:"store-ca"`
	StoreCert     string   `yaml:"store-cert"`
	StoreKey      string   `yaml:"store-key"`

	StateDir  string `yaml:"state-dir"`
	Socket    string `yaml:"socket"`
	Group     string `yaml:"group"`
	LogLevel  string `yaml:"log-level"`
	LogFormat string `yaml:"log-format"`
}

func defaultConfig() config {
	return config{
		Bridge:    "br-int",
		Datapath:  "auto",
		VXLANName: "vx0",
		VXLANPort: 4789,
		PhyBridge: "br-phy",

		HostUplink: intent.HostUplink,

		OVSDB:     "unix:/run/openvswitch/db.sock",
		OVSRunDir: "/run/openvswitch",
		StateDir:  "/var/lib/ovloom",
		Socket:    "/run/ovloom/ovloomd.sock",
		Group:     "ovloom",
		LogLevel:  "info",
		LogFormat: "text",
	}
}

// flags returns the command's flags. Their names are the keys of the file.
func flags() []cli.Flag {
	d := defaultConfig()
	text := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, DefaultText: value, Usage: usage}
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "restore", Usage: "make the store of --state-dir what it was when `FILE` was written by ovloom store backup, and end; no ovloomd may use it"},
		&cli.BoolFlag{Name: "new-store", Usage: "have the next start begin with a new and empty store, or if the store is elsewhere follow whichever answers there, and end; no ovloomd may use --state-dir"},
		&cli.BoolFlag{Name: "leave", Usage: "take this host out of the overlay without its store, and end: delete the bridge, give the network card back; for when ovloomd cannot start"},
		&cli.StringFlag{Name: "config", Value: defaultConfigFile, Usage: "YAML `FILE` with the flags' names as keys; flags win"},

		text("host-name", "the machine's short name", "`NAME` of this host in the overlay"),
		text("vtep", "that of the interface with the default route", "IPv4 `ADDRESS` where this host's tunnels end"),

		text("bridge", d.Bridge, "integration `BRIDGE`, made if it is missing"),
		text("datapath", d.Datapath, "`KIND` of datapath: auto (system if the kernel has the module), system or netdev"),
		text("vxlan-name", d.VXLANName, "`NAME` of the tunnel port"),
		&cli.IntFlag{Name: "vxlan-port", DefaultText: fmt.Sprint(d.VXLANPort), Usage: "UDP `PORT` of the tunnels"},
		text("take-nic", "", "netdev datapath: move the underlay's `NIC` with its addresses and routes into --phy-bridge"),
		text("phy-bridge", d.PhyBridge, "netdev datapath: `BRIDGE` that holds the underlay's NIC"),
		text("host-uplink", d.HostUplink, "`INTERFACE`, made when it is needed, by which tenants leave through this host's routing"),
		text("ovsdb", d.OVSDB, "`SOCKET` of the local ovsdb-server"),
		text("ovs-run-dir", d.OVSRunDir, "`DIR` with the sockets of ovs-vswitchd"),

		&cli.StringSliceFlag{Name: "store", DefaultText: "embedded in this process", Usage: "`URL` of the store, such as https://host1:2379 (repeatable)"},
		&cli.StringSliceFlag{Name: "store-listen", Usage: "`URL` where the embedded store serves other hosts too, such as https://10.0.0.1:2379"},
		text("store-peer", "the first of --store-listen, with the next port", "`URL` where other members of the store reach the embedded one, such as https://10.0.0.1:2380"),
		&cli.StringSliceFlag{Name: "store-join", Usage: "`URL` of a store that the embedded one joins as a member, see ovloom store member add (repeatable)"},
		&cli.BoolFlag{Name: "store-insecure", Usage: "allow the store beyond this machine without TLS: whoever reaches it controls every tenant"},
		text("store-ca", "", "`FILE` with the CA certificate, see ovloom cert ca"),
		text("store-cert", "", "`FILE` with this host's certificate, see ovloom cert host"),
		text("store-key", "", "`FILE` with this host's key"),

		text("state-dir", d.StateDir, "`DIR` for all that outlives the process"),
		text("socket", d.Socket, "API `SOCKET`"),
		text("group", d.Group, "`GROUP` that may use the API"),
		text("log-level", d.LogLevel, "`LEVEL`: debug, info, warn or error"),
		text("log-format", d.LogFormat, "`FORMAT`: text or json"),
	}
}

// loadConfig returns the defaults, overlaid by the file and then by the flags.
func loadConfig(c *cli.Context) (config, error) {
	cfg := defaultConfig()
	if err := cfg.readFile(c.String("config"), c.IsSet("config")); err != nil {
		return cfg, err
	}
	cfg.takeFlags(c)
	return cfg, cfg.validate()
}

func (cfg *config) readFile(name string, named bool) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return intent.Invalidf("read the configuration: %w", err)
	}
	defer f.Close()
	return cfg.read(f, name)
}

func (cfg *config) read(r io.Reader, name string) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return intent.Invalidf("%s: %w", name, err).WithHint("its keys are the flags' names, see ovloomd --help")
	}
	return nil
}

// takeFlags overlays the flags that were given.
func (cfg *config) takeFlags(c *cli.Context) {
	v := reflect.ValueOf(cfg).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if !c.IsSet(name) {
			continue
		}
		switch field := v.Field(i).Addr().Interface().(type) {
		case *string:
			*field = c.String(name)
		case *int:
			*field = c.Int(name)
		case *bool:
			*field = c.Bool(name)
		case *[]string:
			*field = c.StringSlice(name)
		}
	}
}

// validate checks what can be checked without looking at the machine, and fills
// in the host's name.
func (cfg *config) validate() error {
	if cfg.HostName == "" {
		name, err := os.Hostname()
		if err != nil {
			return intent.Invalidf("this machine has no name: %w", err).WithHint("give --host-name")
		}
		cfg.HostName, _, _ = strings.Cut(strings.ToLower(name), ".")
	}
	if err := intent.ValidateName("host", cfg.HostName); err != nil {
		return err
	}
	if cfg.VTEP != "" {
		a, err := netip.ParseAddr(cfg.VTEP)
		if err != nil {
			return intent.Invalidf("--vtep %q is not an IP address", cfg.VTEP).WithHint("give an IPv4 address of this host, such as 192.0.2.1")
		}
		if err := (intent.Host{Name: cfg.HostName, VTEP: a}).Validate(); err != nil {
			return err
		}
	}
	switch cfg.Datapath {
	case "auto", "system", "netdev":
	default:
		return intent.Invalidf("--datapath %q is unknown", cfg.Datapath).WithHint("use auto, system or netdev")
	}
	if cfg.VXLANPort < 1 || cfg.VXLANPort > 65535 {
		return intent.Invalidf("--vxlan-port %d is out of range", cfg.VXLANPort).WithHint("use 1 to 65535; the standard's is 4789")
	}
	for _, p := range []struct{ flag, path string }{
		{"--ovs-run-dir", cfg.OVSRunDir}, {"--state-dir", cfg.StateDir}, {"--socket", cfg.Socket},
	} {
		if !filepath.IsAbs(p.path) {
			return intent.Invalidf("%s %q is not an absolute path", p.flag, p.path)
		}
	}
	_, err := cfg.logger(io.Discard)
	return err
}

// logger returns the daemon's log.
func (cfg *config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, intent.Invalidf("--log-level %q is unknown", cfg.LogLevel).WithHint("use debug, info, warn or error")
	}
	opts := &slog.HandlerOptions{Level: level}
	switch cfg.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, intent.Invalidf("--log-format %q is unknown", cfg.LogFormat).WithHint("use text or json")
}
