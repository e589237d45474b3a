module github.com/ovloom/ovloom/integration/peers

go 1.26.0

require (
	antrea.io/libOpenflow v0.15.0
	github.com/ovloom/ovloom v0.0.0-00010101000000-000000000000
	k8s.io/klog/v2 v2.130.1
)

require github.com/go-logr/logr v1.4.4 // indirect

replace github.com/ovloom/ovloom => ../..

// Both modules name themselves after a domain of their own; the code is here.
replace antrea.io/ofnet => github.com/antrea-io/ofnet v0.14.0

replace antrea.io/libOpenflow => github.com/antrea-io/libOpenflow v0.15.0
