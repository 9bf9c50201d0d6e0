#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bash and zsh complete what --help lists, files where files are meant, and the names of attached pods.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$TESTS/e2e/e2e.sh"
# shellcheck source=tests/pack/help.sh
. "$(dirname "$0")/help.sh"
env_private "$@"
export PATH=${ST%/*}:$PATH

# in_line: sorts lines into one
in_line() {
	sort | paste -sd ' '
}

# bash_completes WORD...: what bash offers for the last word, sorted, in one line. = and @ are words of their own there.
bash_completes() {
	# shellcheck source=completion/socktables.bash
	. "$TOP/completion/socktables.bash"
	local word=${*: -1}
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	[[ $word != = ]] || word=''
	[[ ${COMP_WORDS[COMP_CWORD - 1]} != @ ]] || word=@$word
	_socktables "$ST" "$word" "${COMP_WORDS[COMP_CWORD - 1]}"
	printf '%s\n' "${COMPREPLY[@]}" | in_line
}

# zsh_completes WORD...: the same of zsh
zsh_completes() {
	mkdir -p "$TMP/zsh"
	cp "$TOP/completion/_socktables" "$TMP/zsh/"
	zsh -f "$(dirname "$0")/complete.zsh" "$TMP/zsh" "$*" 2> "$TMP/zsh.err" | sort -u | in_line
	same "" "$(cat "$TMP/zsh.err")" "what zsh complains of"
}

zsh_flags() {
	local command
	same "$({ echo --help && commands; } | in_line)" "$(zsh_completes socktables '')"
	while read -r command; do
		same "$({ echo --help && flags "$command" | grep -e ^--; } | in_line)" \
			"$(zsh_completes socktables "$command" --)" "$command"
	done <<< "$(commands)"
}

bash_flags() {
	local command
	has "$(commands | in_line)" 'attach .*status '
	same "$({ echo --help && commands; } | in_line)" "$(bash_completes socktables '')"
	while read -r command; do
		same "$({ echo --help && flags "$command"; } | in_line)" "$(bash_completes socktables "$command" -)" "$command"
	done <<< "$(commands)"
	same "attach" "$(bash_completes socktables att)"
	same "--capture-all-dns" "$(bash_completes socktables update web --cap)"
}

bash_values() {
	mkdir -p "$TMP/files/dir" && touch "$TMP/files/list" && cd "$TMP/files"
	same "dir list" "$(bash_completes socktables import '')"
	same "dir" "$(bash_completes socktables attach --cgroup '')"
	same "dir list" "$(bash_completes socktables attach --netns '')"
	same "@list" "$(bash_completes socktables attach -i @ l)"
	same "@dir/" "$(bash_completes socktables attach --istio-service-cidr =@ @d)"
	same "" "$(bash_completes socktables attach -p '')"
	same "auto off on" "$(bash_completes socktables attach --ipv6 = '')"
	same "off on" "$(bash_completes socktables attach --ipv6 o)"
}

names() {
	same "a b.1" "$("$1_completes" socktables "$2" '')"
	same "b.1" "$("$1_completes" socktables "$2" b)"
}

no_rights() {
	same "" "$(setpriv --reuid 65534 --clear-groups --inh-caps=-all "$BASH" -c ". '$TOP/completion/socktables.bash'
		COMP_WORDS=(socktables status '') COMP_CWORD=2
		_socktables '$ST' '' status
		echo \"\${COMPREPLY[*]}\"" 2>&1)"
}

check "bash: every command and flag of --help" bash_flags
check "bash: values, files, lists in files" bash_values
check "zsh: every command and flag of --help" zsh_flags
pod_make a
"$ST" attach --cgroup "$CG/a" --netns /run/netns/a --name a
pod_make b
"$ST" attach --cgroup "$CG/b" --netns /run/netns/b --name b.1
for command in status stats update detach explain; do
	check "bash: pods for $command" names bash "$command"
done
check "zsh: pods" names zsh status
check "nothing is said without the rights to look" no_rights
finish
