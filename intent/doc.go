// Package intent holds what users want: tenants, networks, ports, hosts and bindings as
// plain values, the rules by which they are valid, and the rules that choose names,
// addresses and MACs when the user gives none.
//
// Nothing here does I/O. Uniqueness (of a name, a VNI, an address within a network) is
// decided by package store, in one transaction.
package intent
