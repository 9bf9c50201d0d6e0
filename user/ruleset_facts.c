/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The part of a ruleset that follows the pod: addresses, routes, interfaces; and how it comes together
 * with what the flags say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ruleset_impl.h"

#define V4_BITS 96
#define NESTING 130 /* prefixes of different length that can cover one address, and one more */
#define ROUTE_BITS (CLASS_LOCAL | CLASS_BROADCAST | CLASS_IFACE_EXCLUDED)
#define LOCAL_TABLE (CLASS_LOCAL | CLASS_BROADCAST)
#define FIXED 3 /* prefixes that every pod has */

static const struct prefix v4_all = { .addr = { .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } },
				      .len = V4_BITS };
static const struct prefix v4_loopback = { .addr = { .w = { 0, 0, ST_V4(0, 0, 255, 255),
							    ST_V4(127, 0, 0, 0) } },
					   .len = V4_BITS + 8 };
static const struct prefix v6_loopback = { .addr = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 1) } },
					   .len = 128 };
static const struct prefix v6_passthrough = { .addr = { .w = { 0, 0, 0, ST_V4(0, 0, 0, 6) } },
					      .len = 128 };

/* --- interfaces --------------------------------------------------------------------------------- */

int iface_fits(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	return n && pattern[n - 1] == '+' ? !strncmp(name, pattern, n - 1) : !strcmp(name, pattern);
}

/* Whether -c names it. The words of a name are together, in order or not yet sorted. */
static int is_excluded(const struct ruleset *rs, const char *name)
{
	char pattern[IFACE_NAME_MAX];
	const struct id_entry *id, *end = rs->ids + rs->nr_ids;

	for (id = rs->ids; id < end; id++) {
		if (id->kind != ID_IFACE_NAME)
			continue;
		memcpy(pattern + id->value % IFACE_WORDS * sizeof(id->class), &id->class,
		       sizeof(id->class));
		if (id->value % IFACE_WORDS == IFACE_WORDS - 1 && iface_fits(pattern, name))
			return 1;
	}
	return 0;
}

static const char *iface_name(const struct pod_facts *pod, __u32 index)
{
	size_t i;

	for (i = 0; i < pod->nr_ifaces; i++)
		if (pod->ifaces[i].index == index)
			return pod->ifaces[i].name;
	return "";
}

/* --- classes ------------------------------------------------------------------------------------ */

static int compare_tree(const void *a, const void *b)
{
	return prefix_compare(&((const struct class_entry *)a)->prefix,
			      &((const struct class_entry *)b)->prefix);
}

int ruleset_compare_length(const void *a, const void *b)
{
	const struct prefix *x = &((const struct class_entry *)a)->prefix;
	const struct prefix *y = &((const struct class_entry *)b)->prefix;

	return x->len != y->len ? (int)x->len - (int)y->len : prefix_compare(x, y);
}

/* What a prefix has from one that covers it, or from another entry of itself: all its lists, and the
 * route if it has none of its own. A local or broadcast route comes before all others, as its table does.
 */
static void inherit(struct class_entry *to, const struct class_entry *from)
{
	to->class |= from->class & ~ROUTE_BITS;
	if (!from->is_route ||
	    (to->is_route && (to->class & LOCAL_TABLE || !(from->class & LOCAL_TABLE))))
		return;
	to->class = (to->class & ~ROUTE_BITS) | (from->class & ROUTE_BITS);
	to->src = from->src;
	to->is_route = 1;
}

/* Whether the look-up would say the same without it. Between the families it always stays, as what is
 * inside of it must not take anything from what is around it.
 */
static int is_needed(const struct class_entry *c, const struct class_entry *around)
{
	if (!around)
		return c->class || !addr_is_zero(&c->src);
	return prefix_is_v4(&around->prefix) != prefix_is_v4(&c->prefix) ||
	       c->class != around->class || !addr_equal(&c->src, &around->src);
}

/* One longest match has to answer for all lists, so every prefix gets the classes of those around
 * it. In tree order these are on a stack. IPv4 lies inside of IPv6 here, but no IPv6 prefix covers
 * IPv4: v4_all starts anew.
 */
