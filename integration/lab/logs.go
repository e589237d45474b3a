package lab

// This file searches the daemons' logs for warnings, errors and crashes.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// harmless matches lines that a healthy lab logs too.
var harmless = []string{
	// On a busy machine, ovs-vswitchd logs this and some lines of statistics.
	`\|timeval\|WARN\|`,
	// A client, such as ovs-vsctl, ended before it received all changes.
	`\|(jsonrpc|reconnect|rconn)\|WARN\|(br-\w+<->)?unix#\d+: .*(Broken pipe|Connection reset by peer)`,
	// On the kernel's datapath, ovs-vswitchd sets the MTU of an internal port before it creates
	// the port.
	`\|netdev\|WARN\|failed to set MTU for network device ovl0: No such device`,
}

// unwell matches what fails a test: warnings and errors of Open vSwitch and of slog, in
// text and JSON, and crashes of the Go runtime.
var unwell = regexp.MustCompile(`\|(WARN|ERR|EMER)\||level=(WARN|ERROR)|"level":"(WARN|ERROR)"|^panic:|^fatal error:|DATA RACE`)

// warnings returns the lines of all logs that match unwell and are not allowed.
// The caller holds mu.
func (l *Lab) warnings() ([]string, error) {
	var lines []string
	var errs []error
	for _, h := range l.Hosts {
		logs, err := filepath.Glob(filepath.Join(h.LogDir(), "*"))
		errs = append(errs, err)
		for _, log := range logs {
			b, err := os.ReadFile(log)
			errs = append(errs, err)
			for line := range strings.Lines(string(b)) {
				line = strings.TrimRight(line, "\n")
				if unwell.MatchString(line) && !l.allowed(line) {
					lines = append(lines, fmt.Sprintf("%s %s: %s", h.Name, filepath.Base(log), line))
				}
			}
		}
	}
	return lines, errors.Join(errs...)
}

func (l *Lab) allowed(line string) bool {
	for _, re := range l.allow {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}
