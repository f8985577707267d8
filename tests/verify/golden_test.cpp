// Golden files of gradients and training: what is read, and what is refused.
#include "verify/golden.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <catch2/catch.hpp>
#include <functional>

#include "tests/model/checkpoint_files.h"

using namespace tplab;
using Catch::Contains;
using tplab::testing::raw;
using tplab::testing::refusal;
using tplab::testing::safetensors;
using tplab::testing::TempFolder;

namespace {

using Numbers = std::vector<double>;
using Ids = std::vector<int64_t>;

GptConfig tiny() {
  return {.n_layer = 1, .n_head = 1, .n_embd = 2, .block_size = 3, .vocab_size = 9, .n_inner = 5};
}

// A safetensors file put together in memory.
struct Part {
  std::string name, type, bytes;
  std::vector<int64_t> shape;
};
using Parts = std::vector<Part>;

std::string file_of(const Parts& parts) {
  std::string header, data;
  for (const Part& p : parts) {
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "{" : ",", p.name, p.type, fmt::join(p.shape, ","),
                          data.size(), data.size() + p.bytes.size());
    data += p.bytes;
  }
  return safetensors(header + "}", data);
}

Part ids(const std::string& name, std::vector<int64_t> shape, const Ids& values) {
  return {name, "I64", raw(values), std::move(shape)};
}
Part doubles(const std::string& name, std::vector<int64_t> shape, const Numbers& values) {
  return {name, "F64", raw(values), std::move(shape)};
}

// One batch to evaluate and two steps, B 2, T 2.
Parts trained() {
  return {ids("x", {3, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 4}),
          ids("y", {3, 2, 2}, {1, 2, 3, 4, 5, -1, 7, 8, 0, 2, 4, 6}),
          doubles("loss", {1}, {2.5}),
          doubles("grad.transformer.h.0.mlp.c_proj.bias", {2}, {0.25, -0.5}),
          doubles("train.losses", {2}, {2.25, 2.125}),
          doubles("train.grad_norms", {2}, {0.75, 1.5}),
          doubles("after2.transformer.wpe.weight", {3, 2}, {1, 2, 3, 4, 5, 6}),
          doubles("after2.transformer.ln_f.weight", {2}, {7, 8}),
          doubles("aftermath", {1}, {9})};
}

Part& part(Parts& parts, const std::string& name) {
  for (Part& p : parts)
    if (p.name == name) return p;
  FAIL("no part " << name);
  return parts[0];
}

Golden read(const Parts& parts) {
  const TempFolder folder;
  return read_golden(folder.write("golden.safetensors", file_of(parts)), tiny());
}

// What read_golden complains of when the whole file is changed by `edit`.
std::string complaint(const std::function<void(Parts&)>& edit) {
  Parts parts = trained();
  edit(parts);
  return refusal([&] { (void)read(parts); });
}

void rename(Parts& parts, const std::string& from, const std::string& to) {
  part(parts, from).name = to;
}

}  // namespace

TEST_CASE("golden: gradients, and the batches, losses, norms and parameters of training") {
  const Golden golden = read(trained());
  CHECK(golden.tokens.ids == std::vector<int32_t>{0, 1, 2, 3});
  CHECK(golden.targets == std::vector<int32_t>{1, 2, 3, 4});
  CHECK(*golden.loss == 2.5);
  CHECK(golden.gradients ==
        std::map<std::string, Numbers>{{"transformer.h.0.mlp.c_proj.bias", {0.25, -0.5}}});
  CHECK(golden.steps == 2);
  REQUIRE(golden.train_tokens.size() == 2);
  REQUIRE(golden.train_targets.size() == 2);
  CHECK(golden.train_tokens[0].ids == std::vector<int32_t>{4, 5, 6, 7});
  CHECK(golden.train_targets[0] == std::vector<int32_t>{5, -1, 7, 8});
  CHECK(golden.train_tokens[1].ids == std::vector<int32_t>{8, 0, 2, 4});
  CHECK(golden.train_targets[1] == std::vector<int32_t>{0, 2, 4, 6});
  CHECK((golden.train_tokens[1].batch == 2 && golden.train_tokens[1].length == 2));
  CHECK(golden.train_losses == Numbers{2.25, 2.125});
  CHECK(golden.train_grad_norms == Numbers{0.75, 1.5});
  CHECK(golden.after ==
        std::map<std::string, Numbers>{{"transformer.wpe.weight", {1, 2, 3, 4, 5, 6}},
                                       {"transformer.ln_f.weight", {7, 8}}});
  CHECK(golden.train_dtype == DType::f64);
}

TEST_CASE("golden: a file without training has none, whatever more x holds") {
  Parts parts = trained();
  parts.erase(parts.begin() + 3, parts.end() - 1);
  const Golden golden = read(parts);
  CHECK(golden.steps == 0);
  CHECK(golden.train_tokens.empty());
  CHECK(golden.gradients.empty());
  CHECK(golden.after.empty());
}

