// Package pki makes and loads the files that TLS between hosts and the store
// needs: one certificate authority, and one certificate for each host.
//
//	ca.crt     the authority to trust; goes to every host
//	ca.key     signs certificates; stays where the others are made (0600)
//	NAME.crt   a host's identity: its name and addresses, localhost, 127.0.0.1 and ::1
//	NAME.key   the host's private key (0600); goes to that host alone
//
// Keys are ECDSA P-256. The authority is valid for 10 years, a host's certificate
// for 1 year; both from an hour before they are made, because clocks differ. A
// host's certificate is valid for servers and clients, because hosts with a member of the
// store are both. Every certificate of the authority gives full access
// to the store.
//
// Nothing is overwritten. RenewHost replaces a host's certificate and keeps its
// key; running processes use the new one for their next connection.
package pki
