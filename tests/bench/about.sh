#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# about.sh MODE: on what machine, with what, and when the benchmark ran, as Markdown
version() {
	"$@" 2>&1 | grep -oE 'v?[0-9]+\.[0-9][^ ,)]*' | head -n 1
}
PATH=$PATH:/usr/sbin

cat <<END
* machine: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores$(
	grep -qw hypervisor /proc/cpuinfo && echo ', virtual')
* kernel: $(uname -r)
* date: $(date -u '+%Y-%m-%d %H:%M UTC'), mode: $1
* iptables $(version iptables --version), nftables $(version nft --version), HAProxy $(version haproxy -v), \
nginx $(version nginx -v), dnsmasq $(version dnsmasq --version)
* socktables $(git -C "$(dirname "$0")" describe --always --dirty 2> /dev/null || echo 'of no known version')
* load at the start: $(cut -d ' ' -f 1-3 /proc/loadavg) (1, 5, 15 minutes)
END
