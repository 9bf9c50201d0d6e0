#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What people and scripts see of the command: every error is one line that says what, which and why,
# with the right exit status and nothing left behind; help; JSON.
# shellcheck disable=SC2317 # check runs the functions

# The namespace that the tests were started from, before they get one of their own. It is the node's
# if the kernel's own threads are in it.
if [[ -z ${ST_TEST_CG:-} ]]; then
	exec 9< /proc/self/ns/net
	IN_NODE_NETNS=$([[ $(< /proc/2/comm) == kthreadd && /proc/2/ns/net -ef /proc/self/ns/net ]] && echo yes)
	export IN_NODE_NETNS
fi 2> /dev/null
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

NO_HOOK=$TEST_BIN/e2e_nohook.so
HOLDER=$TEST_BIN/e2e_holder

# says STATUS TEXT ARG...: the same for socktables with these arguments, and nothing is left behind
says() {
	local status=$1 text=$2
	shift 2
	one_line "$status" "$text" "$ST" "$@"
	same "" "$(pins)" "pins"
}

# unattached NAME CMD...: a check that starts with nothing attached, whatever the last one did
unattached() {
	"$ST" detach --all
	check "$@"
}

# hinted PATTERN: the last error came with this hint
hinted() {
	has "$(grep '^hint: ' "$TMP/stderr")" "$1"
}

pod_make a
IN_A=(attach --cgroup "$CG/a" --netns /run/netns/a)

# --- pods that cannot be --------------------------------------------------------------------------

wrong_cgroup() {
	local v1
	says 1 "attach: cgroup '$CG/none': No such file or directory" attach --cgroup "$CG/none" --netns /run/netns/a
	touch "$TMP/file"
	says 1 "attach: cgroup '$TMP/file': Not a directory" attach --cgroup "$TMP/file" --netns /run/netns/a
	says 1 "attach: cgroup '/proc/self': not a cgroup" attach --cgroup /proc/self --netns /run/netns/a
	hinted 'cgroup v2'
	v1=$(awk '$3 == "cgroup" { print $2; exit }' /proc/mounts)
	[[ -z $v1 ]] || says 1 "attach: cgroup '$v1': a cgroup v1 directory" attach --cgroup "$v1" --netns /run/netns/a
	same "" "$(links a)" "links"
}

wrong_netns() {
	local file
	says 1 "attach: netns '/run/netns/none': No such file or directory" attach --cgroup "$CG/a" --netns /run/netns/none
	for file in "$TMP" /proc/self/ns/mnt /dev/null; do
		says 1 "attach: netns '$file': not a network namespace" attach --cgroup "$CG/a" --netns "$file"
		hinted /run/netns
	done
	same "" "$(links a)" "links"
}

# With a policy that captures nothing: if it were attached after all, the node would not notice.
node_netns() {
	local status=0
	[[ -n $IN_NODE_NETNS ]] || skip_now "not started in the node's own network namespace"
	"$ST" attach --cgroup "$CG/a" --netns /proc/self/fd/9 -b '' -i '' --redirect-dns=false \
		2> "$TMP/stderr" || status=$?
	"$ST" detach --all
	same 1 "$status" "exit status"
	same "socktables: attach: netns '/proc/self/fd/9': is the host's own network namespace" \
		"$(grep -v '^hint: ' "$TMP/stderr")"
	hinted hostNetwork
}

wrong_pid() {
	says 1 "attach: pid '999999999': no such process" attach --pid 999999999
	says 2 "attach: pid 'x': not a process id" attach --pid x
	says 2 "attach: pid '0': not a process id" attach --pid 0
	says 2 "attach: --pid '1': stands instead of --cgroup and --netns" attach --pid 1 --netns /run/netns/a
}

wrong_name() {
	local name letters="only letters, digits, '.', '_' and '-' may be used"
	for name in a/b 'a b' a:b; do
		says 2 "attach: name '$name': $letters" "${IN_A[@]}" --name "$name"
	done
	says 2 "attach: name '\xc3\xa4': $letters" "${IN_A[@]}" --name ä
	for name in . ..; do
		says 2 "attach: name '$name': not a name" "${IN_A[@]}" --name "$name"
	done
	name=$(printf 'x%.0s' {1..128})
	says 2 "attach: name '$name': must have 1 to 127 characters" "${IN_A[@]}" --name "$name"
	says 2 "detach: name 'a/b': $letters" detach a/b
	says 2 "update: name 'a/b': $letters" update a/b
	says 2 "status: name 'a/b': $letters" status a/b
	mkdir "$CG/a b"
	says 1 "attach: name 'a b': $letters" attach --cgroup "$CG/a b" --netns /run/netns/a
	rmdir "$CG/a b"
}

