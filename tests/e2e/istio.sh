#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# istio-iptables: what Istio's init container runs, inside of a pod. Flags and
# environment by what --dry-run makes of them, and that this is what is attached; running it again.
# Its validation is the business of validation.sh, which cgroup is the pod's that of istio_place.sh.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
# shellcheck source=tests/e2e/istio_parts.sh
. "$(dirname "$0")/istio_parts.sh"
env_private "$@"

pod_make web
pod_make idle
attach idle
printf 'nameserver %s\nnameserver %s\n' "$SVC4" "$SVC6" > "$TMP/resolv.conf"
printf 'root:x:0:\njava:x:4711:\n' > "$TMP/group"
printf 'root:x:0:0::/:\nistio-proxy:x:1338:1338::/:\nenvoy:x:101:101::/:\n' > "$TMP/passwd"
printf 'root:x:0:0::/:\n' > "$TMP/passwd-bare"
mount --bind "$TMP/resolv.conf" /etc/resolv.conf
mount --bind "$TMP/group" /etc/group
mount --bind "$TMP/passwd-bare" /etc/passwd

# --- flags and environment ------------------------------------------------------------------------

# by_hand ARG...: the command line that --dry-run prints, for this environment's own files
by_hand() {
	istio --dry-run "$@" | sed -n "/^the same by hand:/,\$ { s,/proc/self/ns/net,/run/netns/web,
		s/^  socktables attach //p }"
}

# one_a_line: flags with their values, one a line
one_a_line() {
	sed -E 's/ (--?[a-z])/\n\1/g'
}

DEFAULTS=$(by_hand | one_a_line)

# makes WANT ARG...: inside check: with these arguments the policy's flags differ by WANT from those
# without any. Attached by them, it is the policy that the command asks for.
makes() {
	local want=$1 flags
	shift
	flags=$(by_hand "$@")
	same "$want" "$(one_a_line <<< "$flags" | grep -vxF -e "$DEFAULTS" | paste -sd ' ')" "flags"
	eval "\"\$ST\" attach $flags"
	has "$(istio "$@")" "^pod 'web': captured by this policy already, nothing to do"
}

