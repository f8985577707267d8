#include "model/decode_steps.h"

#include "sim/machine/rank.h"

namespace tplab {

const Tensor<Replicated>& DecodeSteps::next(const std::vector<int32_t>& ids) {
  const Tokens tokens{std::ssize(ids), 1, ids};
  // The first step has shown the memory that one needs, and loaded every kernel.
  if (steps_++ == 1) capture();
  if (!replay_) return logits_ = network_.next(tokens, cache_);
  network_.check(tokens, cache_);
  Array on_device = ids_.array();
  std::vector<int32_t> read = ids;  // upload may change what it is given
  ids_.rank().device().upload({DType::i32, read.data(), std::ssize(read)}, on_device);
  replay_->run();
  cache_.advance(1);
  return logits_;
}

std::string_view why_not_captured(Rank& rank) {
  if (!rank.device().captures()) return {};
  if (rank.size() > 1) return "its ranks meet in collectives, where the host has a part";
  if (rank.recorder()) return "it is recorded, operation by operation";
  return {};
}

void DecodeSteps::capture() {
  Rank& rank = cache_.past().filled.rank();
  if (!rank.device().captures() || !why_not_captured(rank).empty()) return;
  const int64_t batch = cache_.past().filled.array().count();
  ids_ = ids_on_device(rank, std::vector<int32_t>(static_cast<size_t>(batch)), {batch, 1});
  KvCache furthest = cache_.to_the_end();
  replay_ = rank.device().capture([&] { logits_ = network_.next_of(ids_, furthest); });
}

}  // namespace tplab