TEST_CASE("golden: one tensor of training in f32 makes all of it as coarse as f32") {
  Parts parts = trained();
  Part& losses = part(parts, "train.losses");
  losses.type = "F32";
  losses.bytes = raw(std::vector<float>{2.25f, 2.125f});
  const Golden golden = read(parts);
  CHECK(golden.train_dtype == DType::f32);
  CHECK(golden.train_losses == Numbers{2.25, 2.125});
}

TEST_CASE("golden: a gradient or parameter that is not the model's is refused") {
  CHECK_THAT(complaint([](Parts& p) {
               rename(p, "grad.transformer.h.0.mlp.c_proj.bias", "grad.transformer.h.1.ln_1.bias");
             }),
             Contains("belongs to no parameter: this model has no 'transformer.h.1.ln_1.bias'"));
  CHECK_THAT(complaint([](Parts& p) {
               rename(p, "after2.transformer.ln_f.weight", "after2.lm_head.weight");  // it is tied
             }),
             Contains("this model has no 'lm_head.weight'"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "grad.transformer.h.0.mlp.c_proj.bias").shape = {1, 2};
             }),
             Contains("'grad.transformer.h.0.mlp.c_proj.bias' is [1, 2], and the model's "
                      "parameter [2]"));
  // A transposed matrix has as many numbers.
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "after2.transformer.wpe.weight").shape = {2, 3};
             }),
             Contains("'after2.transformer.wpe.weight' is [2, 3], and the model's parameter "
                      "[3, 2]"));
}

TEST_CASE("golden: gradients or training without targets are refused") {
  CHECK_THAT(complaint([](Parts& p) { p.erase(p.begin() + 1); }),
             Contains("is the gradient of a loss without 'y'"));
  CHECK_THAT(complaint([](Parts& p) { p.erase(p.begin() + 1, p.begin() + 4); }),
             Contains("training needs 'y' of the shape of x, [3, 2, 2]"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "y").shape = {2, 3, 2};
             }),
             Contains("training needs 'y' of the shape of x, [3, 2, 2]"));
}

TEST_CASE("golden: losses, norms and parameters of different numbers of steps are refused") {
  CHECK_THAT(
      complaint([](Parts& p) { part(p, "train.losses") = doubles("train.losses", {1}, {2.25}); }),
      Contains("steps, and others of"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "train.grad_norms") = doubles("train.grad_norms", {3}, {1, 2, 3});
             }),
             Contains("'train.grad_norms' is of 3 optimizer steps, and others of 2"));
  CHECK_THAT(complaint([](Parts& p) {
               rename(p, "after2.transformer.ln_f.weight", "after3.transformer.ln_f.weight");
             }),
             Contains("'after3.transformer.ln_f.weight' is of 3 optimizer steps, and others of 2"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "train.losses").shape = {1, 2};
             }),
             Contains("'train.losses' is [1, 2], not [steps]"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "train.grad_norms").shape = {2, 1};
             }),
             Contains("'train.grad_norms' is [2, 1], not [steps]"));
}

TEST_CASE("golden: after0, more steps than x has batches, and hostile numbers are refused") {
  const auto only_after = [](const std::string& name) {
    return [name](Parts& p) {
      p.erase(p.begin() + 4, p.begin() + 7);
      rename(p, "after2.transformer.ln_f.weight", name);
    };
  };
  CHECK_THAT(complaint(only_after("after0.transformer.ln_f.weight")),
             Contains("is of 0 optimizer steps"));
  CHECK_THAT(complaint(only_after("after-2.transformer.ln_f.weight")),
             Contains("is of -2 optimizer steps"));
  CHECK_THAT(complaint(only_after("after3.transformer.ln_f.weight")),
             Contains("3 optimizer steps need a batch each, and x has 2 after the first"));
  CHECK_THAT(complaint(only_after("after9223372036854775807.transformer.ln_f.weight")),
             Contains("9223372036854775807 optimizer steps need a batch each"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "x").shape = part(p, "y").shape = {6, 2};  // [B, T]: no batch to train on
               part(p, "train.losses").shape = {2};
             }),
             Contains("2 optimizer steps need a batch each, and x has 0 after the first"));
  // No number of steps at all: a tensor of another kind, which is left alone.
  Parts parts = trained();
  parts.erase(parts.begin() + 4, parts.begin() + 7);
  rename(parts, "after2.transformer.ln_f.weight", "after99999999999999999999.x");
  CHECK(read(parts).steps == 0);
}

TEST_CASE("golden: a token of a later batch outside the vocabulary is refused") {
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "x").bytes = raw(Ids{0, 1, 2, 3, 4, 5, 6, 7, 9, 0, 2, 4});
             }),
             Contains("'x' holds the token id 9, outside the vocabulary of 9"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "y").bytes = raw(Ids{1, 2, 3, 4, 5, -2, 7, 8, 0, 2, 4, 6});
             }),
             Contains("'y' holds the token id -2"));
}
