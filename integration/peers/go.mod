module github.com/ovloom/ovloom/integration/peers

go 1.26.0

require (
	antrea.io/libOpenflow v0.15.0
	antrea.io/ofnet v0.14.0
	github.com/digitalocean/go-openvswitch v0.0.0-20251118231545-85aec29b8ee6
	github.com/ovloom/ovloom v0.0.0-00010101000000-000000000000
	github.com/sirupsen/logrus v1.9.4
	k8s.io/klog/v2 v2.130.1
)

require (
	github.com/Microsoft/go-winio v0.6.2 // indirect
	github.com/cenkalti/hub v1.0.2 // indirect
	github.com/cenkalti/rpc2 v1.0.4 // indirect
	github.com/contiv/libovsdb v0.0.0-20170227191248-d0061a53e358 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/orcaman/concurrent-map/v2 v2.0.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/ovloom/ovloom => ../..

// Both modules name themselves after a domain of their own; the code is here.
replace antrea.io/ofnet => github.com/antrea-io/ofnet v0.14.0

replace antrea.io/libOpenflow => github.com/antrea-io/libOpenflow v0.15.0