# row 'NAME=VALUE...' 'ARG...' WANT: one case of the table
row() {
	local environment=${1//[$'\n\t']/ } args=${2//[$'\n\t']/ } want=$3
	eval "ENVIRONMENT=($environment)"
	eval "set -- $args"
	fresh "environment '$environment', flags '$args'" makes "$want" "$@"
	ENVIRONMENT=()
}

# What Istio's injector gives its init container.
row "" "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020 \
	--log_output_level=default:info --log_as_json" "-b '*' -d 15090,15021,15020 -i '*'"
row "" "" ""
row "" "-p 1 -z 2 -e 3 -u 4,5 -g 6,7" "-p 1 -z 2 -e 3 -u 4,5 -g 6,7"
row "" "-b 80,443 -d 1 -q 8443 -o 25,53 -x 10.1.0.0/16,fd00::/8 -i 10.0.0.0/8" \
	"-b 80,443 -d 1 -i 10.0.0.0/8 -x 10.1.0.0/16,fd00::/8 -q 8443 -o 25,53"
# Of -i the host bits count, too: whether they are of a loopback address.
row "" "-i 10.0.0.0/8,127.0.0.1/4" "-i 10.0.0.0/8,127.0.0.1/4"
row "" "-i 0.0.0.0/0,127.3.0.1/16" "-i 0.0.0.0/0,127.3.0.0/16"
row "" "-i 112.0.0.0/4" "-i 112.0.0.0/4"
row "" "-i ::1/3" "-i ::1/3"
row "" "--envoy-port=1 --inbound-capture-port=2 --inbound-tunnel-port=3 --proxy-uid=4 --proxy-gid=5
	--istio-inbound-ports='*' --istio-local-exclude-ports=6 --istio-service-cidr='*'
	--istio-service-exclude-cidr=1.2.3.4/32 --istio-outbound-ports=7
	--istio-local-outbound-ports-exclude=8 --istio-exclude-interfaces=eth0
	--kube-virt-interfaces='' --istio-inbound-interception-mode=TPROXY
	--istio-inbound-tproxy-mark=9 --istio-inbound-tproxy-route-table=10" \
	"-p 1 -z 2 -e 3 -m TPROXY -t 9 -r 10 -b '*' -d 6 -i '*' -x 1.2.3.4 -q 7 -o 8 -c eth0 -u 4 -g 5"
row "" "--force-iptables-binary=nft --native-nftables --cni-mode --drop-invalid --skip-rule-apply=false
	--iptables-probe-port=1 --probe-timeout=1m --network-namespace='' -f" ""
# The environment: every flag's name but that of -p, then additional names.
row "INBOUND_CAPTURE_PORT=2 INBOUND_TUNNEL_PORT=3 PROXY_UID=4 PROXY_GID=5 ISTIO_INBOUND_PORTS=80
	ISTIO_LOCAL_EXCLUDE_PORTS=6 ISTIO_SERVICE_CIDR='*' ISTIO_SERVICE_EXCLUDE_CIDR=1.2.3.4/32
	ISTIO_OUTBOUND_PORTS=7 ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE=8 ISTIO_EXCLUDE_INTERFACES=eth0
	KUBE_VIRT_INTERFACES= ISTIO_INBOUND_INTERCEPTION_MODE=TPROXY ISTIO_INBOUND_TPROXY_MARK=9
	ISTIO_INBOUND_TPROXY_ROUTE_TABLE=10 DUAL_STACK=true" "" \
	"-z 2 -e 3 -m TPROXY -t 9 -r 10 -b 80 -d 6 -i '*' -x 1.2.3.4 -q 7 -o 8 -c eth0 -u 4 -g 5 --dual-stack"
row "ENVOY_PORT=1 INBOUND_INTERCEPTION_MODE=TPROXY INBOUND_TPROXY_MARK=2 ISTIO_META_DNS=true" "" ""
row "ISTIO_INBOUND_PORTS=80" "-b 443" "-b 443"
row "ISTIO_INBOUND_PORTS=80" "-b ''" ""
row "ISTIO_INBOUND_PORTS=80x" "-b '*'" "-b '*'"
row "REDIRECT_DNS=true CAPTURE_ALL_DNS=true" "" "--redirect-dns=true --capture-all-dns=true"
row "REDIRECT_DNS=true CAPTURE_ALL_DNS=true" "--redirect-dns=false" ""
row "REDIRECT_DNS=true" "" "--redirect-dns=true --capture-all-dns=false --dns-servers $SVC4,$SVC6"
row "REDIRECT_DNS=false ISTIO_META_DNS_CAPTURE=true CAPTURE_ALL_DNS=1" "" \
	"--redirect-dns=true --capture-all-dns=true"
row "REDIRECT_DNS=true ISTIO_META_DNS_CAPTURE=false" "" ""
row "REDIRECT_DNS=true ISTIO_META_DNS_CAPTURE=" "" ""
row "ISTIO_META_DNS_CAPTURE=true" "--redirect-dns=false --capture-all-dns" ""
row "ISTIO_META_DNS_CAPTURE=false" "--redirect-dns --capture-all-dns" \
	"--redirect-dns=true --capture-all-dns=true"
row "DUAL_STACK=false ISTIO_DUAL_STACK=true" "" "--dual-stack"
row "ISTIO_DUAL_STACK=true" "--dual-stack=false" ""
row "DROP_INVALID=false INVALID_DROP=true" "" ""
# The proxy's uid, and what no flag says.
row "ENVOY_USER=root" "" "-u 0 -g 0"
row "ENVOY_USER=nobody-of-that-name" "" ""
row "ENVOY_USER=root PROXY_UID=4" "" "-u 4 -g 4"
row "ENVOY_USER=root PROXY_UID=4" "-u 5" "-u 5 -g 5"
row "ENVOY_USER=root PROXY_UID=4" "-u ''" "-u 0 -g 0"
row "PROXY_GID=7" "-u 5" "-u 5 -g 7"
row "ISTIO_OUTBOUND_OWNER_GROUPS='*' ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=1000,1001" "" \
	"--outbound-owner-groups-exclude 1000,1001"
row "ISTIO_OUTBOUND_OWNER_GROUPS=1000" "" "--outbound-owner-groups 1000"
row "ISTIO_OUTBOUND_OWNER_GROUPS=" "" "--outbound-owner-groups ''"
row "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8" "" "--ipv4-loopback-cidr 127.0.0.0/8"
mount --bind "$TMP/passwd" /etc/passwd
row "" "" "-u 1338 -g 1338"
row "ENVOY_USER=envoy" "" "-u 101 -g 101"
umount /etc/passwd

dry_runs() {
	local text
	text=$(istio -n -i '*' --dual-stack --redirect-dns)
	has "$text" '^  outbound +TCP to everywhere -> 15001$'
	has "$text" '^  inbound +not captured, tunnel port 15008 left alone$'
	has "$text" "^  DNS +port 53 -> 15053, of $SVC4,$SVC6\$"
	has "$text" '^  families +IPv4, IPv6$'
	has "$text" "^  cgroup +$CG/web\$"
	has "$(istio -n)" '^  outbound +not captured$'
	has "$(istio -n)" '^  families +IPv4; IPv6 not captured$'
	has "$(istio -n --cleanup-only)" '^the pod would not be captured any more'
	has "$(istio -n --skip-rule-apply --run-validation)" '^nothing would be'
	# what a shell would take for something else
	ENVIRONMENT=("ISTIO_OUTBOUND_OWNER_GROUPS=a;b,java")
	has "$(by_hand --cgroup "$TMP/it's" --name "x y" -c "a\$(id),eth0")" \
		"^--cgroup '$TMP/it'\\\\''s' .* --name 'x y' .* -c 'a[$][(]id[)]',eth0 .* --outbound-owner-groups 'a;b',java "
	ENVIRONMENT=(DRY_RUN=true)
	istio -i '*'
	ENVIRONMENT=()
	pod_run_as web 1000 "$ST" istio-iptables --dry-run
	not_captured
}

fresh "a dry run says it in words, changes nothing, and needs no rights" dry_runs

group_by_name() {
	ENVIRONMENT=(ISTIO_OUTBOUND_OWNER_GROUPS=java)
	istio -i '*'
	ENVIRONMENT=(ISTIO_OUTBOUND_OWNER_GROUPS=4711)
	has "$(istio -i '*')" 'nothing to do'
	ENVIRONMENT=(ISTIO_OUTBOUND_OWNER_GROUPS=cobol)
	says 1 "--outbound-owner-groups 'cobol': the pod has no such group" -i '*'
}

fresh "a group's name is one of the pod's own files" group_by_name

no_resolver() {
	mount --bind /dev/null /etc/resolv.conf
	says 0 "/etc/resolv.conf has no nameserver: DNS is not captured" --redirect-dns
	umount /etc/resolv.conf
	# other resolvers are another policy
	says 1 "pod 'web': captured already, by another policy" --redirect-dns
}

fresh "without a nameserver DNS is not captured, and that is said" no_resolver

# --- errors ---------------------------------------------------------------------------------------

refusals() {
	says 1 "-k/--kube-virt-interfaces 'net1': forwarded traffic has no socket $(
		)that could be redirected" -k net1
	says 1 "flag '--no-such': unknown" --no-such
	says 1 "flag '-z/--inbound-capture-port': needs a value" -z
	says 1 "-z/--inbound-capture-port '': not a port: a number from 1 to 65535" -z ''
	says 1 "argument 'true': not expected" --redirect-dns true
	hinted '--redirect-dns=false'
	says 1 "--probe-timeout '5': not a time from 1ms to 1h, such as 5s" --probe-timeout 5
	says 1 "--network-namespace '/run/netns/web': needs --cgroup: the own one may be another pod's" \
		--network-namespace /run/netns/web
	ENVIRONMENT=(ISTIO_SERVICE_CIDR=10.0.0.0/33)
	says 1 "variable 'ISTIO_SERVICE_CIDR': -i/--istio-service-cidr '10.0.0.0/33': $(
		)the prefix length is not a number from 0 to 32"
	ENVIRONMENT=(ISTIO_META_DNS_CAPTURE=yes)
	says 1 "variable 'ISTIO_META_DNS_CAPTURE': --redirect-dns 'yes': neither true nor false"
	ENVIRONMENT=(INBOUND_CAPTURE_PORT=tcp://10.0.0.1:80)
	says 1 "variable 'INBOUND_CAPTURE_PORT': -z/--inbound-capture-port 'tcp://10.0.0.1:80': $(
		)not a port: a number from 1 to 65535"
	not_captured
}

