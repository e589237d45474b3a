package main

// This file is the server in containers and outside.

import (
	"fmt"
	"net"
	"time"
)

// serveCommand is the argument that makes this program a server.
const serveCommand = "serve"

// sees separates a server's name from the client's address in its answer.
const sees = " sees "

// serve answers each client with the server's name and the client's address as seen here. It
// returns only with an error.
func serve(name string) error {
	l, err := net.Listen("tcp4", fmt.Sprintf(":%d", serverPort))
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintf(c, "%s%s%s\n", name, sees, c.RemoteAddr()) // the client may have gone
		_ = c.Close()
	}
}
