#!/bin/sh
# Runs lab tests on Linux's own Open vSwitch datapath, whatever kernel this machine
# has: Debian's kernel is started in an emulated machine, with this machine's files
# as its own (read-only, changes in its memory).
#
#   kernel-lab.sh [REGEXP]   the tests whose names match; without, those that meet the datapath
#
# Needs no root but for apt-get, which installs what is missing. The kernel is
# downloaded, not installed, and kept in the user's cache directory.
#
# LAB_KEEP=1 keeps the logs of labs that fail.
set -eu
cd "$(dirname "$0")/.."

# What meets the datapath: each does something that the kernel may refuse.
tests='^(TestRoutingBetweenNetworks|TestStaticRoutes|TestRoutedConnectionsNeedFewEntries|TestSNATThroughTheHost|TestSNATThroughABridge|TestFloatingAddress|TestForward|TestFloatingAddressOfAnotherHost|TestErrorsThroughNATQuoteWhatWasSent|TestConnectionsEndWithTheirRule|TestTenantsDoNotReachHosts|TestStatusCountsHitsOfTheCache)$'
tests=${1:-$tests}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=
need() {
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need depmod kmod
need xz xz-utils
if [ -n "$missing" ]; then
	echo "kernel-lab: will install with apt-get:$missing"
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root=sudo
	$as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The kernel: its name changes with each of its versions.
package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
if [ -z "$package" ]; then
	echo "kernel-lab: apt does not know linux-image-amd64; run first: apt-get update" >&2
	exit 1
fi
version=${package#linux-image-}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ovloom/$package
if [ ! -e "$cache/done" ]; then
	echo "kernel-lab: downloads $package into $cache"
	rm -rf "$cache"
	mkdir -p "$cache"
	(cd "$cache" && apt-get download -qq "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb)
	# Depmod does not look at the rest.
	depmod -b "$cache" "$version"
	touch "$cache/done"
fi

work=$(mktemp -d)
machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true; [ -e "$work/logs" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

CGO_ENABLED=0 go build -o "$work/bin/" ./cmd/ovloom ./cmd/ovloomd
folders=$(scripts/lab.sh folders "$tests")
[ -n "$folders" ] || { echo "kernel-lab: no test matches $tests" >&2; exit 1; }
# shellcheck disable=SC2046 # a list of folders
CGO_ENABLED=0 go test -c -o "$work/labs/" $(echo "$folders" | sed 's|^|./integration/|')

# The first file system has what mounts the second: modules in an order that works.
mkdir -p "$work/first/bin" "$work/first/modules"
cp "$(command -v busybox)" "$work/first/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p overlay; do
	modprobe -d "$cache" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	cp "$file" "$work/first/modules/"
	echo "/modules/${file##*/}"
done >"$work/first/order"
cat >"$work/first/init" <<'INIT'
#!/bin/busybox sh
exec 2>&1
b=/bin/busybox
$b mkdir -p /proc /lower /changes /new
$b mount -t proc proc /proc
while read -r module; do $b insmod "$module"; done </order
nine=trans=virtio,version=9p2000.L,msize=262144
$b mount -t 9p -o $nine,ro,cache=loose host /lower
$b mount -t tmpfs tmpfs /changes
$b mkdir /changes/upper /changes/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work overlay /new
for fs in proc:/proc sysfs:/sys devtmpfs:/dev tmpfs:/run tmpfs:/tmp; do
	$b mount -t "${fs%%:*}" "${fs%%:*}" "/new${fs#*:}"
done
$b mkdir -p /new/tmp/lab /new/lib/modules
$b mount -t 9p -o $nine lab /new/tmp/lab
$b mount -t 9p -o $nine,ro,cache=loose modules /new/lib/modules
exec $b switch_root /new /bin/sh /tmp/lab/guest
INIT
chmod 755 "$work/first/init"
(cd "$work/first" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

# Open vSwitch 3.1 starts no upcall handlers in the first ten seconds of a kernel.
cat >"$work/guest" <<GUEST
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export LAB_KEEP='${LAB_KEEP-}' LAB_DATAPATH=system LAB_PATIENCE=10 OVLOOM_BIN=/tmp/lab/bin
ip link set lo up
modprobe -a openvswitch vport_vxlan
while read -r up rest </proc/uptime && [ "\${up%.*}" -lt 11 ]; do sleep 1; done
cd /tmp
code=0
for labs in /tmp/lab/labs/*.test; do
	\$labs -test.v -test.timeout 60m -test.run '$tests' || code=1
done
echo "kernel-lab: messages of the kernel:"
dmesg | grep -E 'openvswitch: |BUG:|Oops:|WARNING:|Call Trace:'
if [ '${LAB_KEEP-}' = 1 ] && [ \$code -ne 0 ]; then
	mkdir /tmp/lab/logs
	for log in /tmp/ovl-*/h*/log; do
		to=\${log#/tmp/}
		mkdir -p "/tmp/lab/logs/\${to%/log}"
		cp "\$log"/* "/tmp/lab/logs/\${to%/log}/"
	done
fi
echo "kernel-lab: exit code \$code"
sync
busybox poweroff -f
GUEST

# Unpacking a kernel takes an emulated machine longer than all the rest of its start.
at=$(LC_ALL=C grep -aboP '\xfd7zXZ\x00' "$cache/boot/vmlinuz-$version" | head -n 1 | cut -d: -f1)
tail -c "+$((at + 1))" "$cache/boot/vmlinuz-$version" | xz -dc --single-stream >"$work/vmlinux" 2>/dev/null || true

# The machine's clock counts instructions, one a nanosecond: for what runs in it, it is
# not slow, however slow its emulation is.
: >"$work/out"
timeout -k 10 3h \
	qemu-system-x86_64 -M pc -accel tcg -icount shift=0,sleep=on -cpu max -smp 1 -m 1536 -no-reboot \
	-display none -serial "file:$work/out" -monitor none -nic none \
	-kernel "$work/vmlinux" -initrd "$work/initramfs" \
	-append "console=ttyS0 quiet panic=-1 rdinit=/init" \
	-virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" \
	-virtfs "local,path=$work,mount_tag=lab,security_model=none" \
	-virtfs "local,path=$cache/lib/modules,mount_tag=modules,security_model=none,readonly=on" \
	</dev/null &
machine=$!
tail -n +1 -f --pid=$machine "$work/out" &
wait $machine || true
machine=
wait
[ ! -e "$work/logs" ] || echo "kernel-lab: the logs are in $work/logs" >&2
tr -d '\r' <"$work/out" | grep -qx 'kernel-lab: exit code 0'
