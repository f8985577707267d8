#include "model/parameters.h"

#include <fmt/format.h>

#include <cmath>

#include "model/name_table.h"

namespace tplab {

namespace {

// source: nanoGPT model.py, Radford et al. 2019, section 2.3
constexpr float kDeviation = 0.02f;

std::string_view word(Role role) {
  switch (role) {
    case Role::token_embedding:
      return "embedding";
    case Role::position_embedding:
      return "positions";
    case Role::norm:
      return "norm";
    case Role::q:
      return "q";
    case Role::k:
      return "k";
    case Role::v:
      return "v";
    case Role::q_norm:
      return "q_norm";
    case Role::k_norm:
      return "k_norm";
    case Role::sinks:
      return "sinks";
    case Role::attention_out:
      return "attention_out";
    case Role::router:
      return "router";
    case Role::gate:
      return "gate";
    case Role::up:
      return "up";
    case Role::down:
      return "down";
    case Role::head:
      return "head";
  }
  return "?";
}

int64_t joins(const Architecture& a) {
  int64_t count = 0;
  for (const auto& block : a.blocks) count += static_cast<int64_t>(block.size());
  return count;
}

// Builds the list in order.
class List {
 public:
  explicit List(const Architecture& architecture)
      : a_(architecture),
        // Of what writes to the stream, which `joins` terms are added to.
        to_stream_{.deviation = kDeviation / std::sqrt(static_cast<float>(joins(architecture)))} {}

  std::vector<ParameterRow> build() && {
    table(Role::token_embedding, a_.vocabulary, Split::vocab);
    if (a_.positions == PositionKind::learned)
      table(Role::position_embedding, a_.context, Split::whole);
    for (int64_t b = 0; b < a_.layers(); ++b) {
      const std::vector<JoinSpec>& block = a_.blocks[static_cast<size_t>(b)];
      for (size_t j = 0; j < block.size(); ++j)
        join(block[j], {.block = b, .join = static_cast<int64_t>(j)});
    }
    norm(a_.final_norm, {});
    if (!a_.tied_head) table(Role::head, a_.vocabulary, Split::vocab);
    return std::move(rows_);
  }

 private:
  static constexpr Distribution kNormal = {.deviation = kDeviation};

  void add(ParameterRow row) {
    row.decays = row.shape.dims() > 1 && !row.id.bias;
    row.tensor = a_.family == kGptFamily ? tensor_name(name_row(nanogpt_names(), row.id), row.id)
                                         : text(row.id);
    const bool shares = !rows_.empty() && rows_.back().tensor == row.tensor;
    if (shares) row.first_row = rows_.back().first_row + rows_.back().shape[0];
    rows_.push_back(std::move(row));
  }
  // Of products of one input, which one product computes. A bias is split as the outputs are.
  void add_linears(std::vector<ParameterRow> rows, bool bias) {
    for (size_t i = 0; i < rows.size(); ++i) rows[i].joined = i > 0;
    for (const ParameterRow& row : rows) add(row);
    if (!bias) return;
    for (ParameterRow& row : rows) {
      row.id.bias = true;
      row.shape = {row.shape[0]};
      row.initial = {.drawn = kDeviation};
      add(row);
    }
  }
  // The bias of a row-parallel product, which is added once, to the sum on the stream.
  void add_bias_on_stream(Role role, Place at) {
    add({.id = bias_of(role, at),
         .shape = {a_.width},
         .gradient = GradientSum::under_sp,
         .initial = {.drawn = kDeviation}});
  }

  void table(Role role, int64_t rows, Split split) {
    add({.id = weight_of(role), .shape = {rows, a_.width}, .split = split, .initial = kNormal});
  }
  void norm(const NormSpec& spec, Place at) {
    ParameterRow row{.id = weight_of(Role::norm, at),
                     .shape = {a_.width},
                     .gradient = GradientSum::under_sp,
                     .initial = {.mean = spec.plus_one ? 0.0f : 1.0f, .drawn = kDeviation}};
    add(row);
    row.id.bias = true;
    row.initial.mean = 0;
    if (spec.bias) add(row);
  }

  void join(const JoinSpec& spec, Place at) {
    if (spec.before) norm(*spec.before, at);
    for (size_t i = 0; i < spec.branches.size(); ++i) {
      at.branch = static_cast<int64_t>(i);
      if (spec.branches[i].before) {
        at.slot = NormSlot::branch;
        norm(*spec.branches[i].before, at);
        at.slot = NormSlot::before;
      }
      std::visit([&](const auto& what) { branch(what, at); }, spec.branches[i].what);
    }
    at.branch = 0;
    at.slot = NormSlot::after;
    if (spec.after) norm(*spec.after, at);
  }

