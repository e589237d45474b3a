package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

const exampleFile = "../packaging/ovloomd.yaml"

// As it is, the example changes nothing; with every key in force it is a valid
// configuration, has all keys, and shows the defaults.
func TestExampleConfiguration(t *testing.T) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	if err := cfg.read(strings.NewReader(string(example)), exampleFile); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("as it is, it sets %+v", cfg)
	}

	inForce := regexp.MustCompile(`(?m)^#([a-z-]+:.*)$`).ReplaceAllString(string(example), "$1")
	all := Config{}
	if err := all.read(strings.NewReader(inForce), exampleFile); err != nil {
		t.Fatal(err)
	}
	defaults := reflect.ValueOf(Default())
	for i, v := 0, reflect.ValueOf(all); i < v.NumField(); i++ {
		key := v.Type().Field(i).Tag.Get("yaml")
		if !strings.Contains(inForce, "\n"+key+":") {
			t.Errorf("it does not have %s", key)
		}
		if !defaults.Field(i).IsZero() && !v.Field(i).Equal(defaults.Field(i)) {
			t.Errorf("it shows %s: %v; the default is %v", key, v.Field(i), defaults.Field(i))
		}
	}
	if err := all.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; "": none
	}{
		{"the defaults", func(*Config) {}, ""},
		{"a host's name", func(c *Config) { c.HostName = "a/b" }, "a/b"},
		{"an address", func(c *Config) { c.VTEP = "192.0.2" }, "--vtep"},
		{"an address of IPv6", func(c *Config) { c.VTEP = "2001:db8::1" }, "IPv4"},
		{"a datapath", func(c *Config) { c.Datapath = "dpdk" }, "--datapath"},
		{"a UDP port", func(c *Config) { c.VXLANPort = 65536 }, "--vxlan-port"},
		{"a directory", func(c *Config) { c.StateDir = "state" }, "--state-dir"},
		{"a level", func(c *Config) { c.LogLevel = "loud" }, "--log-level"},
		{"a format", func(c *Config) { c.LogFormat = "xml" }, "--log-format"},
	} {
		cfg := Default()
		c.change(&cfg)
		err := cfg.Validate()
		switch {
		case c.want == "" && (err != nil || cfg.HostName == ""):
			t.Errorf("%s: %v, host %q", c.name, err, cfg.HostName)
		case c.want != "" && (intent.KindOf(err) != intent.Invalid || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want Invalid with %q", c.name, err, c.want)
		}
	}
}

// Every option has help that names its value, unless it is a switch.
func TestOptions(t *testing.T) {
	cfg := Default()
	for _, o := range cfg.Options() {
		_, isSwitch := o.Value.(*bool)
		if o.Name == "" || o.Help == "" || strings.Count(o.Help, "`") != 2 && !isSwitch {
			t.Errorf("option %+v", o)
		}
		if o.Name == "vxlan-port" {
			*o.Value.(*int) = 4790
		}
	}
	if cfg.VXLANPort != 4790 {
		t.Errorf("the option sets another port than %d", cfg.VXLANPort)
	}
}

// A file that is not there matters if it was named; one with a key that does not exist always.
func TestReadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ovloomd.yaml")
	cfg := Default()
	if err := cfg.ReadFile(file, false); err != nil {
		t.Error(err)
	}
	if err := cfg.ReadFile(file, true); intent.KindOf(err) != intent.Invalid {
		t.Errorf("a named file is missing: %v", err)
	}
	for text, want := range map[string]bool{"bridge: br-x\nstore: [https://h:1]\n": true, "": true, "bridges: br-x\n": false, "bridge: [": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := cfg.ReadFile(file, true); (err == nil) != want || err != nil && intent.KindOf(err) != intent.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
	if cfg.Bridge != "br-x" || len(cfg.Store) != 1 || cfg.Datapath != "auto" {
		t.Errorf("read %+v", cfg)
	}
}
