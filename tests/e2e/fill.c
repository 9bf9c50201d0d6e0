// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fills a pinned hash as other pods would, and makes room again:
 *
 *	e2e_fill PIN		takes all places that are left, with keys of which each ends in its number
 *	e2e_fill -d PIN		removes these keys
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

int main(int argc, char **argv)
{
	int empty = argc == 3 && !strcmp(argv[1], "-d");
	struct bpf_map_info info = {};
	__u32 size = sizeof(info), n;
	void *key, *value;
	int fd;

	if (argc != 2 + empty)
		errx(2, "usage: e2e_fill [-d] PIN");
	fd = bpf_obj_get(argv[1 + empty]);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		err(1, "%s", argv[1 + empty]);
	if (info.key_size < sizeof(n))
		errx(1, "%s: a key has no room for a number", argv[1 + empty]);
	key = malloc(info.key_size);
	value = calloc(1, info.value_size);
	if (!key || !value)
		err(1, NULL);
	memset(key, 0xff, info.key_size);
	for (n = 0; n < info.max_entries; n++) {
		memcpy((char *)key + info.key_size - sizeof(n), &n, sizeof(n));
		if (empty)
			bpf_map_delete_elem(fd, key);
		else if (bpf_map_update_elem(fd, key, value, BPF_ANY))
			break;
	}
	if (!empty && (n == info.max_entries || errno != E2BIG))
		err(1, "%s: not full after %u keys", argv[1], n);
	free(key);
	free(value);
	return 0;
}
