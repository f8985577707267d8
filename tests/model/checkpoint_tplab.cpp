// What one mesh saved, any other reads: weights, moments and the rest; a damaged file is refused.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "checkpoint_files.h"
#include "checkpoint_states.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/files/safetensors.h"
#include "model/tokenizers/characters.h"
#include "tokenizer_vocabulary.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;
using nlohmann::json;

namespace {

CheckpointFacts facts_of(const GptConfig& config) {
  return {.architecture = config,
          .step = 1234,
          .best_val_loss = 1.0 / 3,
          .train = {{"lr", 0.1}, {"warmup", 7}}};
}

// The checkpoint as the ranks of a mesh write it, all at once.
void save(const std::string& path, int tp, int dp, DType dtype,
          const GptConfig& config = twelve_heads()) {
  const ShardPlan plan(config, tp);
  StateWriter writer(path, checkpoint_tensors(config), dtype,
                     checkpoint_metadata(facts_of(config)));
  std::vector<std::jthread> ranks;
  for (int t = 0; t < tp; ++t)
    for (int d = 0; d < dp; ++d)
      ranks.emplace_back([&, t, d] { write_share(writer, plan, t, dp, d, dtype); });
  ranks.clear();  // joins
  writer.commit();
}

// How many numbers that the ranks of a mesh read are not as they should be.
int64_t count_wrong(const TplabCheckpoint& checkpoint, int tp, int dp, DType dtype) {
  const ShardPlan plan(checkpoint.architecture(), tp);
  int64_t wrong = 0;
  for (int rank = 0; rank < tp; ++rank) {
    for (size_t kind = 0; kind < kinds().size(); ++kind) {
      for (size_t p = 0; p < plan.rows().size(); ++p) {
        const ParameterRow& row = plan.rows()[p];
        const Slice slice = plan.saved_slice(row, rank);
        const std::vector<double> expected = local_numbers(kind, p, row, slice);
        for (int d = 0; d < dp; ++d) {
          const int64_t n = slice.count(), begin = n * d / dp, end = n * (d + 1) / dp;
          dispatch_computed(dtype, [&](auto zero) {
            const bool is_weight = kind == 0;
            const int64_t first = is_weight ? 0 : begin, last = is_weight ? n : end;
            std::vector<decltype(zero)> values(static_cast<size_t>(last - first), -1);
            const HostSpan out = {dtype, values.data(), last - first};
            if (is_weight)
              checkpoint.read(row.tensor, slice, out);
            else
              checkpoint.read_state(kind == 1 ? "m" : "v", row.tensor, slice, begin, out);
            for (size_t i = 0; i < values.size(); ++i)
              wrong += values[i] != expected[static_cast<size_t>(first) + i];
          });
        }
      }
    }
  }
  return wrong;
}

// One layer, two wide: small enough to be taken apart.
GptConfig tiny() {
  return {.n_layer = 1,
          .n_head = 1,
          .n_embd = 2,
          .block_size = 2,
          .vocab_size = 3,
          .n_inner = 8,
          .bias = false};
}

// A good file's header and data, for a test to break.
struct Parts {
  json header;
  std::string data;
  std::string& metadata(const std::string& key) {
    return header["__metadata__"][key].get_ref<std::string&>();
  }
  std::string bytes() const { return safetensors(header.dump(), data); }
};

Parts good_parts() {
  const TempFolder folder;
  save(folder.path("a"), 1, 1, DType::f32, tiny());
  const std::string bytes = file_bytes(folder.path("a"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return {json::parse(bytes.substr(8, length)), bytes.substr(8 + length)};
}

template <class Change>
std::string refused_after_change(Change&& change) {
  Parts parts = good_parts();
  change(parts);
  return refusal([&] { TplabCheckpoint(in_memory(parts.bytes())); });
}

std::string refused_metadata(const std::string& key, const std::string& value) {
  return refused_after_change([&](Parts& parts) { parts.metadata(key) = value; });
}

std::string refused_saved_config(const std::string& key, const json& value) {
  return refused_after_change([&](Parts& parts) {
    json config = json::parse(parts.metadata("config"));
    config[key] = value;
    parts.metadata("config") = config.dump();
  });
}

}  // namespace

TEST_CASE("tplab checkpoint: what any mesh saved, any other reads, number for number") {
  const TempFolder folder;
  const std::string path = folder.path("ckpt.safetensors");
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const auto& [tp, dp] : {std::pair{1, 1}, {4, 3}, {3, 2}, {12, 1}}) {
      CAPTURE(tp, dp);
      save(path, tp, dp, dtype);
      const TplabCheckpoint checkpoint(path);
      CHECK(checkpoint.dtype() == dtype);
      CHECK(checkpoint.stored_dtype() == name(dtype));
      CHECK(gpt_config(checkpoint.architecture()) == twelve_heads());
      for (const int to_tp : {1, 3, 4, 6}) CHECK(count_wrong(checkpoint, to_tp, 1, dtype) == 0);
      CHECK(count_wrong(checkpoint, 3, 5, DType::f64) == 0);
      CHECK(count_wrong(checkpoint, 2, 2, DType::f32) == 0);
    }
  }
}

