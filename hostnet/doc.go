// Package hostnet changes the network of the host: it plugs ports into namespaces,
// finds the underlay's addresses, and moves addresses and routes between interfaces.
//
//	plug.go       Plug, Unplug
//	tap.go        CheckTap, ReadyTap: interfaces that somebody else made, as ports
//	configure.go  what Plug makes true inside the namespace
//	netns.go      Target: the namespace that a port is plugged into
//	vtep.go       DefaultVTEP, UnderlayMTU, AddrOwner
//	link.go       an interface's state as a value, for package underlay
//	address.go    its addresses: read, added, deleted
//	route.go      its routes: read, put on another interface
//	announce.go   telling the neighbours where an address is now
//	offload.go    features of interfaces that Open vSwitch cannot live with
//	peerend.go    the far end of a plugged port: where it is, and its offloads
//	udp.go        who else uses the tunnels' UDP port
//	exit.go       the host uplink: addresses and packet filter
//	exitfault.go  what the host lacks for that, found and on request set
//	listen.go     which ports of the host's own addresses its programs use
//	sysctl.go     settings of one interface under /proc/sys/net; never of the host
//	datapath.go   whether the kernel has the openvswitch module
//
// Everything concerns the network namespace that the process was started in,
// except the inside of a plugged port. Calls talk to the local kernel, which
// answers at once; so only those that do much take a context.
package hostnet
