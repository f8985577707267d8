#include "model/architecture.h"

#include "sim/error.h"

namespace tplab {

namespace {

template <class Spec>
const Spec& first(const Architecture& architecture, const char* what) {
  for (const auto& block : architecture.blocks)
    for (const JoinSpec& join : block)
      for (const BranchSpec& branch : join.branches)
        if (const auto* spec = std::get_if<Spec>(&branch.what)) return *spec;
  throw Error(ErrorKind::unavailable, std::string("the model has no ") + what,
              "use a model that has: this command needs one");
}

}  // namespace

const AttentionSpec& first_attention(const Architecture& architecture) {
  return first<AttentionSpec>(architecture, "attention");
}

const MlpSpec& first_mlp(const Architecture& architecture) {
  return first<MlpSpec>(architecture, "MLP");
}

}  // namespace tplab