TEST_CASE("tplab checkpoint: ranks in processes of their own write one file") {
  const TempFolder folder;
  const GptConfig config = twelve_heads();
  const std::vector<StateTensor> tensors = checkpoint_tensors(config);
  const ShardPlan plan(config, 2);
  const std::string path = folder.path("a");
  const auto share_of_process = [&](int tp_rank, int dp_rank) {
    try {
      const auto mine = StateWriter::join(path, tensors, DType::f64);
      write_share(*mine, plan, tp_rank, 2, dp_rank, DType::f64);
      return 0;
    } catch (const Error&) {
      return 1;
    }
  };
  const auto save_without = [&](int missing) {
    StateWriter writer(path, tensors, DType::f64, checkpoint_metadata(facts_of(config)));
    for (int rank = 0; rank < 4; ++rank) {
      if (rank == missing) continue;
      const pid_t process = fork();
      if (process == 0) _exit(share_of_process(rank % 2, rank / 2));
      int status = -1;
      REQUIRE(waitpid(process, &status, 0) == process);
      CHECK(status == 0);
    }
    writer.commit();
    return count_wrong(TplabCheckpoint(path), 3, 1, DType::f64);
  };
  CHECK(save_without(-1) == 0);
  CHECK(save_without(2) > 0);
  CHECK_THROWS_WITH(StateWriter::join(folder.path("b"), tensors, DType::f64),
                    Contains("cannot be written by all ranks") && Contains("no file was made"));
}

TEST_CASE("tplab checkpoint: two slices that were swapped would show") {
  const TempFolder folder;
  const GptConfig config = twelve_heads();
  const ShardPlan plan(config, 2);
  StateWriter writer(folder.path("a"), checkpoint_tensors(config), DType::f64,
                     checkpoint_metadata(facts_of(config)));
  for (const int rank : {0, 1}) write_share(writer, plan, rank, 1, 0, DType::f64);
  const ParameterRow& row = plan.row(weight_of(Role::down, {1, 1}));
  const std::vector<double> other = local_numbers(2, 0, row, plan.slice(row, 1));
  writer.write("adamw.v." + row.tensor, plan.slice(row, 0), 3, 5, other.data());
  writer.commit();
  CHECK(count_wrong(TplabCheckpoint(folder.path("a")), 3, 1, DType::f64) == 2);
}

