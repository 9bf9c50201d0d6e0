#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Runs a command in a private test environment: tests/private.sh CMD...   (a shell: tests/private.sh bash)
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
env_private "$@"
export CG TMP ST
"$@"
