// Package intent holds what users want: tenants, networks, ports, hosts and
// bindings as plain values, the rules by which they are valid, and the rules by
// which names, addresses and MACs are chosen when the user gives none.
//
// Nothing here does I/O. Uniqueness (a name, a VNI, an address within a network)
// is not decided here but by package store, in one transaction.
package intent
