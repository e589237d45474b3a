package main

// This file is the server that runs in containers and outside.

import (
	"fmt"
	"net"
	"time"
)

// serveCommand is the argument that makes this program a server.
const serveCommand = "serve"

// sees is between a server's name and the client's address in what it answers.
const sees = " sees "

// serve tells each client who serves, and what address the client has as seen
// from here. It returns only with an error.
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
		_, _ = fmt.Fprintf(c, "%s%s%s\n", name, sees, c.RemoteAddr()) // a client that has gone
		_ = c.Close()
	}
}
