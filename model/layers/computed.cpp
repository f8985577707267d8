#include "model/layers/computed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <set>

#include "sim/error.h"

namespace tplab {

namespace {

class Missing {
 public:
  explicit Missing(const Architecture& a) {
    need(a.positions == PositionKind::learned, "positions that are not learned");
    need(a.embedding_scale == 1, "a scale of the embedding");
    need(a.logits_softcap == 0, "soft caps");
    norm(a.final_norm);
    for (const std::vector<JoinSpec>& block : a.blocks) {
      int attentions = 0;
      for (const JoinSpec& join : block) {
        need(join.before.has_value(), "branches that read the stream without a norm");
        if (join.before) norm(*join.before);
        if (join.after) norm(*join.after);
        for (const BranchSpec& branch : join.branches) {
          need(!branch.before, "norms of single branches");
          attentions += std::holds_alternative<AttentionSpec>(branch.what) ? 1 : 0;
          std::visit([&](const auto& spec) { look(spec); }, branch.what);
        }
      }
      need(attentions == 1, "blocks with none or several attentions");  // the cache has one a block
    }
  }
  const std::set<std::string>& all() const { return missing_; }

 private:
  void need(bool is_there, const std::string& what) {
    if (!is_there) missing_.insert(what);
  }
  void norm(const NormSpec& spec) {
    need(spec.kind == NormSpec::Kind::layer && !spec.plus_one, "RMS norms");
  }
  void look(const AttentionSpec& spec) {
    need(spec.kv_heads == spec.heads, "heads that share keys");
    need(!spec.qk_norm, "norms of queries and keys");
    need(!spec.rope, "rotary positions");
    need(spec.window == 0, "windows");
    need(!spec.sinks, "sinks");
    need(spec.softcap == 0, "soft caps");
    need(spec.scale == 1 / std::sqrt(static_cast<double>(spec.head_size)),
         "other scales of attention");
  }
  void look(const MlpSpec& spec) {
    need(spec.gating.kind == Gating::Kind::none, "gated MLPs");
    need(spec.activation == ActivationKind::gelu || spec.activation == ActivationKind::gelu_tanh,
         "activations other than GELU");
  }
  void look(const ExpertsSpec&) { need(false, "experts"); }

  std::set<std::string> missing_;
};

}  // namespace

void require_computed(const Architecture& architecture) {
  const Missing missing(architecture);
  if (missing.all().empty()) return;
  throw Error(ErrorKind::unavailable,
              fmt::format("tplab cannot run a model of the family {} yet: it lacks {}",
                          architecture.family, fmt::join(missing.all(), ", ")),
              "use a model of nanoGPT's or GPT-2's kind");
}

}  // namespace tplab
