#!/usr/bin/env bash
# The README's check sees each kind of fault, and none in a good document.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/build"
printf '#!/bin/sh\necho "tplab $*"\n' >"$tree/build/tplab"
chmod +x "$tree/build/tplab"

# expect RESULT SAYS: the check of the document on standard input, and a part of its report.
expect() {
  local expected=$1 says=$2 result=good
  cat >"$tree/README.md"
  bash "$here/check.sh" "$tree/README.md" "$tree" "$tree/build" 20 >"$tree/log" 2>&1 || result=bad
  if [ "$result" != "$expected" ] || ! grep -qF -- "$says" "$tree/log"; then
    printf 'wanted %s and "%s", got %s:\n' "$expected" "$says" "$result"
    cat "$tree/log" "$tree/README.md"
    exit 1
  fi
}

fence='```'
expect good 'ran:      test -d build  (' <<EOF
See [the command](build/tplab), [the web](https://example.org/x) and [below](#below).
${fence}sh
# a comment
test -d build
build/tplab verify | grep -x "tplab verify"
tplab a \\
  b | grep -x "tplab a b"
scripts/test
${fence}
${fence}console
\$ tplab c | grep -x "tplab c"
false
${fence}
${fence}
false, and [no link](nowhere)
${fence}
EOF
expect good 'not run:  scripts/test -R sim  (this is the test run itself)' <<EOF
${fence}sh
scripts/test -R sim
${fence}
EOF
expect bad 'exit status 3: exit 3' <<EOF
${fence}sh
exit 3
${fence}
EOF
expect bad 'exit status 1: false' <<EOF
${fence}console
\$ false
output
${fence}
EOF
expect bad 'exit status 1: false | true' <<EOF
${fence}sh
false | true
${fence}
EOF
printf 'int a = 1;  // one\n\n  int b;\nint c;\n' >"$tree/x.cpp"
expect good 'ran:      true  (' <<EOF
${fence}sh
true
${fence}
In \`none.h\` and \`x.cpp\`:
${fence}cpp
  int a = 1; // one
  int c;
${fence}
EOF
expect bad 'quotes what is not in, or not in that order in, x.cpp: int a = 2;' <<EOF
In \`x.cpp\`:
${fence}cpp
int a = 2;
${fence}
EOF
expect bad 'order in, x.cpp: int b;' <<EOF
In \`x.cpp\`:
${fence}cpp
int c;
int b;
${fence}
EOF
expect bad 'order in, no named file: int a;' <<EOF
${fence}cpp
int a;
${fence}
EOF
expect bad 'the link to docs/none.md leads nowhere' <<<'See [docs](docs/none.md#there).'
expect bad 'the link to none.png leads nowhere' <<<'<img src="none.png" alt="">'
expect bad '21 lines; at most 20' < <(seq 21)
rm "$tree/README.md"
if bash "$here/check.sh" "$tree/README.md" "$tree" "$tree/build" >"$tree/log"; then
  printf 'a missing README passed\n'
  exit 1
fi

# Paths of one machine, in a repository made for the purpose.
git -C "$tree" init -q
paths() { # paths RESULT TEXT
  local result=good
  printf '%s\n' "$2" >"$tree/README.md"
  git -C "$tree" add README.md
  bash "$here/machine_paths.sh" "$tree" >"$tree/log" || result=bad
  [ "$result" = "$1" ] || { printf '"%s" was %s\n' "$2" "$result"; exit 1; }
}
for folder in work root tmp home; do
  paths bad "see /$folder/someone/x"
  paths bad "out=/$folder/x"
done
paths good "homework/solutions, out/tmp, https://example.org/$folder/x, ../shared/data"
printf 'the checks see each fault\n'
