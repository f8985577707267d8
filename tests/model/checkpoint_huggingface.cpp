#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint_pickles.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/huggingface.h"
#include "model/files/safetensors.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;
using nlohmann::json;

namespace {

// A 1-layer, 2-head, 4-wide folder of 3 tokens, to be broken by tests. Value i of the file is i.
struct FakeFolder {
  json config = {{"model_type", "gpt2"}, {"n_layer", 1},     {"n_head", 2},
                 {"n_embd", 4},          {"n_positions", 5}, {"vocab_size", 3}};
  std::map<std::string, Shape> shapes;
  TempFolder folder;

  FakeFolder() {
    for (const NamedTensor& parameter : named_tensors(GptConfig{1, 2, 4, 5, 3, 16, true, true})) {
      shapes[parameter.name] = parameter.shape;
      if (parameter.name.find(".c_") != std::string::npos && parameter.shape.dims() == 2) {
        std::swap(shapes[parameter.name][0], shapes[parameter.name][1]);
      }
    }
  }

  // The bytes of a safetensors file of some of the tensors.
  template <class Keep>
  std::string tensors(Keep&& keep) const {
    json header = json::object();
    std::vector<float> values;
    for (const auto& [name, shape] : shapes) {
      if (!keep(name)) continue;
      const size_t begin = values.size() * 4;
      int64_t count = 1;
      for (const int64_t size : shape) count *= size;
      for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(values.size()));
      header[name] = {
          {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, values.size() * 4}}};
    }
    return safetensors(header.dump(), raw(values));
  }

  std::unique_ptr<WeightSource> open() const {
    folder.write("config.json", config.dump());
    folder.write("model.safetensors", tensors([](const std::string&) { return true; }));
    return open_checkpoint(folder.path());
  }

  // Two shards, the blocks and the rest, and an index after `change` was made to it.
  template <class Change>
  std::unique_ptr<WeightSource> open_sharded(Change&& change) const {
    const auto in_block = [](const std::string& name) { return name.find(".h.") != name.npos; };
    json map = json::object();
    for (const auto& [name, shape] : shapes) map[name] = in_block(name) ? "a.st" : "b.st";
    json index = {{"weight_map", map}};
    change(index);
    folder.write("config.json", config.dump());
    folder.write("a.st", tensors(in_block));
    folder.write("b.st", tensors([&](const std::string& name) { return !in_block(name); }));
    folder.write("model.safetensors.index.json", index.dump());
    return open_checkpoint(folder.path());
  }
};

template <class F>
std::string refused_after(F&& change) {
  FakeFolder fake;
  change(fake);
  return refusal([&] { fake.open(); });
}

template <class F>
std::string refused_index(F&& change) {
  const FakeFolder fake;
  return refusal([&] { fake.open_sharded(change); });
}

std::string refused_config(const std::string& key, const json& value) {
  return refused_after([&](FakeFolder& fake) { fake.config[key] = value; });
}

}  // namespace

TEST_CASE("huggingface: the tiny folder is read, and its bf16 shards agree to 8 bits") {
  const auto single = open_checkpoint(fixture("gpt2-tiny"));
  const auto sharded = open_checkpoint(fixture("gpt2-tiny-sharded"));
  CHECK(gpt_config(single->architecture()) ==
        GptConfig{2, 4, 32, 32, 264, 128, true, true, Gelu::tanh, 1e-5});
  CHECK(gpt_config(sharded->architecture()) == single->architecture());
  CHECK(single->stored_dtype() == "f32");
  CHECK(sharded->stored_dtype() == "bf16");
  for (const NamedTensor& parameter : named_tensors(single->architecture())) {
    CAPTURE(parameter.name);
    const std::vector<double> exact = read_whole(*single, parameter.name);
    const std::vector<double> rounded = read_whole(*sharded, parameter.name);
    for (size_t i = 0; i < exact.size(); ++i) {
      // One rounding to 8 significant bits: at most 2^-9 of the next power of two.
      REQUIRE(std::abs(exact[i] - rounded[i]) <= 0x1p-8 * std::abs(exact[i]));
    }
  }
}