# However long or odd a value is, its error is one line.
odd_values() {
	local value
	for value in $'two\nlines' $'\e[31mred' "$(printf 'long%.0s' {1..1000})"; do
		status_of "$ST" "${IN_A[@]}" --name "$value"
		same 1 "$(grep -vc '^hint: ' "$TMP/output")" "lines"
		not grep -q $'\e' "$TMP/output"
		status_of "$ST" attach --cgroup "/$value" --netns /run/netns/a
		same 1 "$(grep -vc '^hint: ' "$TMP/output")" "lines"
	done
}

unattached "a cgroup that is none" wrong_cgroup
unattached "a namespace that is none" wrong_netns
unattached "the node's own namespace" node_netns
unattached "a process that is none" wrong_pid
unattached "a name that is none" wrong_name
unattached "odd values are quoted in one line" odd_values

# --- usage ----------------------------------------------------------------------------------------

wrong_usage() {
	says 2 "command 'bogus': unknown" bogus
	says 2 "attach: flags: --cgroup and --netns, or --pid, are needed" attach
	says 2 "attach: flags: --cgroup and --netns, or --pid, are needed" attach --cgroup "$CG/a"
	hinted "socktables attach --help"
	says 2 "attach: flag '--nonsense': unknown" "${IN_A[@]}" --nonsense
	says 2 "attach: flag '-Q': unknown" "${IN_A[@]}" -Q
	says 2 "attach: flag '--name': needs a value" "${IN_A[@]}" --name
	says 2 "attach: flag '--name': needs a value" "${IN_A[@]}" --name ''
	says 2 "attach: argument 'extra': not expected" "${IN_A[@]}" extra
	says 2 "update: arguments: one pod's NAME is needed" update
	says 2 "detach: arguments: one pod's NAME, or --all, is needed" detach
	says 2 "detach: arguments: one pod's NAME, or --all, is needed" detach --all a
	says 2 "status: argument 'b': not expected" status a b
	says 2 "probe: argument 'x': not expected" probe x
	same 2 "$(status_of "$ST")" "exit status without arguments"
	has "$(head -n 1 "$TMP/output")" '^usage: '
}

