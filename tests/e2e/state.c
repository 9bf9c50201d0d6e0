// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * All that there is of socktables, one thing a line, in words that are the same whenever the state is:
 *
 *	e2e_state CGROUP NETNS		pins, the contents of the maps, the links that hang on that
 *					cgroup directory or network namespace
 *
 * What belongs to a policy is named by its pod, and "nobody" owns what no policy names: garbage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "../../include/policy.h"

#define BPFFS "/sys/fs/bpf"
static struct owner {
	__u64 cookie;
	struct policy policy;
} owners[ST_PODS_MAX];
static int nr_owners;

static int print_pin(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type;
	if (ftw->level && !strstr(path, ".debug"))
		printf("pin %s\n", path + strlen(BPFFS "/"));
	return 0;
}

static int is(const char *path, __u64 ino)
{
	struct stat st;

	return !stat(path, &st) && st.st_ino == ino;
}

static void print_links(const char *cgroup, const char *netns)
{
	struct bpf_link_info info;
	__u32 id = 0, size;
	int fd;

	while (!bpf_link_get_next_id(id, &id)) {
		fd = bpf_link_get_fd_by_id(id);
		if (fd < 0)
			continue;
		memset(&info, 0, sizeof(info));
		size = sizeof(info);
		if (bpf_obj_get_info_by_fd(fd, &info, &size))
			err(1, "link %u", id);
		close(fd);
		if (info.type == BPF_LINK_TYPE_CGROUP && is(cgroup, info.cgroup.cgroup_id))
			printf("link cgroup %u\n", info.cgroup.attach_type);
		if (info.type == BPF_LINK_TYPE_NETNS && is(netns, info.netns.netns_ino))
			printf("link netns %u\n", info.netns.attach_type);
	}
}

static const char *owner_of_policy(__u32 id)
{
	int i;

	for (i = 0; i < nr_owners; i++)
		if (owners[i].policy.id == id)
			return owners[i].policy.name;
		else if (OTHER_ID(owners[i].policy.id) == id)
			return "somebody's old or new policy";
	return "nobody";
}

static const char *owner_of_cookie(__u64 cookie)
{
	int i;

	for (i = 0; i < nr_owners; i++)
		if (owners[i].cookie == cookie)
			return owners[i].policy.name;
	return "nobody";
}

/* What differs each time is left out: ids, inodes and cookies. */
static void print_policy(int fd, const void *key)
{
	struct owner *o = &owners[nr_owners];
	struct policy *p = &o->policy;

	if (nr_owners == ST_PODS_MAX || bpf_map_lookup_elem(fd, key, p))
		return;
	memcpy(&o->cookie, key, sizeof(o->cookie));
	nr_owners++;
	printf("policy %s flags %x ports %u %u uid %u gid %u mark %u table %u\n", p->name, p->flags,
	       p->outbound_port, p->inbound_port, p->uid, p->gid, p->tproxy_mark, p->tproxy_table);
}

static void print_class(int fd, const void *key)
{
	const struct class_key *k = key;
	char addr[INET6_ADDRSTRLEN], src[INET6_ADDRSTRLEN];
	struct class_value v;

	if (bpf_map_lookup_elem(fd, key, &v))
		return;
	inet_ntop(AF_INET6, &k->addr, addr, sizeof(addr));
	inet_ntop(AF_INET6, &v.src, src, sizeof(src));
	printf("class %s %s/%u %x src %s\n", owner_of_policy(k->policy), addr, k->prefixlen - 32,
	       v.class, src);
}

static void print_id(int fd, const void *key)
{
	const struct id_key *k = key;
	__u32 class;

	if (!bpf_map_lookup_elem(fd, key, &class))
		printf("id %s %u %u %x\n", owner_of_policy(k->policy), k->kind, k->value, class);
}

static void print_count(int fd, const void *key)
{
	__u64 cookie;

	(void)fd;
	memcpy(&cookie, key, sizeof(cookie));
	printf("counters %s\n", owner_of_cookie(cookie));
}

static void print_listener(int fd, const void *key)
{
	__u64 socket;

	if (!bpf_map_lookup_elem(fd, key, &socket))
		printf("listener %s\n", owner_of_cookie(((const struct listener_key *)key)->netns));
}

static void print_handshake(int fd, const void *key)
{
	(void)fd, (void)key;
	puts("handshake");
}

static void print_map(const char *name, void (*print)(int fd, const void *key))
{
	char path[128];
	__u64 key[8], prev[8];
	int fd, more;

	snprintf(path, sizeof(path), BPFFS "/socktables/%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	for (more = bpf_map_get_next_key(fd, NULL, key); !more;
	     more = bpf_map_get_next_key(fd, prev, key)) {
		memcpy(prev, key, sizeof(key));
		print(fd, key);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: e2e_state CGROUP NETNS");
	if (nftw(BPFFS, print_pin, 8, FTW_PHYS))
		err(1, BPFFS);
	print_links(argv[1], argv[2]);
	print_map("st_policy", print_policy);
	print_map("st_class", print_class);
	print_map("st_ids", print_id);
	print_map("st_count", print_count);
	print_map("st_listener", print_listener);
	print_map("st_handshake", print_handshake);
	return 0;
}
