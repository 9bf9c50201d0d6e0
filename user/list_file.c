/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "list_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#define STRING(x) STRING_OF(x)
#define STRING_OF(x) #x
#define MIB_MAX 16 /* half a million CIDRs; what is larger was meant for somebody else */
#define SIZE_MAX_READ ((size_t)MIB_MAX << 20)
#define SEPARATORS ", \t\r\v\f\n"

static int open_list(const char *what, const char *value, struct st_err *e)
{
	int fd = open(value + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return err_sys(e, errno, what, value);
	if (fstat(fd, &st))
		err = err_sys(e, errno, what, value);
	else if (S_ISDIR(st.st_mode))
		err = err_sys(e, EISDIR, what, value);
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		err = err_set(e, EINVAL, what, value, "neither a file nor a pipe");
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* A pipe without a name is empty for ever once it was read to its end, which must not pass for a list without
 * elements. One with a name may get new writers. The array of those read lives as long as the process.
 */
static int refuse_second_time(const char *what, const char *value, int fd, struct st_err *e)
{
	static ino_t *read_before;
	static size_t nr;
	ino_t *more;
	struct statfs fs;
	struct stat st;
	size_t i;

	if (fstatfs(fd, &fs) || fstat(fd, &st))
		return err_sys(e, errno, what, value);
	if (fs.f_type != PIPEFS_MAGIC)
		return 0;
	for (i = 0; i < nr; i++)
		if (read_before[i] == st.st_ino)
			return err_set(e, EINVAL, what, value,
				       "the pipe was read before, for another list");
	more = realloc(read_before, (nr + 1) * sizeof(*more));
	if (!more)
		return err_sys(e, ENOMEM, what, value);
	read_before = more;
	read_before[nr++] = st.st_ino;
	return 0;
}

/* Up to the first byte too many, and a NUL, into new memory. Returns 0 or -errno. */
static int read_all(int fd, char **ret, size_t *ret_size)
{
	size_t room = 0, size = 0;
	char *text = NULL, *more;
	ssize_t n;
	int err;

	do {
		if (size + 1 >= room) {
			room = room ? 2 * room : 1 << 16;
			more = realloc(text, room);
			if (!more)
				goto fail;
			text = more;
		}
		n = read(fd, text + size, room - size - 1);
		if (n < 0)
			goto fail;
		size += n;
	} while (n && size <= SIZE_MAX_READ);
	text[size] = '\0';
	*ret = text;
	*ret_size = size;
	return 0;
fail:
	err = -errno;
	free(text);
	return err;
}

/* The element at or behind *c, with its length, 0 at the end; *line counts on. */
static size_t next_element(const char **c, __u32 *line)
{
	for (; **c && strchr(SEPARATORS "#", **c); ++*c) {
		if (**c == '#')
			*c += strcspn(*c, "\n");
		if (!**c)
			return 0;
		*line += **c == '\n';
	}
	return strcspn(*c, SEPARATORS "#");
}

static size_t count_elements(const char *text)
{
	size_t n, nr = 0;
	__u32 line = 1;

	for (; (n = next_element(&text, &line)); text += n)
		nr++;
	return nr;
}

/* In place: what is left is no longer than it was. */
static void join_elements(char *text, __u32 *lines)
{
	const char *from = text;
	char *to = text;
	__u32 line = 1;
	size_t n;

	for (; (n = next_element(&from, &line)); from += n) {
		if (to > text)
			*to++ = ',';
		memmove(to, from, n);
		to += n;
		*lines++ = line;
	}
	*to = '\0';
}

static int read_list(const char *what, const char *value, int fd, struct list *l, struct st_err *e)
{
	size_t size = 0;
	int err = read_all(fd, &l->memory, &size);

	if (err)
		return err_sys(e, -err, what, value);
	if (size > SIZE_MAX_READ)
		return err_set(e, EINVAL, what, value, "more than " STRING(MIB_MAX) " MiB");
	if (strlen(l->memory) != size)
		return err_set(e, EINVAL, what, value, "not a text: it has a NUL byte");
	l->lines = calloc(count_elements(l->memory) + 1, sizeof(*l->lines));
	if (!l->lines)
		return err_sys(e, ENOMEM, what, value);
	join_elements(l->memory, l->lines);
	l->text = l->memory;
	l->file = value + 1;
	return 0;
}

int list_open(const char *what, const char *value, struct list *ret, struct st_err *e)
{
	int fd, err;

	*ret = (struct list){ .text = value };
	if (*value != '@')
		return 0;
	fd = open_list(what, value, e);
	if (fd < 0)
		return fd;
	err = refuse_second_time(what, value, fd, e);
	err = err ?: read_list(what, value, fd, ret, e);
	close(fd);
	if (err)
		list_close(ret);
	return err;
}

void list_close(struct list *l)
{
	free(l->memory);
	free(l->lines);
	*l = (struct list){ 0 };
}
