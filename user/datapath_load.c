/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "probe.h"
#include "st_all.skel.h"

/* The last of what libbpf said, for a failed load; else nobody wants to read it. */
static char libbpf_says[2048];

__attribute__((format(printf, 2, 0))) static int keep_message(enum libbpf_print_level level,
							      const char *format, va_list args)
{
	char line[4096];
	size_t n, have = strlen(libbpf_says);

	if (level == LIBBPF_DEBUG)
		return 0;
	if (vsnprintf(line, sizeof(line), format, args) >= (int)sizeof(line))
		line[sizeof(line) - 2] = '\n'; /* a log that is cut off */
	n = strlen(line);
	if (n >= sizeof(libbpf_says)) {
		memmove(line, line + n - sizeof(libbpf_says) + 1, sizeof(libbpf_says));
		n = sizeof(libbpf_says) - 1;
	}
	if (have + n >= sizeof(libbpf_says)) {
		size_t drop = have + n - sizeof(libbpf_says) + 1;

		memmove(libbpf_says, libbpf_says + drop, have - drop + 1);
		have -= drop;
	}
	memcpy(libbpf_says + have, line, n + 1);
	return 0;
}

void datapath_load_quietly(void)
{
	libbpf_set_print(keep_message);
}

/* FNV-1a */
static __u64 hash(__u64 h, const void *data, size_t size)
{
	const __u8 *c = data;

	while (size--)
		h = (h ^ *c++) * 0x100000001b3;
	return h;
}

const char *datapath_build(void)
{
	static char text[sizeof((struct version){}.build)];
	__u64 h = 0xcbf29ce484222325;
	const void *elf;
	size_t size;

	if (text[0])
		return text;
	elf = st_all__elf_bytes(&size);
	h = hash(h, elf, size);
	snprintf(text, sizeof(text), "%016llx", h);
	return text;
}

/* Those of an object's maps that are there already; without DP all are made anew. */
static int reuse_maps(struct bpf_object *obj, const struct datapath *dp)
{
	struct bpf_map *map;
	int i, err = 0;

	for (i = 0; dp && i < NR_MAPS && !err; i++) {
		map = bpf_object__find_map_by_name(obj, map_names[i]);
		err = map ? bpf_map__reuse_fd(map, dp->map[i]) : 0;
	}
	return err;
}

/* libbpf has a type's description only where it could make the map with it. These never have one. */
static int is_described(const struct bpf_map *map)
{
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_SOCKHASH:
		return 1;
	default:
		return bpf_map__btf_value_type_id(map) != 0;
	}
}

/* What the kernel has refused with its types (BTF) and libbpf then made, or tried to make, without: or NULL.
 * It does so after every error. bpftool would show bytes, for as long as the map lives, and EINVAL for
 * storage of sockets, which needs the types, would say nothing about the kernel.
 */
static const char *without_types(const struct bpf_object *obj)
{
	const struct bpf_map *map;

	if (bpf_object__btf_fd(obj) < 0)
		return ".BTF";
	bpf_object__for_each_map(map, obj)
		if (!is_described(map))
			return bpf_map__name(map);
	return NULL;
}

/* Makes what libbpf said of that the last that it said, if it did. */
static int ends_with(const char *name)
{
	char *line = strstr(libbpf_says, name), *end = line ? strchr(line, '\n') : NULL;

	if (end)
		end[1] = 0;
	return line != NULL;
}

static struct st_all *try_load(const struct datapath *dp, const struct abilities *a, int *ret_err)
{
	const char *name = NULL;
	struct st_all *skel;
	int err;

	libbpf_says[0] = 0;
	skel = st_all__open();
	if (!skel) {
		*ret_err = -errno;
		return NULL;
	}
	skel->rodata->kernel_reads = a->kernel_reads;
	skel->rodata->mptcp_known = a->mptcp_known;
	err = reuse_maps(skel->obj, dp) ?: st_all__load(skel);
	if (!err || err == -EINVAL)
		name = without_types(skel->obj);
	if (name && (ends_with(name) || !err))
		err = -ENOMEM;
	*ret_err = err;
	if (!err)
		return skel;
	st_all__destroy(skel);
	return NULL;
}

/* With all abilities, or with those that the kernel says it has: only what it lacks is gone without. */
struct st_all *datapath_load(const struct datapath *dp, struct st_err *e, int *ret_err)
{
	struct abilities a = { 1, 1 };
	struct st_all *skel = try_load(dp, &a, ret_err);

	if (!skel && *ret_err != -ENOMEM) {
		probe_abilities(&a);
		if (!a.kernel_reads || !a.mptcp_known)
			skel = try_load(dp, &a, ret_err);
	}
	if (!skel)
		*ret_err = probe_explain(-*ret_err, libbpf_says, e);
	return skel;
}
