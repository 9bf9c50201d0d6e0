# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# For suites of istio-iptables: the command in pod web, and what is attached. To be sourced behind e2e.sh.

ENVIRONMENT=()	# of the command, NAME=VALUE each; nothing else is there

# in_cgroup DIR CMD...: runs CMD in the namespace of pod web, and in a cgroup below $CG
in_cgroup() {
	local dir=$CG/$1
	shift
	mkdir -p "$dir"
	(
		echo 0 > "$dir/cgroup.procs" && exec nsenter --net=/run/netns/web -- "$@"
	)
}

# istio ARG...: runs the command in pod web
istio() {
	pod_run web env -i "PATH=$PATH" "${ENVIRONMENT[@]}" "$ST" istio-iptables "$@"
}

# attached: the names of attached pods
attached() {
	"$ST" status --json | jq -r '.[].name'
}

# fresh NAME CMD...: a check with nothing attached but pod idle: while it is, the programs stay loaded,
# which saves time
fresh() {
	local pod
	for pod in $(attached); do
		[[ $pod == idle ]] || "$ST" detach "$pod"
	done
	check "$@"
}

# not_captured: inside check: nothing of pod web is there
not_captured() {
	same idle "$(attached)" "attached pods"
	same "" "$(links web)" "links"
	not six web
}

# says STATUS TEXT ARG...: inside check: the command ends so, with TEXT as its one line of stderr
says() {
	local want=$1 text=$2 status=0
	shift 2
	istio "$@" > "$TMP/stdout" 2> "$TMP/stderr" || status=$?
	same "socktables: istio-iptables: $text" "$(grep -v '^hint: ' "$TMP/stderr")" "error of '$*'"
	same "$want" "$status" "exit status of '$*'"
	[[ $(grep -c '^hint: ' "$TMP/stderr") -le 1 ]] || { cat "$TMP/stderr" && return 1; }
}

# hinted PATTERN: inside check: the last error came with this hint
hinted() {
	has "$(grep '^hint: ' "$TMP/stderr")" "$1"
}
