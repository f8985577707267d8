#!/usr/bin/env bash
# A document's commands run, its links lead somewhere, its C++ is the tree's, and it stays short.
# Usage: check.sh DOCUMENT ROOT BUILD [MOST_LINES]
#
# Commands are the lines of ```sh blocks, and those after "$ " in ```console blocks; they run in
# ROOT, with BUILD's tplab as `tplab` and in place of `build/tplab`. Links are relative to the
# document. The lines of a ```cpp block stand, in that order and but for white space, in the file that
# was named last before it, in `backquotes`. Every fault is reported; the exit status is 1 if there is one.
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

# The lines of ```cpp blocks that are not, in their order, in the file named last before the block.
misquoted() {
  awk -v root="$root" '
    function squeezed(line) {
      gsub(/[ \t]+/, " ", line)
      sub(/^ /, "", line)
      sub(/ $/, "", line)
      return line
    }
    function read(file, line) {
      lines = 0
      if (file == "") return
      while ((getline line < (root "/" file)) > 0) text[++lines] = squeezed(line)
      close(root "/" file)
    }
    /^[ \t]*```/ {
      fence = $0
      gsub(/[ \t`]/, "", fence)
      kind = (kind == "") ? (fence == "" ? "text" : fence) : ""
      at = 0
      if (kind == "cpp") read(file)
      next
    }
    kind == "" {
      for (rest = $0; match(rest, /`[A-Za-z0-9_\/]+\.(cpp|h)`/); rest = substr(rest, RSTART + RLENGTH))
        file = substr(rest, RSTART + 1, RLENGTH - 2)
    }
    kind == "cpp" && /[^ \t]/ {
      for (i = at + 1; i <= lines && text[i] != squeezed($0); ++i) {}
      if (i > lines) printf "%s: %s\n", file == "" ? "no named file" : file, $0; else at = i
    }' "$document"
}

misquoted >"$log"
while IFS= read -r line; do
  fault "quotes what is not in, or not in that order in, $line"
done <"$log"

while IFS= read -r command; do
  run "$command"
done < <(commands)

[ "$faults" -eq 0 ]
