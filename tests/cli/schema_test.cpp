// What --json writes is what cli/schemas/ says, for every command; and the schemas are strict.
#include <catch2/catch.hpp>
#include <filesystem>

#include "run_tplab.h"

#if __has_include(<valijson/validator.hpp>)
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace tplab {
namespace {

using namespace testing;
using nlohmann::json;
using Arguments = std::vector<std::string>;

// The faults of a document; empty if the schema takes it.
std::string faults(const json& schema, const json& document) {
  valijson::Schema parsed;
  const valijson::adapters::NlohmannJsonAdapter schema_adapter(schema), adapter(document);
  valijson::SchemaParser().populateSchema(schema_adapter, parsed);
  valijson::ValidationResults results;
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  if (validator.validate(parsed, adapter, &results)) return "";
  std::string all = "refused";
  for (valijson::ValidationResults::Error error; results.popError(error);) {
    for (const std::string& part : error.context) all += "\n" + part;
    all += ": " + error.description;
  }
  return all;
}

// "tplab/bench/decode/1" -> cli/schemas/bench_decode.json
json schema_of(const json& document) {
  std::string name = document.value("schema", "");
  REQUIRE(name.size() > 8);
  name = name.substr(6, name.size() - 8);
  std::replace(name.begin(), name.end(), '/', '_');
  const json schema =
      json::parse(file_text(TPLAB_SOURCE_DIR "/cli/schemas/" + name + ".json"), nullptr, false);
  REQUIRE(!schema.is_discarded());
  return schema;
}

// The document is as its schema says; without any one of its fields, or with one renamed, it is
// not.
void check_schema(const Arguments& arguments, int exit_code = 0) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments);
  CHECK(ran.exit_code == exit_code);
  const json document = ran.json(), schema = schema_of(document);
  CHECK(faults(schema, document) == "");
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  for (const auto& [key, value] : document.items()) {
    CAPTURE(key);
    json lacking = document;
    lacking.erase(key);
    if (key != "training") CHECK(faults(schema, lacking) != "");
    lacking[key + "_renamed"] = value;
    CHECK(faults(schema, lacking) != "");
  }
  json other = document;
  other["options"]["no-such-option"] = 1;
  CHECK(faults(schema, other) != "");
}

const std::string kNano = "nano-cpu";

TEST_CASE("--json: verify, forward and backward, as its schema says") {
  check_schema({"verify", "--preset", kNano, "--tp", "1,2", "--seq", "4", "--json"});
  check_schema({"verify", "--backward", "--preset", kNano, "--tp", "2", "--dp", "1", "--steps", "1",
                "--seq", "4", "--json"});
}

TEST_CASE("--json: info, trace, generate, tokenize, export and explore, as their schemas say") {
  const TemporaryFolder folder;
  const std::string nano = fixture("nanogpt-tiny"), hf = fixture("gpt2-tiny");
  check_schema({"info", "--preset", "gpt2", "--tp", "4", "--json"});
  check_schema({"info", "--checkpoint", hf, "--json"});
  check_schema({"info", "--checkpoint", nano, "--tp", "2", "--train", "--json"});
  check_schema({"trace", "--table", "--preset", kNano, "--tp", "2", "--json"});
  check_schema({"generate", "--checkpoint", nano, "--max-new", "3", "--json"});
  check_schema({"generate", "--preset", kNano, "--tokens", "1", "--max-new", "0", "--json"});
  check_schema({"tokenize", "--tokenizer", hf, "--json", "a"});
  check_schema({"tokenize", "--tokenizer", hf, "--decode", "--json", "1", "2"});
  check_schema({"export", "--preset", kNano, "-o", folder / "exported", "--json"});
  check_schema({"export", "--checkpoint", hf, "-o", folder / "again", "--json"});
  check_schema({"explore", "--json"});
}

TEST_CASE("--json: train, as its schema says") {
  const TemporaryFolder folder;
  check_schema({"train",
                "--layers",
                "1",
                "--heads",
                "2",
                "--width",
                "16",
                "--block",
                "16",
                "--steps",
                "2",
                "--warmup",
                "1",
                "--eval-batches",
                "1",
                "--tp",
                "2",
                "--out",
                folder / "run",
                "--json"});
}

TEST_CASE("--json: pictures of every kind, as their schema says", "[slow]") {
  check_schema({"draw", "collective", "--json"});
  for (const char* kind : {"block", "model", "shards", "mesh", "compare", "timeline"})
    for (const char* tp : {"1", "2"})
      check_schema({"draw", kind, "--preset", kNano, "--tp", tp, "--json"});
}

TEST_CASE("--json: doctor and benchmarks, as their schemas say", "[slow]") {
  check_schema({"doctor", "--json"});
  for (const char* bench : {"forward", "decode"})
    check_schema({"bench", bench, "--preset", kNano, "--tp", "1,2", "--repeat", "1", "--json"});
  check_schema({"bench", "train", "--preset", kNano, "--tp", "1,2", "--dp", "1", "--repeat", "1",
                "--steps", "1", "--seq", "8", "--json"});
  check_schema({"bench", "collectives", "--tp", "2", "--max", "4K", "--repeat", "1", "--json"});
}

}  // namespace
}  // namespace tplab

#else

TEST_CASE("--json: as the schemas say") { WARN("skipped: valijson is not on this machine"); }

#endif
