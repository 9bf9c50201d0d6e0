// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Client 4|6 NAME PORT: resolves by the C library, connects, tells both ends and what was answered.
 * Client dns RESOLVER NAME: resolves by Java's own DNS client.
 * Java's sockets are AF_INET6 ones, for IPv4 with v4-mapped addresses.
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.Socket;
import java.util.Hashtable;
import javax.naming.Context;
import javax.naming.directory.InitialDirContext;

public class Client {
	private static void resolve(String resolver, String name) throws Exception {
		Hashtable<String, String> env = new Hashtable<>();

		env.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
		env.put(Context.PROVIDER_URL, "dns://" + resolver);
		for (String type : new String[] { "A", "AAAA" })
			System.out.println(new InitialDirContext(env)
					.getAttributes(name, new String[] { type }).get(type).get());
	}

	private static InetAddress address(String name, boolean six) throws Exception {
		for (InetAddress a : InetAddress.getAllByName(name))
			if (a instanceof Inet6Address == six)
				return a;
		throw new Exception(name + " has no such address");
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("dns")) {
			resolve(args[1], args[2]);
			return;
		}
		InetAddress to = address(args[1], args[0].equals("6"));
		try (Socket s = new Socket(to, Integer.parseInt(args[2]))) {
			s.getOutputStream().write("hello\n".getBytes());
			System.out.println("peer=" + s.getRemoteSocketAddress()
					+ " name=" + s.getLocalSocketAddress() + " "
					+ new BufferedReader(new InputStreamReader(s.getInputStream())).readLine());
		}
	}
}
