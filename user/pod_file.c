/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#define _GNU_SOURCE
#include "pod_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

/* A descriptor that only stands for the file: to open a FIFO would wait, and a device may act on it. */
static int find(const char *root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, err;

	if (dir < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	err = errno;
	close(dir);
	return fd < 0 ? -err : fd;
}

/* Opens what find() found. */
static int reopen(int found)
{
	char link[64];
	struct stat st;
	int fd;

	if (fstat(found, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Into MEMORY, which has room for POD_FILE_MAX. The file may grow meanwhile. */
static int copy(int fd, FILE *memory)
{
	char buffer[BUFSIZ];
	size_t size = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		size += (size_t)n;
		if (size > POD_FILE_MAX)
			return -EFBIG;
		if (fwrite(buffer, 1, (size_t)n, memory) != (size_t)n)
			return -ENOMEM;
	}
	if (n < 0)
		return -errno;
	rewind(memory);
	return ferror(memory) ? -ENOMEM : 0;
}

static int read_in(const char *root, const char *path, FILE **ret)
{
	int found = find(root, path), fd, err;

	if (found < 0)
		return found;
	fd = reopen(found);
	close(found);
	if (fd < 0)
		return fd;
	*ret = fmemopen(NULL, POD_FILE_MAX + 1, "w+");
	err = *ret ? copy(fd, *ret) : -ENOMEM;
	if (err && *ret)
		fclose(*ret);
	close(fd);
	return err;
}

int pod_file_open(const char *root, const char *path, const char *what, FILE **ret,
		  struct st_err *e)
{
	char which[128];
	int err = 0;

	if (*root) {
		err = read_in(root, path, ret);
	} else {
		*ret = fopen(path, "re");
		err = *ret ? 0 : -errno;
	}
	snprintf(which, sizeof(which), "%s%s", root, path);
	if (err == -EMEDIUMTYPE)
		return err_set(e, EINVAL, what, which, "not a regular file");
	return err ? err_sys(e, -err, what, *root ? which : path) : 0;
}

int pod_file_resolvers(const char *root, const char *path, struct addr **ret, size_t *ret_nr,
		       struct st_err *e)
{
	FILE *f = NULL;
	int err = pod_file_open(root, path, "resolv.conf", &f, e);

	if (err || !f)
		return err;
	err = config_resolv_conf(f, path, ret, ret_nr, e);
	fclose(f);
	return err;
}