TEST_CASE("tplab checkpoint: step, losses, options and sizes come back exactly") {
  const TempFolder folder;
  for (const double loss : {1.0 / 3, 0.0, 5e-324, HUGE_VAL}) {
    GptConfig config = twelve_heads();
    config.layer_norm_eps = 1.0 / 3e5;
    CheckpointFacts facts = facts_of(config);
    facts.best_val_loss = loss;
    facts.train["seed"] = UINT64_MAX;
    StateWriter writer(folder.path("a"), checkpoint_tensors(config), DType::f32,
                       checkpoint_metadata(facts));
    writer.commit();
    const TplabCheckpoint checkpoint(folder.path("a"));
    CHECK(checkpoint.step() == 1234);
    CHECK(checkpoint.best_val_loss() == loss);
    CHECK(checkpoint.train() == facts.train);
    CHECK(gpt_config(checkpoint.architecture()) == config);
    CHECK(checkpoint.metadata().at("format") == "tplab");
    CHECK_FALSE(checkpoint.has_tokenizer());
    CHECK(checkpoint.tokenizer() == nullptr);
    CHECK(checkpoint.description() == "tplab checkpoint " + folder.path("a") + ", step 1234");
  }
}

TEST_CASE("tplab checkpoint: found by what is in it, in a folder by its name, before others") {
  const TempFolder folder;
  save(folder.path("renamed.bin"), 1, 1, DType::f64, tiny());
  CHECK_THAT(open_checkpoint(folder.path("renamed.bin"))->description(), Contains("tplab"));
  fs::rename(folder.path("renamed.bin"), folder.path("ckpt.safetensors"));
  fs::copy_file(fixture("nanogpt-tiny/ckpt.pt"), folder.path("ckpt.pt"));
  CHECK_THAT(open_checkpoint(folder.path())->description(), Contains("tplab checkpoint"));
  CHECK_THAT(open_checkpoint(folder.path("ckpt.pt"))->description(), Contains("nanoGPT"));
  CHECK_FALSE(find_tplab_checkpoint(fixture("gpt2-tiny/model.safetensors")));
  CHECK_FALSE(find_tplab_checkpoint(fixture("gpt2-tiny")));
  CHECK_FALSE(find_tplab_checkpoint(folder.path("absent")));
  CHECK_THAT(refusal([] { open_checkpoint(fixture("gpt2-tiny/model.safetensors")); }),
             Contains("one file of a Hugging Face folder"));
  CHECK_THAT(refusal([] { TplabCheckpoint(fixture("gpt2-tiny/model.safetensors")); }),
             Contains("no checkpoint of tplab's"));
}

TEST_CASE("tplab checkpoint: one that was cut short is refused at any length") {
  const TempFolder folder;
  const std::string bytes = good_parts().bytes();
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 9) {
    const std::string path = folder.write("ckpt.safetensors", bytes.substr(0, size));
    CAPTURE(size);
    CHECK_THAT(refusal([&] { open_checkpoint(path); }), Contains("ckpt.safetensors: "));
    refusal([&] { open_checkpoint(folder.path()); });
  }
}