wrong_policy() {
	local flags text
	set -f
	while IFS='|' read -r flags text; do
		# shellcheck disable=SC2086 # flags are words
		says 2 "attach: $text" "${IN_A[@]}" $flags
	done <<-'EOF2'
		-p 0|-p/--envoy-port '0': not a port: a number from 1 to 65535
		-z x|-z/--inbound-capture-port 'x': not a port: a number from 1 to 65535
		-e 99999|-e/--inbound-tunnel-port '99999': not a port: a number from 1 to 65535
		-o 80,x|-o/--istio-local-outbound-ports-exclude 'x': not a port: a number from 1 to 65535
		-o 080|-o/--istio-local-outbound-ports-exclude '080': not a port: a number from 1 to 65535
		-q -1|-q/--istio-outbound-ports '-1': not a port: a number from 1 to 65535
		-d 1.5|-d/--istio-local-exclude-ports '1.5': not a port: a number from 1 to 65535
		-b 80,*|-b/--istio-inbound-ports '80,*': '*' is everything: give it alone
		-i 10.0.0.0/33|-i/--istio-service-cidr '10.0.0.0/33': the prefix length is not a number from 0 to 32
		-i fd00::/129|-i/--istio-service-cidr 'fd00::/129': the prefix length is not a number from 0 to 128
		-i 10.0.0|-i/--istio-service-cidr '10.0.0': not an IPv4 or IPv6 address
		-i 10.0.0.1,*|-i/--istio-service-cidr '10.0.0.1,*': '*' is everything: give it alone
		-x *|-x/--istio-service-exclude-cidr '*': '*' cannot be excluded; -i '' captures no destination
		-x ::ffff:1.2.3.4|-x/--istio-service-exclude-cidr '::ffff:1.2.3.4': IPv4 inside IPv6: write it as plain IPv4
		-u root|-u/--proxy-uid 'root': not an id: a number from 0 to 4294967294
		-g 4294967295|-g/--proxy-gid '4294967295': not an id: a number from 0 to 4294967294
		-u ,|-u/--proxy-uid ',': without one the proxy would be sent to itself
		-m tproxy|-m/--istio-inbound-interception-mode 'tproxy': not an interception mode: REDIRECT or TPROXY
		-k eth1|-k/--kube-virt-interfaces 'eth1': forwarded traffic has no socket that could be redirected
		-t x|-t/--istio-inbound-tproxy-mark 'x': not a number from 0 to 4294967295
		-m TPROXY -t 0|-t/--istio-inbound-tproxy-mark '0': TPROXY needs a mark that is not 0
		-t 0 -m TPROXY|-m/--istio-inbound-interception-mode 'TPROXY': TPROXY needs a mark that is not 0
		-m TPROXY -r 0|-r/--istio-inbound-tproxy-route-table '0': TPROXY needs a table of its own, not 0 or 253 to 255
		-m TPROXY -r 253|-r/--istio-inbound-tproxy-route-table '253': TPROXY needs a table of its own, not 0 or 253 to 255
		-r 255 -m TPROXY|-m/--istio-inbound-interception-mode 'TPROXY': TPROXY needs a table of its own, not 0 or 253 to 255
		--ipv6=maybe|--ipv6 'maybe': not auto, on or off
		--redirect-dns=2|--redirect-dns '2': neither true nor false
		--dns-servers 1.2.3|--dns-servers '1.2.3': not an IPv4 or IPv6 address
		--ipv4-loopback-cidr 10.0.0.0/8|--ipv4-loopback-cidr '10.0.0.0/8': not an IPv4 loopback CIDR, /8 to /32
		--outbound-owner-groups a:b|--outbound-owner-groups 'a:b': neither a gid nor a group's name
	EOF2
	says 1 "attach: nameservers: the pod's resolv.conf is not known" "${IN_A[@]}" --capture-all-dns=false
	says 1 "attach: resolv.conf '/nonexistent': No such file or directory" "${IN_A[@]}" \
		--capture-all-dns=false --resolv-conf /nonexistent
	says 2 "update: -o/--istio-local-outbound-ports-exclude 'x': not a port: a number from 1 to 65535" update a -o x
	same "" "$(links a)" "links"
}

wrong_flow() {
	local flow text
	while IFS='|' read -r flow text; do
		# shellcheck disable=SC2086 # words
		says 2 "explain: $text" explain a $flow
		hinted 'socktables explain web'
	done <<-'EOF2'
		out|flow: must be: out|in tcp|udp ADDRESS:PORT
		up tcp 1.2.3.4:80|direction 'up': neither 'in' nor 'out'
		out sctp 1.2.3.4:80|protocol 'sctp': neither 'tcp' nor 'udp'
		out tcp 1.2.3.4|destination '1.2.3.4': not ADDRESS:PORT
		out tcp fd00::1:80|destination 'fd00::1:80': write IPv6 as [ADDRESS]:PORT
		out tcp 1.2.3:80|address '1.2.3': not an IPv4 or IPv6 address
		out tcp 1.2.3.4:99999|port '99999': not a port: a number from 1 to 65535
		out tcp 1.2.3.4:80 --uid x|uid 'x': not an id: a number from 0 to 4294967294
		out tcp 1.2.3.4:80 --from ::1|--from '::1': not of the destination's family
		out tcp 1.2.3.4:80 --mark x|--mark 'x': not a number from 0 to 4294967295
	EOF2
}

unknown_pod() {
	says 3 "detach: pod 'nobody': not attached" detach nobody
	says 3 "update: pod 'nobody': not attached" update nobody
	says 3 "status: pod 'nobody': not attached" status nobody
	says 3 "stats: pod 'nobody': not attached" stats nobody --json
	says 3 "explain: pod 'nobody': not attached" explain nobody out tcp 1.2.3.4:80
	"$ST" detach --all
	same '[]' "$("$ST" status --json)"
	attach a
	one_line 3 "detach: pod 'nobody': not attached" "$ST" detach nobody
	one_line 3 "status: pod 'nobody': not attached" "$ST" status nobody
	"$ST" detach a
}

