// tplab export, and what the other commands make of its folders and of tplab's own checkpoints.
#include <catch2/catch.hpp>

#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Arguments = std::vector<std::string>;
using Catch::Contains;
using nlohmann::json;

std::string greedy_text(const std::string& checkpoint) {
  const Ran ran = tplab({"generate", "--checkpoint", checkpoint, "--prompt", "Hi", "--max-new",
                         "20", "--greedy", "--tp", "2"});
  CHECK(ran.exit_code == 0);
  CHECK(ran.out.size() > 10);
  return ran.out;
}

// The checkpoint that `tplab train` would have written of a model: FOLDER/ckpt.safetensors.
void save_as_own(const std::string& checkpoint, const std::string& folder) {
  const auto source = open_checkpoint(checkpoint);
  const auto tokenizer = open_tokenizer_at(checkpoint);
  StateWriter writer(
      folder + "ckpt.safetensors", checkpoint_tensors(source->architecture()), DType::f64,
      checkpoint_metadata(
          {.architecture = source->architecture(), .step = 40, .tokenizer = tokenizer.get()}));
  for (const NamedTensor& p : named_tensors(source->architecture())) {
    const Slice whole = {{{0, p.shape[0]}}, {0, cols_of(p.shape)}};
    std::vector<double> values(static_cast<size_t>(whole.count()));
    source->read(p.name, whole, {DType::f64, values.data(), whole.count()});
    writer.write("model." + p.name, whole, 0, whole.count(), values.data());
  }
  writer.commit();
}

TEST_CASE("export: the exported folder says what the checkpoint says, and is proved right") {
  const TemporaryFolder folder;
  const std::string checkpoint = fixture("nanogpt-tiny"), out = folder / "out";
  const Ran ran = tplab({"export", "--checkpoint", checkpoint, "-o", out});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains(out + ": config.json, model.safetensors, vocab.json"));
  CHECK_THAT(ran.err, Contains("tplab: note: "));
  CHECK(greedy_text(out) == greedy_text(checkpoint));
  CHECK(tplab({"verify", "--checkpoint", out, "--tp", "1,2"}).exit_code == 0);
  CHECK(tplab({"tokenize", "Hi!", "--tokenizer", out}).out == "41 74 2\n");
}

TEST_CASE("export: --json says what was written") {
  const TemporaryFolder folder;
  const Ran ran =
      tplab({"export", "--checkpoint", fixture("gpt2-tiny"), "-o", folder / "out", "--json"});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.err, Catch::StartsWith("wrote " + folder / "out"));
  const json doc = ran.json();
  CHECK(doc["schema"] == "tplab/export/1");
  CHECK(doc["folder"] == folder / "out");
  CHECK(doc["files"] == json({"config.json", "model.safetensors", "vocab.json", "merges.txt"}));
  CHECK(doc["bytes"] == std::filesystem::file_size(folder / "out/model.safetensors"));
  CHECK(doc["parameters"] ==
        tplab({"info", "--checkpoint", fixture("gpt2-tiny"), "--json"}).json()["parameters"]);
  CHECK(doc["tokenizer"].is_string());
  CHECK(doc["notes"].is_array());
  CHECK(file_text(folder / "out/merges.txt") == file_text(fixture("gpt2-tiny/merges.txt")));
  const Ran preset = tplab({"export", "--preset", "nano-cpu", "-o", folder / "preset", "--json"});
  CHECK(preset.json()["tokenizer"].is_null());
}

TEST_CASE("export: a place that is taken, or the checkpoint's own, is refused and left as it was") {
  const TemporaryFolder folder;
  const auto refused = [](const Arguments& arguments, int exit_code, const std::string& message) {
    const Ran ran = tplab(arguments);
    CHECK(ran.exit_code == exit_code);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Catch::StartsWith("tplab: ") && Contains(message) && Contains("fix: "));
  };
  const std::string checkpoint = fixture("gpt2-tiny");
  refused({"export", "--checkpoint", checkpoint}, 2, "--out is required");
  refused({"export", "-o", folder / "x"}, 2, "no model was named");
  refused({"export", "--checkpoint", checkpoint, "-o", checkpoint}, 2, "is the checkpoint");
  refused({"export", "--checkpoint", folder / "absent", "-o", folder / "x"}, 3, "does not exist");
  std::filesystem::create_directory(folder / "taken");
  write_file(folder / "taken/notes.txt", "mine");
  refused({"export", "--checkpoint", checkpoint, "-o", folder / "taken"}, 2, "other files in it");
  CHECK(file_text(folder / "taken/notes.txt") == "mine");
  refused(
      {"export", "--checkpoint", checkpoint, "--tokenizer", folder / "absent", "-o", folder / "x"},
      3, "absent");
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
  // An export of an export over itself would read what it replaces.
  REQUIRE(tplab({"export", "--checkpoint", checkpoint, "-o", folder / "out"}).exit_code == 0);
  refused({"export", "--checkpoint", folder / "out", "-o", folder / "out/"}, 2,
          "is the checkpoint that is read");
}

TEST_CASE("export: a disk that is full leaves the older export") {
  const TemporaryFolder folder;
  const Arguments arguments = {"export", "--checkpoint", fixture("gpt2-tiny"), "-o",
                               folder / "out"};
  REQUIRE(tplab(arguments).exit_code == 0);
  const std::string before = file_text(folder / "out/model.safetensors");
  const Ran full = shell("ulimit -f 8; \"$TPLAB\" export --preset nano-cpu -o " + folder / "out");
  CHECK(full.exit_code == 4);
  CHECK_THAT(full.err, Contains("cannot reserve") && Contains("File too large"));
  CHECK(file_text(folder / "out/model.safetensors") == before);
  CHECK_FALSE(std::filesystem::exists(folder / "out.part"));
}

TEST_CASE("tplab's own checkpoint: commands take its folder, and the tokenizer that is in it") {
  const TemporaryFolder folder;
  save_as_own(fixture("nanogpt-tiny"), folder / "");
  CHECK(greedy_text(folder / "") == greedy_text(fixture("nanogpt-tiny")));
  CHECK(tplab({"tokenize", "--tokenizer", folder / "ckpt.safetensors", "Hi!"}).out == "41 74 2\n");
  CHECK_THAT(tplab({"info", "--checkpoint", folder / ""}).out,
             Contains("tplab checkpoint") && Contains("step 40") && Contains("in f64"));
  const Ran exported = tplab({"export", "--checkpoint", folder / "", "-o", folder / "out"});
  CHECK(exported.exit_code == 0);
  CHECK_THAT(exported.err, Contains("rounded to f32"));
  CHECK(greedy_text(folder / "out") == greedy_text(fixture("nanogpt-tiny")));
}

}  // namespace
}  // namespace tplab
