# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The shell vocabulary of the tests: a private environment, pods in it, waiting, results.
# A suite sources this file, calls `env_private "$@"` first and `finish` last; between them it
# prints results in the form that run.sh reads:
#
#	ok NAME
#	not ok NAME			followed by the test's output, each line behind "# "
#	skip NAME # kernel: WHY		"kernel:" = this kernel cannot; any other reason fails in CI
#
# Nothing here touches the machine outside the environment, and nothing survives it: processes
# live in a PID namespace, netns files and pins on private mounts, cgroups below one directory.

set -u
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(dirname "$TESTS")
ST=${ST:-$TOP/build/socktables}			# the program under test
TEST_BIN=${TEST_BIN:-$TOP/build/tests}		# helpers of the tests that are written in C

# The addresses of every pod (pod_make); the same in each, so that results can be compared.
# shellcheck disable=SC2034 # for the suites
{
	POD4=10.77.0.2 POD4_2ND=10.77.0.9 OUT4=10.77.0.3 OUT4_2ND=10.77.0.4 SVC4=10.96.0.10 SVC4_2ND=10.96.0.11
	POD6=fd77::2 POD6_2ND=fd77::9 OUT6=fd77::3 OUT6_2ND=fd77::4 SVC6=fd96::a SVC6_2ND=fd96::b
}

# --- the private environment ---------------------------------------------------------------------

# cgroup2_root: prints where the cgroup v2 tree is mounted
cgroup2_root() {
	awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' \
		/proc/self/mountinfo
}

# cgroup_remove DIR: removes an unpopulated cgroup with everything below it; waits for the last exits
cgroup_remove() {
	local tries
	for ((tries = 0; tries < 100; tries++)); do
		[[ -d $1 ]] || return 0
		find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
		[[ -d $1 ]] && sleep 0.05
	done
	echo "# left behind: $1" >&2
}