unattached "wrong usage" wrong_usage
unattached "wrong policy" wrong_policy
unattached "wrong flow" wrong_flow
unattached "a pod that nobody attached" unknown_pod

# --- a machine that does not want to ---------------------------------------------------------------

not_root() {
	local verb
	for verb in "${IN_A[*]}" "detach a" "detach --all" "update a"; do
		# shellcheck disable=SC2086 # words
		one_line 1 "${verb%% *}: capability 'CAP_NET_ADMIN': missing" setpriv --reuid 1000 --clear-groups -- "$ST" $verb
	done
	same 1 "$(status_of setpriv --reuid 1000 --clear-groups -- "$ST" probe)" "exit status of probe"
	has "$(cat "$TMP/output")" "^socktables: probe: capability 'CAP_NET_ADMIN': missing"
	same "" "$(pins)" "pins"
}

old_kernel() {
	local hook type since
	while read -r hook type since; do
		ST_NO_HOOK="$(number_of "$type") 22" LD_PRELOAD=$NO_HOOK status_of "$ST" "${IN_A[@]}" > "$TMP/status"
		same 1 "$(cat "$TMP/status")" "exit status without $hook"
		has "$(head -n 1 "$TMP/output")" \
			"^socktables: attach: kernel '$hook': Invalid argument; needs Linux $since \\(.+\\)\$"
		same "" "$(pins)" "pins"
		ST_NO_HOOK="$(number_of "$type") 22" LD_PRELOAD=$NO_HOOK status_of "$ST" probe > "$TMP/status"
		same 1 "$(cat "$TMP/status")" "exit status of probe without $hook"
		has "$(cat "$TMP/output")" "^ +MISSING +$hook "
	done <<-EOF2
		cgroup/getpeername4 BPF_CGROUP_INET4_GETPEERNAME 5.8
		cgroup/getsockopt BPF_CGROUP_GETSOCKOPT 5.3
		sk_lookup BPF_SK_LOOKUP 5.9
	EOF2
	same "" "$(links a)" "links"
}

# What the programs can do without is gone without only where the kernel lacks it, and probe names it.
poorer_kernel() {
	local reads mptcp hidden
	while read -r reads mptcp hidden; do
		ST_NO_HELPERS=$hidden LD_PRELOAD=$NO_HOOK "$ST" "${IN_A[@]}"
		same "{\"kernel_reads\":$reads,\"mptcp_known\":$mptcp}" "$(abilities)" "without $hidden"
		ST_NO_HELPERS=$hidden LD_PRELOAD=$NO_HOOK "$ST" probe --json |
			jq -r '.features[] | select(.required | not) | .available' > "$TMP/available"
		same "$reads $mptcp" "$(sed 's/true/1/; s/false/0/' "$TMP/available" | paste -sd ' ')" "probe without $hidden"
		"$ST" detach --all
	done <<-EOF2
		1 1 0
		0 1 $(number_of BPF_FUNC_probe_read_kernel) $(number_of BPF_FUNC_probe_read)
		1 0 $(number_of BPF_FUNC_skc_to_mptcp_sock)
		0 0 $(number_of BPF_FUNC_probe_read_kernel) $(number_of BPF_FUNC_probe_read) $(number_of BPF_FUNC_skc_to_mptcp_sock)
	EOF2
}

no_btf() {
	mount -t tmpfs none /sys/kernel/btf
	says 1 "attach: kernel 'kernel BTF': No such file or directory; needs Linux 5.4 (programs find what they need in the kernel's structures)" "${IN_A[@]}"
	same 1 "$(status_of "$ST" probe)" "exit status of probe"
	has "$(cat "$TMP/output")" '^ +MISSING +kernel BTF '
	umount /sys/kernel/btf
}

# held WHERE HOW: cgroups parent and parent/pod with a holder of connect4 on WHERE ("parent" or "pod")
held() {
	mkdir -p "$CG/parent/pod"
	case $1 in
	parent) "$HOLDER" "$CG/parent" "$2" ;;
	pod) "$HOLDER" "$CG/parent/pod" "$2" ;;
	esac
}