  void branch(const AttentionSpec& spec, Place at) {
    const int64_t D = spec.head_size, group = spec.group();
    const auto heads = [&](Role role, int64_t count, int64_t unit) {
      return ParameterRow{.id = weight_of(role, at),
                          .shape = {count * D, a_.width},
                          .split = Split::rows,
                          .unit = unit * D,
                          .initial = kNormal};
    };
    add_linears({heads(Role::q, spec.heads, group), heads(Role::k, spec.kv_heads, 1),
                 heads(Role::v, spec.kv_heads, 1)},
                spec.qkv_bias);
    if (spec.qk_norm) {
      head_norm(Role::q_norm, spec, spec.heads, group, at);
      head_norm(Role::k_norm, spec, spec.kv_heads, 1, at);
    }
    if (spec.sinks)
      add({.id = weight_of(Role::sinks, at),
           .shape = {spec.heads},
           .split = Split::rows,
           .unit = group,
           .initial = kNormal});
    add({.id = weight_of(Role::attention_out, at),
         .shape = {a_.width, spec.heads * D},
         .split = Split::cols,
         .unit = group * D,
         .initial = to_stream_});
    if (spec.out_bias) add_bias_on_stream(Role::attention_out, at);
  }
  void head_norm(Role role, const AttentionSpec& spec, int64_t heads, int64_t unit, Place at) {
    ParameterRow row{
        .id = weight_of(role, at),
        .shape = {spec.head_size},
        .gradient = GradientSum::ranks,
        .initial = {.mean = spec.qk_norm->norm.plus_one ? 0.0f : 1.0f, .drawn = kDeviation}};
    if (spec.qk_norm->full_width) {
      row.shape = {heads * spec.head_size};
      row.split = Split::rows;
      row.unit = unit * spec.head_size;
      row.gradient = GradientSum::none;
    }
    add(row);
  }

  // Gate and up are one product.
  void up_and_gate(const MlpSpec& spec, Place at) {
    const auto wide = [&](Role role) {
      return ParameterRow{.id = weight_of(role, at),
                          .shape = {spec.width, a_.width},
                          .split = Split::rows,
                          .initial = kNormal};
    };
    const bool gated = spec.gating.kind != Gating::Kind::none;
    add_linears(gated ? std::vector{wide(Role::gate), wide(Role::up)} : std::vector{wide(Role::up)},
                spec.bias);
  }
  void down(const MlpSpec& spec, Place at) {
    add({.id = weight_of(Role::down, at),
         .shape = {a_.width, spec.width},
         .split = Split::cols,
         .initial = to_stream_});
  }
  void branch(const MlpSpec& spec, Place at) {
    up_and_gate(spec, at);
    down(spec, at);
    if (spec.bias) add_bias_on_stream(Role::down, at);
  }
  // Each expert is split by its width. The biases of `down` are a product with the gates, so that
  // each is added by one rank.
  void branch(const ExpertsSpec& spec, Place at) {
    ParameterRow router{.id = weight_of(Role::router, at),
                        .shape = {spec.count, a_.width},
                        .gradient = GradientSum::ranks,
                        .initial = kNormal};
    add(router);
    router.id.bias = true;
    router.shape = {spec.count};
    router.initial = {.drawn = kDeviation};
    if (spec.routing.bias) add(router);
    for (int64_t e = 0; e < spec.count; ++e) {
      at.expert = e;
      up_and_gate(spec.each, at);
      down(spec.each, at);
    }
    at.expert = Place::kNoExpert;
    if (spec.each.bias)
      add({.id = bias_of(Role::down, at),
           .shape = {a_.width, spec.count},
           .split = Split::cols,
           .initial = {.drawn = kDeviation}});
  }

  const Architecture& a_;
  Distribution to_stream_;
  std::vector<ParameterRow> rows_;
};

}  // namespace

std::string text(const ParameterId& id) {
  const Place& at = id.at;
  std::string name(word(id.role));
  if (id.role == Role::norm && at.in_block()) {
    name += fmt::format("_{}", at.join);
    if (at.slot == NormSlot::branch) name += fmt::format("_{}", at.branch);
    if (at.slot == NormSlot::after) name += "_after";
  }
  if (at.expert != Place::kNoExpert) name = fmt::format("experts.{}.{}", at.expert, name);
  if (at.in_block()) name = fmt::format("blocks.{}.{}", at.block, name);
  return name + (id.bias ? ".bias" : ".weight");
}

std::vector<ParameterRow> parameters(const Architecture& architecture) {
  return List(architecture).build();
}

std::vector<NamedTensor> named_tensors(const std::vector<ParameterRow>& rows) {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < rows.size(); ++i) {
    const ParameterRow& row = rows[i];
    if (row.first_row == 0) {
      tensors.push_back({row.tensor, row.id, row.shape, i});
      continue;
    }
    tensors.back().shape[0] += row.shape[0];
    ++tensors.back().rows;
  }
  return tensors;
}

std::vector<NamedTensor> named_tensors(const Architecture& architecture) {
  return named_tensors(parameters(architecture));
}

int64_t parameter_count(const Architecture& architecture) {
  int64_t total = 0;
  for (const ParameterRow& row : parameters(architecture)) total += row.shape.count();
  return total;
}

}  // namespace tplab
