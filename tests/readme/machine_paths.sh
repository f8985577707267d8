#!/usr/bin/env bash
# No tracked file names a path of one machine, which a user has not. Usage: machine_paths.sh ROOT
set -euo pipefail
cd "$1"
if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  printf 'skipped: not a git checkout\n'
  exit 77
fi
# This folder has to name what it looks for.
if git grep -nIE '(^|[^A-Za-z0-9_.$}-])/(work|root|home/[a-z]+|tmp/[a-z])(/|[^a-z/]|$)|/tmp/[a-z]' -- . \
  ':!tests/readme'; then
  printf 'these lines name a path of one machine; use a relative path or mktemp\n'
  exit 1
fi
