// Package store keeps intent in etcd: the tenants, networks, ports, hosts and
// bindings of package intent, under transactions that decide uniqueness. Package cluster
// runs the etcd member itself (the default) or is a client of members elsewhere, and package kv
// reads and writes keys; only those two know etcd.
//
// # Keys
//
// Objects. Everything that a host has to know of a tenant is below one prefix, so that
// one watch follows it:
//
//	/ovloom/v1/t/TENANT/tenant                       intent.Tenant
//	/ovloom/v1/t/TENANT/networks/NETWORK             intent.Network
//	/ovloom/v1/t/TENANT/ports/NETWORK/PORT           intent.Port
//	/ovloom/v1/t/TENANT/bindings/NETWORK/PORT/HOST   intent.Binding: the claim of one host
//	/ovloom/v1/t/TENANT/peers/NETWORK/PEER           intent.Peer
//	/ovloom/v1/t/TENANT/routes/PREFIX                intent.Route; the prefix as 10.9.0.0_16
//	/ovloom/v1/t/TENANT/nat/snat/EXTERNAL            intent.SNAT
//	/ovloom/v1/t/TENANT/nat/floating/NETWORK/PORT/EXTERNAL
//	                                                 intent.Floating
//	/ovloom/v1/t/TENANT/nat/forward/EXTERNAL/PROTOCOL/NUMBER
//	                                                 intent.Forward
//	/ovloom/v1/t/TENANT/nat/addresses/EXTERNAL/HOST  intent.NATAddress
//	/ovloom/v1/externals/EXTERNAL                    intent.External
//	/ovloom/v1/hosts/HOST                            intent.Host
//
// What hosts say about themselves:
//
//	/ovloom/v1/alive/HOST     who holds the host's name; lives as long as its lease, 10 s
//	/ovloom/v1/applied/HOST   the revision that the host's switch has reached
//
// What every host keeps all tenants from, without the names of tenants:
//
//	/ovloom/v1/guard/vtep/ADDRESS/ID   intent.Guarded: the VTEP of the peer with that id
//	/ovloom/v1/guard/host/HOST         intent.Guarded: a host's addresses and its underlay
//
// Examinations of the paths between hosts. Both keys end with their lease, of 60 s:
//
//	/ovloom/v1/examine/asked/RUN          asks every live host to examine its paths
//	/ovloom/v1/examine/reports/RUN/HOST   intent.HealthReport: what it found
//
// Questions of one host to another, while it waits for the answer:
//
//	/ovloom/v1/ask/questions/HOST/ID   a question to a host
//	/ovloom/v1/ask/answers/ID          its answer
//
// Index keys. Each is created and deleted in the transaction that writes its object,
// and a transaction fails when it finds a key that it is to create: this, rather than a
// check before the write, keeps names, numbers and addresses unique. The value
// names the object ("acme/web/c1"), so that the error can name the holder.
//
//	/ovloom/v1/i/vrf/VRF                              tenant
//	/ovloom/v1/i/vni/VNI                              network
//	/ovloom/v1/i/port/UUID                            port
//	/ovloom/v1/i/addr/TENANT/NETWORK/ADDRESS          port; addresses are padded with zeros, so that they sort
//	/ovloom/v1/i/mac/TENANT/NETWORK/MAC               port
//	/ovloom/v1/i/vtep/ADDRESS                         host
//	/ovloom/v1/i/peer/ADDRESS/TENANT/NETWORK          peer; no host has an address below which there is one
//	/ovloom/v1/i/bound/HOST/TENANT/NETWORK/PORT       port: what a host has claimed
//	/ovloom/v1/i/number/NUMBER                        external
//	/ovloom/v1/i/outside/EXTERNAL/ADDRESS             "tenant acme" (its SNAT and forwards), "port acme/web/c1" (its
//	                                                  floating address) or "tenant acme on host1" (a NAT address)
//	/ovloom/v1/i/forward/PROTOCOL/NUMBER              forward of an external of kind host: it is of the hosts' own addresses too
//	/ovloom/v1/i/uses/EXTERNAL/TENANT/nat/…           what is on an external, by its key below the tenants
//	/ovloom/v1/i/target/TENANT/NETWORK/PORT/EXTERNAL/PROTOCOL/NUMBER
//	                                                  forward that leads to a port
//	/ovloom/v1/i/nat/HOST/TENANT/EXTERNAL             the NAT address that a host has taken
//
// Which store this is, and how often it was restored; every change is made on the
// condition that the key is unchanged:
//
//	/ovloom/v1/cluster
//
// Counters:
//
//	/ovloom/v1/c/claim/TENANT/NETWORK/PORT   the last generation of the port's claims; deleted with the port
//	/ovloom/v1/c/id, …/c/vni, …/c/vrf        the next block of object ids, VNIs and VRFs
//	/ovloom/v1/c/number                      the number to try for the next external
//	/ovloom/v1/c/outside/EXTERNAL            the address assigned last; deleted with the external
//
// When everything was deleted, the counters of ids, VNIs, VRFs and numbers remain, and
// the keys of hosts: an id must never be assigned twice.
//
// # Values
//
// Values are the JSON of the intent types with a schema version, "v" (kv.Encode). A value
// of a newer version is refused. Fields that this build does not know survive a
// change made by it (those at the top level of an object), so that hosts of two
// builds can share a store while they are upgraded.
//
// # Failure
//
// Every call has a deadline (cluster.Config.Timeout); a call that etcd does not answer fails
// with an intent.Error of kind Unavailable. Watches continue from their revision
// when the store comes back, and load everything again when the revision
// was compacted away. A host also keeps what it follows on disk (Copy,
// CopiedHosts, CopiedExternals), so that it can start while the store is down.
package store
