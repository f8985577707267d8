// What is read of a golden file, and what is refused.
#include "verify/golden.h"

#include <functional>

#include "tests/verify/golden_files.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

GptConfig tiny() {
  return {.n_layer = 1, .n_head = 1, .n_embd = 2, .block_size = 3, .vocab_size = 9, .n_inner = 5};
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

Golden read(const Parts& parts) { return tplab::testing::read(parts, tiny()); }

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
  CHECK(values_of(golden, "loss") == Numbers{2.5});
  CHECK(values_of(golden, "grad.transformer.h.0.mlp.c_proj.bias") == Numbers{0.25, -0.5});
  CHECK(golden.steps == 2);
  REQUIRE(golden.train_tokens.size() == 2);
  REQUIRE(golden.train_targets.size() == 2);
  CHECK(golden.train_tokens[0].ids == std::vector<int32_t>{4, 5, 6, 7});
  CHECK(golden.train_targets[0] == std::vector<int32_t>{5, -1, 7, 8});
  CHECK(golden.train_tokens[1].ids == std::vector<int32_t>{8, 0, 2, 4});
  CHECK(golden.train_targets[1] == std::vector<int32_t>{0, 2, 4, 6});
  CHECK((golden.train_tokens[1].batch == 2 && golden.train_tokens[1].length == 2));
  CHECK(values_of(golden, "step 1/loss") == Numbers{2.25});
  CHECK(values_of(golden, "step 2/loss") == Numbers{2.125});
  CHECK(values_of(golden, "step 2/norm") == Numbers{1.5});
  CHECK(golden.find("step 2/loss")->name == "train.losses[1]");
  CHECK(values_of(golden, "after.transformer.wpe.weight") == Numbers{1, 2, 3, 4, 5, 6});
  CHECK(values_of(golden, "after.transformer.ln_f.weight") == Numbers{7, 8});
  CHECK(golden.find("after.transformer.ln_f.weight")->name == "after2.transformer.ln_f.weight");
  CHECK(golden.tensors.size() == 8);
}

TEST_CASE("golden: a file without training has none, whatever more x holds") {
  Parts parts = trained();
  parts.erase(parts.begin() + 3, parts.end() - 1);
  const Golden golden = read(parts);
  CHECK(golden.steps == 0);
  CHECK(golden.train_tokens.empty());
  CHECK(golden.tensors.size() == 1);  // the loss
}

