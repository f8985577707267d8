#!/usr/bin/env bash
# check.sh passes only a bug that is refused for the expected reason. Usage: self_check.sh COMPILER
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# expect RESULT WHAT BUG REPAIRED: check.sh's verdict on a case made of these two lines.
expect() {
  local expected=$1 what=$2 bug=$3 repaired=$4 result=passed
  printf '// expect: sum of %s\n#ifdef REPAIRED\n%s\n#else\n%s\n#endif\n' \
    'gelus' "$repaired" "$bug" >"$folder/case.cpp"
  bash "$check" "$folder/case.cpp" "$compiler" -std=c++20 >"$folder/log" 2>&1 || result=failed
  if [ "$result" != "$expected" ]; then
    printf '%s: check.sh %s\n' "$what" "$result"
    cat "$folder/log"
    exit 1
  fi
}

compiler=$1
bug='static_assert(false, "no sum of gelus");'
expect passed 'a bug refused with the message' "$bug" 'int repaired;'
expect failed 'a bug that compiles' 'int bug;' 'int repaired;'
expect failed 'a bug refused with another message' 'int bug = "sum of adds";' 'int repaired;'
expect failed 'a case whose repair does not compile' "$bug" 'int repaired'
sed -i '1d' "$folder/case.cpp"
if bash "$check" "$folder/case.cpp" "$compiler" >"$folder/log" 2>&1; then
  printf 'a case without an expectation passed\n'
  exit 1
fi
printf 'check.sh passes one case and fails four\n'
