#include "verify/golden_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "model/files/bytes.h"
#include "sim/text/nearest.h"
#include "verify/reference/reference.h"

namespace tplab {

namespace {

constexpr std::string_view kActivation = "activation.";

// llm-viz's names for the parts of nanoGPT's block 0.
struct Alias {
  std::string_view theirs, ours;
};
constexpr Alias kAliases[] = {
    {"tok_emb", "embed/tok"},          {"pos_emb", "embed/pos"},    {"x", "embed/out"},
    {"ln1", "block 0/ln_1"},           {"qkv", "block 0/attn/qkv"}, {"q", "block 0/attn/q"},
    {"k", "block 0/attn/k"},           {"v", "block 0/attn/v"},     {"att", "block 0/attn/scores"},
    {"attSm", "block 0/attn/softmax"}, {"y", "block 0/attn/heads"}, {"yProj", "block 0/attn/proj"},
    {"attnResid", "block 0/mid"},      {"ln2", "block 0/ln_2"},     {"fc", "block 0/mlp/fc"},
    {"gelu", "block 0/mlp/gelu"},      {"mlp", "block 0/mlp/proj"}, {"mlpResid", "block 0/out"},
};

// Our name for theirs, or theirs where it has no other.
std::string translated(std::string_view theirs) {
  for (const Alias& alias : kAliases)
    if (theirs == alias.theirs) return std::string(alias.ours);
  if (theirs.starts_with("block")) {  // block3: the output of block 3
    const std::string_view number = theirs.substr(5);
    int layer = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), layer);
    if (error == std::errc() && end == number.data() + number.size())
      return fmt::format("block {}/out", layer);
  }
  return std::string(theirs);
}

// The sites of a network of as many layers, from the reference itself, with nothing in it.
std::vector<std::string> sites_of(const Architecture& architecture) {
  const GptConfig least{.n_layer = architecture.layers(),
                        .n_head = 1,
                        .n_embd = 1,
                        .block_size = 1,
                        .vocab_size = 1,
                        .n_inner = 1,
                        .bias = false};
  const Weights weights = [](const std::string& name) {
    const bool is_qkv = name.ends_with("c_attn.weight");
    return std::vector<double>(is_qkv ? 3 : 1);
  };
  std::vector<std::string> sites;
  const auto note = [&](const Activation& a) { sites.push_back(a.site); };
  (void)Reference<double>(least, weights).forward({.B = 1, .T = 1, .tokens = {0}}, note);
  return sites;
}

}  // namespace

GoldenNames::GoldenNames(const Architecture& architecture) : sites_(sites_of(architecture)) {
  for (const NamedTensor& p : named_tensors(architecture)) parameters_[p.name] = p.shape;
  std::sort(sites_.begin(), sites_.end());
}

std::string GoldenNames::site_of(const std::string& tensor) const {
  if (tensor == "logits") return "head/logits";
  if (!tensor.starts_with(kActivation)) return "";
  std::string site = translated(std::string_view(tensor).substr(kActivation.size()));
  return std::binary_search(sites_.begin(), sites_.end(), site) ? site : "";
}

const Shape* GoldenNames::shape_of(const std::string& parameter) const {
  const auto found = parameters_.find(parameter);
  return found == parameters_.end() ? nullptr : &found->second;
}

std::string GoldenNames::why_unknown(const std::string& tensor) const {
  std::vector<std::string> known = {"x",         "y",      "loss",         "logits",
                                    "input_ids", "labels", "train.losses", "train.grad_norms",
                                    "greedy"};
  for (const Alias& alias : kAliases)
    known.push_back(fmt::format("{}{}", kActivation, alias.theirs));
  for (const std::string& site : sites_) known.push_back(fmt::format("{}{}", kActivation, site));
  for (const auto& [name, shape] : parameters_) known.push_back("grad." + name);
  const std::string meant = nearest(tensor, known);
  const bool is_site = tensor.starts_with(kActivation);
  return (is_site ? "no such site here" : "tplab knows no such name") +
         (meant.empty() ? "" : fmt::format(": did you mean {}?", in_quotes(meant)));
}

AfterName parse_after(std::string_view name) {
  constexpr std::string_view kPrefix = "after";
  if (!name.starts_with(kPrefix)) return {};
  const char* const end_of_name = name.data() + name.size();
  AfterName parsed;
  const auto [end, error] =
      std::from_chars(name.data() + kPrefix.size(), end_of_name, parsed.steps);
  if (error != std::errc() || end == end_of_name || *end != '.') return {};
  parsed.is_after = true;
  parsed.parameter.assign(end + 1, end_of_name);
  return parsed;
}

}  // namespace tplab
