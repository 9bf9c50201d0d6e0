// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// client 4|6 NAME PORT: resolves by Go's own resolver, connects, tells both ends and what was
// answered. The resolver uses connected UDP sockets, asks them for their addresses, and has A and
// AAAA on the way at once.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
)

func main() {
	dialer := net.Dialer{Resolver: &net.Resolver{PreferGo: true}}
	conn, err := dialer.Dial("tcp"+os.Args[1], net.JoinHostPort(os.Args[2], os.Args[3]))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Fprintln(conn, "hello")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("peer=%v name=%v %s", conn.RemoteAddr(), conn.LocalAddr(), line)
}
