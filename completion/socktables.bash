# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bash completion of socktables. Commands and flags are what --help lists, so they are always those of the
# socktables that is completed; --help needs no privileges. Pods' names come from status, which needs root.

# _socktables_flags BINARY COMMAND: its flags as --help has them, one a line
_socktables_flags() {
	"$1" "$2" --help 2> /dev/null | awk '
		match($0, /^  (-[a-zA-Z], |    )--[a-zA-Z0-9_-]+/) {
			n = split(substr($0, RSTART, RLENGTH), word, /[ ,]+/)
			for (i = 1; i <= n; i++)
				if (word[i] != "") print word[i]
		}'
	echo --help
}

# _socktables_value BINARY COMMAND FLAG: what --help calls the flag's value in a word of its own; none: nothing
_socktables_value() {
	"$1" "$2" --help 2> /dev/null | awk -v flag="$3" '
		match($0, /^  (-[a-zA-Z], |    )--[^ ]+ [A-Z0-9a-z|,.]+/) {
			n = split(substr($0, RSTART, RLENGTH), word, /[ ,]+/)
			for (i = 1; i < n; i++)
				if (word[i] == flag) { print word[n]; exit }
		}'
}

# _socktables_names BINARY: attached pods, one a line; nothing without the rights to look
_socktables_names() {
	"$1" status --json 2> /dev/null | grep -oE '"name": *"[^"]+"' | sed -E 's/.*"([^"]+)"$/\1/'
}

# _socktables_files KIND WORD: files (-f) or directories (-d) that WORD begins
_socktables_files() {
	local file
	compopt -o filenames 2> /dev/null # none outside of a completion
	while IFS= read -r file; do
		COMPREPLY+=("$file")
	done < <(compgen "$1" -- "$2")
}

# _socktables_list @WORD: files that WORD begins, each behind @. With it they are no file names to readline.
_socktables_list() {
	local file
	while IFS= read -r file; do
		if [[ -d $file ]]; then
			file+=/
			compopt -o nospace 2> /dev/null
		fi
		COMPREPLY+=("@$file")
	done < <(compgen -f -- "${1#@}")
}

# _socktables_words WORD WORDS: those of WORDS that WORD begins
_socktables_words() {
	local word
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -W "$2" -- "$1")
}

_socktables() {
	local binary=$1 word=$2 command=${COMP_WORDS[1]} at=$((COMP_CWORD - 1)) value
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_socktables_words "$word" "--help $("$binary" --help 2> /dev/null | awk '/^  [a-z]/ { print $1 }')"
		return
	fi
	# bash takes --flag=value and @file apart
	while [[ ${COMP_WORDS[at]} =~ ^[=@]+$ ]]; do
		at=$((at - 1))
	done
	value=$(_socktables_value "$binary" "$command" "${COMP_WORDS[at]}")
	case $value in
	DIR) _socktables_files -d "$word" && return ;;
	FILE) _socktables_files -f "$word" && return ;;
	*'|'*) _socktables_words "$word" "${value//|/ }" && return ;;
	?*) [[ $word != @* ]] || _socktables_list "$word"
		return ;;
	esac
	if [[ $word == -* ]]; then
		_socktables_words "$word" "$(_socktables_flags "$binary" "$command")"
	elif [[ $command == import ]]; then
		_socktables_files -f "$word"
	elif "$binary" "$command" --help 2> /dev/null | grep -qE "^usage: socktables $command \\[?NAME\\b"; then
		_socktables_words "$word" "$(_socktables_names "$binary")"
	fi
}
complete -F _socktables socktables
