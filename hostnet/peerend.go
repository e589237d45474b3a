package hostnet

// The other end of a plugged port, in its workload's namespace.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// PeerEnd is the other end of a veth pair.
type PeerEnd struct {
	Name      string
	Namespace string // its path, to be shown and to be entered
	// ChecksumsLeft reports that it leaves checksums to a network card.
	ChecksumsLeft bool
}

// ReadPeerEnds finds the other ends of veths of this host, by the name of the near end.
// It leaves out interfaces that are not veths, and ends whose namespace is not found:
// it may have no name and no process.
func ReadPeerEnds(names []string) (map[string]PeerEnd, error) {
	ends := map[string]PeerEnd{}
	var spaces map[int]string // paths of namespaces by their number here
	for _, name := range names {
		l, err := linkByName(name)
		if err != nil {
			return nil, err
		}
		v, ok := l.(*netlink.Veth)
		if !ok || v.NetNsID < 0 {
			continue
		}
		if spaces == nil {
			spaces = namespaces()
		}
		path := spaces[v.NetNsID]
		if path == "" {
			continue
		}
		end, err := readEnd(path, v.ParentIndex)
		if err != nil {
			return nil, fmt.Errorf("read the far end of %s: %w", name, err)
		}
		ends[name] = end
	}
	return ends, nil
}

// namespaces returns the paths of the network namespaces that can be found, by their
// numbers here. A named one is preferred to a process's.
func namespaces() map[int]string {
	found := map[int]string{}
	seen := map[string]bool{}
	for _, pattern := range []string{"/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net"} {
		paths, _ := filepath.Glob(pattern) // the patterns are right
		for _, path := range paths {
			if target, err := os.Readlink(path); err == nil { // of a process: net:[INODE]
				if seen[target] {
					continue
				}
				seen[target] = true
			}
			if id, ok := namespaceID(path); ok && found[id] == "" {
				found[id] = path
			}
		}
	}
	return found
}

func namespaceID(path string) (int, bool) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return 0, false // it has just gone, or is not a namespace
	}
	defer ns.Close()
	id, err := netlink.GetNetNsIdByFd(int(ns))
	return id, err == nil && id >= 0
}

// readEnd reads the interface with an index in a namespace.
func readEnd(path string, index int) (PeerEnd, error) {
	end := PeerEnd{Namespace: path}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return end, err
	}
	defer ns.Close()
	err = inNamespace(ns, func() error {
		l, err := netlink.LinkByIndex(index)
		if err != nil {
			return err
		}
		end.Name = l.Attrs().Name
		return withEthtool(func(e *ethtool.Ethtool) error {
			features, err := e.Features(end.Name)
			for name, on := range features {
				end.ChecksumsLeft = end.ChecksumsLeft || on && strings.HasPrefix(name, "tx-checksum-")
			}
			return err
		})
	})
	return end, err
}
