package api

import (
	"context"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// Tests run as root, whom no socket refuses; so this one makes the error itself.
func TestNoPermissionSaysWhichGroup(t *testing.T) {
	err := &url.Error{Op: "Get", URL: "http://ovloomd/v1/tenants", Err: &net.OpError{Op: "dial", Net: "unix",
		Err: os.NewSyscallError("connect", syscall.EACCES)}}
	told := NewClient("/run/ovloom/ovloomd.sock").failed(context.Background(), "GET", err)
	if intent.KindOf(told) != intent.Unavailable || !strings.Contains(told.Error(), "no permission to open /run/ovloom/ovloomd.sock") ||
		!strings.Contains(told.Error(), "group ovloom") {
		t.Errorf("%v", told)
	}
}