static size_t nest(struct class_entry *classes, size_t nr)
{
	struct class_entry *stack[NESTING], *around, *to = classes;
	const struct class_entry *from = classes, *end = classes + nr;
	int top = 0;

	while (from < end) {
		*to = *from++;
		while (from < end && !compare_tree(to, from))
			inherit(to, from++);
		while (top && !addr_covered(&to->prefix.addr, &stack[top - 1]->prefix.addr,
					    stack[top - 1]->prefix.len))
			top--;
		around = top ? stack[top - 1] : NULL;
		if (around && prefix_is_v4(&around->prefix) == prefix_is_v4(&to->prefix))
			inherit(to, around);
		if (is_needed(to, around))
			stack[top++] = to++;
	}
	return to - classes;
}

static int covers_v4(const struct class_entry *classes, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (classes[i].prefix.len < v4_all.len &&
		    addr_covered(&v4_all.addr, &classes[i].prefix.addr, classes[i].prefix.len))
			return 1;
	return 0;
}

/* The array has room for one more. Returns how many are left. */
static size_t flatten(struct class_entry *classes, size_t nr)
{
	if (covers_v4(classes, nr))
		classes[nr++] = (struct class_entry){ .prefix = v4_all };
	qsort(classes, nr, sizeof(*classes), compare_tree);
	nr = nest(classes, nr);
	qsort(classes, nr, sizeof(*classes), ruleset_compare_length);
	return nr;
}

static void add_route(const struct ruleset *rs, struct class_entry **to, const struct prefix *p,
		      __u32 class, const struct addr *src)
{
	if (!prefix_is_v4(p) && !(rs->policy.flags & POLICY_V6))
		return;
	**to = (struct class_entry){ .prefix = *p, .class = class, .is_route = 1 };
	if (src)
		(*to)->src = *src;
	++*to;
}

static __u32 route_class(const struct ruleset *rs, const struct pod_facts *pod,
			 const struct route *r)
{
	const char *iface = iface_name(pod, r->iface);
	__u32 class = is_excluded(rs, iface) ? CLASS_IFACE_EXCLUDED : 0;

	if (!r->broadcast)
		return class;
	return class | CLASS_BROADCAST | (strcmp(iface, "lo") ? 0 : CLASS_LOCAL);
}

/* What routes say of destinations. classes: FIXED and the pod's, and one more. */
static size_t route_classes(const struct ruleset *rs, const struct pod_facts *pod,
			    struct class_entry *classes)
{
	__u32 local = CLASS_LOCAL | (is_excluded(rs, "lo") ? CLASS_IFACE_EXCLUDED : 0);
	struct class_entry *to = classes;
	const struct route *r;
	size_t i;

	add_route(rs, &to, &v4_loopback, local, NULL);
	add_route(rs, &to, &v6_loopback, local | CLASS_LOOPBACK, NULL);
	add_route(rs, &to, &v6_passthrough, local, NULL);
	for (i = 0; i < pod->nr_local; i++)
		add_route(rs, &to, &pod->local[i], local,
			  pod->local_src ? &pod->local_src[i] : NULL);
	for (r = pod->routes; r < pod->routes + pod->nr_routes; r++)
		add_route(rs, &to, &r->dst, route_class(rs, pod, r), &r->src);
	return to - classes;
}

/* --- ids ---------------------------------------------------------------------------------------- */

