// Package hostnet changes the network of the host: it plugs ports into namespaces,
// finds the underlay's addresses, and moves addresses and routes between interfaces.
//
//	plug.go       Plug, Unplug
//	tap.go        CheckTap, ReadyTap: interfaces made by other programs, as ports
//	configure.go  what Plug configures on both ends
//	netns.go      Target: the namespace that a port is plugged into
//	vtep.go       DefaultVTEP, UnderlayMTU, AddrOwner
//	link.go       an interface's state as a value, for package underlay
//	address.go    its addresses: read, added, deleted
//	route.go      its routes: read, put on another interface
//	announce.go   announcing an address's new location to neighbours
//	offload.go    interface features that break Open vSwitch
//	peerend.go    the other end of a plugged port: its namespace and offloads
//	udp.go        other programs on the tunnels' UDP port
//	exit.go       the host uplink: addresses and packet filter
//	exitfault.go  the settings of the host that it needs: checked, and set on request
//	listen.go     which ports on the host's own addresses its programs serve
//	sysctl.go     settings of one interface under /proc/sys/net; never of the host
//	datapath.go   whether the kernel has the openvswitch module
//
// Everything concerns the network namespace that the process was started in,
// except the inside of a plugged port. Calls talk to the local kernel, which
// answers at once; so only long ones take a context.
package hostnet
