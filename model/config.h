// The sizes and choices that define a GPT, under nanoGPT's names, and the presets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/architecture.h"

namespace tplab {

inline constexpr std::string_view kGptFamily = "gpt2";

enum class Gelu {
  erf,   // x Φ(x): nanoGPT, PyTorch's default
  tanh,  // its approximation (Hendrycks and Gimpel 2016): OpenAI's GPT-2, "gelu_new"
};

// All sizes are global: nothing here is ever divided by tp.
struct GptConfig {
  int64_t n_layer = 0;     // L
  int64_t n_head = 0;      // H
  int64_t n_embd = 0;      // C
  int64_t block_size = 0;  // longest context, in tokens
  int64_t vocab_size = 0;  // V
  int64_t n_inner = 0;     // F, the MLP's width; 4 C in every GPT-2
  bool bias = true;        // biases in linears and layer norms
  bool tied_head = true;   // lm_head.weight is transformer.wte.weight
  Gelu gelu = Gelu::erf;
  double layer_norm_eps = 1e-5;

  int64_t head_size() const { return n_embd / n_head; }  // D
  bool operator==(const GptConfig&) const = default;
  // The network that these sizes mean. Throws as check() does.
  operator Architecture() const;
};

// The sizes that mean this network. Throws Error(unavailable) where none do: it is no GPT-2.
GptConfig gpt_config(const Architecture& architecture);

// Throws Error(usage) unless every size is positive, within what int64 byte counts can hold, and
// n_head divides n_embd. `where` begins the message: a path or a preset's name.
void check(const GptConfig& config, const std::string& where);

struct Preset {
  std::string_view name;
  std::string_view what;  // one line for --help
  GptConfig config;
};

// nano-cpu, nano, gpt2, gpt2-medium, gpt2-large, gpt2-xl.
const std::vector<Preset>& presets();
const Preset& find_preset(std::string_view name);  // throws Error(usage) that lists the names

}  // namespace tplab
