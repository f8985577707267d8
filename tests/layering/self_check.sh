#!/usr/bin/env bash
# The layering check sees each kind of bad line, and none in good ones.
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

declare -A seen=([refused]=0 [accepted]=0)

# expect RESULT FILE LINE [OTHER]: a tree whose FILE, and OTHER, hold LINE is "refused" or "accepted".
expect() {
  local expected=$1 file=$2 line=$3 other=${4:-$2} result=accepted
  seen[$expected]=$((seen[$expected] + 1))
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$file")" "$tree/$(dirname "$other")"
  printf '// A file.\n%s\n' "$line" | tee "$tree/$file" >"$tree/$other"
  bash "$check" "$tree" >"$tree/log" || result=refused
  if [ "$result" != "$expected" ]; then
    printf '%s in %s was %s\n' "$line" "$file" "$result"
    exit 1
  fi
  if [ "$result" = refused ] && ! grep -qF "$file:2: $line" "$tree/log"; then
    printf 'the line is not named:\n'
    cat "$tree/log"
    exit 1
  fi
}

expect refused sim/device.h '#include "model/config.h"'
expect refused sim/cpu/deep.cpp '#include "viz/svg.h"'
expect refused sim/device.h '#include "../model/config.h"'
expect refused model/network.cpp '#include "verify/reference/reference.h"'
expect refused model/network.h '  #  include <viz/svg.h>'
expect refused verify/report.cpp '#include "viz/svg.h"'
expect refused viz/svg.cpp '#include "verify/report.h"'
expect refused viz/svg.cpp '#include "cli/options.h"'
expect refused model/network.cpp '#include <omp.h>'
expect refused model/network.cpp '#include <thread>'
expect refused model/network.cpp '#include <cuda_runtime.h>'
expect refused model/network.cpp '#include "nccl.h"'
expect refused model/network.cpp '#include <mpi.h>'
expect refused model/network.cpp '#pragma omp parallel for'
expect refused model/network.cpp 'std::jthread worker;'
expect refused model/network.cpp '#ifdef __CUDACC__'
expect refused model/network.cpp '#if defined(TPLAB_FAST)'
expect refused verify/run_trace.cpp '  if (a.comm == "nccl") return true;'
expect refused model/network.cpp '  return device == "cuda-host";'
expect refused model/files/stored.h '#include "model/weights.h"'
expect refused model/files/json.cpp 'GptConfig config;'
expect refused model/tokenizers/load.cpp '#include "model/checkpoints/checkpoint.h"'
expect refused verify/reference/reference.cpp '#include "sim/ops.h"'
expect refused verify/reference/dense_backward.cpp '#include "model/network.h"'
expect refused cli/train.cpp 'text(document.dump(2));'
expect refused cli/train.cpp '  World(settings.world()).run([&](Rank& rank) {'
expect refused cli/bench.cpp '    world.run([&](Rank& rank) {'
expect refused cli/facts.cpp '  World({.tp = 2, .device = "meta"}).run([&](Rank& rank) {'
expect refused cli/worlds_in_turn.cpp '    entries_[world].world.run([this, world](Rank& rank) { body(world, rank); });'
expect refused cli/train.cpp '  world.try_run<Done>([&](Rank& rank, Done& done) {'
expect refused cli/bench.cpp '    batch_seconds_[static_cast<size_t>(rank.index())] ='
expect refused viz/recording.cpp '  recordings[rank.global_index()] = recorder.take();'

expect refused sim/mpi/watchman.h 'class Watched {' cli/gpu_watch.h
expect refused sim/b.cpp 'template <typename T> struct Row : Base {' sim/a.h
expect accepted cli/train.cpp '  auto [results, records] = World(settings.world()).run([&](Rank& rank) {'
expect accepted cli/train.cpp $'  auto [results, records] =\n      World(settings.world()).run([&](Rank& rank) {'
expect accepted cli/train.cpp '  return World(options).run([&](Rank& rank) { step(rank); });'
expect accepted cli/facts.cpp '    World({.tp = 2}).run([](Rank&) {});'
expect accepted cli/facts.cpp '  auto facts = World({.tp = 2}).run([&](Rank& rank) {'
expect accepted viz/recording.cpp '  RunRecorder& mine = recorders[rank.global_index()];'
expect accepted sim/machine/world.cpp '#pragma omp parallel'
expect accepted cli/train.cpp 'text(json_text(document, 2));'
expect accepted sim/device.h '#include "sim/dtype.h"'
expect accepted model/tokenizers/load.cpp '#include "model/files/json.h"'
expect accepted model/network.h '#pragma once'
expect accepted model/network.cpp '#include "sim/ops.h"'
expect accepted model/network.cpp '// Neither std::thread nor #pragma omp, nor #include "viz/svg.h".'
expect accepted verify/report.cpp '#include "model/network.h"'
expect accepted verify/reference/reference.h '#include "model/config.h"'
expect accepted cli/main.cpp '#include "verify/report.h"'
expect accepted tests/sim/world.cpp '#include "model/network.h"'
expect accepted sim/b.h 'class Watched;' sim/a.h
expect accepted sim/b.h 'template <> struct Row<float> {' sim/a.h
expect accepted sim/b.cpp 'struct Crew::Lane {' sim/a.h
expect accepted sim/b.cpp $'namespace {\nstruct Row {' sim/a.cpp
printf 'the check sees each of %s bad lines and accepts %s good ones\n' "${seen[refused]}" \
  "${seen[accepted]}"
