/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "caps.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

static void name_of(cap_value_t cap, char *name, size_t size)
{
	char *lower = cap_to_name(cap);
	size_t i;

	snprintf(name, size, "%s", lower ? lower : "?");
	cap_free(lower);
	for (i = 0; name[i]; i++)
		name[i] = toupper((unsigned char)name[i]);
}

void caps_text(__u64 set, char text[CAPS_TEXT_MAX])
{
	char name[64];
	size_t n = 0;
	int cap;

	snprintf(text, CAPS_TEXT_MAX, "none");
	for (cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (!(set & 1ULL << cap))
			continue;
		name_of(cap, name, sizeof(name));
		n += snprintf(text + n, CAPS_TEXT_MAX - n, "%s%s", n ? ", " : "", name);
	}
}

static int refuse(int cap, __u64 needed, struct st_err *e)
{
	char name[64], all[CAPS_TEXT_MAX];

	name_of(cap, name, sizeof(name));
	caps_text(needed, all);
	err_hint(e, "try with sudo; all that it needs is %s", all);
	return err_set(e, EPERM, "capability", name, "missing");
}

/* The bounding set holds for programs that are executed, of which there are none: that it may stay
 * where CAP_SETPCAP is missing does no harm.
 */
static void drop_bounding(__u64 keep)
{
	int cap;

	for (cap = 0; cap_get_bound(cap) >= 0; cap++)
		if (!(keep & 1ULL << cap))
			cap_drop_bound(cap);
	cap_reset_ambient();
}

/* Into LEFT those of KEEP that this process has. */
static int select_caps(cap_t have, cap_t left, __u64 keep, __u64 needed, struct st_err *e)
{
	cap_flag_value_t on;
	cap_value_t cap;

	for (cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (!(keep & 1ULL << cap))
			continue;
		if (cap_get_flag(have, cap, CAP_PERMITTED, &on))
			on = CAP_CLEAR;
		if (on == CAP_CLEAR && needed & 1ULL << cap)
			return refuse(cap, needed, e);
		if (on == CAP_SET && (cap_set_flag(left, CAP_PERMITTED, 1, &cap, on) ||
				      cap_set_flag(left, CAP_EFFECTIVE, 1, &cap, on)))
			return err_sys(e, errno, "capabilities", NULL);
	}
	return 0;
}

int caps_keep(__u64 needed, __u64 useful, struct st_err *e)
{
	cap_t have = cap_get_proc(), left = cap_init();
	int err;

	if (!have || !left) {
		err = err_sys(e, errno, "capabilities", NULL);
	} else {
		err = select_caps(have, left, needed | useful, needed, e);
		if (!err) {
			drop_bounding(needed | useful);
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || cap_set_proc(left))
				err = err_sys(e, errno, "capabilities", NULL);
		}
	}
	cap_free(have);
	cap_free(left);
	return err;
}
