/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* libFuzzer on import: it must not crash, tells what it refuses in one line, and the flags that it
 * prints mean rules that are imported as the same flags.
 */
#include <stdint.h>

#include "../../user/import.h"
#include "../../user/istio_rules.h"
#include "check.h"

static int import_text(const char *text, size_t n, struct import *i, struct st_err *e)
{
	FILE *f = bytes_open(text, n);
	int err;

	*e = (struct st_err){ 0 };
	err = import_read(f, i, e);
	if (err)
		check_error(e);
	fclose(f);
	return err;
}

static void put_table(FILE *f, const struct config *c, enum rule_table name, int form, int v6)
{
	static const char *const names[] = { "raw", "mangle", "nat" };
	struct st_err e = { 0 };
	struct table t;
	size_t i, j;

	CHECK(!istio_rules(c, v6, name, form, &t, &e));
	fprintf(f, "# ip%stables-save\n*%s\n", v6 ? "6" : "", names[name]);
	for (i = 0; i < t.nr; i++)
		for (j = 0; j < t.chains[i].nr; j++)
			fprintf(f, "%s\n", t.chains[i].rules[j].text);
	fprintf(f, "COMMIT\n");
	table_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct import i, again;
	struct st_err e;
	char *rules;
	size_t size, flag;
	int v6;
	FILE *f;

	if (import_text((const char *)data, n, &i, &e)) {
		import_free(&i);
		return 0;
	}
	f = open_memstream(&rules, &size);
	for (v6 = 0; v6 <= (i.config.ipv6 == IPV6_ON); v6++) {
		put_table(f, &i.config, TABLE_RAW, 0, v6);
		put_table(f, &i.config, TABLE_MANGLE, 0, v6);
		put_table(f, &i.config, TABLE_NAT, i.config.udp_dns, v6);
	}
	if (i.config.ipv6 == IPV6_OFF)
		fputs("# ip6tables-save\n*nat\nCOMMIT\n", f);
	fclose(f);
	CHECK(!import_text(rules, size, &again, &e));
	CHECK(again.nr == i.nr);
	for (flag = 0; flag < i.nr; flag++)
		CHECK(!strcmp(i.flags[flag], again.flags[flag]));
	free(rules);
	import_free(&i);
	import_free(&again);
	return 0;
}
