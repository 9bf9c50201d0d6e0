#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The Debian package: builds without a network, lintian finds no error, and it installs, runs and is removed. All of
# that in a root of its own: an overlay over the machine's, which is gone with the suite's mounts.
# shellcheck disable=SC2317,SC2016 # check runs the functions; dpkg-query has variables of its own
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
BUILT=$TMP/deb ROOT=$TMP/root

# make's own flags would reach the package's build
build() {
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -C "$TOP" --no-print-directory deb DEB_DIR="$BUILT"
	ls "$BUILT"/socktables_*.dsc "$BUILT"/socktables_*_*.deb
}

root_make() {
	mkdir -p "$TMP/layers" "$ROOT"
	mount -t tmpfs tmpfs "$TMP/layers"
	mkdir "$TMP/layers/upper" "$TMP/layers/work"
	mount -t overlay -o "lowerdir=/,upperdir=$TMP/layers/upper,workdir=$TMP/layers/work" overlay "$ROOT"
	mount --bind /proc "$ROOT/proc"
	mount --bind /dev "$ROOT/dev"
	mount --rbind /sys "$ROOT/sys"
	printf '#!/bin/sh\nexit 101\n' > "$ROOT/usr/sbin/policy-rc.d"
	chmod +x "$ROOT/usr/sbin/policy-rc.d"
}

# in_root CMD...: there, where the package manager asks nothing
in_root() {
	DEBIAN_FRONTEND=noninteractive chroot "$ROOT" "$@"
}

# ours: files of that root with our name in their path, but for what the package manager notes down
ours() {
	(cd "$TMP/layers/upper" && find . -name '*socktables*' ! -type c | sed 's/^\.//' | sort)
}

installs() {
	cp "$BUILT"/socktables_*_*.deb "$ROOT/tmp/"
	in_root sh -c 'dpkg --install /tmp/socktables_*_*.deb'
	rm "$ROOT"/tmp/socktables_*_*.deb
	same "install ok installed" "$(in_root dpkg-query -W -f '${Status}' socktables)"
	diff - <(in_root dpkg-query -L socktables | while read -r file; do
		[[ -d $ROOT$file ]] || echo "${file%.gz}"
	done | sort) <<-EOF2
		/lib/systemd/system/socktables-agent.service
		/usr/sbin/socktables
		/usr/share/bash-completion/completions/socktables
		/usr/share/doc/socktables/README.md
		/usr/share/doc/socktables/changelog
		/usr/share/doc/socktables/copyright
		/usr/share/doc/socktables/troubleshooting.md
		/usr/share/man/man8/socktables.8
		/usr/share/zsh/vendor-completions/_socktables
	EOF2
}

runs() {
	diff <(in_root /usr/sbin/socktables --help) <("$ST" --help)
	in_root socktables probe --json | jq -e '.features | length > 10'
	same '[]' "$(in_root socktables status --json)"
	has "$(in_root zcat /usr/share/man/man8/socktables.8.gz)" '^\.Dt SOCKTABLES 8'
	in_root dpkg --verify socktables
}

# The agent's unit is there, starts what is installed, and is neither enabled nor started.
agent_unit() {
	has "$(cat "$ROOT/lib/systemd/system/socktables-agent.service")" '^ExecStart=/usr/sbin/socktables agent$'
	in_root systemd-analyze verify --man=no /lib/systemd/system/socktables-agent.service
	same "" "$(find "$ROOT/etc/systemd" -name '*socktables*')"
}

removes() {
	has "$(ours)" '^/usr/sbin/socktables'
	in_root dpkg --purge socktables
	same "" "$(in_root dpkg-query -W -f '${Status}' socktables 2> /dev/null)"
	same "" "$(ours)" "left behind"
}

check "builds without a network; lintian finds no error" build
check "a root of its own" root_make
check "installs" installs
check "runs" runs
check "the agent's unit" agent_unit
check "is removed without a trace" removes
finish
