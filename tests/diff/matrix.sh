#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Prints the flow matrix: GROUP <tab> ROW, a row in the language of row.h. A group is one test name.
set -u

owners='app proxy uid1337 app-gid1337 root-gid1337 app-group1337 root
	proxy-then-app app-then-proxy proxy-to-app app-to-proxy'
tcp_ports='80 53 8080 22 15001 15006 15008 15020 15053 9'
udp_ports='53 5353 15020 15053 9'
bindings='bind=lo6:0 bind=pod:0 bind=pod2:0 bind=lo:0 bind=any:0 bind=pod:fixed bind=any:fixed
	noport+bind=pod2:0 noport+bind=lo:0'

# row GROUP ROW
row() {
	printf '%s\t%s\n' "$1" "$2"
}

# places FAMILY: every address a flow of that family can go to
places() {
	case $1 in
	6) echo outside svc pod pod2 lo lo6 any ;;
	*) echo outside svc pod pod2 lo lo2 lo6 any ;;
	esac
}

# group OWNER KIND FAMILY: app and proxy have a group per family, the others only tcp and udp
group() {
	case $1 in
	app | proxy) echo "$1 $2$3" ;;
	*) echo "$1 $2" ;;
	esac
}

# every owner to every place and port, from a socket that is not bound
plain() {
	local owner family place port g
	for owner in $owners; do
		for family in 4 6 m; do
			g=$(group "$owner" tcp "$family")
			for place in $(places "$family"); do
				for port in $tcp_ports; do
					row "$g" "$owner tcp$family connect=$place:$port"
				done
			done
			g=$(group "$owner" udp "$family")
			for place in $(places "$family"); do
				for port in $udp_ports; do
					row "$g" "$owner udp$family connect=$place:$port"
					row "$g" "$owner udp$family send=$place:$port"
				done
			done
		done
	done
}

# sockets that are bound first; "+" stands for the blank between two steps
bound() {
	local owner family place binding port
	for owner in app proxy; do
		for family in 4 6 m; do
			for place in outside pod lo any; do
				for binding in $bindings; do
					binding=${binding//+/ }
					for port in 80 53; do
						row "$owner tcp bound" "$owner tcp$family $binding connect=$place:$port"
					done
					for port in 53 5353; do
						row "$owner udp bound" "$owner udp$family $binding connect=$place:$port"
						row "$owner udp bound" "$owner udp$family $binding send=$place:$port"
					done
				done
			done
		done
	done
}

# sockets that are used more than once: the steps, one row a line
tcp_sequences() {
	cat <<-'END'
		connect=outside:80 connect=outside:8080
		connect=outside:80 connect=pod:8080
		connect=pod:8080 connect=outside:80
		connect=pod:9 connect=outside:80
		connect=pod:9 connect=pod:8080
		connect=pod:9 connect=pod2:9 connect=outside:53
		connect=outside:80 unspec connect=outside:8080
		connect=outside:80 unspec connect=lo:8080
		connect=outside:80 unspec connect=pod:8080
		connect=outside:80 unspec connect=outside:15020
		connect=outside:15020 unspec connect=outside:80
		connect=outside:53 unspec connect=outside:80 unspec connect=svc:15020
		connect=pod:9 unspec connect=outside:80
		bind=pod:fixed connect=outside:80 unspec connect=svc:8080
		bind=any:fixed connect=outside:80 unspec connect=pod:8080
		bind=pod:0 connect=outside:80 unspec connect=outside:15020
		nbconnect=outside:80
		nbconnect=outside:53
		nbconnect=outside:15020
		nbconnect=pod:8080
		nbconnect=pod:9
		bind=lo:0 connect=pod:9
		twice=outside:80,outside:8080
		twice=outside:80,svc:80
		twice=outside:80,outside:15020
		twice=pod:8080,pod:80
	END
}

udp_sequences() {
	cat <<-'END'
		connect=outside:53 connect=outside2:53
		connect=outside:53 connect=outside:5353
		connect=outside:5353 connect=outside:53
		connect=outside:53 connect=pod:5353
		connect=outside:53 unspec connect=lo:5353
		connect=outside:53 unspec connect=outside2:53
		connect=outside:53 unspec send=outside:5353
		connect=outside:53 unspec send=outside2:53
		connect=outside:53 send=outside:53
		connect=outside:53 send=outside2:53
		connect=outside:53 send=outside:5353
		connect=outside:5353 send=outside:53
		send=outside:53 send=outside2:53 send=outside:53
		send=outside:53 send=outside:5353 send=outside:53
		send=outside:53 connect=outside2:53
		send=outside:5353 connect=outside:53 connect=outside:5353
		send=outside:5353 connect=outside:53 connect=outside2:53
		send=outside:5353 connect=outside:53 send=outside:5353
		send=outside:5353 connect=outside:53 send=outside2:53
		send=outside:53 send=lo:53
		send=outside:53 connect=outside:5353
		send2=outside:53,outside2:53
		send2=svc:53,svc2:53
		send2=svc:53,lo:53
		send2=svc:53,pod:53
		send2=svc:53,svc:5353
		bind=pod:fixed send2=svc:53,svc2:53
		bind=any:fixed send2=svc:53,svc2:53
		bind=any:0 send=svc:53 send2=svc:53,svc2:5353
	END
}

# the two queries of a captured look-up, the application's and the proxy's own, share a port
shared_port() {
	local owner family
	for owner in app proxy uid1337 app-gid1337; do
		for family in 4 6 m; do
			row "udp from one port" "$owner udp$family follow=outside:53"
			row "udp from one port" "$owner udp$family follow=pod:53"
		done
	done
}

sequences() {
	local owner family steps
	for owner in app proxy; do
		for family in 4 6 m; do
			tcp_sequences | while read -r steps; do
				row "$owner tcp sequences" "$owner tcp$family $steps"
			done
			udp_sequences | while read -r steps; do
				row "$owner udp sequences" "$owner udp$family $steps"
			done
		done
		# one socket, resolvers of both families
		row "$owner udp sequences" "$owner udpm send2=svc:53,svc6:53"
		row "$owner udp sequences" "$owner udpm send=svc6:53 send=svc:53"
	done
}

# from outside
inbound() {
	local family place port
	for family in 4 6; do
		for place in pod pod2; do
			for port in $tcp_ports 15021 15090 31234; do
				row "inbound tcp$family" "peer tcp$family connect=$place:$port"
			done
			row "inbound tcp$family" "peer tcp$family bind=outside2:fixed connect=$place:8080"
			row "inbound tcp$family" "peer tcp$family nbconnect=$place:80"
			for port in 53 5353 80; do
				row "inbound udp$family" "peer udp$family connect=$place:$port"
				row "inbound udp$family" "peer udp$family send=$place:$port"
				row "inbound udp$family from port 53" "peer udp$family bind=outside2:53 connect=$place:$port"
			done
		done
		row "inbound tcp$family from one port" "peer tcp$family twice=pod:80,pod:8080"
		row "inbound tcp$family from one port" "peer tcp$family twice=pod:8080,pod2:8080"
		row "inbound tcp$family from one port" "peer tcp$family twice=pod:8080,pod:15020"
		row "inbound udp$family" "peer udp$family send2=pod:53,pod2:53"
	done
}

plain
bound
sequences
shared_port
inbound
