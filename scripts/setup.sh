#!/bin/sh
# Installs from Debian's packages what is missing on this machine to build, test
# and demonstrate ovloom.
#
#   setup.sh demo   Open vSwitch and the tools that the demonstration needs
#   setup.sh test   these, and what the tests and linters need besides
#   setup.sh bench  those of demo, and OVN, which make bench compares with
#
# It installs nothing that is there already, says what it will install before it
# does, and neither starts nor enables a service that comes with a package: labs
# run daemons of their own, and this machine's network stays as it is.
set -eu

case "${1-}" in
demo | test | bench) ;;
*)
	echo "usage: setup.sh demo|test|bench" >&2
	exit 2
	;;
esac

missing=

# need COMMAND PACKAGE: the package is missing if the command is.
need() {
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

# Sbin directories are not in every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

need ovs-vswitchd openvswitch-switch
need ip iproute2
need nsenter util-linux
need ping iputils-ping
need ethtool ethtool
need nft nftables
if [ "$1" = bench ]; then
	need ovn-northd ovn-central
	need ovn-controller ovn-host
fi
if [ "$1" = test ]; then
	need dockerd docker.io
	need docker docker.io # newer releases have the client in docker-cli
	need busybox busybox-static
	need iptables iptables
	need shellcheck shellcheck
	need git git
	# For the race detector.
	need gcc gcc
	[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
	[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
fi
# shellcheck disable=SC2086 # a list of packages
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "${missing% }" ] || exit 0

echo "setup: will install with apt-get: $missing"
if ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: there is no apt-get here; install the equivalents of these Debian packages yourself" >&2
	exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "setup: needs root; run as root: apt-get install --no-install-recommends $missing" >&2
		exit 1
	fi
	as_root=sudo
fi

# Package scripts ask policy-rc.d whether they may start a service. One that is
# there already keeps its say.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$as_root rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

# Nor may it start at the next boot.
if [ -d /run/systemd/system ]; then
	for service in openvswitch-switch:openvswitch-switch docker.io:docker.service docker.io:docker.socket docker.io:containerd.service \
		ovn-central:ovn-central ovn-host:ovn-host; do
		case " $missing" in
		*" ${service%%:*} "*) $as_root systemctl disable --quiet "${service#*:}" || true ;;
		esac
	done
fi
echo "setup: done; the services of these packages are neither started nor enabled"
