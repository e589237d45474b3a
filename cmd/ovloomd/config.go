// The configuration: a YAML file with the flags' names, and flags, which win.

package main

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

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// defaultConfigFile may be missing; a file named by --config may not.
const defaultConfigFile = "/etc/ovloom/ovloomd.yaml"

// config is what can be chosen about a daemon. Two daemons can run on one machine when they
// differ in host name, bridge, directories and socket. A field's tags are the name of its flag,
// which is its key in the file; what the flag's help says; and what that calls the default
// where it is no value.
type config struct {
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

func defaultConfig() config {
	return config{
		Bridge: "br-int", Datapath: "auto", VXLANName: "vx0", VXLANPort: 4789, PhyBridge: "br-phy", HostUplink: intent.HostUplink,
		OVSDB: "unix:/run/openvswitch/db.sock", OVSRunDir: "/run/openvswitch",
		StateDir: "/var/lib/ovloom", Socket: "/run/ovloom/ovloomd.sock", Group: "ovloom", LogLevel: "info", LogFormat: "text",
	}
}

// options calls each for each field of cfg, with a pointer to it.
func (cfg *config) options(each func(name string, tag reflect.StructTag, field any)) {
	v := reflect.ValueOf(cfg).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		each(tag.Get("yaml"), tag, v.Field(i).Addr().Interface())
	}
}

// flags returns the command's flags: what it can do instead of running, then the options.
func flags() []cli.Flag {
	list := []cli.Flag{
		&cli.StringFlag{Name: "restore", Usage: "make the store of --state-dir what it was when `FILE` was written by ovloom store backup, and end; no ovloomd may use it"},
		&cli.BoolFlag{Name: "new-store", Usage: "have the next start begin with a new and empty store, or if the store is elsewhere follow whichever answers there, and end; no ovloomd may use --state-dir"},
		&cli.BoolFlag{Name: "leave", Usage: "take this host out of the overlay without its store, and end: delete the bridge, give the network card back; for when ovloomd cannot start"},
		&cli.StringFlag{Name: "config", Value: defaultConfigFile, Usage: "YAML `FILE` with the flags' names as keys; flags win"},
	}
	cfg := defaultConfig()
	cfg.options(func(name string, tag reflect.StructTag, field any) {
		help, value := strings.ReplaceAll(tag.Get("help"), "|", "`"), tag.Get("default")
		switch field := field.(type) {
		case *string:
			list = append(list, &cli.StringFlag{Name: name, Usage: help, DefaultText: cmp.Or(value, *field)})
		case *int:
			list = append(list, &cli.IntFlag{Name: name, Usage: help, DefaultText: cmp.Or(value, fmt.Sprint(*field))})
		case *bool:
			list = append(list, &cli.BoolFlag{Name: name, Usage: help})
		case *[]string:
			list = append(list, &cli.StringSliceFlag{Name: name, Usage: help, DefaultText: value})
		}
	})
	return list
}

// loadConfig returns the defaults, overlaid by the file and then by the flags.
func loadConfig(c *cli.Context) (config, error) {
	cfg, name := defaultConfig(), c.String("config")
	f, err := os.Open(name)
	switch {
	case err == nil:
		defer f.Close()
		if err := cfg.read(f, name); err != nil {
			return cfg, err
		}
	case !errors.Is(err, fs.ErrNotExist) || c.IsSet("config"):
		return cfg, intent.Invalidf("read the configuration: %w", err)
	}
	cfg.options(func(name string, _ reflect.StructTag, field any) {
		if !c.IsSet(name) {
			return
		}
		switch field := field.(type) {
		case *string:
			*field = c.String(name)
		case *int:
			*field = c.Int(name)
		case *bool:
			*field = c.Bool(name)
		case *[]string:
			*field = c.StringSlice(name)
		}
	})
	return cfg, cfg.validate()
}

// read overlays what the file of that name says.
func (cfg *config) read(r io.Reader, name string) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return intent.Invalidf("%s: %w", name, err).WithHint("its keys are the flags' names, see ovloomd --help")
	}
	return nil
}

// validate checks what can be checked without looking at the machine, and fills in the host's
// name.
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
	for _, p := range []struct{ flag, path string }{{"--ovs-run-dir", cfg.OVSRunDir}, {"--state-dir", cfg.StateDir}, {"--socket", cfg.Socket}} {
		if !filepath.IsAbs(p.path) {
			return intent.Invalidf("%s %q is not an absolute path", p.flag, p.path)
		}
	}
	_, err := cfg.logger(io.Discard)
	return err
}

// cluster returns the configuration of the store.
func (cfg *config) cluster(log *slog.Logger) cluster.Config {
	return cluster.Config{
		StateDir: filepath.Join(cfg.StateDir, "store"), Endpoints: cfg.Store, Listen: cfg.StoreListen, Name: cfg.HostName, Peer: cfg.StorePeer, Join: cfg.StoreJoin,
		CA: cfg.StoreCA, Cert: cfg.StoreCert, Key: cfg.StoreKey, Insecure: cfg.StoreInsecure, Logger: log,
	}
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