rights() {
	same 1 "$(status_of pod_run_as web 1337 "$ST" istio-iptables -i '*')"
	has "$(< "$TMP/output")" '^socktables: istio-iptables: capability .CAP_NET_ADMIN.: missing$'
	same 1 "$(status_of unshare --mount "$BASH" -c "while mountpoint -q /sys/fs/bpf; do
		umount /sys/fs/bpf; done; exec nsenter --net=/run/netns/web -- '$ST' istio-iptables")"
	same "socktables: istio-iptables: bpffs '/sys/fs/bpf': not mounted, and what is pinned has to $(
		)outlive this container" "$(grep -v '^hint: ' "$TMP/output")"
	has "$(< "$TMP/output")" "^hint: mount the node's"
}

helps() {
	local text
	text=$(istio --help)
	has "$text" 'ISTIO_META_DNS_CAPTURE'
	has "$text" '126 validation failed'
}

fresh "what is refused, with one line and status 1" refusals
fresh "without rights, or without the node's bpffs, nothing is attached" rights
fresh "help" helps

# --- again ----------------------------------------------------------------------------------------

# state: what must not change when nothing is to be done
state() {
	links web
	bpftool -j map dump pinned "$PINS/st_policy" | jq -c '.[].formatted.value'
}

again() {
	local before
	has "$(istio -i '*' -b '*')" "^pod 'web': captured\$"
	before=$(state)
	has "$(istio -i '*' -b '*')" "^pod 'web': captured by this policy already, nothing to do\$"
	istio -i '*' -b '*' --reconcile
	same "$before" "$(state)" "state after the same once more"
	says 1 "pod 'web': captured already, by another policy" -i '*' -b 80
	hinted '^hint: --reconcile or --force-apply replaces it'
	same "$before" "$(state)" "state after a refusal"
	has "$(istio -i '*' -b 80 --reconcile)" "^pod 'web': another policy replaced\$"
	istio -i '*' -b 80
	says 1 "pod 'web': captured already, by another policy" -i '*' -b '*'
	istio -i '*' -b '*' --force-apply
	istio -i '*' -b '*'
	ENVIRONMENT=(RECONCILE=true)
	istio
}