TEST_CASE("golden: each tensor has the type that it is stored in") {
  Parts parts = trained();
  part(parts, "train.losses") = stored("train.losses", "F32", {2}, {2.25, 2.125});
  part(parts, "loss") = stored("loss", "BF16", {}, {2.5});
  part(parts, "train.grad_norms") = stored("train.grad_norms", "F16", {2}, {0.75, 1.5});
  const Golden golden = read(parts);
  CHECK(golden.find("step 1/loss")->stored == StoredType::f32);
  CHECK(golden.find("loss")->stored == StoredType::bf16);
  CHECK(golden.find("step 1/norm")->stored == StoredType::f16);
  CHECK(golden.find("after.transformer.ln_f.weight")->stored == StoredType::f64);
  CHECK(values_of(golden, "step 2/loss") == Numbers{2.125});
  CHECK(values_of(golden, "loss") == Numbers{2.5});
  CHECK(values_of(golden, "step 2/norm") == Numbers{1.5});
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
             Contains("'y' is [2, 3, 2], and x is [3, 2, 2]"));
  CHECK_THAT(complaint([](Parts& p) {
               part(p, "y") = ids("y", {2, 2}, {1, 2, 3, 4});
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

// ---- tokens and targets as people save them

namespace {

Parts forward() {
  return {ids("x", {2, 2}, {0, 1, 2, 3}), doubles("logits", {2, 2, 9}, Numbers(36, 0.5))};
}
std::string forward_complaint(const std::function<void(Parts&)>& edit) {
  Parts parts = forward();
  edit(parts);
  return refusal([&] { (void)read(parts); });
}

}  // namespace

TEST_CASE("golden: x may be integers of any width, one sequence, and called input_ids") {
  const std::vector<int32_t> wanted = {0, 1, 2, 3};
  for (const Part& x :
       {ids<int32_t>("x", {2, 2}, {0, 1, 2, 3}, "I32"),
        ids<int16_t>("x", {2, 2}, {0, 1, 2, 3}, "I16"),
        ids<uint8_t>("x", {2, 2}, {0, 1, 2, 3}, "U8"), ids<int8_t>("x", {2, 2}, {0, 1, 2, 3}, "I8"),
        ids<uint16_t>("x", {2, 2}, {0, 1, 2, 3}, "U16"), ids("input_ids", {2, 2}, {0, 1, 2, 3})}) {
    INFO(x.type << " " << x.name);
    Parts parts = forward();
    parts[0] = x;
    CHECK(read(parts).tokens.ids == wanted);
  }
  const Golden one = read({ids("x", {3}, {2, 0, 1}), ids("y", {3}, {0, 1, 2})});
  CHECK((one.tokens.batch == 1 && one.tokens.length == 3));
  CHECK(one.tokens.ids == std::vector<int32_t>{2, 0, 1});
  CHECK(one.targets == std::vector<int32_t>{0, 1, 2});
}

TEST_CASE("golden: targets of -1 and -100 do not count, and no other negative ones pass") {
  Parts parts = forward();
  parts.push_back(ids("y", {2, 2}, {-100, 4, -1, 8}));
  CHECK(read(parts).targets == std::vector<int32_t>{-1, 4, -1, 8});
  for (int64_t wrong : {-2, -99, -101, 9}) {
    parts.back() = ids("y", {2, 2}, {-100, 4, wrong, 8});
    CHECK_THAT(refusal([&] { (void)read(parts); }),
               Contains(fmt::format("'y' holds the token id {}, outside", wrong)));
  }
  parts.back() = ids("y", {2, 2}, {-100, -1, -1, -100});
  CHECK_THAT(refusal([&] { (void)read(parts); }), Contains("'y' leaves every target out"));
}

TEST_CASE("golden: y is of x's shape, or of its first batch, or flat") {
  for (const Shape& shape : {Shape{2, 2}, {4}, {1, 2, 2}}) {
    Parts parts = forward();
    parts.push_back(ids("y", shape, {1, 2, 3, 4}));
    CHECK(read(parts).targets == std::vector<int32_t>{1, 2, 3, 4});
  }
  CHECK_THAT(forward_complaint([](Parts& p) {
               p.push_back(ids("y", {4, 1}, {1, 2, 3, 4}));
             }),
             Contains("'y' is [4, 1], and x is [2, 2]"));
  CHECK_THAT(forward_complaint([](Parts& p) {
               p.push_back(ids("y", {2, 1}, {1, 2}));
             }),
             Contains("'y' is [2, 1], and x is [2, 2]"));
}

TEST_CASE("golden: Hugging Face's labels are the next positions' targets") {
  Parts parts = {ids("input_ids", {2, 3}, {0, 1, 2, 3, 4, 5}),
                 ids("labels", {2, 3}, {0, 1, 2, -100, 4, 5}), doubles("loss", {}, {2.5})};
  const Golden golden = read(parts);
  CHECK(golden.targets == std::vector<int32_t>{1, 2, -1, 4, 5, -1});
  CHECK(values_of(golden, "loss") == Numbers{2.5});
  CHECK(golden.unknown.empty());
  // Beside y they are not read, and that is said.
  parts.push_back(ids("y", {2, 3}, {5, 4, 3, 2, 1, 0}));
  const Golden both = read(parts);
  CHECK(both.targets == std::vector<int32_t>{5, 4, 3, 2, 1, 0});
  CHECK(why_not(both.unknown, "labels") == "y is read instead");
}

TEST_CASE("golden: x without a token, or with sizes whose product is too large, is refused") {
  const auto with_x = [](const Shape& shape) {
    return forward_complaint([&](Parts& p) { p[0] = ids("x", shape, {}); });
  };
  const int64_t huge = int64_t{1} << 62;
  CHECK_THAT(with_x({0, huge, 4}), Contains("it holds no token"));
  CHECK_THAT(with_x({0, 2, 2}), Contains("'x' is [0, 2, 2]: it holds no token"));
  CHECK_THAT(with_x({0}), Contains("it holds no token"));
  CHECK_THAT(with_x({2, 0}), Contains("it holds no token"));
  CHECK_THAT(forward_complaint([&](Parts& p) { p[0] = ids("x", {}, {1}); }), Contains("'x' is []"));
  CHECK_THAT(forward_complaint([&](Parts& p) {
               p[0] = ids("x", {1, 4}, {0, 1, 2, 3});
             }),
             Contains("'x' has 4 tokens a row, and the model's context is 3"));
  CHECK_THAT(forward_complaint([&](Parts& p) { p[0].shape = {-1, 4}; }), Contains("shape"));
  CHECK_THAT(forward_complaint([&](Parts& p) {
               p[0] = doubles("x", {1, 2}, {0, 1});
             }),
             Contains("'x' has f64 values, not integers"));
}

TEST_CASE("golden: numbers that are integers are refused, since nothing says what they round") {
  CHECK_THAT(forward_complaint([](Parts& p) {
               p[1] = ids("logits", {2, 2, 9}, Ids(36));
             }),
             Contains("'logits' holds i64, not f64, f32, bf16 or f16"));
}

TEST_CASE("golden: what is not read is listed with the name that was meant") {
  Parts parts = forward();
  for (const char* name : {"Logits", "los", "activation.ln_1", "activation.block 0/atn/qkv",
                           "attention_mask", "something else", "greddy"})
    parts.push_back(doubles(name, {1}, {1}));
  const Golden golden = read(parts);
  CHECK(golden.unknown.size() == 7);
  CHECK(why_not(golden.unknown, "Logits") == "tplab knows no such name: did you mean 'logits'?");
  CHECK_THAT(why_not(golden.unknown, "los"), Contains("did you mean 'loss'?"));
  CHECK(why_not(golden.unknown, "activation.ln_1") ==
        "no such site here: did you mean 'activation.ln1'?");
  CHECK_THAT(why_not(golden.unknown, "activation.block 0/atn/qkv"),
             Contains("did you mean 'activation.block 0/attn/qkv'?"));
  CHECK_THAT(why_not(golden.unknown, "attention_mask"), Contains("tplab has no mask"));
  CHECK(why_not(golden.unknown, "something else") == "tplab knows no such name");
  CHECK_THAT(why_not(golden.unknown, "greddy"), Contains("did you mean 'greedy'?"));
}

TEST_CASE("golden: a loss without targets is listed, not compared") {
  Parts parts = forward();
  parts.push_back(doubles("loss", {}, {2.5}));
  CHECK_THAT(why_not(read(parts).unknown, "loss"), Contains("there are no targets"));
}

TEST_CASE("golden: a file of which nothing is compared is refused, and says what it holds") {
  const auto refused = [](const Parts& parts, const GoldenUse& use) {
    const Golden golden = read(parts);
    return refusal([&] { require_compared(golden, use); });
  };
  const Part x = ids("x", {2, 2}, {0, 1, 2, 3}), y = ids("y", {2, 2}, {1, 2, 3, 4});
  const GoldenUse forward_use, training{.training = true}, in_f32{.f64 = false};
  CHECK_THAT(refused({x}, forward_use),
             Contains("nothing in it can be compared: it has only tokens"));
  CHECK_THAT(refused({x, y}, forward_use), Contains("it has only tokens"));
  CHECK_THAT(refused({x, doubles("Logits", {1}, {1})}, forward_use),
             Contains("'Logits': tplab knows no such name: did you mean 'logits'?"));
  CHECK_THAT(refused({x, doubles("activation.unknown", {1}, {1})}, forward_use),
             Contains("'activation.unknown': no such site here"));
  CHECK_THAT(refused({x, doubles("loss", {1}, {1})}, forward_use), Contains("save them as y"));
  const Part grad = doubles("grad.transformer.ln_f.weight", {2}, {1, 2});
  CHECK_THAT(refused({x, y, grad}, forward_use),
             Contains("'grad.transformer.ln_f.weight': --backward compares it"));
  CHECK_NOTHROW(require_compared(read({x, y, grad}), training));
  const Part logits = doubles("logits", {2, 2, 9}, Numbers(36));
  CHECK_THAT(refused({x, y, logits}, training), Contains("'logits': compared without --backward"));
  CHECK_NOTHROW(require_compared(read({x, logits}), forward_use));
  CHECK_NOTHROW(require_compared(read({x, y, doubles("loss", {1}, {1})}), training));
  const Part greedy = ids("greedy", {1, 3}, {0, 1, 5});
  CHECK_NOTHROW(require_compared(read({x, greedy}), forward_use));
  CHECK_THAT(refused({x, y, greedy}, training), Contains("'greedy': compared without --backward"));
  CHECK_THAT(refused({x, greedy}, in_f32), Contains("'greedy': compared in f64"));
  CHECK_THAT(refused({x, ids("greedy", {2}, {0, 1})}, forward_use),
             Contains("nothing in it is new"));
}

TEST_CASE("golden: greedy is bounded by the model's context, and its own beginning") {
  const auto greedy = [](const Ids& tokens) {
    return Parts{ids("x", {1, 2}, {0, 1}), ids("greedy", {1, std::ssize(tokens)}, tokens)};
  };
  Ids long_one = {0, 1};
  long_one.resize(60000, 5);
  const Golden golden = read(greedy(long_one));
  CHECK(golden.greedy_prompt == std::vector<int32_t>{0, 1});
  // Two from the cache of 3 positions, and then 4096 positions at 3 a token.
  CHECK(golden.greedy_new.size() == 2 + 4096 / 3);
  CHECK(golden.greedy_left == 60000 - 2 - 2 - 4096 / 3);
  CHECK_THAT(why_not(not_compared(golden, {}), "greedy"), Contains("its last 58631 tokens"));
  CHECK(read(greedy({0, 1, 5, 6})).greedy_left == 0);
  CHECK_THAT(refusal([&] {
               (void)read(greedy({0, 1, 9}));
             }),
             Contains("'greedy' holds the token id 9, outside the vocabulary"));
  CHECK_THAT(refusal([&] {
               (void)read(greedy({4, 1}));
             }),
             Contains("'greedy' does not begin as the first row of x does"));
  CHECK_THAT(why_not(read(greedy({0})).unknown, "greedy"), Contains("nothing in it is new"));
}
