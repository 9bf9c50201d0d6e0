#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Pods with a user namespace of their own (hostUsers: false): the ids of a policy are those that the
# pod sees, the kernel's hooks see the node's.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

# --- pods with user namespaces --------------------------------------------------------------------

# in_userns_of PID CMD...: CMD with the user namespace of PID, as its root
in_userns_of() {
	local pid=$1
	shift
	nsenter --target "$pid" --user -S 0 -G 0 -- "$@"
}

# hold POD RUN...: a process in the pod's cgroup, in a new user and network namespace, which RUN starts;
# its pid is in $HELD
hold() {
	local pod=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	serve "$TMP/$pod.holder" pod_run "$pod" "$@" unshare --user --net \
		"$BASH" -c 'echo "ready $$" && exec sleep infinity'
	HELD=$SERVED
}

# map_ids PID UIDS GIDS: the map of its user namespace, lines "INNER OUTER COUNT". The kernel takes it in
# one write(), which echo does not do.
map_ids() {
	cat <<< "$2" > "/proc/$1/uid_map" && cat <<< "$3" > "/proc/$1/gid_map"
}

# move_pod POD PID: the pod's netns becomes that of the process; its interface moves there
move_pod() {
	ip -n "$1" link set eth0 netns "$2"
	ip netns del "$1"
	ip netns attach "$1" "$2"
	netns_settings "$1"
	ip -n "$1" -batch - <<-END
		link set lo up
		link set eth0 up
		address add $POD4/24 dev eth0
		address add $POD4_2ND/24 dev eth0
		address add $POD6_2ND/64 dev eth0 nodad
		address add $POD6/64 dev eth0 nodad
		route add default via $OUT4
		route add ::/0 via $OUT6
	END
}

# inner PID POD UID:GID CMD...: CMD in the pod, with these ids as the pod sees them
inner() {
	local pid=$1 pod=$2 uid=${3%:*} gid=${3#*:}
	shift 3
	(
		echo 0 > "$CG/$pod/cgroup.procs" &&
			exec nsenter --target "$pid" --user --net -S "$uid" -G "$gid" -- "$@"
	)
}

# mesh_start PID POD: app, proxy and agent by the ids that the pod sees
mesh_start() {
	outside_start "$2"
	serve "$TMP/$2.app" inner "$1" "$2" 1000:1000 "$STUB" app line:0.0.0.0:8080 'line:[::]:8080'
	serve "$TMP/$2.proxy" inner "$1" "$2" 1337:1337 "$STUB" proxy line:0.0.0.0:15001 \
		'line:[::]:15001' line:0.0.0.0:15006 'line:[::]:15006'
	serve "$TMP/$2.agent" inner "$1" "$2" 1337:1337 "$STUB" -4 10.0.0.15 agent \
		dns:127.0.0.1:15053 'dns:[::1]:15053'
}

# calls RUN...: who answers calls of those that RUN starts: TCP v4, v6, DNS v4, v6
calls() {
	"$@" "$DIAL" "$SVC4:80" "[$SVC6]:80" "dns:$SVC4:53" "dns:[$SVC6]:53" | who
}

OUTSIDE='outside outside outside outside' PROXY='proxy proxy agent agent'

# ids POD: uid and gid of the proxy as status has them
ids() {
	"$ST" status "$1" --json | jq -r '.[0].policy | "\(.proxy_uid):\(.proxy_gid)"'
}

# refused PATTERN CMD...: CMD fails with one line like the pattern
refused() {
	local pattern=$1
	shift
	same 1 "$(status_of "$@")" "exit status"
	same 1 "$(grep -vc '^hint: ' "$TMP/output")" "lines"
	has "$(grep -v '^hint: ' "$TMP/output")" "$pattern"
}

# --- one plain map --------------------------------------------------------------------------------

who_is_captured() {
	same "$PROXY" "$(calls inner "$USER_PID" u 1000:1000)" "inner 1000"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1337:1337)" "inner 1337"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1337:1000)" "inner uid 1337"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1000:1337)" "inner gid 1337"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 0:1337)" "inner root with gid 1337"
	same "$PROXY" "$(calls inner "$USER_PID" u 0:0)" "inner root"
	same "$PROXY" "$(calls pod_run_as u 1337)" "outer 1337"
	same "$OUTSIDE" "$(calls pod_run_as u 101337)" "outer 101337, which is inner 1337"
	same "$PROXY" "$(calls pod_run_as u 0)" "outer root"
	same "proxy proxy" "$(out_run u "$DIAL" "$POD4:8080" "[$POD6]:8080" | who)" "callers from outside"
}

proxy_to_self() {
	has "$(inner "$USER_PID" u 1337:1337 "$DIAL" "$POD4:8080")" " proxy .* od=$POD4:8080\$"
	has "$(inner "$USER_PID" u 1000:1000 "$DIAL" "$POD4:8080")" ' app '
}

told() {
	has "$(inner "$USER_PID" u 1000:1000 "$DIAL" "$SVC4:80")" \
		"^peer=$SVC4:80 name=$POD4:[0-9]+ proxy copy=1 peer=$POD4:[0-9]+ .* od=$SVC4:80\$"
	has "$(inner "$USER_PID" u 1000:1000 "$DIAL" "[$SVC6]:80")" " od=\\[$SVC6\\]:80\$"
}

own_ids() {
	"$ST" update u --ipv6=on -u 2000,3000 -g 4000
	same 102000:104000 "$(ids u)"
	same "$PROXY" "$(calls inner "$USER_PID" u 1337:1337)" "inner 1337"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 3000:1000)" "the second uid"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1000:4000)" "the gid"
	same "$PROXY" "$(calls inner "$USER_PID" u 1000:2000)" "the first uid as a gid"
}

