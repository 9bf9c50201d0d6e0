# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Any policy under any engine: one pod each, many at a time. Sourced by policies.sh, random.sh and
# e2e/tproxy.sh, after engine.sh. What is known of a policy stands in the directory $WORLD/NAME:
#
#	flags		its flags, quoted as in a shell
#	options		--v6-only, --istio, or nothing	name		in the test's results
#	matrix		POLICY <tab> ROW <tab> PORT, what is to be done and what the rules say of it
#	result.ENGINE, log.ENGINE	what happened there
#
# The pods are those of pod_make and more (world.c has the same as data): eth1 beside eth0, routes
# through it, and an outside that answers at every address there is.

WORLD=$TMP/world
JOBS=${JOBS:-$((2 * $(nproc)))}		# an engine's pod waits more than it works

# world_make POD [--v6-only]
world_make() {
	local pod=$1 out=$1-out dev
	pod_make "$pod" || return
	ip link add eth1 netns "$pod" type veth peer name eth1 netns "$out"
	ip -n "$pod" -batch - <<-END
		link set eth1 up
		address add 10.78.0.2/24 dev eth1
		address add fd78::2/64 dev eth1 nodad
		route add 10.79.0.0/16 via 10.78.0.3
		route add fd79::/16 via fd78::3
	END
	ip -n "$out" -batch - <<-END
		link set eth1 up
		address add 10.78.0.3/24 dev eth1
		address add fd78::3/64 dev eth1 nodad
		route add 10.77.0.0/24 dev eth0 table local
		route add 10.78.0.0/24 dev eth1 table local
		route add local 0.0.0.0/0 dev lo table local
		route add fd77::/64 dev eth0 table local
		route add fd78::/64 dev eth1 table local
		route add fe80::/64 dev eth0 table local
		route append fe80::/64 dev eth1 table local
		route add local ::/0 dev lo table local
	END
	# an answer from an address that is local, but on no interface
	nsenter --net="/run/netns/$out" sh -c 'echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind'
	[[ ${2:-} != --v6-only ]] || for dev in eth0 eth1; do
		ip -n "$pod" -4 address flush dev "$dev"
	done
}

# rules v4|v6|proxy DIR: see rules.c
rules() {
	local flags
	eval "flags=($(cat "$2/options" "$2/flags"))"
	"$TEST_BIN/diff_rules" "$1" "${flags[@]}"
}

# restore POD legacy|nft 4|6 FILE: the rules in FILE, and what Istio does beside them
restore() {
	local pod=$1 program=iptables-$2-restore
	[[ $3 == 4 ]] || program=ip6tables-$2-restore
	pod_run "$pod" "$program" < "$4" && sed -n 's/^# ip //p' "$4" | ip "-$3" -n "$pod" -batch -
}