# env_sweep ROOT TMPDIR: removes what runs that were killed with SIGKILL left in both
env_sweep() {
	local dir
	for dir in "$1"/socktables-test-* "$2"/socktables-test-*; do
		[[ -d $dir && ! -d /proc/${dir##*-} ]] || continue
		if [[ $dir == "$1"/* ]]; then cgroup_remove "$dir"; else rm -rf "$dir"; fi
	done
}

# env_leave: ends every process of the environment, then removes what it had outside its mounts
env_leave() {
	trap '' INT TERM HUP
	[[ -n ${ENV_PID:-} ]] && kill -KILL "$ENV_PID" 2>/dev/null && wait "$ENV_PID" 2>/dev/null
	cgroup_remove "$CG"
	rm -rf "$TMP"
}

# env_private "$@": starts the calling script again inside its own environment; returns only inside
env_private() {
	local root=/
	if [[ -n ${ST_TEST_CG:-} ]]; then
		CG=$ST_TEST_CG TMP=$ST_TEST_TMP
		unset ST_TEST_CG ST_TEST_TMP
		env_mounts || { echo "cannot set up the private environment" >&2; exit 1; }
		return
	fi
	[[ $(id -u) == 0 ]] || { echo "$0: needs root" >&2; exit 1; }
	root=$(cgroup2_root)
	[[ -n $root ]] || { echo "$0: no cgroup v2 tree is mounted" >&2; exit 1; }
	env_sweep "$root" "${TMPDIR:-/tmp}"
	CG=$root/socktables-test-$$ TMP=${TMPDIR:-/tmp}/socktables-test-$$
	trap env_leave EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir "$CG" && mkdir -m 700 "$TMP" || exit 1
	# In the background, so that a signal ends the wait at once. env(1) undoes the shell's "ignore
	# SIGINT in background jobs"; the parent-death signal covers a SIGKILL of this shell.
	ST_TEST_CG=$CG ST_TEST_TMP=$TMP env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
		unshare --mount --net --pid --fork --kill-child --mount-proc -- \
		"$BASH" "$0" "$@" <&0 &
	ENV_PID=$!
	wait "$ENV_PID"
	root=$?
	ENV_PID=''
	exit "$root"
}

# env_mounts: inside: private netns directory and bpffs, loopback up, a lock file of our own
env_mounts() {
	mkdir -p /run/netns /sys/fs/bpf
	mount -t tmpfs -o mode=755 tmpfs /run/netns &&
		mount -t bpf -o mode=700 bpf /sys/fs/bpf &&
		ip link set lo up
	export XTABLES_LOCKFILE=$TMP/xtables.lock
}

# --- pods -----------------------------------------------------------------------------------------

# pod_make POD: netns POD and cgroup $CG/POD, joined by a veth (eth0 - eth0) to the same of POD-out.
# Of several IPv6 addresses the one added last becomes the default source, hence their order.
pod_make() {
	local pod=$1 out=$1-out
	mkdir -p "$CG/$pod" "$CG/$out"
	ip netns add "$pod" && ip netns add "$out" || return 1
	netns_settings "$pod"
	netns_settings "$out"
	ip link add eth0 netns "$pod" type veth peer name eth0 netns "$out"
	ip -n "$pod" -batch - <<-EOF2
		link set lo up
		link set eth0 up
		address add $POD4/24 dev eth0
		address add $POD4_2ND/24 dev eth0
		address add $POD6_2ND/64 dev eth0 nodad
		address add $POD6/64 dev eth0 nodad
		route add default via $OUT4
		route add ::/0 via $OUT6
	EOF2
	ip -n "$out" -batch - <<-EOF2
		link set lo up
		link set eth0 up
		address add $OUT4/24 dev eth0
		address add $OUT4_2ND/24 dev eth0
		address add $SVC4/32 dev lo
		address add $SVC4_2ND/32 dev lo
		address add $OUT6_2ND/64 dev eth0 nodad
		address add $OUT6/64 dev eth0 nodad
		address add $SVC6/128 dev lo nodad
		address add $SVC6_2ND/128 dev lo nodad
	EOF2
}

# netns_settings NETNS: no address detection, any port for any user, errors never rate-limited
netns_settings() {
	nsenter --net="/run/netns/$1" "$BASH" -s <<-'EOF2'
		cd /proc/sys/net || exit
		echo 0 > ipv6/conf/all/accept_dad
		echo 0 > ipv6/conf/default/accept_dad
		echo 0 > ipv4/ip_unprivileged_port_start
		echo 0 > ipv4/icmp_ratelimit
		echo 0 > ipv6/icmp/ratelimit
	EOF2
}

# cgroup_kill DIR: ends every process of a cgroup, one by one (there is no cgroup.kill before Linux 5.14).
# One that is just ending is listed as 0, which to kill means the caller's own process group.
cgroup_kill() {
	local pid
	while read -r pid; do
		((pid == 0)) || kill -KILL "$pid" 2>/dev/null
	done < "$1/cgroup.procs"
	! grep -q . "$1/cgroup.procs"
}

# pod_drop POD: ends the processes of both sides and removes what pod_make made
pod_drop() {
	local side
	for side in "$1" "$1-out"; do
		wait_for 5 cgroup_kill "$CG/$side"
		ip netns del "$side"
		cgroup_remove "$CG/$side"
	done
}

# pod_run POD CMD...: runs CMD in the pod: in its cgroup before it makes any socket, and in its netns
pod_run() {
	local pod=$1
	shift
	(
		echo 0 > "$CG/$pod/cgroup.procs" && exec nsenter --net="/run/netns/$pod" -- "$@"
	)
}

# pod_run_as POD UID[:GID] CMD...: the same with these credentials and no supplementary groups
pod_run_as() {
	local pod=$1 uid=${2%:*} gid=${2#*:}
	shift 2
	pod_run "$pod" setpriv --reuid "$uid" --regid "$gid" --clear-groups -- "$@"
}

# out_run POD CMD...: runs CMD on the other side of the pod's veth, in a cgroup that is not the pod's
out_run() {
	local pod=$1
	shift
	pod_run "$pod-out" "$@"
}

# spawn LOG CMD...: starts CMD (pod_run..., too) in the background, output to LOG; pid in $SPAWNED.
# It ignores SIGINT, as every background job of a script does: end it with SIGTERM.
spawn() {
	local log=$1
	shift
	"$@" > "$log" 2>&1 &
	# shellcheck disable=SC2034 # for the suites
	SPAWNED=$!
}

# --- waiting --------------------------------------------------------------------------------------

# wait_for SECONDS CMD...: polls until CMD succeeds; fails, and says what it waited for, after SECONDS
wait_for() {
	local limit=$(($1 * 20)) i
	shift
	for ((i = 0; i < limit; i++)); do
		"$@" > /dev/null 2>&1 && return 0
		sleep 0.05
	done
	echo "waited $((limit / 20)) s in vain for: $*" >&2
	return 1
}

# --- results --------------------------------------------------------------------------------------

PASSED=0 FAILED=0 SKIPPED=0

# ok NAME: one test passed
ok() {
	PASSED=$((PASSED + 1))
	echo "ok $1"
}

# fail NAME [FILE]: one test failed; its output is in FILE
fail() {
	FAILED=$((FAILED + 1))
	echo "not ok $1"
	[[ -z ${2:-} ]] || sed 's/^/# /' "$2"
	[[ -z ${DEBUG:-} ]] || { echo "# DEBUG: a shell in the environment; exit goes on" && "$BASH" -i; }
}

# skip NAME WHY: one test cannot run; WHY starts with "kernel: " if this kernel is the reason
skip() {
	SKIPPED=$((SKIPPED + 1))
	echo "skip $1 # $2"
}

# check NAME CMD...: runs CMD in a subshell under `set -e`; passed, failed, or skipped by skip_now
check() {
	local name=$1 status log
	log=$(mktemp "$TMP/check.XXXXXX")
	shift
	(
		set -e
		"$@"
	) > "$log" 2>&1
	status=$?
	case $status in
	0) ok "$name" ;;
	77) skip "$name" "$(tail -n 1 "$log")" ;;
	*)
		echo "exit status $status" >> "$log"
		fail "$name" "$log"
		;;
	esac
	rm -f "$log"
}

# skip_now WHY: inside check: ends this test as skipped
skip_now() {
	echo "$1"
	exit 77
}

# same WANT GOT [WHAT]: inside check: fails and shows both unless they are equal
same() {
	[[ $1 == "$2" ]] && return 0
	printf '%s:\n  want: %s\n  got:  %s\n' "${3:-values differ}" "$1" "$2"
	return 1
}

# has TEXT PATTERN: inside check: fails and shows TEXT unless the extended regex matches in it
has() {
	grep -qE -- "$2" <<< "$1" && return 0
	printf 'no match for: %s\nin: %s\n' "$2" "$1"
	return 1
}

# status_of CMD...: prints CMD's exit status instead of failing with it; its output goes to $TMP/output
status_of() {
	local status=0
	"$@" > "$TMP/output" 2>&1 || status=$?
	echo "$status"
}

# finish: last line of a suite: ends it with status 1 if a test failed
finish() {
	exit $((FAILED > 0))
}
