#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# doc/troubleshooting.md: each of its troubles is made in a pod that works; then the commands of the page have to show
# what stands below them there, and its cure has to help.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

PAGE=$TOP/doc/troubleshooting.md
HOLDER=$TEST_BIN/e2e_holder
mkdir "$TMP/bin"
export PATH=$TMP/bin:$PATH

# build FILE: the page's socktables is this one
build() {
	ln -sf "$1" "$TMP/bin/socktables"
}
build "$ST"

# titles: of the page's troubles, one a line
titles() {
	sed -n 's/^## //p' "$PAGE"
}

# block N: the Nth fenced block of trouble $TITLE, with the pod's own paths and the process $SUBJECT in its commands; 1 shows,
# 2 cures
block() {
	awk -v title="## $TITLE" -v n="$1" '
		/^## / { here = $0 == title; k = 0 }
		/^```/ { fenced = !fenced; k += fenced; next }
		here && fenced && k == n' "$PAGE" |
		sed "s,/sys/fs/cgroup/kubepods/pod1,$CG/web,g; /^\$ /s/4711/${SUBJECT:-4711}/g"
}

# pattern LINE: an extended regex for it; what is different each time stands for any
pattern() {
	sed -E 's/[][\.*^$+?(){}|]/\\&/g; s/^ +/ +/; s/([^ ])  +/\1 +/g; s/\b(4711|4712)\b/[0-9]+/g; s/\benvoy\b/e2e_stub/g
		s/\bfd=31\b/fd=[0-9]+/; s/0123456789abcdef/[0-9a-f]+/g' <<< "$1"
}

# do_block N: runs its commands; each has to print what stands below it. Of a cure each has to succeed.
do_block() {
	local line output='' status commands=0
	while IFS= read -r line; do
		case $line in
		'$ '*)
			commands=$((commands + 1))
			echo "$line"
			status=0
			output=$("$BASH" -c "${line#'$ '}" 2>&1) || status=$?
			[[ $1 == 1 || $status == 0 ]] || { printf '%s\nexit status %s\n' "$output" "$status" && return 1; }
			;;
		...) ;;
		*) has "$output" "^$(pattern "$line") *\$" || return 1 ;;
		esac
	done <<< "$(block "$1")"
	((commands > 0))
}

shown() {
	do_block 1
}

cured() {
	do_block 2
	well
}

is_well() {
	"$ST" status web --check && [[ $(reach web) == "$CAPTURED" ]]
}

well() {
	wait_for 10 is_well || { "$ST" status web && reach web && return 1; }
}

# netns_run CMD...: in the pod's namespace, but in the cgroup of these tests
netns_run() {
	nsenter --net=/run/netns/web -- "$@"
}

# --- the proxy --------------------------------------------------------------------------------------

the_proxy_is_down() {
	stop "$PROXY"
	same "ECONNREFUSED ECONNREFUSED" "$(dial web "$SVC4:80" "[$SVC6]:80" | who)"
	shown
	proxy_start web
	well
}

the_dns_agent_is_dead() {
	stop "$AGENT"
	same "ECONNREFUSED" "$(dial web "dns:$SVC4:53" | who)"
	shown
	agent_start web
	well
}

the_proxy_runs_as_another_user() {
	stop "$PROXY"
	serve "$TMP/proxy" pod_run_as web 1338 "$STUB" proxy 'line:*:15001' 'line:*:15006'
	shown
	cured
}

the_proxy_listens_on_another_port() {
	stop "$PROXY"
	serve "$TMP/proxy" pod_run_as web 1337 "$STUB" proxy 'line:*:15011' 'line:*:15006'
	shown
	cured
}

the_proxy_listens_on_another_address() {
	stop "$PROXY"
	serve "$TMP/proxy" pod_run_as web 1337 "$STUB" proxy "line:$POD4:15001" 'line:*:15006'
	shown
	stop "$SERVED"
	proxy_start web
	well
}

the_proxy_was_started_outside_of_the_pod_s_cgroup() {
	stop "$PROXY"
	serve "$TMP/proxy" netns_run \
		setpriv --reuid 1337 --regid 1337 --clear-groups -- "$STUB" proxy 'line:*:15001' 'line:*:15006'
	shown
	stop "$SERVED"
	proxy_start web
	well
}

# --- the pod ----------------------------------------------------------------------------------------

the_pod_s_addresses_have_changed() {
	ip -n web address add 10.77.0.55/24 dev eth0
	shown
	cured
}

the_cgroup_is_gone() {
	stop "$PROXY" "$AGENT" "$APP"
	wait_for 5 cgroup_kill "$CG/web"
	cgroup_remove "$CG/web"
	wait_for 10 stale
	shown
	do_block 2
	same 3 "$(status_of "$ST" status web)"
	mkdir "$CG/web"
}

stale() {
	"$ST" status web | grep stale
}

istio_s_iptables_rules_are_still_there() {
	nsenter --net=/run/netns/web -- iptables-nft-restore < <(sed -n '/^\*nat/,/^COMMIT/p' "$TESTS/import/init-1.20.rules")
	shown
	cured
}

a_port_is_captured_that_should_not_be() {
	same "proxy" "$(dial web "$SVC4:8080" | who)"
	shown
	do_block 2
	same "outside" "$(dial web "$SVC4:8080" | who)"
	"$ST" status web --check
}

the_app_was_started_outside_of_the_pod_s_cgroup() {
	serve "$TMP/app2" netns_run "$STUB" app line:127.0.0.1:8082
	same "outside proxy" "$({ netns_run "$DIAL" "$SVC4:80" && dial web "$SVC4:80"; } | who)"
	is_well
	SUBJECT=$SERVED
	shown
	stop "$SERVED"
	serve "$TMP/app2" pod_run web "$STUB" app line:127.0.0.1:8082
	SUBJECT=$SERVED
	not shown
}

# --- hooks ------------------------------------------------------------------------------------------

another_program_holds_a_hook() {
	"$ST" detach web
	"$HOLDER" "$CG/web" exclusive
	same 1 "$(status_of attach web)"
	shown
	bpftool cgroup detach "$CG/web" connect4 id "$(bpftool -j cgroup show "$CG/web" | jq '.[0].id')"
	cured
}

somebody_detached_a_link() {
	bpftool link detach pinned "$PINS/pods/web/st_connect4"
	same "outside" "$(dial web "$SVC4:80" | who)"
	shown
	cured
}

# --- the node ---------------------------------------------------------------------------------------

# A kernel that refuses to load programs for one hook, played by a library in front of bpf(2).
the_kernel_is_too_old() {
	"$ST" detach web
	rm "$TMP/bin/socktables"
	printf '#!/bin/bash\nexec env ST_NO_HOOK="%s" LD_PRELOAD="%s" "%s" "$@"\n' \
		"$(number_of BPF_CGROUP_INET4_GETPEERNAME) 22" "$TEST_BIN/e2e_nohook.so" "$ST" > "$TMP/bin/socktables"
	chmod +x "$TMP/bin/socktables"
	shown
	build "$ST"
}

bpf_s_file_system_is_another_one() {
	mount -t bpf -o mode=700 bpf /sys/fs/bpf
	same "$CAPTURED" "$(reach web)"
	shown
	cured
}

the_datapath_is_of_another_layout() {
	"$ST" detach web
	build "$TEST_BIN/layout/socktables"
	socktables attach --cgroup "$CG/web" --netns /run/netns/web --name web
	build "$ST"
	shown
	"$TEST_BIN/layout/socktables" detach --all
	attach web
	well
}

the_programs_are_of_another_build() {
	"$ST" detach web
	build "$TEST_BIN/next/socktables"
	socktables attach --cgroup "$CG/web" --netns /run/netns/web --name web --ipv6=on
	build "$ST"
	shown
	cured
	not grep upgrade <<< "$("$ST" status web)"
}

a_capability_is_missing() {
	printf '#!/bin/bash\nexec setpriv --bounding-set=-bpf --inh-caps=-all -- "%s" "$@"\n' "$ST" > "$TMP/unprivileged"
	chmod +x "$TMP/unprivileged"
	build "$TMP/unprivileged"
	shown
	build "$ST"
}

# ----------------------------------------------------------------------------------------------------

bpffs_mounts() {
	grep -c ' /sys/fs/bpf ' /proc/self/mountinfo
}
BPFFS_MOUNTS=$(bpffs_mounts)

# trouble TITLE: makes it in a fresh pod that works
trouble() {
	TITLE=$1
	local name=${1,,}
	pod_make web
	outside_start web
	app_start web
	APP=$SERVED
	proxy_start web
	PROXY=$SERVED
	agent_start web
	AGENT=$SERVED
	attach web
	check "$1" "${name//[^a-z0-9]/_}"
	build "$ST"
	"$TEST_BIN/layout/socktables" detach --all 2> /dev/null
	"$ST" detach --all 2> /dev/null
	while (($(bpffs_mounts) > BPFFS_MOUNTS)); do
		umount /sys/fs/bpf
	done
	mkdir -p "$CG/web"
	pod_drop web
}

same_troubles() {
	local made
	made=$(declare -F | awk '{ print $3 }')
	has "$(titles)" .
	while read -r title; do
		title=${title,,}
		grep -qx "${title//[^a-z0-9]/_}" <<< "$made" || { echo "not made here: $title" && return 1; }
	done <<< "$(titles)"
}

check "every trouble of the page is made here" same_troubles
while IFS= read -r title; do
	[[ -n ${ONLY:-} && $title != *"$ONLY"* ]] || trouble "$title"
done <<< "$(titles)"
finish
