#!/usr/bin/env bash
# One program that must not compile. Usage: check.sh CASE.cpp COMPILER FLAG...
#
# The case's first line says what the compiler must say: "// expect: <extended regex>"; where
# compilers differ, a line each. The same file, compiled with -DREPAIRED, must compile: so it is the
# bug that is refused, and not a typo.
set -euo pipefail
case_file=$1
shift
command=("$@" -fsyntax-only "$case_file")

export LC_ALL=C  # messages in English
expected=$(sed -n '/^\/\/ expect: /!q; s|^// expect: ||p' "$case_file" | paste -sd'|')
if [ -z "$expected" ]; then
  printf '%s: the first line is not "// expect: <regex>"\n' "$case_file"
  exit 1
fi
if ! "${command[@]}" -DREPAIRED; then
  printf '%s: the repaired program does not compile\n' "$case_file"
  exit 1
fi
if said=$("${command[@]}" 2>&1); then
  printf '%s: the bug compiles\n' "$case_file"
  exit 1
fi
if ! grep -E 'error:' <<<"$said" | grep -qE -- "$expected"; then
  printf '%s: refused, but not with "%s":\n%s\n' "$case_file" "$expected" "$said"
  exit 1
fi
grep -m1 -E -- "$expected" <<<"$said"