TEST_CASE("huggingface: Conv1D weights are transposed, slice by slice, others are not") {
  const auto source = open_checkpoint(fixture("gpt2-tiny"));
  const SafetensorsFile file(fixture("gpt2-tiny/model.safetensors"));
  const std::string name = "transformer.h.1.attn.c_attn.weight";
  const std::vector<double> stored = file.read_doubles(name);  // [32, 96]
  const Slice slice = {{{8, 16}, {40, 48}, {72, 80}}, {3, 30}};
  std::vector<double> part(static_cast<size_t>(slice.count()));
  source->read(name, slice, {DType::f64, part.data(), slice.count()});
  size_t at = 0;
  for (const Range& rows : slice.rows) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = 3; c < 30; ++c) {
        REQUIRE(part[at++] == stored[static_cast<size_t>(c * 96 + r)]);
      }
    }
  }
  CHECK(read_whole(*source, "transformer.wpe.weight") ==
        file.read_doubles("transformer.wpe.weight"));
}

TEST_CASE("huggingface: names with or without transformer., masks ignored, older config keys") {
  FakeFolder fake;
  auto node = fake.shapes.extract("transformer.ln_f.weight");
  node.key() = "ln_f.weight";
  fake.shapes.insert(std::move(node));
  fake.shapes["h.0.attn.bias"] = {1, 1, 5, 5};
  fake.shapes["transformer.h.0.attn.masked_bias"] = {};
  fake.config.erase("n_positions");
  fake.config["n_ctx"] = 5;
  fake.config["n_inner"] = nullptr;
  fake.config["activation_function"] = "gelu";
  const auto source = fake.open();
  CHECK(gpt_config(source->architecture()) ==
        GptConfig{1, 2, 4, 5, 3, 16, true, true, Gelu::erf, 1e-5});
  CHECK(read_whole(*source, "transformer.ln_f.weight").size() == 4);

  fake.shapes["transformer.ln_f.weight"] = {4};
  CHECK_THAT(refusal([&] { fake.open(); }),
             Contains("'ln_f.weight' and 'transformer.ln_f.weight' are both") ||
                 Contains("'transformer.ln_f.weight' and 'ln_f.weight' are both"));
}

TEST_CASE("huggingface: a tied head may be stored too, if it is the embedding") {
  FakeFolder fake;
  fake.shapes["lm_head.weight"] = {3, 4};
  CHECK_THAT(refusal([&] { fake.open(); }),
             Contains("'lm_head.weight' differs from 'transformer.wte.weight'"));
  fake.config["tie_word_embeddings"] = false;
  CHECK(!fake.open()->architecture().tied_head);
  CHECK(read_whole(*fake.open(), "lm_head.weight")[5] == 5);
  fake.shapes.erase("lm_head.weight");
  CHECK_THAT(refusal([&] { fake.open(); }), Contains("missing: 'lm_head.weight'"));

  // The same 12 values twice, then nothing else but what the model needs.
  FakeFolder equal;
  equal.shapes["lm_head.weight"] = {3, 4};
  equal.folder.write("config.json", equal.config.dump());
  std::string bytes = equal.tensors([](const std::string&) { return true; });
  const SafetensorsFile file(in_memory(bytes));
  const auto at = [&](const char* name) { return static_cast<size_t>(file.at(name).offset); };
  bytes.replace(at("lm_head.weight"), 48, bytes.substr(at("transformer.wte.weight"), 48));
  equal.folder.write("model.safetensors", bytes);
  CHECK(open_checkpoint(equal.folder.path())->architecture().tied_head);
}

TEST_CASE("huggingface: a tied head saved under its name alone is the embedding") {
  FakeFolder fake;
  const auto move_to_head = [&](const std::string& prefix) {
    std::map<std::string, Shape> shapes;
    for (const auto& [name, shape] : fake.shapes)
      shapes[prefix + (name == "transformer.wte.weight" ? "lm_head.weight" : name)] = shape;
    fake.shapes = shapes;
  };
  move_to_head("module.");
  CHECK(fake.open()->architecture().tied_head);
  CHECK(read_whole(*fake.open(), "transformer.wte.weight")[5] == 5);  // the first in the file
  fake.config["tie_word_embeddings"] = false;
  CHECK_THAT(refusal([&] { fake.open(); }),
             Contains("tie_word_embeddings is false") && Contains("'module.lm_head.weight'"));
  // safetensors.torch.save_model says in the metadata what a tensor that it left out equals.
  std::string bytes = fake.tensors([](const std::string&) { return true; });
  const std::string alias =
      R"({"__metadata__":{"module.transformer.wte.weight":"module.lm_head.weight","a":"b"},)";
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  fake.folder.write("model.safetensors",
                    safetensors(alias + bytes.substr(9, length - 1), bytes.substr(8 + length)));
  const auto aliased = open_checkpoint(fake.folder.path());
  CHECK_FALSE(gpt_config(aliased->architecture()).tied_head);
  CHECK(read_whole(*aliased, "transformer.wte.weight") == read_whole(*aliased, "lm_head.weight"));
}

