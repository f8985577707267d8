// Architectures other than GPT-2, as data: every parameter is listed, with its shape, its place in
// the file that people have, and what two ranks hold of it.
#include <catch2/catch.hpp>
#include <map>

#include "model/network.h"
#include "model/shard_plan.h"
#include "sim/machine/world.h"
#include "tests/model/huggingface_folder.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::string rows_text(const Piece& piece) {
  if (piece.length > 0)
    return std::to_string(piece.length) + " of every " + std::to_string(piece.stride) + " from " +
           std::to_string(piece.offset);
  return piece.offset == 0 ? "" : "from " + std::to_string(piece.offset);
}

std::string line(const Described& model, const ParameterRow& row, const ShardPlan& plan) {
  const NameRow& name = name_row(model.names, row.id);
  std::string text = row.tensor + " " + row.shape.text() + " = " + tensor_name(name, row.id);
  if (name.all_experts) text += " expert " + std::to_string(row.id.at.expert);
  if (const std::string rows = rows_text(name.piece); !rows.empty()) text += " rows " + rows;
  if (name.transposed) text += " transposed";
  return text + "; a rank " + plan.local_shape(row, 1).text();
}

// The lines of the parameters in block 0 and outside, of experts the last one's.
std::vector<std::string> listing(const Described& model) {
  const ShardPlan plan(model.architecture, 2);
  std::vector<std::string> lines;
  int64_t last_expert = 0;
  for (const ParameterRow& row : plan.rows()) last_expert = std::max(last_expert, row.id.at.expert);
  for (const ParameterRow& row : plan.rows()) {
    if (row.id.at.block > 0) continue;
    if (row.id.at.expert != Place::kNoExpert && row.id.at.expert != last_expert) continue;
    lines.push_back(line(model, row, plan));
  }
  return lines;
}

using Lines = std::vector<std::string>;

const std::vector<std::string> kFolders = {
    "falcon-40b", "falcon-7b", "gemma2",    "gemma3",       "gpt-neox",
    "gpt-oss",    "llama",     "mixtral",   "olmo2",        "phi3",
    "qwen2",      "qwen3",     "qwen3-moe", "llama31-tied", "mistral-sliding"};

// As config.json says of them, without the file.
const char* const kFalcon40b = R"({"model_type": "falcon", "new_decoder_architecture": true,
  "hidden_size": 48, "num_attention_heads": 8, "num_kv_heads": 2, "num_hidden_layers": 2,
  "ffn_hidden_size": 192, "vocab_size": 256, "max_position_embeddings": 128, "bias": false})";

}  // namespace

TEST_CASE("architectures: every number of a checkpoint is one parameter's, once") {
  for (const std::string& folder : kFolders) {
    if (!has_shared_data("hf/" + folder)) continue;
    const Described model = described_folder(folder);
    const FolderTensors files(folder);
    std::map<std::string, std::vector<int>> times;
    for (const TensorInfo& info : files.infos())
      times[info.name].assign(static_cast<size_t>(info.shape.count()), 0);
    for (const ParameterRow& row : parameters(model.architecture)) {
      const NameRow& name = name_row(model.names, row.id);
      const std::string tensor = tensor_name(name, row.id);
      const TensorInfo& info = files.file_of(tensor).at(tensor);
      INFO(folder << ": " << row.tensor << " in " << info.name);
      std::vector<int>& counts = times.at(info.name);
      for (int64_t r = 0; r < row.shape[0]; ++r)
        for (int64_t c = 0; c < cols_of(row.shape); ++c) {
          const int64_t at = index_of(name, row, info.shape, r, c);
          REQUIRE((at >= 0 && at < std::ssize(counts)));
          ++counts[static_cast<size_t>(at)];
        }
    }
    for (const auto& [name, counts] : times) {
      INFO(folder << ": " << name);
      CHECK(std::all_of(counts.begin(), counts.end(), [](int n) { return n == 1; }));
    }
  }
}

TEST_CASE("architectures: old spellings of a config.json mean the same") {
  for (const std::string& folder : kFolders) {
    if (!has_shared_data("hf/" + folder)) continue;
    INFO(folder);
    CHECK(described_folder(folder).architecture ==
          described_folder(folder, "config.v4.json").architecture);
  }
}