# Every flag by itself makes another policy, also what only the lists in the maps tell.
differences() {
	local base=(-b 80 -i 10.0.0.0/8 -x 10.1.0.0/16 -q 80 -o 80 --redirect-dns) flag words
	istio "${base[@]}"
	for flag in '-p 1' '-z 1' '-e 1' '-u 1' '-g 1' '-u 1337,1' '-b 443' '-b *' '-i *' '-i 10.0.0.0/9' \
		'-x 10.1.0.0/17' '-x 10.1.0.0/16,fd00::/8 --dual-stack' '-q 81' '-q 80,81' '-o 81' '-c eth0' \
		'-m TPROXY' --redirect-dns=false --capture-all-dns --dual-stack; do
		read -ra words <<< "$flag"
		says 1 "pod 'web': captured already, by another policy" "${base[@]}" "${words[@]}"
	done
	has "$(istio "${base[@]}" -d 81 -t 1 -r 1 --drop-invalid)" 'nothing to do$' # of no effect here
}

# What the pod's addresses and routes put into the maps is no difference: it is brought up to date.
moved() {
	istio -i '*' -x 10.0.0.0/8 --dual-stack
	ip -n web address add 10.99.0.1/24 dev eth0
	ip -n web address add fd99::1/64 dev eth0 nodad
	has "$(istio -i '*' -x 10.0.0.0/8 --dual-stack)" 'its addresses are new$'
	has "$("$ST" explain web out tcp 10.99.0.1:80 --uid 1000)" 'pod|local|lo'
	has "$(istio -i '*' -x 10.0.0.0/8 --dual-stack)" 'nothing to do$'
	says 1 "pod 'web': captured already, by another policy" -i '*' -x 10.0.0.0/9 --dual-stack
	ip -n web address del 10.99.0.1/24 dev eth0
	ip -n web address del fd99::1/64 dev eth0
	has "$(istio -i '*' -x 10.0.0.0/8 --dual-stack)" 'its addresses are new$'
}

