#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Real programs, each with socket habits of its own, in a pod that is attached: they get the names
# from the DNS agent and their connections to the proxy, which is told whom they meant; and see the
# addresses that they see in a pod that is not attached, where they reach the outside.
# shellcheck disable=SC2317 # check runs the functions
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/e2e/e2e.sh
. "$(dirname "$0")/e2e.sh"
env_private "$@"

BUILT=$TMP/programs
NAME=web.example

# --- the programs ---------------------------------------------------------------------------------

build_go() {
	GOCACHE=$TMP/gocache GOPATH=$TMP/gopath GOENV=off GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 \
		go build -o "$BUILT/go" "$E2E/programs/client.go"
}

build_java() {
	javac -d "$BUILT" "$E2E/programs/Client.java"
}

build_glibc() {
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror "$E2E/programs/client.c" -o "$BUILT/glibc"
}

build_musl() {
	musl-gcc -static -std=gnu11 -O2 -Wall -Wextra -Werror "$E2E/programs/client.c" -o "$BUILT/musl"
}

# build: compiles all at once, as most of it is waiting for single threads
build() {
	local what
	mkdir "$BUILT"
	chmod 711 "$TMP"	# the app's user runs them
	for what in go java glibc musl; do
		"build_$what" > "$TMP/build.$what" 2>&1 &
	done
	wait
	rm -rf "$TMP/gocache" "$TMP/gopath"
}

# compiled NAME PACKAGE COMPILER: inside check: fails and says why if it is not there
compiled() {
	needs "$3" "$2"
	[[ ! -s $TMP/build.$1 ]] || { cat "$TMP/build.$1" && return 1; }
}

# java_client POD ARG...: its addresses in the form of the others: "name/[fd96:0:0:0:0:0:0:a]:80"
java_client() {
	local pod=$1
	shift
	pod_run_as "$pod" 1000 java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp "$BUILT" Client "$@" |
		sed -E 's/=[^ /]*\//=/g; s/:0:0:0:0:0:0:/::/g'
}

go_client() {
	pod_run_as "$1" 1000 "$BUILT/go" "${@:2}"
}

glibc_client() {
	pod_run_as "$1" 1000 "$BUILT/glibc" "${@:2}"
}

musl_client() {
	pod_run_as "$1" 1000 "$BUILT/musl" "${@:2}"
}

# curl_client POD 4|6 NAME PORT [OPTION]
curl_client() {
	local open='' close=''
	[[ $2 == 4 ]] || open='[' close=']'
	pod_run_as "$1" 1000 curl --silent --show-error --max-time 10 --noproxy '*' "-$2" "${@:5}" \
		--write-out "peer=$open%{remote_ip}$close:%{remote_port} name=$open%{local_ip}$close:%{local_port}\n" \
		"http://$3:$4/" | tac | paste -sd ' '
}

# dig_client POD ARG...: "ADDRESS from server ADDRESS in 0 ms."
dig_client() {
	pod_run_as "$1" 1000 dig +short +identify +tries=1 +timeout=10 "$NAME" "${@:2}"
}

# --- the pods -------------------------------------------------------------------------------------

# web.example has other addresses for those who ask the agent than for those who ask outside.
AGENT_SAYS=(-4 "$SVC4" -6 "$SVC6") OUTSIDE_SAYS=(-4 "$SVC4_2ND" -6 "$SVC6_2ND")

# proxy MODE
proxy() {
	serve "$TMP/proxy" pod_run_as a 1337 "$STUB" proxy "$1:0.0.0.0:15001" "$1:[::]:15001"
}

# outside POD: what is there, and a server that speaks first on port 25
outside() {
	serve "$TMP/$1.outside" out_run "$1" "$STUB" "${OUTSIDE_SAYS[@]}" outside \
		line:0.0.0.0:80 'line:[::]:80' first:0.0.0.0:25 'first:[::]:25' \
		"dns:$SVC4:53" "dns:$SVC4_2ND:53" "dns:[$SVC6]:53" "dns:[$SVC6_2ND]:53"
}

# resolvers LINE...: the contents of resolv.conf, for everything in the environment
resolvers() {
	printf '%s\n' "$@" > "$TMP/resolv.conf"
}

# etc: files of our own over those of the machine, for us alone
etc() {
	resolvers "nameserver $SVC4" "nameserver $SVC4_2ND"
	echo 'hosts: files dns' > "$TMP/nsswitch.conf"
	chmod 644 "$TMP/resolv.conf" "$TMP/nsswitch.conf"
	mount --bind "$TMP/resolv.conf" /etc/resolv.conf || exit 1
	[[ ! -e /etc/nsswitch.conf ]] || mount --bind "$TMP/nsswitch.conf" /etc/nsswitch.conf
}

# --- what they must see ---------------------------------------------------------------------------