TEST_CASE("architectures: Falcon-40B is one join of two branches, with a norm each") {
  const Described model = described(kFalcon40b);
  CHECK(model.architecture.blocks[1].size() == 1);
  CHECK(
      listing(model) ==
      Lines{"embedding.weight [256, 48] = transformer.word_embeddings.weight; a rank [128, 48]",
            "blocks.0.norm_0_0.weight [48] = transformer.h.0.ln_attn.weight; a rank [48]",
            "blocks.0.norm_0_0.bias [48] = transformer.h.0.ln_attn.bias; a rank [48]",
            "blocks.0.q.weight [48, 48] = transformer.h.0.self_attention.query_key_value.weight "
            "rows 24 of every 36 from 0; a rank [24, 48]",
            "blocks.0.k.weight [12, 48] = transformer.h.0.self_attention.query_key_value.weight "
            "rows 6 of every 36 from 24; a rank [6, 48]",
            "blocks.0.v.weight [12, 48] = transformer.h.0.self_attention.query_key_value.weight "
            "rows 6 of every 36 from 30; a rank [6, 48]",
            "blocks.0.attention_out.weight [48, 48] = transformer.h.0.self_attention.dense.weight; "
            "a rank [48, 24]",
            "blocks.0.norm_0_1.weight [48] = transformer.h.0.ln_mlp.weight; a rank [48]",
            "blocks.0.norm_0_1.bias [48] = transformer.h.0.ln_mlp.bias; a rank [48]",
            "blocks.0.up.weight [192, 48] = transformer.h.0.mlp.dense_h_to_4h.weight; "
            "a rank [96, 48]",
            "blocks.0.down.weight [48, 192] = transformer.h.0.mlp.dense_4h_to_h.weight; "
            "a rank [48, 96]",
            "norm.weight [48] = transformer.ln_f.weight; a rank [48]",
            "norm.bias [48] = transformer.ln_f.bias; a rank [48]"});
}

TEST_CASE("architectures: gpt-oss has experts, sinks and windows in every other block") {
  if (!has_shared_data("hf/gpt-oss")) return;
  const Described model = described_folder("gpt-oss");
  const auto& first = std::get<AttentionSpec>(model.architecture.blocks[0][0].branches[0].what);
  const auto& second = std::get<AttentionSpec>(model.architecture.blocks[1][0].branches[0].what);
  CHECK((first.window == 8 && second.window == 0 && first.sinks));
  CHECK(first.rope->scaling.kind == Rope::Kind::yarn);
  CHECK_FALSE(first.rope->scaling.truncate);
  const std::string layer = "model.layers.0.";
  CHECK(listing(model) ==
        Lines{"embedding.weight [256, 32] = model.embed_tokens.weight; a rank [128, 32]",
              "blocks.0.norm_0.weight [32] = " + layer + "input_layernorm.weight; a rank [32]",
              "blocks.0.q.weight [64, 32] = " + layer + "self_attn.q_proj.weight; a rank [32, 32]",
              "blocks.0.k.weight [16, 32] = " + layer + "self_attn.k_proj.weight; a rank [8, 32]",
              "blocks.0.v.weight [16, 32] = " + layer + "self_attn.v_proj.weight; a rank [8, 32]",
              "blocks.0.q.bias [64] = " + layer + "self_attn.q_proj.bias; a rank [32]",
              "blocks.0.k.bias [16] = " + layer + "self_attn.k_proj.bias; a rank [8]",
              "blocks.0.v.bias [16] = " + layer + "self_attn.v_proj.bias; a rank [8]",
              "blocks.0.sinks.weight [8] = " + layer + "self_attn.sinks; a rank [4]",
              "blocks.0.attention_out.weight [32, 64] = " + layer +
                  "self_attn.o_proj.weight; a rank [32, 32]",
              "blocks.0.attention_out.bias [32] = " + layer + "self_attn.o_proj.bias; a rank [32]",
              "blocks.0.norm_1.weight [32] = " + layer +
                  "post_attention_layernorm.weight; a rank [32]",
              "blocks.0.router.weight [8, 32] = " + layer + "mlp.router.weight; a rank [8, 32]",
              "blocks.0.router.bias [8] = " + layer + "mlp.router.bias; a rank [8]",
              "blocks.0.experts.7.gate.weight [24, 32] = " + layer +
                  "mlp.experts.gate_up_proj expert 7 rows 1 of every 2 from 0 transposed; "
                  "a rank [12, 32]",
              "blocks.0.experts.7.up.weight [24, 32] = " + layer +
                  "mlp.experts.gate_up_proj expert 7 rows 1 of every 2 from 1 transposed; "
                  "a rank [12, 32]",
              "blocks.0.experts.7.gate.bias [24] = " + layer +
                  "mlp.experts.gate_up_proj_bias expert 7 rows 1 of every 2 from 0; a rank [12]",
              "blocks.0.experts.7.up.bias [24] = " + layer +
                  "mlp.experts.gate_up_proj_bias expert 7 rows 1 of every 2 from 1; a rank [12]",
              "blocks.0.experts.7.down.weight [32, 24] = " + layer +
                  "mlp.experts.down_proj expert 7 transposed; a rank [32, 12]",
              "blocks.0.down.bias [32, 8] = " + layer +
                  "mlp.experts.down_proj_bias transposed; a rank [32, 4]",
              "norm.weight [32] = model.norm.weight; a rank [32]",
              "head.weight [256, 32] = lm_head.weight; a rank [128, 32]"});
}

