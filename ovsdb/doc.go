// Package ovsdb drives the local Open_vSwitch database: it makes the bridges of
// ovloom and keeps them as they should be, adds and deletes their ports, and shows
// their interfaces as they change.
//
//	conn.go       one DB, which outlives its connections; State, Watch
//	session.go    one connection to ovsdb-server and its replica of the tables
//	view.go       reading the replica
//	transact.go   transactions with a deadline, and their operations
//	bridge.go     EnsureBridge, DeleteBridge: br-int with its VXLAN port
//	owner.go      who owns a bridge: ovloom, OVN, Neutron, another system
//	uplink.go     EnsureUplinkBridge: br-phy with the underlay's NIC
//	external.go   EnsureUplinks: the uplinks of br-int
//	interface.go  Interfaces, WaitOFPort, and the marks ovloom leaves on an Interface row
//	port.go       AddPort, DelPort
//	version.go    versions and datapath types
//	rows.go       the columns that ovloom uses
//
// Every row that is read comes from the replica, so reading needs no server and
// goes on while there is none. What this process wrote is in the replica when the
// call that wrote it returns: ovsdb-server sends the update before the reply.
//
// The tables and columns are described in ovs-vswitchd.conf.db(5), the protocol in
// RFC 7047 and ovsdb-server(7).
package ovsdb
