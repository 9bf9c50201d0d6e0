#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# results.sh PREFIX < OUTPUT: what run.sh printed in a guest, as results in lib.sh's form again.
exec sed -nE -e "s|^PASS (.*) \([0-9.]+ s\)\$|ok $1: \1|p" -e "s|^FAIL (.*) \([0-9.]+ s\)\$|not ok $1: \1|p" \
	-e "s|^SKIP (.*) \([0-9.]+ s\)\$|skip $1: \1|p" -e 's|^    (#.*)|\1|p'
