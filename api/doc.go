// Package api is the way to talk to ovloomd from the same machine: HTTP and
// JSON over a unix socket. It holds both ends, so that they cannot disagree:
// the Server that ovloomd runs and the Client that the CLI uses.
//
// The map:
//
//	class.go     the declaration of one class of objects
//	tenants.go, networks.go, ports.go, peers.go, staticroutes.go, externals.go,
//	snats.go, floatings.go, forwards.go, hosts.go
//	             the declarations, each with what is special about its class
//	resource.go  the routes and handlers of objects, over declarations
//	form.go      the fields of an object that a request may have
//	objects.go   the client's calls about objects, over declarations
//	written.go   the answer to a change
//	routes.go    every path with its summary, examples and handler
//	values.go    the values of requests and answers besides objects
//	status.go    the answer to "how is this host?"
//	backend.go   what the server needs from ovloomd, as small interfaces
//	local.go, observed.go, trace.go, upkeep.go
//	             handlers of actions: plug, status, flows, traces, the store's upkeep
//	calls.go     the client's calls of actions
//	wait.go      the streams that end when a change has reached the switches
//	server.go    one request from first byte to log line; time-outs, shutdown
//	decode.go    strict reading of bodies and queries
//	errors.go    kinds of failure and status codes, both ways
//	listen.go    the socket: its directory, group, and stale leftovers
//	client.go    requests, and the meaning of their failures
//
// Nothing here decides about intent: uniqueness, allocation and users are the
// store's. docs/api.md is written from routes.go by this package's tests.
package api
