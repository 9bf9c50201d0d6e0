#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# socktables(8) is good mdoc, and has every command and flag that --help lists, and no others.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/pack/help.sh
. "$(dirname "$0")/help.sh"
env_private "$@"
PAGE=$TOP/doc/socktables.8

# What mandoc's index of other pages lacks is the machine's affair.
lint() {
	same "" "$(mandoc -Tlint "$PAGE" 2>&1 | grep -v 'mandoc.db')" "what mandoc says"
	has "$(mandoc -Tutf8 "$PAGE" | col -b)" '^ +socktables . steer a pod'
}

# sections: the page's commands, one a line
sections() {
	awk '/^\.Sh/ { in_commands = $2 == "COMMANDS" } in_commands && /^\.Ss/ { print $2 }' "$PAGE"
}

# items SECTION: the flags that the items of a .Ss or .Sh are about, one a line
items() {
	awk -v section="$1" '
		/^\.S[hs]/ { here = $2 == section }
		here && /^\.It Fl/ {
			for (i = 2; i < NF; i++)
				if ($i == "Fl") print "-" $(i + 1)
		}' "$PAGE"
}

# with_policy COMMAND: its section speaks of the flags of POLICY
with_policy() {
	awk -v section="$1" '/^\.S[hs]/ { here = $2 == section } here && /^\.Sx POLICY/ { found = 1 }
		END { exit !found }' "$PAGE"
}

all_commands() {
	has "$(commands | paste -sd ' ')" 'attach .*status '
	same "$(commands)" "$(sections)" "commands, in their order"
}

flags_of() {
	diff <(flags "$1" | sort) <({
		items "$1"
		! with_policy "$1" || items POLICY
	} | sort)
}

check "mandoc finds nothing" lint
check "every command and no other" all_commands
while read -r command; do
	check "every flag of $command and no other" flags_of "$command"
done <<< "$(commands)"
finish
