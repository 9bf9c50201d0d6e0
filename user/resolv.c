/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads a resolv.conf. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define BLANKS " \t\r\n\v\f"

/* glibc and musl take IPv4 by inet_aton, that is also 10.1 and 0x0a000001, IPv6 with a scope. */
static int parse_server(char *text, struct addr *ret)
{
	struct in_addr v4;

	if (inet_aton(text, &v4)) {
		*ret = (struct addr){ .w = { 0, 0, ST_V4(0, 0, 255, 255), 0 } };
		memcpy(&ret->w[3], &v4, sizeof(v4));
		return 1;
	}
	text[strcspn(text, "%")] = '\0';
	return inet_pton(AF_INET6, text, ret->w) == 1;
}

/* The address of a nameserver line, or NULL: another line, a comment. */
static char *find_server(char *line)
{
	char *keyword, *value, *rest;

	line[strcspn(line, "#;")] = '\0';
	keyword = strtok_r(line, BLANKS, &rest);
	value = strtok_r(NULL, BLANKS, &rest);
	return keyword && value && !strcmp(keyword, "nameserver") ? value : NULL;
}

static int add_server(struct addr **array, size_t *nr, const struct addr *server)
{
	struct addr *bigger = reallocarray(*array, *nr + 1, sizeof(**array));

	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	bigger[(*nr)++] = *server;
	return 0;
}

int config_resolv_conf(FILE *f, const char *path, struct addr **ret, size_t *ret_nr,
		       struct st_err *e)
{
	struct addr *array = NULL, server;
	char *line = NULL, *text;
	size_t size = 0, nr = 0;
	int err = 0;

	while (!err && getline(&line, &size, f) != -1) {
		text = find_server(line);
		if (text && parse_server(text, &server))
			err = add_server(&array, &nr, &server);
	}
	if (!err && !feof(f)) /* without memory getline() sets no error indicator */
		err = -errno;
	free(line);
	if (err) {
		free(array);
		return err_sys(e, -err, "resolv.conf", path);
	}
	*ret = array;
	*ret_nr = nr;
	return 0;
}
