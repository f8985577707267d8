#!/usr/bin/env bash
# Two hosts, each a network namespace of this machine, joined by a pair of virtual cards: verify and
# train run over MPI across them, and one is cut off in the middle of a training run. Usage:
# check.sh TPLAB. Exits with 77, saying why, where there can be no such hosts.
#
# A launcher starts processes on other hosts by ssh; here by an agent of a few lines instead. A host
# has its own name, network and process ids; the files are one shared file system.
set -euo pipefail
tplab=$(realpath "$1")
deadline_s=4 # --timeout: of a rank that does not come. Launcher and network give up later

skip() {
  printf 'skipped: %s\n' "$1"
  exit 77
}
fail() {
  printf 'FAULT: %s\n' "$1"
  sed 's/^/  | /' "$work/log" 2>/dev/null || true
  exit 1
}

for tool in ip unshare mpirun.openmpi; do
  command -v "$tool" >/dev/null || skip "there is no $tool (scripts/setup --dev installs it)"
done
[ "$(id -u)" = 0 ] || skip 'only root can make network namespaces'

near=tplab-near-$$ far=tplab-far-$$
near_address=192.0.2.1 far_address=192.0.2.2 # of a range kept for examples (RFC 5737)
work=$(mktemp -d)
clean_up() {
  local host
  for host in "$near" "$far"; do
    ip netns pids "$host" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "$host" 2>/dev/null || true # and with it its card, and the pair's other end
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

make_hosts() {
  ip netns add "$near" && ip netns add "$far" &&
    ip link add card netns "$near" type veth peer name card netns "$far" &&
    ip -n "$near" address add "$near_address/24" dev card &&
    ip -n "$far" address add "$far_address/24" dev card &&
    ip -n "$near" link set lo up && ip -n "$far" link set lo up &&
    ip -n "$near" link set card up && ip -n "$far" link set card up &&
    ip netns exec "$far" unshare --uts --pid --mount-proc --fork --kill-child hostname far
}
make_hosts >"$work/log" 2>&1 || skip "no network namespaces here: $(head -n 1 "$work/log")"
# What was sent and not acknowledged is given up after 13 s, not after 15 minutes.
for host in "$near" "$far"; do
  ip netns exec "$host" sh -c 'echo 5 >/proc/sys/net/ipv4/tcp_retries2' 2>/dev/null || true
done

# on_host NAMESPACE NAME COMMAND...: NAME is the host's.
cat >"$work/on_host" <<'END'
#!/bin/sh
host=$1 name=$2
shift 2
exec ip netns exec "$host" unshare --uts --pid --mount-proc --fork --kill-child \
  sh -c 'hostname "$0" && exec "$@"' "$name" "$@"
END
# The agent, where ssh would be: ADDRESS COMMAND..., which a shell over there puts together.
cat >"$work/agent" <<END
#!/bin/sh
[ "\$1" = $far_address ] || exit 1
shift
exec "$work/on_host" $far far sh -c "\$*"
END
chmod +x "$work/on_host" "$work/agent"

# across SECONDS ARGUMENTS...: tplab over MPI, a rank on either host; what it says is in $work/log.
# The launcher would not notice that the far host is gone, but for the keepalive.
across() {
  local most_s=$1
  shift
  TMPDIR=$work COLUMNS=1000 timeout --kill-after=5 "$most_s" "$work/on_host" "$near" near \
    mpirun.openmpi --allow-run-as-root --mca plm_rsh_agent "$work/agent" \
    --mca oob_tcp_if_include card --mca btl_tcp_if_include card --mca btl self,tcp \
    --mca oob_tcp_keepalive_time $((2 * deadline_s)) --mca oob_tcp_keepalive_intvl 1 \
    --mca oob_tcp_keepalive_probes 3 --host "$near_address:1,$far_address:1" -np 2 \
    "$tplab" "$@" >"$work/log" 2>&1
}

model=(--preset nano-cpu --tp 2 --dtype f64 --seq 8)
"$tplab" verify "${model[@]}" --trace "$work/trace.jsonl" >"$work/log" 2>&1 || fail 'no trace'
across 120 verify "${model[@]}" --comm mpi --trace-against "$work/trace.jsonl" ||
  fail 'verify across two hosts'
grep -q 'the same run as' "$work/log" || fail 'verify compared no trace'
echo 'verify: the same on two hosts'

training=(--layers 2 --heads 2 --width 32 --block 32 --batch 4 --warmup 1 --no-sample)
across 120 train "${training[@]}" --tp 2 --comm mpi --steps 3 --out "$work/short" ||
  fail 'train across two hosts'
echo 'train: three steps on two hosts'

# --- One host is cut off, in the middle of a run that saves every few steps.

across 180 train "${training[@]}" --tp 2 --comm mpi --timeout $deadline_s --steps 1000000 \
  --eval-interval 5 --eval-batches 1 --out "$work/run" &
run=$!
saved() { [ -n "$(find "$work/run" -name '*.safetensors' 2>/dev/null)" ]; }
for ((waited = 0; waited < 600; ++waited)); do
  ! saved || break
  kill -0 $run 2>/dev/null || fail 'the run ended before it was cut off'
  sleep 0.1
done
saved || fail 'the run saved nothing in a minute'
sleep 1
ip -n "$far" link set card down
cut=$SECONDS status=0
wait $run || status=$?
lasted=$((SECONDS - cut))
[ $status != 0 ] || fail 'the run went on with half of its ranks'
case $status in 124 | 137) fail "the run did not end, $lasted s after the cut" ;; esac
grep -q "tplab: rank 0 has waited for $deadline_s s, waiting in " "$work/log" ||
  fail 'the deadline is not what ended the run'
grep -q '^ *rank 1: has not come; process [0-9]* on far' "$work/log" ||
  fail 'the rank that was cut off is not named'
saved_step=$(sed -n 's/.*step \([0-9]*\) is saved in .*/\1/p' "$work/log")
[ -n "$saved_step" ] || fail 'what is saved is not said'
[ $lasted -le 45 ] || fail "the launcher took $lasted s to end"
# The far host's rank ends by itself: nobody can tell it to.
for ((waited = 0; waited < 20 * deadline_s; ++waited)); do
  left=$(ip netns pids "$far" | while read -r id; do
    [ "$(cat "/proc/$id/comm" 2>/dev/null)" != tplab ] || echo "$id"
  done)
  [ -n "$left" ] || break
  sleep 0.1
done
[ -z "$left" ] || fail 'the rank that was cut off still runs'
echo "train: cut off, and both sides have ended, the launcher after $lasted s"

# What it had saved is whole.
ip -n "$far" link set card up
ip netns pids "$far" | xargs -r kill -KILL 2>/dev/null || true
across 120 train --resume "$work/run" --comm mpi --steps $((saved_step + 3)) ||
  fail "the run does not go on from step $saved_step"
grep -q "step $((saved_step + 3)): train loss" "$work/log" || fail 'the run did not go on to its end'
echo "train: goes on from step $saved_step, which was saved"
