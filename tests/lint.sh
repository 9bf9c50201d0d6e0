#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What can be said of the sources without running them. The compilers' warnings are errors in every
# build, so they are not asked again here.
set -u
cd "$(dirname "$0")/.." || exit 1

mapfile -t sources < <(git ls-files '*.c' '*.h')
mapfile -t scripts < <(git ls-files '*.sh' '*.bash' .ci/run)
passed=0
failed=0

# result NAME OUTPUT: nothing to say means passed
result() {
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		printf '  %-8s %s\n' PASS "$1"
	else
		failed=$((failed + 1))
		printf '  %-8s %s\n%s\n' FAIL "$1" "$2"
	fi
}

format() {
	clang-format --dry-run --Werror "${sources[@]}" 2>&1 | head -30
}

# Byte order: __be16 and __be32 are types of their own to sparse. Its other complaints are about
# the C library's headers.
byte_order() {
	local flags=(-Wno-decl -Wbitwise -Ibuild -Ibuild/tests "-I/usr/include/$(cc -print-multiarch)")
	git ls-files 'user/*.c' | while read -r f; do
		sparse "${flags[@]}" "$f" 2>&1 | grep -E '(restricted|bitwise)' | grep -v '^/usr'
	done
}

# sparse and the compilers do not follow values. Generated skeletons are not ours to mend. One at a
# time: with several, this analyzer mixes up their va_lists.
clang_tidy() {
	{
		git ls-files 'user/*.c' 'tests/*.c' | grep -v '\.bpf\.c$' | sed 's/$/ --/'
		git ls-files '*.bpf.c' | sed "s,\$, -- -target bpf -mcpu=v3 -idirafter /usr/include/$(cc -print-multiarch),"
	} | xargs -P2 -I{} sh -c 'clang-tidy --quiet {} 2>/dev/null' |
		grep -E '(error|warning): ' | grep -v '^[^:]*build/[^:]*\.skel\.h:' | sort -u
}

# Not of BPF programs: it does not parse compound literals between ? and :
cpp_check() {
	local flags=(--std=c11 --quiet "--enable=warning,performance,portability" --library=bsd -Iinclude
		--suppressions-list=tests/cppcheck.supp --include=tests/cppcheck.h
		--template='{file}:{line}: {id}: {message}')
	git ls-files 'user/*.c' 'tests/*.c' | grep -v '\.bpf\.c$' | cppcheck -j2 "${flags[@]}" --file-list=- 2>&1
}

no_prints() {
	grep -nE 'bpf_printk|trace_printk' bpf/* include/*
}

no_feature_switches() {
	grep -nE '^#\s*(if|ifdef|elif)\b' bpf/*
}

# include/ needs nothing of ours but itself, libbpf is the library's affair, nothing includes a .c.
include_rules() {
	grep -nE '^#include' include/* | grep -vE '<linux/types.h>|"(policy|verdict).h"'
	grep -nE '^#include .*(<bpf/|skel.h)' user/* |
		grep -vE '^user/(cgroup|datapath(_load)?|enter|gone|pod[a-z_]*|probe|tracer)\.c:'
	grep -nE '^#include ".*\.c"' "${sources[@]}"
}

function_length() {
	awk 'FNR == 1 { start = 0 }
	     /^\{/ { start = FNR }
	     /^\}/ && start { if (FNR - start > 61) print FILENAME ":" start ": " FNR - start - 1 " lines"; start = 0 }' \
		"${sources[@]}"
}

file_length() {
	wc -l "${sources[@]}" "${scripts[@]}" | awk '$2 != "total" && $1 > 450 { print $2 ": " $1 " lines" }'
}

licence() {
	local f
	for f in "${sources[@]}" "${scripts[@]}"; do
		head -3 "$f" | grep -q SPDX-License-Identifier || echo "$f: no SPDX line"
	done
}

result "clang-format" "$(format)"
result "byte order (sparse)" "$(byte_order)"
result "clang-tidy" "$(clang_tidy)"
result "cppcheck" "$(cpp_check)"
result "shellcheck" "$(shellcheck -x "${scripts[@]}" 2>&1 | head -40)"
result "no prints in BPF" "$(no_prints)"
result "no feature #if in BPF" "$(no_feature_switches | grep -v _BPF_H)"
result "who includes what" "$(include_rules)"
result "functions fit a screen (60 lines)" "$(function_length)"
result "files have one job (450 lines)" "$(file_length)"
result "licence lines" "$(licence)"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
