package main

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const exampleFile = "../../packaging/ovloomd.yaml"

// As it is, the example changes nothing; with every key in force it is a valid
// configuration, has all keys, and shows the defaults.
func TestExampleConfiguration(t *testing.T) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	if err := cfg.read(strings.NewReader(string(example)), exampleFile); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, defaultConfig()) {
		t.Errorf("as it is, it sets %+v", cfg)
	}

	inForce := regexp.MustCompile(`(?m)^#([a-z-]+:.*)$`).ReplaceAllString(string(example), "$1")
	all := config{}
	if err := all.read(strings.NewReader(inForce), exampleFile); err != nil {
		t.Fatal(err)
	}
	defaults := reflect.ValueOf(defaultConfig())
	for i, v := 0, reflect.ValueOf(all); i < v.NumField(); i++ {
		key := v.Type().Field(i).Tag.Get("yaml")
		if !strings.Contains(inForce, "\n"+key+":") {
			t.Errorf("it does not have %s", key)
		}
		if !defaults.Field(i).IsZero() && !v.Field(i).Equal(defaults.Field(i)) {
			t.Errorf("it shows %s: %v; the default is %v", key, v.Field(i), defaults.Field(i))
		}
	}
	if err := all.validate(); err != nil {
		t.Error(err)
	}
}
