package main

// This file is a minimal client of ovsdb-server (RFC 7047), to add ports to OVN without its
// command lines.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// database is a connection to one database of an ovsdb-server.
type database struct {
	name string
	conn net.Conn
	in   *json.Decoder
	next int // id of the next request
}

// columns is a row, and op an operation on a table.
type (
	columns map[string]any
	op      map[string]any
)

func dialDatabase(ctx context.Context, socket, name string) (*database, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	return &database{name: name, conn: conn, in: json.NewDecoder(conn)}, nil
}

func (d *database) close() error { return d.conn.Close() }

// outcome is the result of one operation.
type outcome struct {
	Error   string           `json:"error"`
	Details string           `json:"details"`
	Count   int              `json:"count"`
	Rows    []map[string]any `json:"rows"`
}

// transact runs operations, all or none, and returns the result of each.
func (d *database) transact(ctx context.Context, ops ...op) ([]outcome, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(waitLimit)
	}
	if err := d.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	params := []any{d.name}
	for _, o := range ops {
		params = append(params, o)
	}
	d.next++
	request, err := json.Marshal(map[string]any{"method": "transact", "params": params, "id": d.next})
	if err != nil {
		return nil, err
	}
	if _, err := d.conn.Write(request); err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	for {
		var m struct {
			ID     any             `json:"id"`
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
			Result []outcome       `json:"result"`
			Error  any             `json:"error"`
		}
		if err := d.in.Decode(&m); err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		if m.Method == "echo" { // the server gives up clients that do not answer
			answer, err := json.Marshal(map[string]any{"result": m.Params, "error": nil, "id": m.ID})
			if err == nil {
				_, err = d.conn.Write(answer)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			continue
		}
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %v", d.name, m.Error)
		}
		return m.Result, failed(d.name, m.Result)
	}
}

// failed returns the errors of failed operations.
func failed(name string, results []outcome) error {
	var errs []error
	for _, r := range results {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s: %s", name, r.Error, r.Details))
		}
	}
	return errors.Join(errs...)
}

// Values of OVSDB that differ from plain JSON.

func set(values ...any) []any { return []any{"set", append([]any{}, values...)} }

func mapping(pairs ...string) []any {
	list := []any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, []string{pairs[i], pairs[i+1]})
	}
	return []any{"map", list}
}

// named refers to the row that the same transaction inserts under a name.
func named(name string) []string { return []string{"named-uuid", name} }

// symbol makes a name for a row within a transaction.
func symbol(kind, name string) string { return kind + "_" + strings.ReplaceAll(name, "-", "_") }

func insert(table, as string, row columns) op {
	return op{"op": "insert", "table": table, "uuid-name": as, "row": row}
}

// mutate inserts into, or deletes from, a column of the rows with the given name.
func mutate(table, key, name, column, how string, values []any) op {
	return op{"op": "mutate", "table": table, "where": where(key, name), "mutations": []any{[]any{column, how, values}}}
}

func where(key, value string) []any { return []any{[]any{key, "==", value}} }