TEST_CASE("huggingface: wrappers' names and heads, also in shards") {
  FakeFolder fake;
  std::map<std::string, Shape> shapes;
  for (const auto& [name, shape] : fake.shapes)
    shapes[(name.find(".h.") != name.npos ? "module." : "module._orig_mod.") + name] = shape;
  shapes["score.weight"] = {2, 4};
  fake.shapes = shapes;
  for (const auto& source : {fake.open(), fake.open_sharded([](json&) {})}) {
    CHECK(read_whole(*source, "transformer.h.0.attn.c_attn.weight").size() == 48);
    REQUIRE(source->notes().size() == 1);
    CHECK_THAT(source->notes()[0], Contains("'score.weight'"));
    fs::remove(fake.folder.path("model.safetensors"));
  }
}

TEST_CASE("huggingface: choices that leave the network as it is are accepted") {
  const auto gelu_with = [](const std::string& key, const json& value) {
    FakeFolder fake;
    fake.config[key] = value;
    return gpt_config(fake.open()->architecture()).gelu;
  };
  for (const char* name :
       {"gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"}) {
    CHECK(gelu_with("activation_function", name) == Gelu::tanh);
  }
  CHECK(gelu_with("activation_function", "gelu") == Gelu::erf);
  CHECK(gelu_with("activation_function", "gelu_python") == Gelu::erf);
  CHECK(gelu_with("reorder_and_upcast_attn", true) == Gelu::tanh);
  CHECK(gelu_with("pruned_heads", json::object()) == Gelu::tanh);
  CHECK(gelu_with("torch_dtype", "float16") == Gelu::tanh);
  FakeFolder oldest;  // of 2019
  oldest.config.erase("model_type");
  oldest.config["architectures"] = {"GPT2DoubleHeadsModel"};
  CHECK_NOTHROW(oldest.open());
}

TEST_CASE("huggingface: pytorch_model.bin is read where there is no safetensors file") {
  FakeFolder fake;
  const std::string bytes = fake.tensors([](const std::string&) { return true; });
  const SafetensorsFile file(in_memory(bytes));
  const size_t data = static_cast<size_t>(file.tensors().front().offset);
  Items items;
  for (const TensorInfo& info : file.tensors()) {
    FakeTensor tensor;
    tensor.length = static_cast<int32_t>((bytes.size() - data) / 4);
    tensor.offset = static_cast<int32_t>((static_cast<size_t>(info.offset) - data) / 4);
    for (const int64_t size : info.shape) tensor.shape.push_back(static_cast<int32_t>(size));
    tensor.strides =
        info.shape.dims() == 2 ? std::vector<int32_t>{tensor.shape[1], 1} : std::vector<int32_t>{1};
    items.emplace_back(info.name, tensor.pickle());
  }
  const auto expected = fake.open();
  fake.folder.write("pytorch_model.bin", zip({{"archive/data.pkl", p_pickle(p_dict(items))},
                                              {"archive/data/0", bytes.substr(data)}}));
  fs::remove(fake.folder.path("model.safetensors"));
  const auto source = open_checkpoint(fake.folder.path());
  for (const NamedTensor& p : named_tensors(source->architecture()))
    CHECK(read_whole(*source, p.name) == read_whole(*expected, p.name));
  CHECK_THAT(refusal([&] { open_checkpoint(fake.folder.path("pytorch_model.bin")); }),
             Contains("is a state dict alone"));
  fs::remove(fake.folder.path("pytorch_model.bin"));
  fake.folder.write("tf_model.h5", "x");
  CHECK_THAT(refusal([&] { open_checkpoint(fake.folder.path()); }),
             Contains("tf_model.h5 is TensorFlow's weights"));
}

