package ovsdb

// Transactions, and their operations.
//
// The operations are written as in RFC 7047: libovsdb's own constructors take whole rows,
// and ovloom must never write a column or a key that is not its own.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/ovloom/ovloom/intent"
)

// transact sends one transaction: all of its operations take effect, or none. Waiting for
// a connection and for the answer takes at most the DB's timeout.
func (db *DB) transact(ctx context.Context, what string, ops ...ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	s, err := db.live(limited)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	db.mu.Lock()
	db.state.Writes++
	db.mu.Unlock()
	type answer struct {
		results []ovsdb.OperationResult
		err     error
	}
	got := make(chan answer, 1)
	err = within(limited, func(ctx context.Context) error {
		r, err := s.client.Transact(ctx, ops...)
		got <- answer{r, err}
		return nil
	})
	if err == nil {
		a := <-got
		if a.err == nil {
			err = operationsFailed(a.results, ops)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			return a.results, nil
		}
		err = a.err
	}
	if limited.Err() != nil && ctx.Err() == nil {
		// The server hangs; discard the session, and with it a late answer.
		s.lose(err)
	}
	return nil, fmt.Errorf("%s: %w", what, db.unreachable(err))
}

// transactApplied sends one transaction and waits until ovs-vswitchd has applied it, as
// ovs-vsctl does: it increments next_cfg and waits for cur_cfg to follow. Both take at
// most twice the DB's timeout.
func (db *DB) transactApplied(ctx context.Context, what string, ops ...ovsdb.Operation) error {
	root, ok := db.view().root()
	if !ok {
		return intent.Unavailablef("%s: the Open vSwitch database has no Open_vSwitch row", what).
			WithHint("run ovs-vsctl init")
	}
	n := len(ops)
	ops = append(slices.Clip(ops),
		mutate(tableRoot, root.UUID, ovsdb.Mutation{Column: "next_cfg", Mutator: ovsdb.MutateOperationAdd, Value: 1}),
		ovsdb.Operation{Op: ovsdb.OperationSelect, Table: tableRoot, Where: isRow(root.UUID), Columns: []string{"next_cfg"}},
	)
	results, err := db.transact(ctx, what, ops...)
	if err != nil {
		return err
	}
	var want int
	if rows := results[n+1].Rows; len(rows) == 1 {
		f, _ := rows[0]["next_cfg"].(float64)
		want = int(f)
	}
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	return db.await(limited, what+": ovs-vswitchd to apply it", func(v view) (bool, error) {
		root, _ := v.root()
		return root.CurCfg >= want, nil
	})
}

// operationsFailed joins the errors of a transaction that the server refused.
func operationsFailed(results []ovsdb.OperationResult, ops []ovsdb.Operation) error {
	each, err := ovsdb.CheckOperationResults(results, ops)
	if err == nil {
		return nil
	}
	if len(each) == 0 {
		return err
	}
	var all []error
	for _, e := range each {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// insert inserts a row that other operations of the same transaction refer to by name.
func insert(table, name string, row ovsdb.Row) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, UUIDName: name, Row: row}
}

// update sets columns of one row.
func update(table, uuid string, row ovsdb.Row) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Where: isRow(uuid), Row: row}
}

// mutate changes parts of columns of one row.
func mutate(table, uuid string, m ...ovsdb.Mutation) ovsdb.Operation {
	return ovsdb.Operation{Op: ovsdb.OperationMutate, Table: table, Where: isRow(uuid), Mutations: m}
}

func isRow(uuid string) []ovsdb.Condition {
	return []ovsdb.Condition{ovsdb.NewCondition("_uuid", ovsdb.ConditionEqual, ref(uuid))}
}

// ref names a row by its UUID, or by the name that an insert gave it.
func ref(uuid string) ovsdb.UUID { return ovsdb.UUID{GoUUID: uuid} }

// addRef and dropRef change a column that is a set of rows.
func addRef(column, uuid string) ovsdb.Mutation {
	return ovsdb.Mutation{Column: column, Mutator: ovsdb.MutateOperationInsert, Value: setOf(ref(uuid))}
}

func dropRef(column, uuid string) ovsdb.Mutation {
	return ovsdb.Mutation{Column: column, Mutator: ovsdb.MutateOperationDelete, Value: setOf(ref(uuid))}
}

// putKeys sets keys of a map column and leaves its other keys alone. It deletes the keys
// first, because an insert does not replace a key that exists.
func putKeys(column string, keys map[string]string) []ovsdb.Mutation {
	names := slices.Sorted(maps.Keys(keys))
	return append(dropKeys(column, names...),
		ovsdb.Mutation{Column: column, Mutator: ovsdb.MutateOperationInsert, Value: mapOf(keys)})
}

// dropKeys deletes keys of a map column.
func dropKeys(column string, names ...string) []ovsdb.Mutation {
	var set []any
	for _, n := range names {
		set = append(set, n)
	}
	return []ovsdb.Mutation{{Column: column, Mutator: ovsdb.MutateOperationDelete, Value: setOf(set...)}}
}

func setOf(values ...any) ovsdb.OvsSet { return ovsdb.OvsSet{GoSet: values} }

func setOfStrings(values []string) ovsdb.OvsSet {
	var s ovsdb.OvsSet
	for _, v := range values {
		s.GoSet = append(s.GoSet, v)
	}
	return s
}

func mapOf(m map[string]string) ovsdb.OvsMap {
	o := ovsdb.OvsMap{GoMap: map[any]any{}}
	for k, v := range m {
		o.GoMap[k] = v
	}
	return o
}

// missing returns the pairs of want that have does not hold.
func missing(have, want map[string]string) map[string]string {
	m := map[string]string{}
	for k, v := range want {
		if h, ok := have[k]; !ok || h != v {
			m[k] = v
		}
	}
	return m
}
