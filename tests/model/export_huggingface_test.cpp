// An exported folder is the model it was made from, bit for bit, and never costs a user's files.
#include "model/checkpoints/export_huggingface.h"

#include <nlohmann/json.hpp>

#include "checkpoint_files.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/huggingface.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/files/safetensors.h"
#include "model/init.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/load.h"
#include "tokenizer_vocabulary.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;
using nlohmann::json;

namespace {

GptConfig small(bool bias, bool tied_head, Gelu gelu) {
  return {.n_layer = 2,
          .n_head = 3,
          .n_embd = 12,
          .block_size = 7,
          .vocab_size = 11,
          .n_inner = 40,
          .bias = bias,
          .tied_head = tied_head,
          .gelu = gelu,
          .layer_norm_eps = 1.0 / 3e5};
}

std::unique_ptr<WeightSource> drawn(const GptConfig& config) {
  return initial_weights(config, {.seed = 7, .draw_biases = true});
}

// The names of parameters whose values differ, and of biases that are not zeros where the source
// has none.
std::vector<std::string> differences(const WeightSource& source, const WeightSource& exported) {
  std::vector<std::string> different;
  for (const NamedTensor& parameter : named_tensors(exported.architecture())) {
    const std::vector<double> values = read_whole(exported, parameter.name);
    const bool is_added =
        parameter.name.ends_with(".bias") && !gpt_config(source.architecture()).bias;
    const std::vector<double> expected =
        is_added ? std::vector<double>(values.size(), 0.0) : read_whole(source, parameter.name);
    if (values != expected) different.push_back(parameter.name);
  }
  return different;
}

// What the export into a folder that holds `files` complains of.
std::string refused_into(const std::map<std::string, std::string>& files) {
  const TempFolder folder;
  fs::create_directory(folder.path("out"));
  for (const auto& [name, text] : files) folder.write("out/" + name, text);
  try {
    export_huggingface(*drawn(small(true, true, Gelu::erf)), nullptr, folder.path("out"));
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    for (const auto& [name, text] : files) CHECK(file_bytes(folder.path("out/" + name)) == text);
    CHECK_FALSE(fs::exists(folder.path("out.part")));
    return error.problem();
  }
  return "was accepted";
}

}  // namespace

TEST_CASE("export: what open_huggingface reads is the model, bit for bit, whatever its choices") {
  const TempFolder folder;
  for (const bool bias : {false, true}) {
    for (const bool tied_head : {false, true}) {
      for (const Gelu gelu : {Gelu::erf, Gelu::tanh}) {
        const auto source = drawn(small(bias, tied_head, gelu));
        const ExportReport report = export_huggingface(*source, nullptr, folder.path("out/"));
        CHECK(report.files == std::vector<std::string>{"config.json", "model.safetensors"});
        CHECK(report.notes.size() == (bias ? 0 : 1));
        CHECK(static_cast<int64_t>(fs::file_size(folder.path("out/model.safetensors"))) ==
              report.bytes);
        const auto exported = open_huggingface(folder.path("out"));
        GptConfig expected = gpt_config(source->architecture());
        expected.bias = true;  // the format's only kind
        CHECK(gpt_config(exported->architecture()) == expected);
        CHECK(exported->stored_dtype() == "f32");
        CHECK(differences(*source, *exported).empty());
        CHECK_FALSE(fs::exists(folder.path("out.part")));
      }
    }
  }
}