TEST_CASE("architectures: Gemma 2 has norms before and after, and soft caps") {
  if (!has_shared_data("hf/gemma2")) return;
  const Described model = described_folder("gemma2");
  CHECK(model.architecture.logits_softcap == 3);
  CHECK(model.architecture.embedding_scale == Approx(std::sqrt(32.0)).epsilon(1e-15));
  const auto& attention = std::get<AttentionSpec>(model.architecture.blocks[0][0].branches[0].what);
  CHECK((attention.softcap == 2 && attention.window == 8));
  CHECK(attention.scale == Approx(1 / std::sqrt(12.0)).epsilon(1e-15));
  for (const ParameterRow& row : parameters(model.architecture))
    if (row.id.role == Role::norm) CHECK(row.initial.mean == 0);  // 1 + weight
  const std::string layer = "model.layers.0.";
  CHECK(listing(model) ==
        Lines{"embedding.weight [256, 32] = model.embed_tokens.weight; a rank [128, 32]",
              "blocks.0.norm_0.weight [32] = " + layer + "input_layernorm.weight; a rank [32]",
              "blocks.0.q.weight [64, 32] = " + layer + "self_attn.q_proj.weight; a rank [32, 32]",
              "blocks.0.k.weight [32, 32] = " + layer + "self_attn.k_proj.weight; a rank [16, 32]",
              "blocks.0.v.weight [32, 32] = " + layer + "self_attn.v_proj.weight; a rank [16, 32]",
              "blocks.0.attention_out.weight [32, 64] = " + layer +
                  "self_attn.o_proj.weight; a rank [32, 32]",
              "blocks.0.norm_0_after.weight [32] = " + layer +
                  "post_attention_layernorm.weight; a rank [32]",
              "blocks.0.norm_1.weight [32] = " + layer +
                  "pre_feedforward_layernorm.weight; a rank [32]",
              "blocks.0.gate.weight [64, 32] = " + layer + "mlp.gate_proj.weight; a rank [32, 32]",
              "blocks.0.up.weight [64, 32] = " + layer + "mlp.up_proj.weight; a rank [32, 32]",
              "blocks.0.down.weight [32, 64] = " + layer + "mlp.down_proj.weight; a rank [32, 32]",
              "blocks.0.norm_1_after.weight [32] = " + layer +
                  "post_feedforward_layernorm.weight; a rank [32]",
              "norm.weight [32] = model.norm.weight; a rank [32]"});
}

