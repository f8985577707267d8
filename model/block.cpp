#include "model/block.h"

#include <fmt/format.h>

#include "sim/ops.h"

namespace tplab {

template <class Residual>
Block<Residual>::Block(Loader& loader, int64_t layer)
    : norm_1_(loader, {layer, 0}),
      attention_(loader, {layer, 0}),
      norm_2_(loader, {layer, 1}),
      mlp_(loader, {layer, 1}),
      layer_(layer) {}

template <class Residual>
Tensor<Residual> Block<Residual>::forward(Rank& rank, Tensor<Residual> x, const Pass& pass,
                                          Saved* saved) const {
  auto scope = rank.at(fmt::format("block {}", layer_));
  if (saved) saved->x = x;
  Saved* const kept = pass.recompute ? nullptr : saved;

  Tensor<Residual> n = watch("ln_1", norm_1_.forward(x));
  n = attention_.forward(rank, n, pass, kept ? &kept->attention : nullptr);
  x = watch("mid", add(std::move(n), std::move(x)));
  if (kept) kept->mid = x;

  n = watch("ln_2", norm_2_.forward(x));
  n = mlp_.forward(rank, n, pass, kept ? &kept->mlp : nullptr);
  return watch("out", add(std::move(n), std::move(x)));
}

template <class Residual>
Grad<Residual> Block<Residual>::backward(Rank& rank, Grad<Residual> dy, const Pass& pass,
                                         Saved saved) const {
  if (pass.recompute) {
    auto unseen = rank.watched_by(nullptr);
    Pass again = pass;
    again.recompute = false;
    (void)forward(rank, saved.x, again, &saved);
  }
  auto scope = rank.at(fmt::format("block {}", layer_));
  Grad<Residual> dmid = mlp_.backward(rank, dy, pass, saved.mlp);
  saved.mlp = {};  // its memory serves what follows
  dmid = add(norm_2_.backward(std::move(dmid), saved.mid), std::move(dy));
  Grad<Residual> dx = attention_.backward(rank, dmid, pass, saved.attention);
  dx = add(norm_1_.backward(std::move(dx), saved.x), std::move(dmid));
  return watch("grad", std::move(dx));
}

template class Block<Invariant>;
template class Block<VaryingT>;

}  // namespace tplab
