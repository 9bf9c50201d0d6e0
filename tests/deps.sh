#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# deps.sh GROUP...: installs what is missing of the Debian packages that a group needs. Says nothing
# and touches nothing if all is there; elsewhere than on Debian it names what is missing and fails.
set -eu

# shellcheck disable=SC2034 # the groups are named by the arguments
{
# For each package the file (or a pattern of it) that tells that it is there, so that a look costs no package manager.
build=(
	"gcc /usr/bin/gcc" "libc6-dev /usr/include/stdio.h" "make /usr/bin/make"
	"clang /usr/bin/clang" "llvm /usr/bin/llvm-strip" "bpftool /usr/sbin/bpftool"
	"libbpf-dev /usr/include/bpf/libbpf.h" "libjansson-dev /usr/include/jansson.h"
	"libmnl-dev /usr/include/libmnl/libmnl.h" "libcap-dev /usr/include/sys/capability.h" "pkg-config /usr/bin/pkg-config"
)
test=(
	"libcmocka-dev /usr/include/cmocka.h" "iproute2 /usr/sbin/ip" "iptables /usr/sbin/iptables-nft" "nftables /usr/sbin/nft"
	"conntrack /usr/sbin/conntrack" "jq /usr/bin/jq" "strace /usr/bin/strace"
	"util-linux /usr/bin/setpriv" "procps /usr/bin/pgrep" "libcap2-bin /usr/sbin/capsh" "gawk /usr/bin/gawk"
	"musl-tools /usr/bin/musl-gcc" "golang-go /usr/bin/go" "default-jdk-headless /usr/bin/java"
	"curl /usr/bin/curl" "bind9-dnsutils /usr/bin/dig"
	"valgrind /usr/bin/valgrind" "prometheus /usr/bin/promtool" "bsdutils /usr/bin/script"
	"mandoc /usr/bin/mandoc" "zsh /usr/bin/zsh" "systemd /lib/systemd/systemd"
	"libclang-rt-dev /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a"
)
demo=(
	"iproute2 /usr/sbin/ip" "haproxy /usr/sbin/haproxy" "shadowsocks-libev /usr/bin/ss-redir"
	"dnsmasq-base /usr/sbin/dnsmasq" "nginx-light /usr/sbin/nginx" "curl /usr/bin/curl"
	"bind9-dnsutils /usr/bin/dig" "util-linux /usr/bin/setpriv" "iptables /usr/sbin/iptables-nft"
)
bench=(
	"iproute2 /usr/sbin/ip" "iptables /usr/sbin/iptables-nft" "nftables /usr/sbin/nft" "util-linux /usr/bin/setpriv"
	"haproxy /usr/sbin/haproxy" "nginx-light /usr/sbin/nginx" "dnsmasq-base /usr/sbin/dnsmasq" "conntrack /usr/sbin/conntrack"
	"wrk /usr/bin/wrk" "iperf3 /usr/bin/iperf3" "dnsperf /usr/bin/dnsperf" "jq /usr/bin/jq"
	"gawk /usr/bin/gawk" "curl /usr/bin/curl" "bind9-dnsutils /usr/bin/dig" "gnuplot-nox /usr/bin/gnuplot"
)
vm=(
	"qemu-system-x86 /usr/bin/qemu-system-x86_64" "busybox-static /bin/busybox" "cpio /usr/bin/cpio"
	"kmod /usr/sbin/modprobe" "zstd /usr/bin/zstd" "xz-utils /usr/bin/xz"
)
lint=(
	"clang-format /usr/bin/clang-format" "shellcheck /usr/bin/shellcheck" "sparse /usr/bin/sparse"
	"clang-tidy /usr/bin/clang-tidy" "cppcheck /usr/bin/cppcheck"
)
deb=(
	"debhelper /usr/bin/dh" "dpkg-dev /usr/bin/dpkg-buildpackage" "lintian /usr/bin/lintian" "fakeroot /usr/bin/fakeroot"
)
}

missing=()
for group in "$@"; do
	declare -n rows=$group
	for row in "${rows[@]}"; do
		compgen -G "${row#* }" >/dev/null || missing+=("${row%% *}")
	done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "missing (Debian's package names): ${missing[*]}" >&2
	[ "$(id -u)" = 0 ] || echo "hint: as root they are installed by this command" >&2
	exit 1
fi
# The demo starts its own servers: those of the packages must not come up beside them, nor at boot.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"; [ -z "${our_policy:-}" ] || rm -f "$policy"' EXIT
if [ ! -e $policy ]; then
	our_policy=1
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi

echo "  APT      ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -20 "$log" >&2
	echo "installing failed: ${missing[*]}" >&2
	exit 1
fi
for package in "${missing[@]}"; do
	case $package in
	haproxy | prometheus | shadowsocks-libev) systemctl disable "$package" >/dev/null 2>&1 || : ;;
	nginx-light) systemctl disable nginx >/dev/null 2>&1 || : ;;
	esac
done
