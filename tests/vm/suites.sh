#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# In the guest: says which kernel this is, then runs suites as run.sh does, at most so long as make vm waits.
set -u
echo "Linux $(uname -r), $(uname -v)"
exec "$(dirname "$0")/../run.sh" "$@"
