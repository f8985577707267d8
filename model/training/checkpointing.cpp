#include "model/training/checkpointing.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "sim/error.h"

namespace tplab {

namespace {

void barrier_of_the_mesh(Rank& rank) {
  rank.comm().barrier();     // everyone with this rank's sequences is here
  rank.dp_comm().barrier();  // and so, through them, is everyone
}

// Numbers [begin, end) of an array, in host memory.
std::vector<std::byte> on_host(Device& device, const Array& x, Range r) {
  const Array part = x.part(r.begin, Shape{r.size()});
  std::vector<std::byte> bytes(static_cast<size_t>(part.bytes()));
  device.download(part, {x.dtype(), bytes.data(), r.size()});
  return bytes;
}

// Of the numbers that a rank holds of a flat entry, those that are in the parameter: vocabulary
// padding lies at the end.
Range real_numbers(const FlatEntry& entry, const Slice& slice) {
  return {entry.first, entry.first + std::min(entry.count, slice.count())};
}

}  // namespace

void SharedSave::write(Rank& rank, Trainer& trainer, const CheckpointFacts& facts) {
  auto scope = rank.at("save");
  const ShardPlan& plan = trainer.plan();
  if (rank.global_index() == 0)
    writer_ = std::make_unique<StateWriter>(path_, checkpoint_tensors(facts.config),
                                            trainer.parameters().values.dtype(),
                                            checkpoint_metadata(facts));
  barrier_of_the_mesh(rank);

  Optimizer& optimizer = trainer.optimizer();
  const FlatLayout& layout = trainer.parameters().layout;
  const bool owns_all = optimizer.part().size() == layout.count();
  for (const FlatEntry& entry : layout.entries()) {
    const ShardRow& row = plan.rows()[entry.row];
    if (row.split == Split::whole && rank.index() > 0) continue;  // tp rank 0 has the same
    const Slice slice = plan.slice(row, rank.index());
    const auto write = [&](const std::string& name, const Array& numbers, Range held) {
      const Range r = intersection(held, real_numbers(entry, slice));
      if (r.size() == 0) return;
      const auto bytes =
          on_host(rank.device(), numbers, {r.begin - held.begin, r.end - held.begin});
      writer_->write(name, slice, r.begin - entry.first, r.end - entry.first, bytes.data());
    };
    if (rank.dp_index() == 0)
      write("model." + row.name, trainer.parameters().values, {0, layout.count()});
    if (rank.dp_index() > 0 && owns_all) continue;  // replica 0 has the same moments
    write("adamw.m." + row.name, optimizer.m(), optimizer.part());
    write("adamw.v." + row.name, optimizer.v(), optimizer.part());
  }

  barrier_of_the_mesh(rank);
  if (rank.global_index() == 0) {
    keep_other_run();
    writer_->commit();
    writer_.reset();
  }
  barrier_of_the_mesh(rank);  // nobody goes on with a save that failed
}

// A second name for the same file, so that there is one at `path` all the time.
void SharedSave::keep_other_run() {
  namespace fs = std::filesystem;
  if (!std::exchange(keep_other_, false) || !fs::exists(path_)) return;
  const std::string old = path_ + ".old";
  std::error_code error;
  fs::remove(old, error);
  fs::create_hard_link(path_, old, error);
  if (error) fs::copy_file(path_, old, error);
  if (error)
    fail(fmt::format("{}: the other run's checkpoint cannot be kept as {}: {}", path_, old,
                     error.message()),
         "train into another folder with --out");
}

void load_moments(Rank& rank, const TplabCheckpoint& checkpoint, Trainer& trainer) {
  const ShardPlan& plan = trainer.plan();
  Optimizer& optimizer = trainer.optimizer();
  const DType dtype = trainer.parameters().values.dtype();
  for (const FlatEntry& entry : trainer.parameters().layout.entries()) {
    const ShardRow& row = plan.rows()[entry.row];
    const Slice slice = plan.slice(row, rank.index());
    const Range r = intersection(optimizer.part(), real_numbers(entry, slice));
    if (r.size() == 0) continue;
    std::vector<std::byte> bytes(static_cast<size_t>(r.size() * size_bytes(dtype)));
    for (const bool first : {true, false}) {
      const HostSpan numbers{dtype, bytes.data(), r.size()};
      checkpoint.read_state(first ? "m" : "v", row.name, slice, r.begin - entry.first, numbers);
      Array to = (first ? optimizer.m() : optimizer.v())
                     .part(r.begin - optimizer.part().begin, Shape{r.size()});
      rank.device().upload(numbers, to);
    }
  }
}

}  // namespace tplab
