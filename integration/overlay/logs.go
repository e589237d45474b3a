package overlay

// StoreGone are lines that are logged when the test kills the store.
var StoreGone = []string{`store`, `etcd`, `cannot keep host`, `task failed`}

// Lines that Open vSwitch and ovloomd log when the test kills a daemon.
var (
	VswitchdGone = []string{
		`no openflow connection`, `openflow connection`, `cannot reconcile the bridges`, `ovs-vswitchd`,
		`comparing the switch`, `changing the switch failed`, `could not open network device`, `tunnel`, `\|rconn\|WARN\|`,
	}
	OVSDBGone = append([]string{`ovsdb`, `db.sock`, `database`, `cannot keep`, `task failed`, `lock`}, VswitchdGone...)
)
