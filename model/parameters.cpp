#include "model/parameters.h"

#include <cmath>

#include "model/name_table.h"

namespace tplab {

namespace {

// source: nanoGPT model.py, Radford et al. 2019, section 2.3
constexpr float kDeviation = 0.02f;

// Builds the list in order.
class List {
 public:
  explicit List(bool bias) : bias_(bias) {}

  void add(ParameterRow row) {
    row.decays = row.shape.dims() > 1;
    row.tensor = tensor_name(nanogpt_names(), row.id);
    if (row.joined) row.first_row = rows_.back().first_row + rows_.back().shape[0];
    rows_.push_back(std::move(row));
  }
  // A weight and its bias; or those of several products of one input, one below the other.
  void add_with_bias(const std::vector<ParameterRow>& weights) {
    for (const ParameterRow& row : weights) add(row);
    if (!bias_) return;
    for (const ParameterRow& row : weights) add(with_outputs_of(row));
  }
  std::vector<ParameterRow> take() && { return std::move(rows_); }

 private:
  // The bias: split as the product's outputs are, which a row-parallel one has whole.
  static ParameterRow with_outputs_of(ParameterRow row) {
    row.id.bias = true;
    row.shape = {row.shape[0]};
    if (row.split == Split::cols) row.split = Split::whole;
    row.gradient_in_terms = row.split == Split::whole;
    row.initial = {.drawn = kDeviation};
    return row;
  }

  bool bias_;
  std::vector<ParameterRow> rows_;
};

}  // namespace

std::vector<ParameterRow> parameters(const GptConfig& config) {
  const int64_t C = config.n_embd, F = config.n_inner, D = config.head_size();
  constexpr Distribution kNormal = {.deviation = kDeviation};
  const Distribution to_stream = {
      // of what writes to the stream
      .deviation = kDeviation / std::sqrt(2.0f * static_cast<float>(config.n_layer))};
  List list(config.bias);
  const auto table = [&](Role role, int64_t rows, Split split) {
    list.add({.id = weight_of(role), .shape = {rows, C}, .split = split, .initial = kNormal});
  };
  const auto norm = [&](Place at) {
    list.add_with_bias({{.id = weight_of(Role::norm, at),
                         .shape = {C},
                         .gradient_in_terms = true,
                         .initial = {.mean = 1, .drawn = kDeviation}}});
  };

  table(Role::token_embedding, config.vocab_size, Split::vocab);
  table(Role::position_embedding, config.block_size, Split::whole);
  for (int64_t b = 0; b < config.n_layer; ++b) {
    const Place attention{b, 0}, mlp{b, 1};
    const auto heads = [&](Role role) {
      return ParameterRow{.id = weight_of(role, attention),
                          .shape = {C, C},
                          .split = Split::rows,
                          .unit = D,
                          .joined = role != Role::q,
                          .initial = kNormal};
    };
    norm(attention);
    list.add_with_bias({heads(Role::q), heads(Role::k), heads(Role::v)});
    list.add_with_bias({{.id = weight_of(Role::attention_out, attention),
                         .shape = {C, C},
                         .split = Split::cols,
                         .unit = D,
                         .initial = to_stream}});
    norm(mlp);
    list.add_with_bias({{.id = weight_of(Role::mlp_up, mlp),
                         .shape = {F, C},
                         .split = Split::rows,
                         .initial = kNormal}});
    list.add_with_bias({{.id = weight_of(Role::mlp_down, mlp),
                         .shape = {C, F},
                         .split = Split::cols,
                         .initial = to_stream}});
  }
  norm({});
  if (!config.tied_head) table(Role::head, config.vocab_size, Split::vocab);
  return std::move(list).take();
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

std::vector<NamedTensor> named_tensors(const GptConfig& config) {
  return named_tensors(parameters(config));
}

int64_t parameter_count(const GptConfig& config) {
  int64_t total = 0;
  for (const ParameterRow& row : parameters(config)) total += row.shape.count();
  return total;
}

}  // namespace tplab
