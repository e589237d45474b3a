package hostnet

// Offloads of network interfaces.

import (
	"fmt"
	"maps"
	"strings"

	"github.com/safchain/ethtool"
)

// ReceiveOffloads are the features by which a card or the kernel merges incoming
// packets into larger ones. Open vSwitch's userspace datapath drops those that exceed
// the interface's MTU.
var ReceiveOffloads = []string{"rx-gro", "rx-gro-hw", "rx-lro"}

// ReadReceiveOffloads returns which of ReceiveOffloads the interface has on.
func ReadReceiveOffloads(link string) (map[string]bool, error) {
	state := map[string]bool{}
	err := withEthtool(func(e *ethtool.Ethtool) error {
		features, err := e.Features(link)
		for _, name := range ReceiveOffloads {
			if on, known := features[name]; known {
				state[name] = on
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read offloads of %s: %w", link, err)
	}
	return state, nil
}

// SetReceiveOffloads switches features of the interface on or off, except those that
// its driver has fixed.
func SetReceiveOffloads(link string, want map[string]bool) error {
	have, err := ReadReceiveOffloads(link)
	if err != nil {
		return err
	}
	differ := maps.Clone(want)
	maps.DeleteFunc(differ, func(name string, on bool) bool {
		now, known := have[name]
		return !known || now == on
	})
	if len(differ) == 0 {
		return nil
	}
	if err := withEthtool(func(e *ethtool.Ethtool) error { return e.Change(link, differ) }); err != nil {
		return fmt.Errorf("set offloads of %s to %v: %w", link, differ, err)
	}
	return nil
}

// txChecksumsOff switches off all transmit checksum offloads; segmentation offload,
// which needs them, goes off too. It works in the namespace of the calling thread.
func txChecksumsOff(link string) (changed bool, err error) {
	err = withEthtool(func(e *ethtool.Ethtool) error {
		features, err := e.Features(link)
		if err != nil {
			return err
		}
		maps.DeleteFunc(features, func(name string, on bool) bool {
			return !on || !strings.HasPrefix(name, "tx-checksum-")
		})
		if len(features) == 0 {
			return nil
		}
		for name := range features {
			features[name] = false
		}
		changed = true
		return e.Change(link, features)
	})
	return changed, err
}

func withEthtool(f func(*ethtool.Ethtool) error) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	return f(e)
}