TEST_CASE("huggingface: missing, extra and misshapen tensors are listed, long lists cut") {
  CHECK_THAT(refused_after([](FakeFolder& f) { f.shapes.erase("transformer.wte.weight"); }),
             Contains("missing: 'transformer.wte.weight'"));
  CHECK_THAT(refused_after([](FakeFolder& f) {
               f.shapes = {{"wte.weight", {3, 4}}};
             }),
             Contains("missing: 'wpe.weight'") && Contains("and 9 more"));
  CHECK_THAT(refused_after([](FakeFolder& f) {
               f.shapes["transformer.h.0.attn.c_attn.weight"] = {12, 4};  // as nn.Linear has it
             }),
             Contains("'transformer.h.0.attn.c_attn.weight' is [12, 4], not [4, 12]"));
}

TEST_CASE("huggingface: a config that would change the mathematics is refused") {
  CHECK_THAT(refused_config("model_type", "llama"), Contains("model_type is 'llama'"));
  CHECK_THAT(refused_config("model_type", nullptr), Contains("model_type is missing"));
  CHECK_THAT(refused_config("activation_function", "relu"),
             Contains("activation_function is 'relu'"));
  CHECK_THAT(refused_config("activation_function", 7), Contains("activation_function is 7"));
  CHECK_THAT(refused_config("scale_attn_weights", false), Contains("scale_attn_weights is false"));
  CHECK_THAT(refused_config("scale_attn_by_inverse_layer_idx", true), Contains("is true"));
  CHECK_THAT(refused_config("pruned_heads", {{"0", {1}}}), Contains("pruned_heads"));
  CHECK_THAT(refused_config("activation_function", "quick_gelu"), Contains("'quick_gelu'"));
  CHECK_THAT(refused_config("add_cross_attention", true), Contains("is true"));
  CHECK_THAT(refused_config("quantization_config", json::object()), Contains("quantized"));
  CHECK_THAT(refused_config("tie_word_embeddings", "yes"),
             Contains("tie_word_embeddings is 'yes'"));
}

