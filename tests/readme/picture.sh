#!/usr/bin/env bash
# The README's picture shows what the demo prints, but for digits, which differ with the machine.
# Usage: picture.sh SVG BUILD [--write], which makes the picture anew
set -euo pipefail
svg=$1 build=$2
title='tplab verify --preset nano-cpu --tp 1,2,4'
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT

# `script` runs the command in a terminal of its own, so that it prints in colour; messages and
# progress are not part of the picture.
script -qec "env -u NO_COLOR $build/${title} 2>/dev/null" /dev/null </dev/null |
  "$build/tests/readme/picture" "$title" >"$fresh"
if [ "${3-}" = --write ]; then
  cp "$fresh" "$svg"
  exit
fi
# Widths and places follow from the text; error figures and peaks are the machine's.
without_numbers() { sed -E 's/<svg[^>]*>//; s/(x|y|textLength)="[^"]*"//g; s/[0-9.]+(e[-+][0-9]+)?//g; s/ +/ /g; s/ ?[KMG]?i?B//g' "$1"; }
if ! diff <(without_numbers "$svg") <(without_numbers "$fresh"); then
  echo "the picture is not what the command prints; make it anew: tests/readme/picture.sh viz/demo.svg build --write"
  exit 1
fi