TEST_CASE("tplab checkpoint: metadata that is missing, of another kind or newer is refused") {
  for (const char* key : {"version", "config", "step", "best_val_loss", "train", "tokenizer"}) {
    const std::string problem =
        refused_after_change([&](Parts& parts) { parts.header["__metadata__"].erase(key); });
    CHECK_THAT(problem, Contains(std::string("no \"") + key + "\""));
  }
  CHECK_THAT(refused_metadata("format", "pt"), Contains("no checkpoint of tplab's"));
  CHECK_THAT(refused_metadata("version", "2"), Contains("version '2'"));
  for (const char* step : {"", "-1", "1.5", "99999999999999999999", "12x", " 1"})
    CHECK_THAT(refused_metadata("step", step), Contains("its step is"));
  for (const char* loss : {"", "-1", "nan", "low", "1,5"})
    CHECK_THAT(refused_metadata("best_val_loss", loss), Contains("its best_val_loss is"));
  CHECK_THAT(refused_metadata("train", "[1]"), Contains("train: not a JSON object"));
  CHECK_THAT(refused_metadata("train", std::string(100'000, '[')), Contains("nested"));
  CHECK_THAT(refused_metadata("config", "{"), Contains("config: not JSON"));
}

TEST_CASE("tplab checkpoint: a config that is incomplete, unknown or of another model is refused") {
  CHECK_THAT(refused_saved_config("n_layer", 2), Contains("tensors are missing"));
  CHECK_THAT(refused_saved_config("n_layer", 9000),
             Contains("9000 layers, but the weights have only"));
  CHECK_THAT(refused_saved_config("n_layer", -1),
             Contains("n_layer is missing, or of another kind"));
  CHECK_THAT(refused_saved_config("n_layer", UINT64_MAX), Contains("n_layer"));
  CHECK_THAT(refused_saved_config("n_layer", 1.0), Contains("n_layer"));
  CHECK_THAT(refused_saved_config("n_head", 0), Contains("n_head is 0"));
  CHECK_THAT(refused_saved_config("n_embd", 4), Contains("wrong shape"));
  CHECK_THAT(refused_saved_config("bias", true), Contains("tensors are missing"));
  CHECK_THAT(refused_saved_config("bias", 1), Contains("bias is missing, or of another kind"));
  CHECK_THAT(refused_saved_config("tied_head", nullptr), Contains("tied_head"));
  CHECK_THAT(refused_saved_config("gelu", "relu"), Contains("gelu is missing, or of another kind"));
  CHECK_THAT(refused_saved_config("layer_norm_eps", "small"), Contains("layer_norm_eps"));
  CHECK_THAT(refused_saved_config("layer_norm_eps", -1), Contains("epsilon is -1"));
  CHECK_THAT(refused_saved_config("rope", true), Contains("has 11 choices, and 10 are known"));
}

TEST_CASE(
    "tplab checkpoint: a tensor that is missing, extra, misshapen or of another type is refused") {
  const std::string fc = "transformer.h.0.mlp.c_fc.weight";
  // The tensor goes on under a name that nothing wants.
  const auto renamed = [&](const std::string& from, const std::string& to) {
    return refused_after_change([&](Parts& parts) {
      parts.header[to] = parts.header.at(from);
      parts.header.erase(from);
    });
  };
  CHECK_THAT(renamed("model." + fc, "else." + fc), Contains("missing: 'model." + fc + "'"));
  CHECK_THAT(renamed("adamw.m." + fc, "else." + fc),
             Contains("AdamW's m: tensors are missing: 'adamw.m." + fc + "'"));
  CHECK_THAT(
      renamed("adamw.v." + fc, "adamw.v.x"),
      Contains("AdamW's v: tensors are missing") && Contains("no place in the model: 'adamw.v.x'"));
  CHECK_THAT(refused_after_change([&](Parts& parts) {
               const size_t end = parts.data.size();
               parts.header["extra"] = {
                   {"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {end, end + 4}}};
               parts.data += "1234";
             }),
             Contains("has 1 tensors that are neither"));
  CHECK_THAT(refused_after_change([&](Parts& parts) {
               parts.header["adamw.v." + fc]["shape"] = {2, 8};
             }),
             Contains("AdamW's v: tensors have a wrong shape or type: 'adamw.v." + fc));
  CHECK_THAT(
      refused_after_change([&](Parts& parts) { parts.header["adamw.m." + fc]["dtype"] = "I32"; }),
      Contains("is i32, and others are f32"));
  CHECK_THAT(refused_after_change([](Parts& parts) {
               for (auto& [name, entry] : parts.header.items())
                 if (name != "__metadata__") entry["dtype"] = "U32";
             }),
             Contains("no tensor of f32 or f64"));
}

TEST_CASE("tplab checkpoint: the characters it was trained on come with it") {
  const TempFolder folder;
  const std::vector<std::string> characters = {"\n", "\"", "\u00e9"};
  const CharacterTokenizer tokenizer(characters, "a text");
  CheckpointFacts facts = facts_of(tiny());
  facts.tokenizer = &tokenizer;
  StateWriter(folder.path("ckpt.safetensors"), checkpoint_tensors(tiny()), DType::f32,
              checkpoint_metadata(facts))
      .commit();
  for (const std::string& path : {folder.path(), folder.path("ckpt.safetensors")}) {
    CHECK(find_tokenizer(path) == folder.path("ckpt.safetensors"));
    CHECK(open_tokenizer_at(path)->encode("\u00e9\n\"") == std::vector<int>{2, 0, 1});
  }
  CHECK_THAT(open_tokenizer_at(folder.path())->description(), Contains("ckpt.safetensors"));
}

TEST_CASE("tplab checkpoint: GPT-2's tokenizer comes as the path of its files") {
  const TempFolder folder;
  const BpeFiles files = bpe_files({{"t", "h"}});
  folder.write("vocab.json", files.vocab);
  folder.write("merges.txt", files.merges);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_at(folder.path());
  GptConfig config = tiny();
  config.vocab_size = 300;
  CheckpointFacts facts = facts_of(config);
  facts.tokenizer = tokenizer.get();
  const std::string path = folder.path("a.safetensors");
  StateWriter(path, checkpoint_tensors(config), DType::f32, checkpoint_metadata(facts)).commit();
  CHECK(open_tokenizer_at(path)->encode("th") == std::vector<int>{256});
  fs::remove(folder.path("vocab.json"));
  CHECK_THAT(refusal([&] { open_tokenizer_at(path); }),
             Contains("a.safetensors: the model's GPT-2 tokenizer cannot be loaded"));
}

TEST_CASE("tplab checkpoint: a tokenizer that is damaged, or too large for the model, is refused") {
  const auto refused_tokenizer = [](const std::string& text) {
    Parts parts = good_parts();
    parts.metadata("tokenizer") = text;
    return refusal([&] { TplabCheckpoint(in_memory(parts.bytes())).tokenizer(); });
  };
  CHECK_THAT(refused_tokenizer(""), Contains("not JSON"));
  CHECK_THAT(refused_tokenizer("{}"), Contains("neither a list of characters nor GPT-2's"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"characters","characters":["a",1]})"),
             Contains("neither a list"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"characters","characters":"ab"})"),
             Contains("neither a list"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"characters","characters":[]})"),
             Contains("no characters"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"characters","characters":["a","a"]})"),
             Contains("twice"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"characters","characters":["a","b","c","d"]})"),
             Contains("its tokenizer has 4 tokens and its model 3"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"gpt2","path":"/absent"})"), Contains("no such file"));
  CHECK_THAT(refused_tokenizer(R"({"kind":"gpt2","path":7})"), Contains("neither a list"));
}

TEST_CASE("tplab checkpoint: a moment or slice that is not in it is a bug that is caught") {
  const TplabCheckpoint checkpoint(in_memory(good_parts().bytes()));
  std::vector<double> values(64);
  const auto caught = [&](const char* moment, const char* parameter, const Slice& slice,
                          int64_t begin, int64_t count) {
    CHECK_THROWS_WITH(
        checkpoint.read_state(moment, parameter, slice, begin, {DType::f64, values.data(), count}),
        Contains("bug in tplab"));
  };
  const char* wpe = "transformer.wpe.weight";
  CHECK_NOTHROW(
      checkpoint.read_state("m", wpe, {{{0, 2}}, {0, 2}}, 1, {DType::f64, values.data(), 3}));
  caught("w", wpe, {{{0, 2}}, {0, 2}}, 0, 4);
  caught("m", "wpe", {{{0, 2}}, {0, 2}}, 0, 4);
  caught("m", wpe, {{{0, 3}}, {0, 2}}, 0, 6);
  caught("m", wpe, {{{0, 2}}, {0, 3}}, 1, 5);
  caught("m", wpe, {{{0, 2}}, {0, 2}}, 1, 4);
  caught("m", wpe, {{{0, 2}}, {0, 2}}, -1, 4);
}
