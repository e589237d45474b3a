package hostnet

// Settings that the kernel keeps per interface under /proc/sys/net. On purpose, there
// is no function for global ones.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Setting is a per-interface setting.
type Setting string

// The settings that ovloom uses.
const (
	ARPIgnore   Setting = "ipv4/arp_ignore"   // 8: answers no ARP request
	DisableIPv6 Setting = "ipv6/disable_ipv6" // 1: has no IPv6

	promoteSecondaries Setting = "ipv4/promote_secondaries" // 1: the next address of a subnet takes the place of its first one
)

// path returns the file that holds the setting of one interface.
func (s Setting) path(link string) string {
	family, name, _ := strings.Cut(string(s), "/")
	return "/proc/sys/net/" + family + "/conf/" + link + "/" + name
}

// Sysctl returns the value of a setting, or "" if this kernel does not have it.
func Sysctl(s Setting, link string) (string, error) {
	b, err := os.ReadFile(s.path(link))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read setting %s of %s: %w", s, link, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// SetSysctl sets a setting and reports whether it had another value. It ignores
// settings that this kernel does not have.
func SetSysctl(s Setting, link, value string) (changed bool, err error) {
	old, err := Sysctl(s, link)
	if err != nil || old == "" || old == value {
		return false, err
	}
	if err := os.WriteFile(s.path(link), []byte(value), 0); err != nil {
		return false, fmt.Errorf("set %s of %s to %s: %w", s, link, value, err)
	}
	return true, nil
}
