# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What --help lists, for tests that compare something with it. Sourced after lib.sh.

# commands: as --help lists them, one a line
commands() {
	"$ST" --help | awk '/^  [a-z]/ { print $1 }'
}

# flags COMMAND: its flags, -x and --long, one a line
flags() {
	"$ST" "$1" --help | grep -oE '^  (-[a-zA-Z], |    )--[a-zA-Z0-9_-]+' | grep -oE -- '--?[a-zA-Z0-9_-]+'
}
