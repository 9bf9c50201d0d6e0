// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Writes two lists of 10,000 CIDRs, one to include and one to exclude, always the same for one SEED:
 *
 *	e2e_mkcidrs SEED narrow|wide INCLUDE EXCLUDE
 *
 * Both families, nested in each other, side by side, one address with several lengths, with and
 * without host bits. wide ones include everything, loopback too.
 */
#define _GNU_SOURCE
#include "cidrs.h"

#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static int draw_from(int first, int last)
{
	return first + draw() % (last - first + 1);
}

/* Short ones are rare, since few of them would cover all others. */
static int draw_length(bool v6, int shortest)
{
	return draw() % 200 ? draw_from(16, bits(v6)) : draw_from(shortest, 15);
}

static struct cidr draw_new(bool v6, int shortest)
{
	struct cidr c = { { v6, (u128)draw() << 64 | draw() }, draw_length(v6, shortest) };

	if (!v6)
		c.host.n = (uint32_t)c.host.n;
	return c;
}

/* Something that has to do with a CIDR there is. */
static struct cidr draw_near(const struct cidr *old, int shortest)
{
	struct cidr c = draw_new(old->host.v6, shortest);
	struct range r = range_of(old);
	u128 all = host_bits(&(struct cidr){ old->host, 0 });

	switch (draw() % 6) {
	case 0: /* the same address, another length */
		c.host = old->host;
		break;
	case 1: /* within, or around */
		c.host.n = r.first | (c.host.n & host_bits(old));
		break;
	case 2: /* one address within */
		c.host.n = r.first | (c.host.n & host_bits(old));
		c.len = bits(old->host.v6);
		break;
	case 3: /* its neighbours */
		c = *old;
		c.host.n = (r.last + 1) & all;
		break;
	case 4:
		c = *old;
		c.host.n = (r.first - 1) & all;
		break;
	default: /* a half of it */
		c = *old;
		c.len += c.len < bits(old->host.v6);
	}
	return c;
}

static void write_cidr(FILE *f, const struct cidr *c)
{
	char text[ADDR_TEXT];
	union addr a;

	host_address(&c->host, 0, &a);
	inet_ntop(a.sa.sa_family, c->host.v6 ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr,
		  text, sizeof(text));
	fprintf(f, "%s/%d\n", text, c->len);
}

/* FIXED are lines that are always in it, for the ends of everything. */
static void make(const char *path, const char *const *fixed, struct cidr *pool, int *nr_pool,
		 int shortest, bool loopback)
{
	FILE *f = fopen(path, "w");
	struct cidr c;
	int nr = 0;

	if (!f)
		err(1, "%s", path);
	fprintf(f, "# %d CIDRs\n", COUNT);
	for (; fixed[nr]; nr++)
		fprintf(f, "%s # fixed\n", fixed[nr]);
	while (nr < COUNT) {
		c = *nr_pool && draw() % 4 ? draw_near(&pool[draw() % *nr_pool], shortest)
					   : draw_new(draw() & 1, shortest);
		if (draw() & 1)
			c.host.n &= ~host_bits(&c);
		if (c.len < shortest || (c.host.v6 && c.host.n >> 32 == 0xffff) ||
		    (!loopback && is_loopback(c.host)))
			continue;
		pool[(*nr_pool)++] = c;
		write_cidr(f, &c);
		nr++;
	}
	if (fclose(f))
		err(1, "%s", path);
}

static void make_lists(bool wide, const char *to_include, const char *to_exclude)
{
	static const char *const narrow_in[] = { "255.255.255.254/31",
						 "0.0.0.1/31",
						 "::/64",
						 "::1:0:0:0/80",
						 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
						 "126.0.0.0/7", /* not written as loopback */
						 "10.77.0.2",	/* the pod */
						 "fd77::2/128",
						 NULL };
	static const char *const wide_in[] = { "0.0.0.0/0", "::/0",    "127.0.0.0/8",
					       "::1",	    "::5/128", NULL };
	static const char *const out[] = { "255.255.255.255",
					   "0.0.0.0/32",
					   "::/128",
					   "::fffe:0:0/96",
					   "127.0.0.5",
					   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
					   NULL };
	struct cidr *pool = calloc(2 * COUNT, sizeof(*pool));
	int nr = 0;

	if (!pool)
		err(1, "calloc");
	make(to_include, wide ? wide_in : narrow_in, pool, &nr, 1, wide);
	make(to_exclude, out, pool, &nr, 6, true);
	free(pool);
}

int main(int argc, char **argv)
{
	if (argc != 5 || (strcmp(argv[2], "narrow") && strcmp(argv[2], "wide")))
		errx(2, "usage: e2e_mkcidrs SEED narrow|wide INCLUDE EXCLUDE");
	state = strtoull(argv[1], NULL, 0);
	make_lists(!strcmp(argv[2], "wide"), argv[3], argv[4]);
	return 0;
}