TEST_CASE("export: a parameter of several blocks is copied and transposed whole") {
  // More than 4 Mi values in wte, c_fc and c_proj, in numbers that no block size divides.
  const GptConfig config = {.n_layer = 1,
                            .n_head = 1,
                            .n_embd = 81,
                            .block_size = 2,
                            .vocab_size = 60'001,
                            .n_inner = 65'003};
  const TempFolder folder;
  const auto source = drawn(config);
  export_huggingface(*source, nullptr, folder.path("out"));
  CHECK(differences(*source, *open_huggingface(folder.path("out"))).empty());
}

TEST_CASE("export: names, shapes and config are those of transformers' GPT2LMHeadModel") {
  const TempFolder folder;
  const BpeTokenizer tokenizer = [&] {
    const BpeFiles files = bpe_files({{"t", "h"}});
    folder.write("encoder.json", files.vocab);
    folder.write("vocab.bpe", "t h");  // neither a version nor a last newline
    return BpeTokenizer::load(folder.path());
  }();
  GptConfig config = small(true, false, Gelu::tanh);
  config.vocab_size = 300;
  export_huggingface(*drawn(config), &tokenizer, folder.path("out"));
  const SafetensorsFile file(folder.path("out/model.safetensors"));
  CHECK(file.metadata().at("format") == "pt");
  const auto shape = [&](const char* tensor) { return file.at(tensor).shape; };
  CHECK(shape("transformer.h.1.attn.c_attn.weight") == Shape{12, 36});
  CHECK(shape("transformer.h.0.mlp.c_fc.weight") == Shape{12, 40});
  CHECK(shape("transformer.h.0.mlp.c_proj.weight") == Shape{40, 12});
  CHECK(shape("transformer.h.0.mlp.c_fc.bias") == Shape{40});
  CHECK(shape("lm_head.weight") == Shape{300, 12});
  CHECK(file.tensors().size() == 3 + 2 * 12 + 2);
  const json written = json::parse(file_bytes(folder.path("out/config.json")));
  CHECK(written["architectures"] == json({"GPT2LMHeadModel"}));
  CHECK(written["activation_function"] == "gelu_new");
  CHECK(written["n_positions"] == 7);
  CHECK(written["n_ctx"] == 7);
  CHECK(written["n_inner"] == 40);
  CHECK(written["tie_word_embeddings"] == false);
  CHECK(written["eos_token_id"] == 257);
  CHECK(file_bytes(folder.path("out/merges.txt")) == "#version: 0.2\nt h\n");
  CHECK(load_tokenizer(folder.path("out"))->encode("th") == std::vector<int>{256});
}

TEST_CASE("export: a list of characters goes along, and comes back as a tokenizer") {
  const TempFolder folder;
  const CharacterTokenizer tokenizer({"\n", "\"", "\u00e9", "\U0001F600"}, "meta.pkl");
  const ExportReport report =
      export_huggingface(*drawn(small(true, true, Gelu::erf)), &tokenizer, folder.path("out"));
  CHECK_THAT(report.notes.at(0), Contains("transformers has no tokenizer of characters"));
  for (const char* path : {"out", "out/vocab.json"}) {
    const auto loaded = load_tokenizer(folder.path(path));
    CHECK(loaded->encode("\U0001F600\"\u00e9\n") == std::vector<int>{3, 1, 2, 0});
  }
  CHECK(find_tokenizer(folder.path("out")) == folder.path("out"));
  folder.write("out/vocab.json", R"({"a": 0, "b": 2})");
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path("out")); }), Contains("not 0 to 1"));
  folder.write("out/vocab.json", R"({"a": 0, "b": 0})");
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path("out")); }), Contains("not 0 to 1"));
  folder.write("out/vocab.json", R"({"a": 0, "th": 1})");
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path("out")); }),
             Contains("merges.txt is missing"));
  folder.write("out/vocab.json", "{}");
  CHECK_THAT(refusal([&] { load_tokenizer(folder.path("out")); }), Contains("no characters"));
}

TEST_CASE("export: what else belongs to the tokenizer goes along, and what does not is named") {
  const TempFolder folder;
  fs::copy(fixture("gpt2-tiny"), folder.path("from"));
  folder.write("from/special_tokens_map.json", "{}");
  folder.write("from/tokenizer_config.json", "{}");
  folder.write("from/tokenizer.model", "?");
  const auto source = open_huggingface(folder.path("from"));
  const BpeTokenizer beside = BpeTokenizer::load(folder.path("from"));
  const ExportReport report = export_huggingface(*source, &beside, folder.path("out"));
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    CHECK(file_bytes(folder.path(std::string("out/") + name)) ==
          file_bytes(folder.path(std::string("from/") + name)));
    CHECK(std::count(report.files.begin(), report.files.end(), name) == 1);
  }
  REQUIRE(report.notes.size() == 1);
  CHECK_THAT(report.notes[0], Contains("not copied") && Contains("'tokenizer.model'"));
  // An export with these files is still one that a newer one replaces.
  CHECK_NOTHROW(export_huggingface(*source, nullptr, folder.path("out")));
  CHECK_FALSE(fs::exists(folder.path("out/special_tokens_map.json")));
}

