package pipeline

import (
	"slices"

	of "github.com/ovloom/ovloom/openflow"
)

// Table is one step of the pipeline. It declares what its flows read, write and lead
// to, and a test checks every flow against the declaration.
type Table struct {
	ID      uint8
	Name    string
	Purpose string
	Reads   []of.Field // match fields of its flows
	Writes  []of.Field // fields that its flows change
	Next    []*Table   // where its flows may send a packet; always later tables
}

// Tables lists the tables in packet order.
func Tables() []*Table {
	return []*Table{
		classify, priorityTag, externalIn, tunnelIn, tunnelSender, natIn, frame, portSecurity, tagged, arpND, ndAnswer, learn, fork,
		fdb, fdbLearned, unknown, flood,
		l3In, route, answerOut, neighbour, neighbourLearned, unresolved, mtu, forward,
		guard, hostForward, snat, externalOut, externalNeighbour, externalLearned, externalSend, output, shares, drop,
	}
}

// TableByID returns the table with a number, or nil.
func TableByID(id uint8) *Table {
	for _, t := range Tables() {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// TableByName returns the table with a name, or nil.
func TableByName(name string) *Table {
	for _, t := range Tables() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// The numbers leave gaps for new tables. OpenFlow lets a packet go to a later table
// only, so this order is the processing order.
const (
	idClassify          = 0
	idPriorityTag       = 1
	idExternalIn        = 2
	idTunnelIn          = 4
	idTunnelSender      = 5
	idNATIn             = 6
	idFrame             = 7
	idPortSecurity      = 8
	idTagged            = 10
	idARPND             = 12
	idNDAnswer          = 14
	idLearn             = 24
	idFork              = 28
	idFDB               = 40
	idFDBLearned        = 44
	idUnknown           = 48
	idFlood             = 52
	idL3In              = 56
	idRoute             = 60
	idAnswerOut         = 62
	idNeighbour         = 64
	idNeighbourLearned  = 66
	idUnresolved        = 68
	idMTU               = 70
	idForward           = 72
	idGuard             = 76
	idHostForward       = 78
	idSNAT              = 80
	idExternalOut       = 84
	idExternalNeighbour = 88
	idExternalLearned   = 90
	idExternalSend      = 92
	idOutput            = 100
	idShares            = 104
	idDrop              = 110
)

// Emit receives the flows that this package computes, one by one. The note says in a
// few words what the flow does, for people.
type Emit func(f of.Flow, note string)

// rules gathers the flows of one object: it knows the cookie, so that a table's
// function only gives priority, match and actions.
type rules struct {
	cookie Cookie
	emit   Emit
}

// add emits one flow of table t.
func (r rules) add(t *Table, priority uint16, note string, match []of.Term, actions ...of.Action) {
	r.emit(of.Flow{
		Table:    t.ID,
		Priority: priority,
		Cookie:   uint64(r.cookie),
		Match:    of.MatchOf(match...),
		Actions:  actions,
	}, note)
}

// on is the match part of a rule. Terms about different bits of one field, such as
// two flags, become one.
func on(terms ...of.Term) []of.Term {
	return with(nil, terms...)
}

// with is on, for terms that several rules share.
func with(shared []of.Term, terms ...of.Term) []of.Term {
	all := append(make([]of.Term, 0, len(shared)+len(terms)), shared...)
	for _, t := range terms {
		i := slices.IndexFunc(all, func(x of.Term) bool { return x.Field == t.Field })
		if i < 0 {
			all = append(all, t)
			continue
		}
		all[i].Value, all[i].Mask = all[i].Value.Or(t.Value), all[i].Mask.Or(t.Mask)
	}
	return all
}

// to sends a packet to a later table.
func to(t *Table) of.Goto { return of.Goto{Table: t.ID} }
