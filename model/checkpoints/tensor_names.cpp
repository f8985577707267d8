#include "model/checkpoints/tensor_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "model/name_table.h"
#include "sim/error.h"

namespace tplab {
namespace {

// Modules that hold another one and nothing of their own: DistributedDataParallel, torch.compile,
// FullyShardedDataParallel, activation checkpointing, weight averaging.
constexpr std::array<std::string_view, 6> kWrappers = {
    "module",          "_orig_mod",  "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
    "_forward_module", "_fpw_module"};

constexpr std::string_view kTransformer = "transformer", kHead = "lm_head";

// The parts of a name, without the wrappers.
std::vector<std::string_view> parts_of(std::string_view name) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    if (std::find(kWrappers.begin(), kWrappers.end(), part) == kWrappers.end())
      parts.push_back(part);
    at = end + 1;
  }
  return parts;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

// Whether a GPT-2's names begin with these parts, with or without "transformer."
bool is_beginning(const std::string_view* part, const std::string_view* end) {
  if (*part == kTransformer) return end - part >= 2;
  constexpr std::string_view kInBlock = ".{}.";
  for (const NameRow& row : nanogpt_names()) {
    std::string_view name = row.name;
    if (name.starts_with(kTransformer)) name.remove_prefix(kTransformer.size() + 1);
    if (*part != name.substr(0, name.find('.'))) continue;
    const bool in_block = name.find(kInBlock) != name.npos;
    return in_block ? end - part >= 3 && is_number(part[1]) : end - part >= 2;
  }
  return false;
}

struct Known {
  std::string name;  // nanoGPT's
  bool is_bare;      // it had no "transformer."
};

// Nothing where no part of the name begins one of GPT-2's.
std::optional<Known> known_name(std::string_view name) {
  const std::vector<std::string_view> parts = parts_of(name);
  const std::string_view* end = parts.data() + parts.size();
  for (const std::string_view* part = parts.data(); part != end; ++part) {
    if (!is_beginning(part, end)) continue;
    const bool is_bare = *part != kTransformer && *part != kHead;
    return Known{fmt::format("{}{}", is_bare ? "transformer." : "", fmt::join(part, end, ".")),
                 is_bare};
  }
  return {};
}

// A causal mask: a constant that older versions of both programs store.
bool is_mask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

// What transformers and others call heads. Where names have no "transformer.", nothing else tells a
// head from a part of the transformer.
bool is_head_name(std::string_view name) {
  const std::vector<std::string_view> parts = parts_of(name);
  return std::any_of(parts.begin(), parts.end(), [](std::string_view part) {
    return part.find("head") != part.npos || part == "score" || part == "classifier" ||
           part == "qa_outputs";
  });
}

}  // namespace

std::string embedding_name() {
  return name_row(nanogpt_names(), weight_of(Role::token_embedding)).name;
}

std::string head_name() { return name_row(nanogpt_names(), weight_of(Role::head)).name; }

bool is_model_name(std::string_view name) {
  const std::optional<Known> known = known_name(name);
  return known && !is_mask(known->name);
}

KnownTensors name_tensors(std::vector<FileTensor> list) {
  KnownTensors named;
  std::vector<FileTensor> others;
  bool are_bare = true;
  for (FileTensor& tensor : list) {
    const std::optional<Known> known = known_name(tensor.name);
    if (!known) {
      others.push_back(std::move(tensor));
      continue;
    }
    if (is_mask(known->name)) continue;
    are_bare = are_bare && known->is_bare;
    const auto [place, is_new] = named.tensors.emplace(known->name, tensor);
    if (is_new) continue;
    fail_file(tensor.bytes->name(),
              fmt::format("tensors {} and {} are both {}", in_quotes(place->second.name),
                          in_quotes(tensor.name), known->name),
              "two copies of a model, or of a tensor, are in the file: keep one of them");
  }
  for (FileTensor& tensor : others) {
    if (!are_bare || is_head_name(tensor.name)) {
      named.unread.push_back(tensor.name);
    } else {
      std::string name = tensor.name;  // refused under it
      named.tensors.emplace(std::move(name), std::move(tensor));
    }
  }
  return named;
}

void take_head_for_embedding(FileTensors& tensors) {
  auto head = tensors.extract(head_name());
  if (head.empty()) return;
  const bool has_embedding = tensors.count(embedding_name()) > 0;
  if (!has_embedding) head.key() = embedding_name();
  tensors.insert(std::move(head));
}

std::vector<std::string> unread_note(const std::vector<std::string>& unread) {
  if (unread.empty()) return {};
  std::vector<std::string> names;
  names.reserve(unread.size());
  for (const std::string& name : unread) names.push_back(in_quotes(name));
  return {fmt::format("not read, since a language model has no such part: {}", list_text(names))};
}

}  // namespace tplab
