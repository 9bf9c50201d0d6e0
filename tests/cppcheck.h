/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Macros of libraries, for cppcheck, which does not read these libraries. */
#define LIBBPF_OPTS(type, name, ...) struct type name = { __VA_ARGS__ }
#define bpf_object__for_each_map(pos, obj)                  \
	for ((pos) = bpf_object__next_map((obj), 0); (pos); \
	     (pos) = bpf_object__next_map((obj), (pos)))
#define bpf_object__for_each_program(pos, obj)                  \
	for ((pos) = bpf_object__next_program((obj), 0); (pos); \
	     (pos) = bpf_object__next_program((obj), (pos)))
#define json_array_foreach(array, i, value) \
	for ((i) = 0; (value) = json_array_get((array), (i)); (i)++)
#define mnl_attr_for_each(attr, nlh, offset)                                            \
	for ((attr) = mnl_nlmsg_get_payload_offset((nlh), (offset)); mnl_attr_ok(attr); \
	     (attr) = mnl_attr_next(attr))