cleans() {
	istio -i '*' --dual-stack
	has "$(istio --cleanup-only)" "^pod 'web': not captured any more\$"
	not_captured
	has "$(istio --cleanup-only)" '^not captured, nothing to clean up$'
	# a pod that somebody attached by another name is the same pod
	attach web --name other --ipv6=off
	says 1 "pod 'other': captured already, by another policy" -i '*'
	has "$(istio -i '*' --reconcile)" "^pod 'other': another policy replaced\$"
	ENVIRONMENT=(CLEANUP_ONLY=true)
	istio -i '*'
	not_captured
}

# Another pod may have the name that this one would have had.
leaves_others() {
	local long
	has "$(istio --cleanup-only --name idle)" '^not captured, nothing to clean up$'
	same idle "$(attached)"
	mkdir -p "$CG/other/idle"
	has "$(in_cgroup other/idle "$ST" istio-iptables --cleanup-only)" '^not captured, nothing to clean up$'
	same idle "$(attached)"
	printf -v long '%0127d' 0
	"$ST" attach --cgroup "$CG/idle2" --netns /run/netns/idle2 --name "$long"
	has "$(istio --cleanup-only --name "${long}1")" '^not captured, nothing to clean up$'
	"$ST" status "$long"
	"$ST" detach "$long"
	# whose it is cannot be read
	mv "$PINS/st_policy" "$PINS/st_hidden"
	says 1 "pin '$PINS/st_policy': No such file or directory" --cleanup-only --name idle
	mv "$PINS/st_hidden" "$PINS/st_policy"
	"$ST" status idle
}

# What comes by a pipe can be read only once.
lists_by_pipe() {
	local before
	has "$(istio -i @<(echo 10.0.0.0/8) -b @<(echo '*'))" "^pod 'web': captured\$"
	before=$(state)
	has "$(istio -i @<(echo 10.0.0.0/8) -b @<(echo '*'))" "^pod 'web': captured by this policy already"
	same "$before" "$(state)" "state"
	has "$(istio -i @<(echo 10.0.0.0/9) -b @<(echo '*') --reconcile)" "^pod 'web': another policy replaced\$"
	has "$("$ST" explain web out tcp 10.1.2.3:80)" '^redirect: to port 15001'
	has "$("$ST" explain web out tcp 10.200.2.3:80)" '^pass: '
}

fresh "a list comes by a pipe" lists_by_pipe
fresh "a second run changes nothing; another policy needs --reconcile or --force-apply" again
fresh "every flag makes another policy" differences
fresh "new addresses of the pod are taken up, and are not another policy" moved
pod_make idle2
fresh "--cleanup-only leaves other pods of that name" leaves_others
fresh "--cleanup-only removes it, under whatever name, and is content if there is nothing" cleans

outside_start web
app_start web
APP=$SERVED
proxy_start web
PROXY=$SERVED
agent_start web
captures() {
	same "$DIRECT" "$(reach web)" "before"
	istio -i '*' -b '*' --redirect-dns --dual-stack
	same "$CAPTURED" "$(reach web)" "after"
	istio --cleanup-only
	same "$DIRECT" "$(reach web)" "after --cleanup-only"
}

fresh "it captures" captures
stop "$PROXY" "$APP"

finish
