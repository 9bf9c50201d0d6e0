/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "import_refusals.h"

#include <stddef.h>

#define NOT_THERE "cannot be expressed: Istio has no such rule there"
#define FORWARDED                                                                          \
	"an interface of virtual machines: forwarded traffic has no socket that could be " \
	"redirected"
#define NO_PORT "is not a port: a number from 1 to 65535"
#define NO_ID "is not an id: a number from 0 to 4294967294"

const struct refusal refusals[] = {
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n",
	  "-A OUTPUT -d 10.0.0.1/32 -p tcp -j DNAT --to-destination 10.0.0.2\n&", NULL,
	  "cannot be expressed: '--to-destination' is not known here" },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n",
	  "-A OUTPUT -d 10.0.0.1/32 -p tcp -j REDIRECT --to-ports 8080\n&", NULL,
	  "cannot be expressed: Istio has '-A OUTPUT -j ISTIO_OUTPUT' in its place" },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n", "&\n-A OUTPUT -p udp -j REDIRECT",
	  "-p udp -j REDIRECT", NOT_THERE },
	{ "cni-1.25.rules", "-A OUTPUT -j ISTIO_OUTPUT\n", "-A OUTPUT -g ISTIO_OUTPUT", NULL,
	  "cannot be expressed: Istio has '-A OUTPUT -j ISTIO_OUTPUT' in its place" },
	{ "cni-1.25.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND", "-A PREROUTING -j ISTIO_PRERT",
	  NULL, "of Istio's ambient mode, in which a pod has no proxy" },
	{ "cni-1.25.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND",
	  "-A PREROUTING -i k6t-eth0 -j ISTIO_REDIRECT\n-A PREROUTING -i k6t-eth0 -j RETURN\n&",
	  NULL, FORWARDED },
	{ "cni-1.25.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND",
	  "-A PREROUTING -d 10.0.0.0/8 -i k6t-eth0 -j ISTIO_REDIRECT\n&", NULL, FORWARDED },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN", NULL,
	  "! --dport 15008 -m owner --gid-owner 1337",
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN' in "
	  "its "
	  "place" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN",
	  "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n&", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -s 127.0.0.6 -o lo -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
	  "&\n-A ISTIO_OUTPUT -p tcp -m tcp --dport 80 -j RETURN", "--dport 80", NOT_THERE },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN", NULL,
	  "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -d 127.0.0.1 -j RETURN' in its place" },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT", NULL, "table nat",
	  "IPv4: '-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001' is missing" },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT",
	  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001-15010", NULL,
	  "cannot be expressed: '--to-ports 15001-15010' " NO_PORT },
	{ "cni-1.25.rules", "-A ISTIO_REDIRECT -p tcp -j REDIRECT",
	  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001 --random", NULL,
	  "cannot be expressed: '--random' is not known here" },
	{ "cni-1.25.rules", "--dport 15021 -j RETURN",
	  "-A ISTIO_INBOUND -p tcp -m tcp --dport 8000:8010 -j RETURN", NULL,
	  "cannot be expressed: '--dport 8000:8010' " NO_PORT },
	{ "cni-1.25.rules", "--dport 15021 -j RETURN",
	  "-A ISTIO_INBOUND -s 10.0.0.0/8 -p tcp -m tcp --dport 15021 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "--dport 15008 -j RETURN",
	  "-A ISTIO_INBOUND -p tcp -m tcp --dport 15009 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN' in its "
	  "place" },
	{ "cni-1.12.rules", "--dport 15008 -j RETURN", NULL, "--dport 22 -j RETURN",
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN' in its "
	  "place" },
	{ "cni-1.25.rules", "! --uid-owner 1337 -j RETURN",
	  "-A ISTIO_OUTPUT -o lo -p tcp -m tcp ! --dport 53 -m owner ! --uid-owner 1337-1338 -j "
	  "RETURN",
	  NULL, "cannot be expressed: '--uid-owner 1337-1338' " NO_ID },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d 10.0.0.0/8 -m set --match-set mesh dst -j RETURN", "--match-set",
	  "cannot be expressed: 'set' is a match that is not known here" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -m addrtype --dst-type LOCAL -j RETURN", "addrtype",
	  "cannot be expressed: 'addrtype' is a match that is not known here" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32", "&\n-A ISTIO_OUTPUT -d ! -j RETURN",
	  "-d ! -j", "cannot be expressed: '-d -j' is not an IPv4 or IPv6 address" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT ! -d 0.0.0.0/0 -j RETURN", "! -d 0.0.0.0/0",
	  "cannot be expressed: '-d 0.0.0.0/0' is negated, and so matches nothing" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d 10.0.0.1 -d 10.0.0.2 -j RETURN", "-d 10.0.0.1 -d",
	  "cannot be expressed: '-d 10.0.0.2' is there twice" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -d fd00::/8 -j RETURN",
	  "fd00::", "an IPv6 address in a table of IPv4" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "&\n-A ISTIO_OUTPUT -o a,b -j RETURN", "a,b",
	  "cannot be expressed: '-o a,b' is not an interface's name that a list can hold" },
	{ "cni-1.25.rules", "--dport 53 -j CT --zone 2", NULL, "--sport 15053 -m owner --gid-owner",
	  "Istio has '-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j CT --zone 2' behind it, which is "
	  "missing" },
	{ "cni-1.25.rules", "--dport 53 -j CT --zone 2", "-A OUTPUT -p udp -j CT --notrack", NULL,
	  "cannot be expressed: '--notrack' is not known here" },
	{ "cni-1.25.rules", "*raw", "*mangle\n-A FORWARD -j TCPMSS --clamp-mss-to-pmtu\nCOMMIT\n&",
	  "TCPMSS", "cannot be expressed: '--clamp-mss-to-pmtu' is not known here" },
	{ "cni-1.25.rules", "*raw", "*mangle\n-A OUTPUT -j MARK --set-mark 1\nCOMMIT\n&", "MARK",
	  NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n&", "table nat",
	  "there twice for IPv4, the second time from line 22 on" },
	{ "cni-1.25.rules", ":POSTROUTING", "&\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE",
	  "MASQUERADE", NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*filter\n-A INPUT -p tcp -j DROP\nCOMMIT\n&", "DROP",
	  NOT_THERE },
	{ "cni-1.25.rules", "*raw", "*filter\n-A INPUT -m bpf --bytecode 1 -j DROP\nCOMMIT\n&",
	  "bpf", "cannot be expressed: 'bpf' is a match that is not known here" },
	{ "cni-1.25.rules", "*raw", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n&", ":FORWARD DROP",
	  "cannot be expressed: Istio's policies are ACCEPT" },
	{ "listed.rules", "-P FORWARD ACCEPT", "-P FORWARD DROP", NULL,
	  "cannot be expressed: Istio's policies are ACCEPT" },
	{ "listed-nat.rules", "-A PREROUTING -p tcp -j ISTIO_INBOUND", NULL, "table nat",
	  "IPv4: '-A PREROUTING -p tcp -j ISTIO_INBOUND' is missing" },
	{ "listed-nat.rules", "-P PREROUTING ACCEPT", NULL, "-N ISTIO_INBOUND",
	  "the lines before it do not tell its table" },
	{ "cni-1.25.rules", "*raw", "*broute", NULL, "not a table of iptables" },
	{ "cni-1.25.rules", "*nat", "nat:", NULL, "not a line of iptables-save or iptables -S" },
	{ "cni-1.25.rules", "*raw", "# Table `nat' is incompatible, use 'nft' tool.\n&", NULL,
	  "there are rules that iptables cannot show" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32",
	  "-A ISTIO_OUTPUT -m comment --comment \"open -d 127.0.0.1/32 -j RETURN", NULL,
	  "a quote is left open" },
	{ "cni-1.25.rules", "-A ISTIO_OUTPUT -d 127.0.0.1/32", "--append", NULL, "names no chain" },
	{ "groups-only.rules", "! --gid-owner 203 -m owner ! --gid-owner 1000 -j RETURN",
	  "-A ISTIO_OUTPUT -m owner ! --gid-owner 202 -m owner --gid-owner 203 -j RETURN", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT -m owner ! --gid-owner 202 -m owner ! "
	  "--gid-owner 203 -j RETURN' in its place" },
	{ "cni-1.30-dual.rules", "! -d ::1/128 -o lo -p tcp -m tcp ! --dport 15008",
	  "-A ISTIO_OUTPUT ! -d ::1/128 -o lo -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT", NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT ! -d ::1 -o lo -p tcp ! --dport 15008 "
	  "-m "
	  "owner --gid-owner 1337 -j ISTIO_IN_REDIRECT' in its place" },
	{ "tproxy-1.30-dns.rules", "-j MARK --set-xmark 0x53a/0xffffffff",
	  "-A OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 0 -j MARK --set-xmark "
	  "0x53a/0xff",
	  NULL, "cannot be expressed: '--set-xmark 0x53a/0xff' is a mark with a mask" },
	{ "tproxy-1.30-dns.rules", "-A ISTIO_INBOUND -s 127.0.0.6/32", NULL, "! --mark 0x53a",
	  "cannot be expressed: Istio has '-A ISTIO_INBOUND -s 127.0.0.6 -i lo -p tcp -j RETURN' "
	  "in its "
	  "place" },
	{ "cni-1.25.rules", "! -d 127.0.0.1/32 -o lo -p tcp -m multiport",
	  "-A ISTIO_OUTPUT ! -d 10.0.0.0/8 -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
	  NULL,
	  "cannot be expressed: Istio has '-A ISTIO_OUTPUT ! -d 127.0.0.1 -o lo -p tcp -m "
	  "multiport "
	  "! --dports 53,15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT' in its place" },
	{ "interfaces.rules", "-A PREROUTING -i net1 -j RETURN", NULL, "-A PREROUTING -i eth+",
	  FORWARDED },
	{ 0 },
};
