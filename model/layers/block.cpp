#include "model/layers/block.h"

#include <fmt/format.h>

#include <utility>

namespace tplab {

template <class Residual>
Block<Residual>::Block(Loader& loader, const std::vector<JoinSpec>& joins, int64_t layer)
    : layer_(layer) {
  for (size_t j = 0; j < joins.size(); ++j)
    joins_.emplace_back(loader, joins[j], Place{.block = layer, .join = static_cast<int64_t>(j)},
                        j + 1 == joins.size());
}

template <class Residual>
Tensor<Residual> Block<Residual>::forward(Rank& rank, Tensor<Residual> x, const Pass& pass,
                                          Saved* saved) const {
  auto scope = rank.at(fmt::format("block {}", layer_));
  if (saved && pass.recompute) {
    saved->x = x;
    saved = nullptr;
  }
  if (saved) saved->joins.resize(joins_.size());
  for (size_t j = 0; j < joins_.size(); ++j)
    x = joins_[j].forward(rank, std::move(x), pass, saved ? &saved->joins[j] : nullptr);
  return x;
}

template <class Residual>
Grad<Residual> Block<Residual>::backward(Rank& rank, Grad<Residual> dy, const Pass& pass,
                                         Saved saved) const {
  if (pass.recompute) {
    Pass again = pass;
    again.recompute = false;
    (void)forward(rank, std::move(saved.x), again, &saved);
  }
  auto scope = rank.at(fmt::format("block {}", layer_));
  while (!saved.joins.empty()) {
    const Join<Residual>& join = joins_[saved.joins.size() - 1];
    dy = join.backward(rank, std::move(dy), pass, std::move(saved.joins.back()));
    saved.joins.pop_back();
  }
  return show("grad", std::move(dy));
}

template class Block<Invariant>;
template class Block<VaryingT>;

}  // namespace tplab