TEST_CASE("export: a tokenizer larger than the model is refused") {
  const TempFolder folder;
  GptConfig config = small(true, true, Gelu::erf);
  config.vocab_size = 2;
  const CharacterTokenizer tokenizer({"a", "b", "c"}, "meta.pkl");
  CHECK_THROWS_WITH(export_huggingface(*drawn(config), &tokenizer, folder.path("out")),
                    Contains("3 tokens and the model 2"));
  CHECK_FALSE(fs::exists(folder.path("out")));
}

TEST_CASE("export: an older export is replaced, and a folder with anything else is left as it is") {
  const TempFolder folder;
  const CharacterTokenizer tokenizer({"a", "b"}, "meta.pkl");
  const auto source = drawn(small(true, true, Gelu::erf));
  fs::create_directory(folder.path("out"));  // an empty one is taken
  export_huggingface(*source, &tokenizer, folder.path("out"));
  const auto other = initial_weights(source->architecture(), {.seed = 8, .draw_biases = true});
  export_huggingface(*other, nullptr, folder.path("out"));
  CHECK(differences(*other, *open_huggingface(folder.path("out"))).empty());
  CHECK_FALSE(fs::exists(folder.path("out/vocab.json")));  // the older one's
  CHECK_FALSE(fs::exists(folder.path("out.part")));

  const std::string ours = file_bytes(folder.path("out/config.json"));
  CHECK(refused_into({{"config.json", ours}}) == "was accepted");
  CHECK_THAT(refused_into({{"config.json", ours}, {"notes.txt", "x"}}), Contains("other files"));
  CHECK_THAT(refused_into({{"config.json", "{\"model_type\": \"gpt2\"}"}}),
             Contains("other files"));
  CHECK_THAT(refused_into({{"config.json", "{\"exported_by\": 7}"}}), Contains("other files"));
  CHECK_THAT(refused_into({{"model.safetensors", ""}}), Contains("other files"));
  folder.write("file", "text");
  CHECK_THROWS_WITH(export_huggingface(*source, nullptr, folder.path("file")),
                    Contains("no folder"));
  CHECK(file_bytes(folder.path("file")) == "text");
}

TEST_CASE("export: what a killed one left is written over, but not a user's files in its place") {
  const TempFolder folder;
  const auto source = drawn(small(true, true, Gelu::erf));
  fs::create_directory(folder.path("out.part"));
  folder.write("out.part/model.safetensors.part", "half of it");
  folder.write("out.part/vocab.json", "{}");
  export_huggingface(*source, nullptr, folder.path("out"));
  CHECK(differences(*source, *open_huggingface(folder.path("out"))).empty());
  CHECK_FALSE(fs::exists(folder.path("out/vocab.json")));
  fs::create_directory(folder.path("new.part"));
  folder.write("new.part/thesis.txt", "years of work");
  CHECK_THROWS_WITH(export_huggingface(*source, nullptr, folder.path("new")),
                    Contains("has other files in it"));
  CHECK(file_bytes(folder.path("new.part/thesis.txt")) == "years of work");
}

TEST_CASE("export: a source that fails halfway leaves no folder and the older export") {
  const TempFolder folder;
  const auto source = drawn(small(true, true, Gelu::erf));
  export_huggingface(*source, nullptr, folder.path("out"));
  fs::copy(folder.path("out"), folder.path("cut"));
  const auto cut = open_huggingface(folder.path("cut"));
  fs::resize_file(folder.path("cut/model.safetensors"), 2000);
  CHECK_THAT(refusal([&] { export_huggingface(*cut, nullptr, folder.path("out")); }),
             Contains("shorter than when it was opened"));
  CHECK(differences(*source, *open_huggingface(folder.path("out"))).empty());
  CHECK_FALSE(fs::exists(folder.path("out.part")));
  CHECK_THROWS_AS(export_huggingface(*cut, nullptr, folder.path("new")), Error);
  CHECK_FALSE(fs::exists(folder.path("new")));
}

TEST_CASE("export: the characters of nanoGPT's trained checkpoint come through") {
  if (!has_shared_data("nanogpt-shakespeare-char/ckpt.pt")) return;
  const TempFolder folder;
  const auto source = open_checkpoint(shared_data("nanogpt-shakespeare-char/ckpt.pt"));
  export_huggingface(*source, nullptr, folder.path("out"));
  CHECK(differences(*source, *open_huggingface(folder.path("out"))).empty());
}
