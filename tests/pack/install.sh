#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# make install puts everything below DESTDIR and prefix, and make uninstall removes it all again, and no more.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
env_private "$@"
DEST=$TMP/dest

# in_tree TARGET VARIABLE...: make's own flags, of a make that runs the tests, would count
in_tree() {
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u DESTDIR -u prefix make -C "$TOP" --no-print-directory "$@"
}

files() {
	(cd "$DEST" && find . ! -type d -printf '%m %P\n' | sort -k 2)
}

# installs PREFIX [VARIABLE...]
installs() {
	in_tree install "DESTDIR=$DEST" "${@:2}"
	diff - <(files) <<-EOF2
		644 $1/lib/systemd/system/socktables-agent.service
		755 $1/sbin/socktables
		644 $1/share/bash-completion/completions/socktables
		644 $1/share/doc/socktables/README.md
		644 $1/share/doc/socktables/troubleshooting.md
		644 $1/share/man/man8/socktables.8
		644 $1/share/zsh/site-functions/_socktables
	EOF2
	diff <("$DEST/$1/sbin/socktables" --help) <("$ST" --help)
	has "$(cat "$DEST/$1/lib/systemd/system/socktables-agent.service")" "^ExecStart=/$1/sbin/socktables agent\$"
}

uninstalls() {
	touch "$DEST/$1/sbin/another"
	in_tree uninstall "DESTDIR=$DEST" "${@:2}"
	same "$1/sbin/another" "$(files | cut -d ' ' -f 2)" "left"
	[[ ! -d $DEST/$1/share/doc/socktables ]]
	rm -r "$DEST"
}

# The unit starts what is installed: systemd says so of the machine's own files, so it is shown a file that is there.
unit() {
	sed "s,/usr/local/sbin/socktables,$ST," "$TOP/data/socktables-agent.service" > "$TMP/socktables-agent.service"
	systemd-analyze verify --man=no "$TMP/socktables-agent.service"
}

check "install to /usr/local" installs usr/local
check "uninstall from there" uninstalls usr/local
check "install to another prefix" installs opt/st prefix=/opt/st
check "uninstall from there, too" uninstalls opt/st prefix=/opt/st
check "the agent's unit is one" unit
finish