int ruleset_compare_ids(const void *a, const void *b)
{
	const struct id_entry *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

static void finish_ids(struct ruleset *rs)
{
	struct id_entry *to = rs->ids, *from;

	qsort(rs->ids, rs->nr_ids, sizeof(*rs->ids), ruleset_compare_ids);
	for (from = rs->ids + 1; from < rs->ids + rs->nr_ids; from++) {
		if (!ruleset_compare_ids(to, from))
			to->class |= from->class;
		else
			*++to = *from;
	}
	rs->nr_ids = to - rs->ids + 1; /* the hash is always there */
}

/* FNV-1a */
static void hash(__u64 *h, const void *data, size_t size)
{
	const __u8 *byte = data;

	while (size--)
		*h = (*h ^ *byte++) * 0x100000001b3;
}

static __u64 hash_facts(const struct ruleset *rs, const struct class_entry *c, size_t nr)
{
	const __u32 flags = rs->policy.flags & (POLICY_V6 | POLICY_SPREAD);
	const struct id_entry *id;
	__u64 h = 0xcbf29ce484222325;

	hash(&h, &flags, sizeof(flags));
	hash(&h, &rs->policy.src4, sizeof(rs->policy.src4));
	hash(&h, &rs->policy.src6, sizeof(rs->policy.src6));
	for (; nr; nr--, c++) {
		hash(&h, &c->prefix, sizeof(c->prefix.addr) + sizeof(c->prefix.len));
		hash(&h, &c->class, sizeof(c->class));
		hash(&h, &c->src, sizeof(c->src));
	}
	for (id = rs->ids; id < rs->ids + rs->nr_ids; id++)
		if (id->kind == ID_IFACE)
			hash(&h, &id->value, sizeof(id->value));
	return h;
}

__u64 ruleset_facts_hash(const struct ruleset *rs)
{
	return (__u64)ruleset_id(rs, ID_FACTS, 1) << 32 | ruleset_id(rs, ID_FACTS, 0);
}

static void add_ids(struct ruleset *rs, const struct pod_facts *pod)
{
	size_t i;

	for (i = 0; i < pod->nr_ifaces; i++)
		if (is_excluded(rs, pod->ifaces[i].name))
			rs->ids[rs->nr_ids++] =
				(struct id_entry){ ID_IFACE, pod->ifaces[i].index, IFACE_EXCLUDED };
}

static void add_hash(struct ruleset *rs, __u64 h)
{
	rs->ids[rs->nr_ids++] = (struct id_entry){ ID_FACTS, 0, (__u32)h };
	rs->ids[rs->nr_ids++] = (struct id_entry){ ID_FACTS, 1, h >> 32 };
}

/* --- both --------------------------------------------------------------------------------------- */

static int grow(void **array, size_t nr, size_t size)
{
	void *more = realloc(*array, nr * size);

	if (!more)
		return -ENOMEM;
	*array = more;
	return 0;
}

static void set_policy(struct policy *p, const struct pod_facts *pod)
{
	p->src4 = pod->src4;
	p->src6 = pod->src6;
	p->flags |= pod->spread ? POLICY_SPREAD : 0;
	p->flags |= p->flags & POLICY_V6_AUTO && pod->ipv6 ? POLICY_V6 : 0;
}

int ruleset_add_facts(struct ruleset *rs, const struct pod_facts *pod, struct st_err *e)
{
	size_t room = FIXED + pod->nr_local + pod->nr_routes + 1, nr;
	struct class_entry *facts = calloc(room, sizeof(*facts));

	if (!facts || grow((void **)&rs->classes, rs->nr_classes + room, sizeof(*rs->classes)) ||
	    grow((void **)&rs->ids, rs->nr_ids + pod->nr_ifaces + 2, sizeof(*rs->ids))) {
		free(facts);
		return err_sys(e, ENOMEM, "policy", NULL);
	}
	set_policy(&rs->policy, pod);
	nr = route_classes(rs, pod, facts);
	memcpy(rs->classes + rs->nr_classes, facts, nr * sizeof(*facts));
	rs->nr_classes = flatten(rs->classes, rs->nr_classes + nr);
	add_ids(rs, pod);
	add_hash(rs, hash_facts(rs, facts, flatten(facts, nr)));
	finish_ids(rs);
	free(facts);
	return 0;
}

/* A prefix has the bits of all around it, so that none is lost with a prefix that is the pod's alone;
 * and what such a prefix leaves says what is said around it.
 */
void ruleset_keep_flags(struct ruleset *rs)
{
	const __u32 lists = CLASS_INCLUDED | CLASS_EXCLUDED | CLASS_RESOLVER;
	struct class_entry *c;
	size_t i, ids = 0;

	if (rs->nr_classes) /* none is NULL, which qsort() does not take */
		qsort(rs->classes, rs->nr_classes, sizeof(*rs->classes), compare_tree);
	for (c = rs->classes; c < rs->classes + rs->nr_classes; c++)
		*c = (struct class_entry){
			.prefix = c->prefix,
			/* --ipv4-loopback-cidr is a flag, ::1 is not */
			.class = c->class &
				 (prefix_is_v4(&c->prefix) ? lists | CLASS_LOOPBACK : lists),
		};
	rs->nr_classes = nest(rs->classes, rs->nr_classes);
	for (i = 0; i < rs->nr_ids; i++)
		if (rs->ids[i].kind != ID_IFACE && rs->ids[i].kind != ID_FACTS)
			rs->ids[ids++] = rs->ids[i];
	rs->nr_ids = ids;
	if (ids)
		qsort(rs->ids, ids, sizeof(*rs->ids), ruleset_compare_ids);
	rs->policy.flags &= ~(POLICY_SPREAD | (rs->policy.flags & POLICY_V6_AUTO ? POLICY_V6 : 0));
	memset(&rs->policy.src4, 0, sizeof(rs->policy.src4));
	memset(&rs->policy.src6, 0, sizeof(rs->policy.src6));
}
