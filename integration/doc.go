// Package integration holds the tests that need real hosts: real Open vSwitch,
// real packets, in labs built by package lab. They need root; make lab runs them.
package integration