TEST_CASE("architectures: a config.json that does not say what it must is refused by its key") {
  const auto refused = [](const std::string& key, const nlohmann::json& value) {
    nlohmann::json object = nlohmann::json::parse(kFalcon40b);
    object[key] = value;
    return refusal([&] { (void)described(object.dump(), "the/config.json"); });
  };
  CHECK_THAT(refused("hidden_size", nullptr), Contains("the/config.json: hidden_size is 'null'"));
  CHECK_THAT(refused("hidden_size", 50), Contains("hidden_size is '50'"));
  CHECK_THAT(refused("num_kv_heads", 3), Contains("num_kv_heads is '3'"));
  CHECK_THAT(refused("num_attention_heads", 0), Contains("num_attention_heads is '0'"));
  CHECK_THAT(refused("layer_norm_epsilon", "x"), Contains("layer_norm_epsilon"));
  CHECK_THAT(refused("layer_norm_epsilon", 0), Contains("layer_norm_epsilon is '0'"));
  CHECK_THAT(refused("num_hidden_layers", UINT64_MAX), Contains("num_hidden_layers"));
  CHECK_THAT(refused("num_hidden_layers", 10'001), Contains("num_hidden_layers"));
  CHECK_THAT(refused("hidden_size", INT64_MAX), Contains("hidden_size"));
  CHECK_THAT(refused("num_ln_in_parallel_attn", 3), Contains("num_ln_in_parallel_attn is '3'"));
  CHECK_THAT(refused("alibi", true), Contains("alibi is 'true'"));
  CHECK_THAT(refused("activation", "relu6"), Contains("activation is '\"relu6\"'"));
  CHECK_THAT(refused("rope_parameters", {{"rope_type", "yarn"}}),
             Contains("rope_parameters: factor is missing"));
  CHECK_THAT(refused("rope_scaling", {{"factor", 2}}), Contains("rope_scaling: rope_type"));
  CHECK_THAT(refused("rope_scaling", {{"type", "dynamic"}, {"factor", 2}}),
             Contains("type is '\"dynamic\"'"));
  CHECK_THAT(
      refused("rope_scaling",
              {{"type", "llama3"}, {"factor", 2}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}),
      Contains("high_freq_factor is '4'"));
  CHECK_THAT(refused("rope_parameters", {{"partial_rotary_factor", 0.3}}),
             Contains("partial_rotary_factor is '0.3'"));
}

// What a network of it lacks; its weights are not to be read.
std::string refused_network(const Architecture& architecture) {
  class Unread final : public WeightSource {
   public:
    explicit Unread(const Architecture& a) : architecture_(a) {}
    const Architecture& architecture() const override { return architecture_; }
    std::string description() const override { return "unread"; }
    std::string stored_dtype() const override { return "f32"; }
    void read(std::string_view, const Slice&, HostSpan) const override {
      FAIL("a weight was read");
    }

   private:
    const Architecture& architecture_;
  };
  const Unread source(architecture);
  try {
    (void)World({.tp = 1}).run([&](Rank& rank) {
      const Network network(rank, source, ShardPlan(architecture, 1), DType::f32);
    });
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    return error.problem();
  }
  FAIL("was accepted");
  return "";
}

TEST_CASE("architectures: what the layers do not compute is refused before a weight is read") {
  CHECK_THAT(refused_network(described(kFalcon40b).architecture),
             Contains("family falcon") && Contains("positions that are not learned") &&
                 Contains("heads that share keys") && Contains("norms of single branches"));
  if (!has_shared_data("hf/gpt-oss") || !has_shared_data("hf/gemma2")) return;
  CHECK_THAT(refused_network(described_folder("gpt-oss").architecture),
             Contains("family gpt_oss") && Contains("experts") && Contains("sinks") &&
                 Contains("windows") && Contains("RMS norms"));
  CHECK_THAT(refused_network(described_folder("gemma2").architecture),
             Contains("family gemma2") && Contains("soft caps") && Contains("gated MLPs") &&
                 Contains("a scale of the embedding") && Contains("other scales of attention"));
}

TEST_CASE("architectures: what ranks cannot share is refused by its name in the config") {
  const Architecture falcon = described(kFalcon40b).architecture;
  CHECK(tps_that_work(falcon) == "1 or 2");
  CHECK_THROWS_WITH(ShardPlan(falcon, 4),
                    Contains("num_key_value_heads 2 does not divide by tp 4"));
}

TEST_CASE("architectures: a GPT's sizes mean a network, and the network means them") {
  for (const Preset& preset : presets()) CHECK(gpt_config(preset.config) == preset.config);
  CHECK_THROWS_WITH(gpt_config(described(kFalcon40b).architecture),
                    Contains("the model is another"));
  CHECK_THROWS_WITH(Architecture(GptConfig{.n_layer = 1, .n_head = 0}), Contains("n_head is 0"));
}
