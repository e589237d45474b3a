package lab

// This file chooses the datapath of a lab's switches. Labs use Open vSwitch's own, which needs
// no kernel module; scripts/kernel-lab.sh runs them inside an emulated machine whose kernel has
// the openvswitch module.

import (
	"os"
	"strconv"
	"time"
)

const (
	// datapathEnv is "system" for the kernel's datapath.
	datapathEnv = "LAB_DATAPATH"
	// patienceEnv is the factor by which this machine is slower than others.
	patienceEnv = "LAB_PATIENCE"
)

// Datapath returns the datapath type of all bridges of a lab: "netdev", or
// "system" for the kernel's.
func Datapath() string {
	if os.Getenv(datapathEnv) == "system" {
		return "system"
	}
	return "netdev"
}

func kernelDatapath() bool { return Datapath() == "system" }

// Patient scales d, a time limit for an ordinary machine, to this machine.
func Patient(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv(patienceEnv)); err == nil && n > 1 {
		return d * time.Duration(n)
	}
	return d
}