# quoted ADDRESS: as a regular expression
quoted() {
	local text=${1//./\\.}
	text=${text//[/\\[}
	echo "${text//]/\\]}"
}

# sees POD 4|6|mapped PORT OUTPUT: inside check: the program dialled what its resolver said, shows it
# as its peer and the pod's address as its own, and whoever answered was told the same
sees() {
	local to=$SVC4 own=$POD4 open='' close='' says told
	[[ $2 != 6 ]] || to=$SVC6 own=$POD6
	[[ $1 == a || $2 == 6 ]] || to=$SVC4_2ND
	[[ $1 == a || $2 != 6 ]] || to=$SVC6_2ND
	[[ $2 != 6 ]] || to="[$to]" own="[$own]"
	[[ $2 != mapped ]] || open='[::ffff:' close=']'
	if [[ $1 == a ]]; then
		says="proxy copy=1 peer=$(quoted "$own"):\\1 local=(127\\.[0-9.]+|\\[::[16]\\]):15001"
		told="$(quoted "$to:$3")\$"
	else
		says="outside copy=1 peer=$(quoted "$own"):\\1 local=$(quoted "$to:$3")" told=
	fi
	has "$4" "^peer=$(quoted "$open$to$close:$3") name=$(quoted "$open$own$close"):([0-9]+) $says od=$told"
}

# each CLIENT FAMILY...: inside check: the program in both pods
each() {
	local client=$1 pod family
	shift
	for pod in a b; do
		for family; do
			sees "$pod" "$family" 80 "$("$client" "$pod" "$family" "$NAME" 80)"
		done
	done
}

# --- one by one -----------------------------------------------------------------------------------

run_java() {
	compiled java default-jdk-headless javac
	each java_client 4 6
	same "$SVC4"$'\n'"$SVC6" "$(java_client a dns "$SVC4_2ND" "$NAME")" "its DNS client"
	same "$SVC4_2ND"$'\n'"$SVC6_2ND" "$(java_client b dns "$SVC4_2ND" "$NAME")" "the same, direct"
}

run_go() {
	compiled go golang-go go
	each go_client 4 6
	resolvers "nameserver $SVC6"
	each go_client 4 6
	resolvers "nameserver $SVC4" 'options use-vc'
	each go_client 4 6
}

run_glibc() {
	compiled glibc gcc gcc
	each glibc_client 4 6 mapped
	resolvers "nameserver $SVC6"
	each glibc_client 4 6 mapped
	resolvers "nameserver $SVC4" 'options use-vc'
	each glibc_client 4 6 mapped
}

run_musl() {
	compiled musl musl-tools musl-gcc
	each musl_client 4 6 mapped
	resolvers "nameserver $SVC4_2ND" "nameserver $SVC6" "nameserver $SVC4"
	each musl_client 4 6 mapped
	resolvers "nameserver $SVC6" "nameserver $SVC6_2ND"
	each musl_client 4 6 mapped
}

run_curl() {
	needs curl curl
	each curl_client 4 6
	sees a 4 80 "$(curl_client a 4 "$NAME" 80 --tcp-fastopen)"
	sees a 6 80 "$(curl_client a 6 "$NAME" 80 --tcp-fastopen)"
}

# run_dig OPTION...: asks a resolver by its IPv4 and its IPv6 address (it declines v4-mapped ones)
run_dig() {
	local to
	needs dig bind9-dnsutils
	for to in "$SVC4" "$SVC6"; do
		has "$(dig_client a "@$to" "$@" A)" "^$SVC4 from server $to in"
		has "$(dig_client a "@$to" "$@" AAAA)" "^$SVC6 from server $to in"
		has "$(dig_client b "@$to" "$@" A)" "^$SVC4_2ND from server $to in"
	done
}

# The proxy must speak before it has read anything, so it is another one.
run_server_first() {
	local pod family
	compiled glibc gcc gcc
	stop "$SERVED"
	proxy first
	for pod in a b; do
		for family in 4 6 mapped; do
			sees "$pod" "$family" 25 "$(glibc_client "$pod" "$family" -f "$NAME" 25)"
		done
	done
}

agent_saw_the_pod() {
	local others
	has "$(cat "$TMP/agent")" "^agent dns udp peer=$POD4:"
	has "$(cat "$TMP/agent")" "^agent dns udp peer=\\[$POD6\\]:"
	has "$(cat "$TMP/agent")" "^agent dns tcp peer=$POD4:"
	others=$(grep 'agent dns' "$TMP/agent" | grep -vE "peer=($POD4|\\[$POD6\\]):" || true)
	same '' "$others" "queries from elsewhere"
	same '' "$(grep 'outside dns' "$TMP/a.outside" || true)" "queries that got outside"
}

# fresh CMD...: with the resolv.conf of the beginning
fresh() {
	resolvers "nameserver $SVC4" "nameserver $SVC4_2ND"
	"$@"
}

build
etc
pod_make a
pod_make b
outside a
outside b
serve "$TMP/agent" pod_run_as a 1337 "$STUB" "${AGENT_SAYS[@]}" agent dns:127.0.0.1:15053 'dns:[::1]:15053'
proxy line
attach a
check "Java: AF_INET6 sockets with v4-mapped addresses; its own DNS client" fresh run_java
check "Go: its own resolver" fresh run_go
check "glibc: getaddrinfo, non-blocking connect" fresh run_glibc
check "musl, static: asks all resolvers from one unconnected socket" fresh run_musl
check "curl" fresh run_curl
check "dig over UDP" fresh run_dig
check "dig over TCP" fresh run_dig +tcp
check "the server speaks first" fresh run_server_first
check "the agent saw the pod, the outside no query" agent_saw_the_pod
finish