hook_held() {
	local where how id path
	for where in pod parent; do
		for how in exclusive override; do
			held "$where" "$how"
			path=$CG/parent
			[[ $where == parent ]] || path+=/pod
			id=$(bpftool -j cgroup show "$path" | jq '.[0].id')
			says 1 "attach: hook 'cgroup/connect4': held exclusively by program $id (holder) on cgroup $path" \
				attach --cgroup "$CG/parent/pod" --netns /run/netns/a
			hinted BPF_F_ALLOW_MULTI
			rmdir "$CG/parent/pod" "$CG/parent"
		done
		held "$where" multi
		"$ST" attach --cgroup "$CG/parent/pod" --netns /run/netns/a
		"$ST" detach pod
		rmdir "$CG/parent/pod" "$CG/parent"
	done
}

to_full() {
	"$ST" "$@" > /dev/full
}

stdout_full() {
	one_line 1 "status: writing to stdout: No space left on device" to_full status
	one_line 1 "probe: writing to stdout: No space left on device" to_full probe --json
	one_line 1 "--help: writing to stdout: No space left on device" to_full --help
	one_line 1 "attach: writing to stdout: No space left on device" to_full attach --help
}

unattached "not root" not_root
unattached "a kernel that lacks a hook" old_kernel
unattached "a kernel that lacks what can be done without" poorer_kernel
unattached "a kernel without BTF" no_btf
unattached "a hook that another program holds" hook_held
unattached "a stdout that takes nothing" stdout_full

# --- help and JSON --------------------------------------------------------------------------------

help_of_all() {
	local command flag
	for flag in --help -h help; do
		"$ST" "$flag" > "$TMP/help" 2> "$TMP/stderr"
		has "$(head -n 1 "$TMP/help")" '^usage: socktables COMMAND'
		same "" "$(cat "$TMP/stderr")"
	done
	awk '/^  [a-z]/ { print $1 }' "$TMP/help" > "$TMP/commands"
	while read -r command; do
		"$ST" "$command" --help > "$TMP/$command.help" 2> "$TMP/stderr"
		has "$(head -n 1 "$TMP/$command.help")" "^usage: socktables $command"
		has "$(cat "$TMP/$command.help")" "^  socktables $command"
		same "" "$(cat "$TMP/stderr")"
		same 0 "$(status_of "$ST" "$command" -h)"
	done < "$TMP/commands"
	has "$(paste -sd ' ' "$TMP/commands")" 'attach.* detach .*probe'
}

# keys JSON FILTER: the sorted keys of what the filter finds
keys() {
	jq -r "$2 | keys_unsorted | sort | join(\" \")" <<< "$1"
}

json() {
	local out
	out=$("$ST" status --json)
	same "build cgroup cgroup_id findings health inbound_listeners links listening name netns netns_cookie netns_inode $(
		)numbers policy state warnings" "$(keys "$out" '.[0]')" "fields of status"
	same "attached effective expected" "$(keys "$out" '.[0].links')"
	has "$(keys "$out" '.[0].policy')" "\bdns_port\b.*\binbound_port\b.*\boutbound_port\b.*\bproxy_uid\b"
	same "a attached $CG/a 13" "$(jq -r '.[0] | "\(.name) \(.state) \(.cgroup) \(.links.attached)"' <<< "$out")"
	same "$(stat -Lc %i /run/netns/a)" "$(jq '.[0].netns_inode' <<< "$out")"
	has "$(jq -r '.[0].warnings[0]' <<< "$out")" 'nothing listens on port 15006'
	same 1 "$("$ST" status a --json | jq length)"
	out=$("$ST" stats a --json)
	same "ipv4 ipv6 name totals" "$(keys "$out" '.[0]')" "fields of stats"
	same true "$(jq '.[0].ipv4["out-captured"] == 0 and (.[0].ipv6 | all(. == 0))' <<< "$out")"
	out=$("$ST" explain a out tcp 1.2.3.4:80 --json)
	same "action no_listener notes pod port reason rules rules_inbound seen text" "$(keys "$out" .)" "fields of explain"
	same "redirect out-captured 15001" "$(jq -r '"\(.action) \(.reason) \(.port)"' <<< "$out")"
	out=$("$ST" probe --json)
	same "features kernel" "$(keys "$out" .)" "fields of probe"
	same "available error feature needed_for required since" "$(keys "$out" '.features[0]')"
	same "$(uname -r)" "$(jq -r .kernel <<< "$out")"
}

attach a
check "help of every command" help_of_all
check "JSON of every noun" json
"$ST" detach a
finish
