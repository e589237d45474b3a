package lab

// This file sends frames at a rate, as an attacker does.

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// floodTick is the interval at which due frames are sent.
const floodTick = 5 * time.Millisecond

// Flood sends frames from an interface of the workload until ctx ends or most are sent (0: any
// number), at rate frames a second; the nth is frame(n). It returns how many it sent. After a
// delay, because the machine is busy, it catches up.
func (w *Workload) Flood(ctx context.Context, ifname string, rate, most int, frame func(n int) []byte) (sent int, err error) {
	fd, index := -1, 0
	err = w.InNetNS(func() error {
		nic, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		index = nic.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("flood from %s on %s: %w", w.Name, w.Host.Name, err)
	}
	defer unix.Close(fd)
	start := time.Now()
	ticker := time.NewTicker(floodTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-ticker.C:
		}
		due := int(float64(rate) * time.Since(start).Seconds())
		if most > 0 {
			due = min(due, most)
		}
		for ; sent < due && ctx.Err() == nil; sent++ {
			err := unix.Sendto(fd, frame(sent), 0, &unix.SockaddrLinklayer{Ifindex: index})
			if err != nil && err != unix.ENOBUFS {
				return sent, fmt.Errorf("flood from %s on %s: %w", w.Name, w.Host.Name, err)
			}
		}
		if most > 0 && sent >= most {
			return sent, nil
		}
	}
}
