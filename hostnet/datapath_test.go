package hostnet

import (
	"os"
	"testing"
)

func TestHasKernelDatapath(t *testing.T) {
	has, err := HasKernelDatapath()
	must(t, err)
	_, statErr := os.Stat("/sys/module/openvswitch")
	if loaded := statErr == nil; has != loaded {
		t.Errorf("got %v, but /sys/module/openvswitch: %v", has, statErr)
	}
}

func TestDatapath(t *testing.T) {
	has, err := HasKernelDatapath()
	must(t, err)
	auto := map[bool]string{true: "system", false: "netdev"}[has]
	for kind, want := range map[string]string{"system": "system", "netdev": "netdev", "auto": auto} {
		if got, err := Datapath(kind); got != want || err != nil {
			t.Errorf("%s is %s, %v; want %s", kind, got, err, want)
		}
	}
}
