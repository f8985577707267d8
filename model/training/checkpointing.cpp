#include "model/training/checkpointing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "model/files/bytes.h"
#include "model/files/locked_file.h"
#include "model/files/state_writer.h"
#include "model/training/results.h"
#include "sim/error.h"

namespace tplab {

namespace fs = std::filesystem;

namespace {

std::string in_folder(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

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

}  // namespace

std::vector<std::string> names_of_run(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kLastFile || name == kBestFile || is_results_file_name(name)) names.push_back(name);
  }
  return names;
}

std::string first_free(const std::string& path) {
  const fs::path name = path;
  std::string free = path;
  for (int i = 2; may_exist(free); ++i) {
    fs::path numbered = name.parent_path() / name.stem();
    numbered += fmt::format("-{}", i);
    numbered += name.extension();
    free = numbered.string();
  }
  return free;
}

void SharedSave::try_out(const CheckpointFacts& facts, DType dtype) {
  const StateWriter reserved(in_folder(folder_, kLastFile), checkpoint_tensors(facts.architecture),
                             accumulator(dtype), checkpoint_metadata(facts));
}

void SharedSave::write(Rank& rank, Trainer& trainer, const CheckpointFacts& facts, bool is_best,
                       const std::function<void()>& saved) {
  auto scope = rank.at("save");
  const ShardPlan& plan = trainer.plan();
  const bool first = rank.global_index() == 0;  // makes the file and puts it in place
  const std::string path = in_folder(folder_, kLastFile);
  const std::vector<StateTensor> tensors = checkpoint_tensors(facts.architecture);
  const DType dtype = trainer.optimizer().masters().dtype();
  std::unique_ptr<StateWriter> file;
  if (first) file = std::make_unique<StateWriter>(path, tensors, dtype, checkpoint_metadata(facts));
  barrier_of_the_mesh(rank);
  if (!first) file = StateWriter::join(path, tensors, dtype);

  Optimizer& optimizer = trainer.optimizer();
  const FlatLayout& layout = trainer.parameters().layout;
  const bool owns_all = optimizer.part().size() == layout.count();
  for (const FlatEntry& entry : layout.entries()) {
    const ParameterRow& row = plan.rows()[entry.row];
    if (row.split == Split::whole && rank.index() > 0) continue;  // tp rank 0 has the same
    const Slice slice = plan.saved_slice(row, rank.index());
    const Range held = optimizer.part(), r = intersection(held, real_numbers(entry, slice));
    if (r.size() == 0) continue;
    if (rank.dp_index() > 0 && owns_all) continue;  // replica 0 has the same
    const auto write = [&](const char* prefix, const Array& numbers) {
      const auto bytes =
          on_host(rank.device(), numbers, {r.begin - held.begin, r.end - held.begin});
      file->write(prefix + row.tensor, slice, r.begin - entry.first, r.end - entry.first,
                  bytes.data());
    };
    write("model.", optimizer.masters());
    write("adamw.m.", optimizer.m());
    write("adamw.v.", optimizer.v());
  }

  if (!first) file->finish();
  barrier_of_the_mesh(rank);
  if (first) {
    keep_earlier_run();
    file->commit(is_best ? in_folder(folder_, kBestFile) : "");
    saved();
  }
  barrier_of_the_mesh(rank);  // nobody goes on with a save that failed
  if (!first) saved();
}

// The last checkpoint stays, under two names, until the new one is renamed over it, so that there
// is one in the folder all the time; the rest moves.
void SharedSave::keep_earlier_run() {
  const std::string earlier = std::exchange(earlier_, "");
  if (earlier.empty()) return;
  constexpr const char* kFix = "train into another folder with --out";
  std::error_code error;
  fs::create_directory(earlier, error);
  if (error) fail_write(earlier + ": cannot be made", error.value(), kFix);
  for (const std::string& name : names_of_run(folder_)) {
    const std::string from = in_folder(folder_, name), to = in_folder(earlier, name);
    if (name == kLastFile)
      link_or_copy(from, to, kFix);
    else if (std::rename(from.c_str(), to.c_str()) != 0)
      fail_write(to + ": the earlier run's file cannot be moved there", errno, kFix);
  }
  sync_folder_of(in_folder(earlier, kLastFile));
}

void load_moments(Rank& rank, const TplabCheckpoint& checkpoint, Trainer& trainer) {
  const ShardPlan& plan = trainer.plan();
  Optimizer& optimizer = trainer.optimizer();
  const DType dtype = optimizer.m().dtype();
  for (const FlatEntry& entry : trainer.parameters().layout.entries()) {
    const ParameterRow& row = plan.rows()[entry.row];
    const Slice slice = plan.saved_slice(row, rank.index());
    const Range r = intersection(optimizer.part(), real_numbers(entry, slice));
    if (r.size() == 0) continue;
    std::vector<std::byte> bytes(static_cast<size_t>(r.size() * size_bytes(dtype)));
    for (const bool first : {true, false}) {
      const HostSpan numbers{dtype, bytes.data(), r.size()};
      checkpoint.read_state(first ? "m" : "v", row.tensor, slice, r.begin - entry.first, numbers);
      Array to = (first ? optimizer.m() : optimizer.v())
                     .part(r.begin - optimizer.part().begin, Shape{r.size()});
      rank.device().upload(numbers, to);
    }
  }
}

}  // namespace tplab
