// Package api is the way to talk to ovloomd from the same machine: HTTP and
// JSON over a unix socket. It holds both ends, so that they cannot disagree:
// the Server that ovloomd runs and the Client that the CLI uses.
//
// The map:
//
//	values.go    what is sent and answered: requests and views of objects
//	status.go    the answer to "how is this host?"
//	backend.go   what the server needs from ovloomd, as small interfaces
//	routes.go    every path with its summary, examples and handler
//	intents.go   handlers of tenants, networks and ports
//	staticroutes.go, externals.go, nat.go
//	             what leads beyond networks, of each the values and handlers
//	local.go     handlers of hosts and of this host: plug, status, flows
//	wait.go      the streams that end when a change has reached the switches
//	server.go    one request from first byte to log line; timeouts, shutdown
//	decode.go    strict reading of bodies and queries
//	errors.go    kinds of failure and status codes, both ways
//	listen.go    the socket: its directory, group, and stale leftovers
//	client.go    requests, and what a failure to connect means
//	calls.go     the client's methods, one per route; natcalls.go those of NAT
//
// Nothing here decides about intent: uniqueness, allocation and what is in use
// are the store's. docs/api.md is written from routes.go by this package's tests.
package api