uids_are_gids() {
	"$ST" update u --ipv6=on -u 2000 -g ''
	same 102000:102000 "$(ids u)"
}

groups_only() {
	"$ST" update u --ipv6=on --outbound-owner-groups 5000
	same "$PROXY" "$(calls inner "$USER_PID" u 1000:5000)" "of the group"
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1000:1000)" "of another"
	"$ST" update u --ipv6=on --outbound-owner-groups-exclude 5000
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1000:5000)" "of the excluded group"
	same "$PROXY" "$(calls inner "$USER_PID" u 1000:1000)" "of another"
	"$ST" update u --ipv6=on
}

unmapped_update() {
	refused "^socktables: update: uid '70000': " "$ST" update u --ipv6=on -u 70000 -g 1337
	refused "^socktables: update: gid '65536': " "$ST" update u --ipv6=on -g 65536
	refused "^socktables: update: gid '99999': " "$ST" update u --ipv6=on --outbound-owner-groups 99999
	same 101337:101337 "$(ids u)" "the policy that was there"
	same "$PROXY" "$(calls inner "$USER_PID" u 1000:1000)" "inner 1000"
}

unmapped_attach() {
	"$ST" detach u
	refused "^socktables: attach: uid '70000': " attach u -u 70000
	refused "^socktables: attach: uid '65536': " "$ST" attach --pid "$USER_PID" --name u -u 65536
	same "$OUTSIDE" "$(calls inner "$USER_PID" u 1000:1000)" "inner 1000"
	nothing_left u
	attach u -u 65535
	same 165535:101337 "$(ids u)" "the last id that has a counterpart"
	"$ST" detach u
}

attached_by_pid() {
	"$ST" attach --pid "$USER_PID" --name u --ipv6=on
	same 101337:101337 "$(ids u)"
	who_is_captured
	"$ST" detach u
	nothing_left u
}

pod_make u
hold u
USER_PID=$HELD
map_ids "$USER_PID" '0 100000 65536' '0 100000 65536'
move_pod u "$USER_PID"
mesh_start "$USER_PID" u
attach u
check "inner ids count, outer ids of the same number do not" who_is_captured
check "the proxy calls its own pod" proxy_to_self
check "addresses are told as ever" told
check "status shows the node's ids" same 101337:101337 "$(ids u)"
check "other uids and gids" own_ids
check "uids that are gids, too" uids_are_gids
check "owner groups" groups_only
check "update with an id that has no counterpart is refused" unmapped_update
check "attach with an id that has no counterpart is refused, and leaves nothing" unmapped_attach
check "attach by --pid" attached_by_pid

# --- other maps -----------------------------------------------------------------------------------

ranges() {
	attach r
	same 51337:61338 "$(ids r)"
	same "$PROXY" "$(calls inner "$RANGES_PID" r 1000:1000)" "inner 1000"
	same "$OUTSIDE" "$(calls inner "$RANGES_PID" r 1337:1000)" "inner uid 1337"
	same "$OUTSIDE" "$(calls inner "$RANGES_PID" r 1000:1337)" "inner gid 1337"
	refused "^socktables: attach: uid '2000': " attach r -u 2000
	"$ST" detach r
}

nested() {
	attach n
	same 111337:121337 "$(ids n)"
	same "$PROXY" "$(calls inner "$NESTED_PID" n 1000:1000)" "inner 1000"
	same "$OUTSIDE" "$(calls inner "$NESTED_PID" n 1337:1337)" "inner 1337"
	same "$PROXY" "$(calls pod_run_as n 101337)" "1337 of the namespace around it"
	"$ST" detach n
}

# Nobody is who the policy names.
no_map() {
	refused "^socktables: attach: uid '1337': " attach m
	nothing_left m
}

# What the node's ids are nobody asks: its own namespace maps all to themselves.
identity() {
	attach i
	same 1337:1337 "$(ids i)"
	same "$PROXY" "$(calls pod_run_as i 1000)" "1000"
	same "$OUTSIDE" "$(calls pod_run_as i 1337)" "1337"
	same "$PROXY" "$(calls pod_run_as i 101337)" "101337"
	"$ST" update i --ipv6=on -u 4294967294 -g 70000
	same 4294967294:70000 "$(ids i)" "ids of any size"
	"$ST" detach i
}

pod_make r
hold r
RANGES_PID=$HELD
map_ids "$RANGES_PID" $'0 200000 1000\n1000 51000 500' $'0 200000 1337\n1337 61338 1\n1338 300000 10'
move_pod r "$RANGES_PID"
mesh_start "$RANGES_PID" r
check "several ranges, other ones for gids" ranges

pod_make n
hold n nsenter --target "$USER_PID" --user -S 0 -G 0 --
NESTED_PID=$HELD
# shellcheck disable=SC2016 # for the inner shell
in_userns_of "$USER_PID" "$BASH" -c 'echo "0 10000 9000" > "/proc/$0/uid_map" &&
	echo "0 20000 9000" > "/proc/$0/gid_map"' "$NESTED_PID"
move_pod n "$NESTED_PID"
mesh_start "$NESTED_PID" n
check "a user namespace within another" nested

pod_make m
hold m
move_pod m "$HELD"
check "a user namespace whose ids are not mapped yet is refused" no_map

pod_make i
outside_start i
app_start i
proxy_start i
agent_start i
check "a pod with the node's user namespace" identity
finish
