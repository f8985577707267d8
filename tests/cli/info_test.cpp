// tplab info: the numbers it gives add up.
#include <catch2/catch.hpp>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using nlohmann::json;

TEST_CASE("info: a preset's parameters, formats and sizes") {
  const json doc = tplab({"info", "--preset", "gpt2", "--json"}).json();
  CHECK(doc["schema"] == "tplab/info/1");
  CHECK(doc["config"]["n_layer"] == 12);
  CHECK(doc["config"]["tied_head"] == true);
  CHECK(doc["config"]["gelu"] == "erf");
  CHECK(doc["parameters"] == 124439808);  // 124,439,808, as transformers' num_parameters() says
  CHECK(doc["stored_dtype"] == "f32");
  CHECK(doc["stored_bytes"] == 4 * 124439808LL);
  CHECK(doc["tps_that_work"] == json({1, 2, 3, 4, 6, 12}));
  CHECK(doc["kv_cache_bytes_per_token"] == 2 * 12 * 768 * 4);
  CHECK(doc["tensors"].size() == 2 + 12 * 12 + 2);
}

TEST_CASE("info: a rank's tensors add up to what it holds") {
  for (const std::string dtype : {"f32", "f64", "bf16"}) {
    const json doc =
        tplab({"info", "--preset", "nano", "--tp", "3", "--dtype", dtype, "--json"}).json();
    CHECK(doc["tp"] == 3);
    CHECK(doc["padded_vocab"] == 192);
    int64_t sum = 0;
    for (const json& tensor : doc["tensors"]) sum += tensor["rank_bytes"].get<int64_t>();
    REQUIRE(doc["ranks"].size() == 3);
    for (const json& rank : doc["ranks"]) CHECK(rank["weights_bytes"] == sum);
    CHECK(doc["ranks"][0]["kv_cache_bytes_per_token"].get<int64_t>() * 3 ==
          doc["kv_cache_bytes_per_token"]);
  }
}

TEST_CASE("info: where ranks hold unequal parts, each rank's are its own") {
  const json doc = tplab({"info", "--preset", "gpt2-xl", "--tp", "8", "--uneven", "--json"}).json();
  int64_t heads = 0, cache = 0;
  for (const json& rank : doc["ranks"]) {
    heads += rank["heads"].get<int64_t>();
    cache += rank["kv_cache_bytes_per_token"].get<int64_t>();
    CHECK(rank["weights_bytes"] <= doc["ranks"][0]["weights_bytes"]);
  }
  CHECK(heads == 25);
  CHECK(doc["ranks"][0]["heads"] == 4);
  CHECK(doc["ranks"][7]["heads"] == 3);
  CHECK(cache == doc["kv_cache_bytes_per_token"]);
  // One head's rows of Q, K and V with their biases, and columns of the projection.
  CHECK(doc["ranks"][0]["weights_bytes"].get<int64_t>() -
            doc["ranks"][7]["weights_bytes"].get<int64_t>() ==
        int64_t{48} * 4 * (3 * 64 * 1601 + 64 * 1600));
  CHECK_THAT(tplab({"info", "--preset", "gpt2-xl", "--tp", "8", "--uneven"}).out,
             Catch::Contains("a rank holds at most 816 MiB") && Catch::Contains("rank 0 holds"));
}

TEST_CASE("info: checkpoints of both kinds, and their number formats") {
  const json nano =
      tplab({"info", "--checkpoint", fixture("nanogpt-tiny/ckpt.pt"), "--json"}).json();
  CHECK(nano["config"]["vocab_size"] == 96);
  CHECK(nano["config"]["gelu"] == "erf");
  CHECK(nano["stored_dtype"] == "f32");
  const json hf = tplab({"info", "--checkpoint", fixture("gpt2-tiny-sharded"), "--json"}).json();
  CHECK(hf["config"]["gelu"] == "tanh");
  CHECK(hf["stored_dtype"] == "bf16");
  CHECK(hf["stored_bytes"].get<int64_t>() == 2 * hf["parameters"].get<int64_t>());
}

TEST_CASE("info: an option of --train without it is refused, with what to add") {
  for (const auto& [option, value] : {std::pair("--batch", "4"), {"--dp", "2"}, {"--seq", "8"}}) {
    const Ran ran = tplab({"info", "--preset", "gpt2", option, value});
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Catch::Contains(std::string(option) + " is of use with --train alone"));
  }
}

TEST_CASE("info: the table shows the split and the bytes") {
  const Ran ran = tplab({"info", "--preset", "nano-cpu", "--tp", "2"});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Catch::Contains("\nh.*.attn.c_attn.weight ") &&
                          Catch::Contains("[192, 128]") && Catch::Contains("1, 2 or 4"));
}

}  // namespace
}  // namespace tplab
