# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The rows of the demo's table: make one request, then find out from the client, the answer and the servers' logs who
# received it and what it was told. Sourced by demo.sh, whose $T, $WRONG, colours, enter() and within() it uses.

LINE='%-5s %-37s %-14s %-17s %s\n'

header() {
	# shellcheck disable=SC2059 # the format is ours
	printf "$BOLD$LINE$PLAIN" '' 'who dialled what' 'received by' 'proxy was told' 'app saw'
}

# What the servers logged since the row began: "receiver told [client]", a line each.
heard() {
	local port
	sed -n '/^haproxy:/p' "$T/log/haproxy"
	for port in 15001 15006; do
		sed -n "s/.*redir to \(.*\):\([0-9]*\), len.*/ss-redir:$port [\1]:\2/p" "$T/log/ss-redir-$port"
	done
	sed -n 's/.*query\[TXT\] [^ ]* from \(.*\)/dnsmasq:15053 client=\1/p' "$T/log/agent"
	sed -n 's/.*query\[TXT\] [^ ]* from .*/outside:53 (direct)/p' "$T/log/resolver"
}

heard_something() {
	[[ -n $(heard) ]]
}

forget() {
	local log
	for log in "$T"/log/*; do
		: >"$log"
	done
}

# row WHO, then three pairs: a cell and what it should be.
row() {
	local who=$1 mark=ok colour=$GREEN what
	local cells=("$2" "$4" "$6")
	shift
	for what in 'received by' 'the proxy was told' 'the app saw'; do
		if [[ $1 != "$2" ]]; then
			mark=WRONG colour=$RED
			WRONG+=("$who: $what '$1', expected '$2'")
		fi
		shift 2
	done
	# shellcheck disable=SC2059 # the format is ours
	printf "$colour${LINE/ /$PLAIN }" "$mark" "$who" "${cells[@]}"
}

# http WHO TARGET NOTE RECEIVER TOLD SAW: one request, and what is expected of it.
http() {
	local who=$1 target=$2 label="$1 -> $2${3:+, $3}" receiver=nobody told=- saw=- client='' header=''
	local out from port to to_port code name='' peer='' peer_port='' server_port=''
	forget
	mapfile -t out < <( (enter "$who" curl -qsgv --noproxy '*' --connect-timeout 3 --max-time 8 \
		-w '\n%{http_code}|%{local_ip}|%{local_port}|%{remote_ip}|%{remote_port}|%header{x-mesh-dst}\n' \
		"http://$target/") 2>"$T/curl" || true)
	IFS='|' read -r code from port to to_port header <<<"${out[-1]}"
	from=${from#::ffff:}
	if [[ $code == 200 ]]; then
		read -r name peer peer_port server_port <<<"${out[0]}"
	fi

	if [[ $code == 000 ]]; then
		saw=$(grep -om1 'Connection [a-z ]*' "$T/curl") || saw='no answer'
	elif [[ "$peer $peer_port" == "$from $port" ]]; then
		receiver=$name:$server_port told='(direct)'
	elif within 5 heard_something; then
		read -r receiver told client < <(heard)
		[[ -z $client || $client == "$from:$port" ]] || receiver+=" as $client"
		[[ -z $header || $header == "$told" ]] || told+=" header $header"
		(($(heard | wc -l) == 1)) || receiver+=" and others"
	fi

	if [[ $name == app ]]; then
		saw="client $peer"
	elif [[ $who == app && -n $name ]]; then
		[[ $to != *:* ]] || to="[$to]"
		saw="$name at $to:$to_port"
	elif [[ $code == 503 ]]; then
		saw='nothing'
	fi
	row "$label" "$receiver" "$4" "$told" "$5" "$saw" "$6"
}

# dns WHO SERVER PROTOCOL RECEIVER TOLD SAW: who.mesh.test tells who answers, dig says whom it believes to talk to.
dns() {
	local who=$1 server=$2 proto=$3 receiver=nobody told=- saw='no answer' out
	local -A flag=([udp]=+notcp [tcp]=+tcp)
	forget
	out=$(enter "$who" dig -r +tries=1 +time=3 "${flag[$proto]}" "@$server" who.mesh.test TXT) || out=''
	if [[ -n $out ]]; then
		within 5 heard_something && read -r receiver told < <(heard)
		saw=$(awk '$4 == "TXT" { text = $5 } $2 == "SERVER:" { sub(/\(.*/, "", $3); print text " from " $3 }' <<<"$out")
	fi
	row "$who dig @$server, $proto" "$receiver" "$4" "$told" "$5" "$saw" "$6"
}