TEST_CASE("huggingface: sizes that are missing, not whole, hostile or do not divide are refused") {
  CHECK_THAT(refused_config("n_layer", nullptr), Contains("n_layer is null"));
  CHECK_THAT(refused_config("n_layer", -1), Contains("n_layer is -1"));
  CHECK_THAT(refused_config("n_layer", 1.5), Contains("n_layer is 1.5"));
  CHECK_THAT(refused_config("n_layer", "1"), Contains("n_layer is '1'"));
  CHECK_THAT(refused_config("n_layer", 5000), Contains("5000 layers"));
  CHECK_THAT(refused_config("n_layer", UINT64_MAX), Contains("n_layer is 18446744073709551615"));
  CHECK_THAT(refused_config("n_embd", INT64_MAX), Contains("n_embd is 9223372036854775807"));
  CHECK_THAT(refused_config("n_head", 3), Contains("n_head 3 does not divide n_embd 4"));
  CHECK_THAT(refused_config("n_inner", 0), Contains("n_inner is 0"));
  CHECK_THAT(refused_config("vocab_size", json::array()), Contains("vocab_size is array"));
  CHECK_THAT(refused_config("layer_norm_epsilon", "x"), Contains("layer_norm_epsilon is 'x'"));
  CHECK_THAT(refused_config("layer_norm_epsilon", -1), Contains("epsilon is -1"));
  const auto text = [](const std::string& config) {
    return refusal([&] { parse_gpt2_config(config, "config.json"); });
  };
  CHECK_THAT(text(""), Contains("not JSON, but empty"));
  CHECK_THAT(text(R"({"a": NaN})"), Contains("not JSON: NaN stands at byte 7"));
  CHECK_THAT(text(R"({"a": -Infinity})"), Contains("not JSON: Infinity stands at byte 8"));
  CHECK_THAT(text("<!DOCTYPE html>"), Contains("not JSON, but a web page (HTML)"));
  CHECK_THAT(text(R"({"layer_norm_epsilon": 1e400})"),
             Contains("'layer_norm_epsilon' is a number out of range"));
  CHECK_THAT(text("{\"n_layer\":" + std::string(100'000, '[')), Contains("nested more than 8"));
  CHECK_THAT(text(R"({"model_type":"gpt2","model_type":"gpt2"})"), Contains("two values named"));
}

TEST_CASE("huggingface: shards are read through their index") {
  const FakeFolder fake;
  const auto sharded = fake.open_sharded([](json&) {});
  CHECK(read_whole(*sharded, "transformer.wte.weight").size() == 12);
  CHECK(read_whole(*sharded, "transformer.h.0.ln_1.weight").size() == 4);
}

TEST_CASE("huggingface: an index cannot lead out of its folder") {
  for (const char* name : {"../b.st", "/etc/passwd", "x/../b.st", "..", ".", "", "sub/b.st"}) {
    CHECK_THAT(refused_index([&](json& i) { i["weight_map"]["transformer.wte.weight"] = name; }),
               Contains("is no file name"));
  }
  CHECK_THAT(refused_index([](json& i) {
               i["weight_map"]["transformer.wte.weight"] = std::string("b.st\0x", 6);
             }),
             Contains("is no file name"));
  CHECK_THAT(refused_index([](json& i) { i["weight_map"]["transformer.wte.weight"] = 7; }),
             Contains("is no file name"));
}

TEST_CASE("huggingface: an index and shards that do not agree are refused") {
  CHECK_THAT(refused_index([](json& i) { i["weight_map"]["transformer.wte.weight"] = "c.st"; }),
             Contains("c.st") || Contains("not listed as being here"));
  CHECK_THAT(refused_index([](json& i) { i["weight_map"]["transformer.wte.weight"] = "a.st"; }),
             Contains("lacks tensor 'transformer.wte.weight'"));
  CHECK_THAT(refused_index([](json& i) { i["weight_map"].erase("transformer.wte.weight"); }),
             Contains("'transformer.wte.weight' is not listed"));
  CHECK_THAT(refused_index([](json& i) { i["weight_map"]["more"] = "b.st"; }),
             Contains("lacks tensor 'more'"));
  CHECK_THAT(refused_index([](json& i) { i.erase("weight_map"); }), Contains("no weight_map"));
}

TEST_CASE("open_checkpoint: what is not a checkpoint is refused with what is accepted") {
  const TempFolder folder;
  const auto opened = [](const std::string& path) {
    return refusal([&] { open_checkpoint(path); });
  };
  CHECK_THAT(opened(folder.path("nothing")), Contains("does not exist"));
  CHECK_THAT(opened(""), Contains("does not exist"));
  CHECK_THAT(opened(folder.path()),
             Contains("neither config.json nor ckpt.pt nor ckpt.safetensors"));
  CHECK_THAT(opened(folder.write("empty", "")), Contains("is empty"));
  CHECK_THAT(opened(folder.write("one", "x")), Contains("no checkpoint that tplab knows"));
  CHECK_THAT(opened(folder.write("text", "some text")), Contains("no checkpoint that tplab knows"));
  CHECK_THAT(opened(folder.write("model.safetensors", safetensors("{}", ""))),
             Contains("one file of a Hugging"));
  CHECK_THAT(opened(folder.write("old.pt", "\x80\x02\x8a")), Contains("PyTorch before 1.6"));
  CHECK_THAT(opened("/dev/null"), Contains("not a regular file"));
  folder.write("config.json", R"({"model_type":"gpt2","n_layer":1,"n_head":1,"n_embd":1,)"
                              R"("n_positions":1,"vocab_size":1})");
  fs::remove(folder.path("model.safetensors"));
  CHECK_THAT(opened(folder.path()), Contains("has neither model.safetensors nor"));
}

TEST_CASE(
    "huggingface: the real sorting network opens, untied, its embedding among the golden sums") {
  if (!has_shared_data("gpt-nano-sort/config.json")) return;
  const auto source = open_checkpoint(shared_data("gpt-nano-sort"));
  CHECK(gpt_config(source->architecture()) ==
        GptConfig{3, 3, 48, 11, 3, 192, true, false, Gelu::tanh, 1e-5});
  // x = tok_emb + pos_emb, row by row, from this file's embeddings.
  const SafetensorsFile golden(shared_data("gpt-nano-sort/golden.safetensors"));
  const std::vector<int64_t> tokens = golden.read_integers("x");
  const std::vector<double> sums = golden.read_doubles("activation.x");
  const std::vector<double> wte = read_whole(*source, "transformer.wte.weight");
  const std::vector<double> wpe = read_whole(*source, "transformer.wpe.weight");
  for (size_t i = 0; i < tokens.size(); ++i) {
    for (size_t c = 0; c < 48; ++c) {
      const double sum = wte[static_cast<size_t>(tokens[i]) * 48 + c] + wpe[i % 11 * 48 + c];
      REQUIRE(std::abs(sum - sums[i * 48 + c]) <= 0x1p-23 * std::abs(sum) + 1e-30);
    }
  }
}
