#!/usr/bin/env bash
# A document's commands run, its links lead somewhere, and it stays short.
# Usage: check.sh DOCUMENT ROOT BUILD [MOST_LINES]
#
# Commands are the lines of ```sh blocks, and those after "$ " in ```console blocks; they run in
# ROOT, with BUILD's tplab as `tplab` and in place of `build/tplab`. Links are relative to the
# document. Every fault is reported; the exit status is 1 if there is one.
set -euo pipefail
document=$1 root=$2 build=$3 most_lines=${4:-150}
faults=0

fault() {
  printf 'FAULT: %s\n' "$1"
  faults=$((faults + 1))
}

# The document's commands, one a line; a trailing backslash continues a line.
commands() {
  awk '
    /^[ \t]*```/ {
      fence = $0
      gsub(/[ \t`]/, "", fence)
      kind = (kind == "") ? (fence == "" ? "text" : fence) : ""
      next
    }
    kind == "sh" || kind == "console" {
      line = $0
      is_prompt = sub(/^[ \t]*\$ /, "", line)
      if (!joined && kind == "console" && !is_prompt) next
      if (!joined && line ~ /^[ \t]*(#|$)/) next
      joined = sub(/\\$/, "", line)
      printf "%s%s", line, joined ? "" : "\n"
    }' "$document"
}

run() {
  local command=$1 started=$SECONDS
  case $command in
    scripts/test | scripts/test\ *)
      printf 'not run:  %s  (this is the test run itself)\n' "$command"
      return
      ;;
    git\ clone\ * | cd\ *)
      printf 'not run:  %s  (how one comes to be here)\n' "$command"
      return
      ;;
  esac
  if (cd "$root" && PATH="$build:$PATH" bash -euo pipefail -c "${command//build\/tplab/$build/tplab}") \
    </dev/null >"$log" 2>&1; then
    printf 'ran:      %s  (%s s)\n' "$command" "$((SECONDS - started))"
  else
    fault "exit status $?: $command"
    tail -n 20 "$log" | sed 's/^/    /'
  fi
}

if [ ! -f "$document" ]; then
  fault "$document is missing"
  exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

lines=$(wc -l <"$document")
[ "$lines" -le "$most_lines" ] || fault "$lines lines; at most $most_lines"

# [text](path) and <img src="path">, outside code, without #anchor; URLs are not followed.
while IFS= read -r link; do
  [ -e "$(dirname "$document")/$link" ] || fault "the link to $link leads nowhere"
done < <(awk '/^[ \t]*```/ { code = !code; next } !code' "$document" |
  grep -oE '\]\([^)# ]+|src="[^"#]+' | sed -E 's/^(\]\(|src=")//' | grep -vE '^[a-z]+:' || true)

while IFS= read -r command; do
  run "$command"
done < <(commands)

[ "$faults" -eq 0 ]