# policy_start ENGINE POD DIR [SED-SCRIPT]: the policy is in force; the script may change iptables' rules.
# The engine "iptables" is one of the kinds in $KINDS, by the number that DIR ends with.
policy_start() {
	local engine=$1 pod=$2 dir=$3 script=${4:-} family flags
	[[ $engine != iptables ]] || engine=iptables-${KINDS[${dir##*/} % ${#KINDS[@]}]}
	if [[ $engine == socktables ]]; then
		eval "flags=($(cat "$dir/flags"))"
		"$ST" attach --cgroup "$CG/$pod" --netns "/run/netns/$pod" --name "$pod" "${flags[@]}"
		return
	fi
	for family in 4 6; do
		rules "v$family" "$dir" | sed "$script" > "$dir/$pod.v$family" &&
			restore "$pod" "${engine#iptables-}" "$family" "$dir/$pod.v$family" || return
	done
}

# used_ports tcp|udp DIR TAKEN: all ports that rows of the policy go to, but those taken
used_ports() {
	cut -f 2 "$2/matrix" | awk -v proto="$1" -v taken="$3" '
		BEGIN {
			n = split(taken, port, ",")
			for (i = 1; i <= n; i++)
				seen[port[i]] = 1
		}
		substr($2, 1, 3) == proto {
			for (i = 3; i <= NF; i++) {
				if ($i ~ /^bind=/)
					continue
				n = split($i, target, ",")
				for (j = 1; j <= n; j++) {
					sub(/.*:/, "", target[j])
					if (target[j] > 0 && !seen[target[j]]++)
						list = list "," target[j]
				}
			}
		}
		END { print substr(list, 2) }'
}

# policy_sinks POD DIR: everybody listens whom a row can reach, and the port of none is closed but 9
policy_sinks() {
	local pod=$1 dir=$2 proxy taken
	proxy=$(rules proxy "$dir") || return
	taken=${proxy#*proxy.tcp=}
	taken=9,15053,${taken%% *}
	# shellcheck disable=SC2086 # several arguments
	spawn "$dir/$pod.sink" pod_run "$pod" "$TEST_BIN/diff_sink" pod $proxy \
		"app.tcp=$(used_ports tcp "$dir" "$taken")" "app.udp=$(used_ports udp "$dir" 9,15053)"
	spawn "$dir/$pod.sink-out" out_run "$pod" "$TEST_BIN/diff_sink" outside \
		"outside.tcp=$(used_ports tcp "$dir" 9)" "outside.udp=$(used_ports udp "$dir" 9)"
	wait_for 10 grep -q ready "$dir/$pod.sink" && wait_for 10 grep -q ready "$dir/$pod.sink-out"
}

# policy_flows POD DIR: performs the policy's rows
policy_flows() {
	cut -f 2 "$2/matrix" > "$2/$1.rows"
	sed '/^peer /d' "$2/$1.rows" | pod_run "$1" "$TEST_BIN/diff_flow" &&
		sed -n '/^peer /p' "$2/$1.rows" | out_run "$1" "$TEST_BIN/diff_flow"
}

# policy_run ENGINE POD DIR [SED-SCRIPT]: all of it, in a new pod; prints the results
policy_run() {
	local engine=$1 pod=$2 dir=$3 status=0
	export XTABLES_LOCKFILE=$dir/$pod.lock
	world_make "$pod" "$(grep -o -e --v6-only "$dir/options")" >&2 &&
		policy_start "$engine" "$pod" "$dir" "${4:-}" >&2 &&
		policy_sinks "$pod" "$dir" && policy_flows "$pod" "$dir" || status=1
	grep -hvs '^ready$' "$dir/$pod.sink" "$dir/$pod.sink-out" >&2
	[[ $engine != socktables ]] || socktables_stop "$pod" >&2 || status=1
	pod_drop "$pod"
	return "$status"
}

# judge DIR ENGINE REFERENCE LIMIT: prints, as a test result, whether both saw the same, and at most
# LIMIT rows that differ; for the reference itself, whether it is what the rules say
judge() {
	local dir=$1 engine=$2 reference=$3 allowed=/dev/null name
	name=$(cat "$dir/name")
	if [[ -e $dir/log.$engine.failed ]]; then
		echo "not ok $engine runs: $name"
		sed 's/^/# /' "$dir/log.$engine.failed"
	elif [[ $engine == "$reference" ]]; then
		awk -v name="the walk = $engine: $name" -v limit="$4" -f "$DIFF/predicted.awk" \
			"$dir/matrix" "$dir/result.$engine"
	else
		[[ $engine != socktables ]] || allowed=$DIFF/allowed.tsv
		awk -v ref="$reference" -v other="$engine" -v partial=1 -v limit="$4" \
			-f "$DIFF/compare.awk" "$dir/matrix" "$allowed" \
			"$dir/result.$reference" "$dir/result.$engine"
	fi
}

# jobs_below N: waits until fewer run in the background
jobs_below() {
	while (($(jobs -pr | wc -l) >= $1)); do
		wait -n
	done
}

# world_run ENGINE...: runs every policy below $WORLD under each; a log.ENGINE.failed says which did not
world_run() {
	local dir engine
	for dir in "$WORLD"/*/; do
		dir=${dir%/}
		for engine; do
			jobs_below "$JOBS"
			policy_run "$engine" "$(basename "$dir")-$engine" "$dir" \
				> "$dir/result.$engine" 2> "$dir/log.$engine" ||
				mv "$dir/log.$engine" "$dir/log.$engine.failed" &
		done
	done
	wait
}
