package ovsdb

// The tables' rows with the columns that ovloom uses. Columns that are not listed here are
// not monitored: the statistics that ovs-vswitchd writes every 5 s would wake all
// watchers. All columns exist since OVS 3.1.

import (
	"reflect"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
)

// The tables.
const (
	tableRoot      = "Open_vSwitch"
	tableBridge    = "Bridge"
	tablePort      = "Port"
	tableInterface = "Interface"
	tableFlowTable = "Flow_Table"
)

// rootRow is the one row of table Open_vSwitch.
type rootRow struct {
	UUID          string            `ovsdb:"_uuid"`
	Bridges       []string          `ovsdb:"bridges"`
	CurCfg        int               `ovsdb:"cur_cfg"` // the next_cfg that ovs-vswitchd has reached
	DatapathTypes []string          `ovsdb:"datapath_types"`
	ExternalIDs   map[string]string `ovsdb:"external_ids"`
	NextCfg       int               `ovsdb:"next_cfg"`
	OVSVersion    *string           `ovsdb:"ovs_version"`
}

// bridgeRow is a row of table Bridge.
type bridgeRow struct {
	UUID          string            `ovsdb:"_uuid"`
	Controller    []string          `ovsdb:"controller"`
	DatapathType  string            `ovsdb:"datapath_type"`
	ExternalIDs   map[string]string `ovsdb:"external_ids"`
	FailMode      *string           `ovsdb:"fail_mode"`
	FlowTables    map[int]string    `ovsdb:"flow_tables"`
	McastSnooping bool              `ovsdb:"mcast_snooping_enable"`
	Name          string            `ovsdb:"name"`
	OtherConfig   map[string]string `ovsdb:"other_config"`
	Ports         []string          `ovsdb:"ports"`
	Protocols     []string          `ovsdb:"protocols"`
	RSTP          bool              `ovsdb:"rstp_enable"`
	STP           bool              `ovsdb:"stp_enable"`
}

// portRow is a row of table Port.
type portRow struct {
	UUID        string            `ovsdb:"_uuid"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
	Interfaces  []string          `ovsdb:"interfaces"`
	Name        string            `ovsdb:"name"`
}

// interfaceRow is a row of table Interface.
type interfaceRow struct {
	UUID        string            `ovsdb:"_uuid"`
	Error       *string           `ovsdb:"error"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
	LinkState   *string           `ovsdb:"link_state"`
	MAC         *string           `ovsdb:"mac"`
	MACInUse    *string           `ovsdb:"mac_in_use"`
	MTU         *int              `ovsdb:"mtu"`
	MTURequest  *int              `ovsdb:"mtu_request"`
	Name        string            `ovsdb:"name"`
	OFPort      *int              `ovsdb:"ofport"`
	Options     map[string]string `ovsdb:"options"`
	Type        string            `ovsdb:"type"`
}

// flowTableRow is a row of table Flow_Table: settings of one OpenFlow table.
type flowTableRow struct {
	UUID      string   `ovsdb:"_uuid"`
	FlowLimit *int     `ovsdb:"flow_limit"`
	Prefixes  []string `ovsdb:"prefixes"`
}

var rowTypes = map[string]model.Model{
	tableRoot:      &rootRow{},
	tableBridge:    &bridgeRow{},
	tablePort:      &portRow{},
	tableInterface: &interfaceRow{},
	tableFlowTable: &flowTableRow{},
}

// monitored lists every table with its columns, for the one monitor request.
func monitored() []client.TableMonitor {
	var tables []client.TableMonitor
	for name, row := range rowTypes {
		t := reflect.TypeOf(row).Elem()
		var columns []string
		for i := range t.NumField() {
			if c := t.Field(i).Tag.Get("ovsdb"); c != "_uuid" {
				columns = append(columns, c)
			}
		}
		tables = append(tables, client.TableMonitor{Table: name, Fields: columns})
	}
	return tables
}

// value returns what an optional column holds, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
