#include "checkpoint_pickles.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/nanogpt.h"
#include "model/files/safetensors.h"
#include "model/tokenizers/nanogpt_meta.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::unique_ptr<WeightSource> open_fake(const FakeCheckpoint& checkpoint) {
  return open_nanogpt(in_memory(zip(checkpoint.parts())));
}

// What is said of a checkpoint after `change` was made to it.
template <class F>
std::string refused_nanogpt_after(F&& change) {
  FakeCheckpoint checkpoint;
  change(checkpoint);
  return refusal([&] { open_fake(checkpoint); });
}

std::string refused_zip(const std::vector<ZipPart>& parts) {
  return refusal([&] { open_nanogpt(in_memory(zip(parts))); });
}

std::string refused_meta(const std::string& pickle) {
  return refusal([&] { read_nanogpt_meta(*in_memory(pickle)); });
}

}  // namespace

TEST_CASE("nanogpt: the tiny checkpoint's config, names and values are read") {
  const auto source = open_checkpoint(fixture("nanogpt-tiny/ckpt.pt"));
  CHECK(gpt_config(source->architecture()) ==
        GptConfig{2, 4, 32, 32, 96, 128, true, true, Gelu::erf, 1e-5});
  CHECK_THAT(source->description(), Contains("nanoGPT") && Contains("iteration 250"));
  CHECK(source->stored_dtype() == "f32");
  double square = 0;
  const std::vector<double> wte = read_whole(*source, "transformer.wte.weight");
  for (const double value : wte) square += value * value;
  CHECK(square / static_cast<double>(wte.size()) == Approx(0.15 * 0.15).epsilon(0.1));
  CHECK(read_whole(*source, "transformer.h.1.mlp.c_fc.bias").size() == 128);
  CHECK_NOTHROW(open_checkpoint(fixture("nanogpt-tiny")));  // the folder will do
}

TEST_CASE("nanogpt: a slice is the part of the whole at the same place") {
  const auto source = open_checkpoint(fixture("nanogpt-tiny/ckpt.pt"));
  const std::string name = "transformer.h.1.attn.c_attn.weight";  // [96, 32]
  const std::vector<double> whole = read_whole(*source, name);
  const Slice slice = {{{8, 16}, {40, 48}, {72, 80}}, {5, 20}};
  std::vector<float> part(static_cast<size_t>(slice.count()));
  source->read(name, slice, {DType::f32, part.data(), slice.count()});
  size_t at = 0;
  for (const Range& rows : slice.rows) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = 5; c < 20; ++c) {
        REQUIRE(part[at++] == static_cast<float>(whole[static_cast<size_t>(r * 32 + c)]));
      }
    }
  }
  CHECK_THROWS_AS(source->read("lm_head.weight", {{{0, 1}}, {0, 1}}, {DType::f32, part.data(), 1}),
                  Error);
}

TEST_CASE("nanogpt: storages may be shared, with offsets") {
  const auto source = open_fake({});
  CHECK(gpt_config(source->architecture()) ==
        GptConfig{1, 2, 4, 5, 3, 16, false, true, Gelu::erf, 1e-5});
  double next = 0;  // value i of the storage is i, and parameters follow one another in it
  for (const NamedTensor& parameter : named_tensors(source->architecture())) {
    for (const double value : read_whole(*source, parameter.name)) REQUIRE(value == next++);
  }
}

TEST_CASE("nanogpt: a head is tied if it is the embedding or equals it, else its own") {
  FakeCheckpoint checkpoint;
  checkpoint.tensors["lm_head.weight"] = checkpoint.tensors["transformer.wte.weight"];
  CHECK(open_fake(checkpoint)->architecture().tied_head);

  FakeTensor& head = checkpoint.tensors["lm_head.weight"];
  head.offset = 100;
  CHECK(!open_fake(checkpoint)->architecture().tied_head);
  CHECK(read_whole(*open_fake(checkpoint), "lm_head.weight")[0] == 100);

  std::copy_n(checkpoint.values.begin(), 12, checkpoint.values.begin() + 100);
  CHECK(open_fake(checkpoint)->architecture().tied_head);
}

TEST_CASE("nanogpt: masks are no parameters, and f16 and bf16 storages are converted") {
  FakeCheckpoint checkpoint;
  FakeTensor& mask = checkpoint.tensors["transformer.h.0.attn.bias"];
  mask.shape = {1, 1, 5, 5};
  mask.strides = {25, 25, 5, 1};
  mask.length = 25;
  for (auto& [name, tensor] : checkpoint.tensors) tensor.type = "BFloat16Storage";
  // As bf16, the little-endian floats are pairs of a low half and the value cut to 8 bits.
  const auto source = open_fake(checkpoint);
  CHECK(source->stored_dtype() == "bf16");
  CHECK(read_whole(*source, "transformer.wte.weight")[3] == 1.0);
}

TEST_CASE("nanogpt: missing, extra and misshapen tensors are listed") {
  CHECK_THAT(
      refused_nanogpt_after([](FakeCheckpoint& c) { c.tensors.erase("transformer.wpe.weight"); }),
      Contains("missing: 'transformer.wpe.weight'"));
  CHECK_THAT(refused_nanogpt_after([](FakeCheckpoint& c) {
               c.tensors["transformer.h.0.moe.weight"] = c.tensors["transformer.wpe.weight"];
             }),
             Contains("no place in the model: 'transformer.h.0.moe.weight'"));
  CHECK_THAT(refused_nanogpt_after([](FakeCheckpoint& c) {
               c.tensors["transformer.wpe.weight"].shape = {4, 5};
               c.tensors["transformer.wpe.weight"].strides = {5, 1};
             }),
             Contains("'transformer.wpe.weight' is [4, 5], not [5, 4]"));
  CHECK_THAT(refused_nanogpt_after([](FakeCheckpoint& c) {
               for (auto& [name, tensor] : c.tensors) tensor.type = "IntStorage";
             }),
             Contains("holds i32") && Contains("and 3 more"));
}

TEST_CASE("nanogpt: tensors that leave their storage are refused") {
  const auto wpe = [](auto change) {
    return refused_nanogpt_after(
        [&](FakeCheckpoint& c) { change(c.tensors["transformer.wpe.weight"]); });
  };
  CHECK_THAT(wpe([](FakeTensor& t) { t.offset = -1; }), Contains("does not fit in its storage"));
  CHECK_THAT(wpe([](FakeTensor& t) { t.offset = t.length - 19; }), Contains("does not fit"));
  CHECK_THAT(wpe([](FakeTensor& t) {
               t.length = 2'000'000'000;
               t.offset = 1'999'999'980;
             }),
             Contains("'transformer.wpe.weight' needs 8000000000 bytes of zip entry"));
  CHECK_THAT(wpe([](FakeTensor& t) {
               t.shape.assign(8, INT32_MAX);
               t.strides = t.shape;
             }),
             Contains("does not fit"));
  CHECK_THAT(wpe([](FakeTensor& t) { t.shape.assign(33, 1); }),
             Contains("not a tuple of at most 8 whole"));
  CHECK_THAT(wpe([](FakeTensor& t) { t.shape[0] = -5; }),
             Contains("not a tuple of at most 8 whole"));
  CHECK_THAT(wpe([](FakeTensor& t) { t.strides = {1}; }), Contains("does not fit"));
  CHECK_THAT(wpe([](FakeTensor& t) {
               t.strides = {-4, 1};
             }),
             Contains("not a tuple of at most 8 whole"));
  CHECK_THAT(wpe([](FakeTensor& t) {
               t.strides = {t.length / 4 + 1, 1};
             }),
             Contains("does not fit"));
  CHECK_THAT(wpe([](FakeTensor& t) {
               t.strides = {INT32_MAX, INT32_MAX};
             }),
             Contains("does not fit"));
  CHECK_THAT(wpe([](FakeTensor& t) { t.key = "../0"; }),
             Contains("zip entry 'ckpt/data/../0', which has 0"));
}

TEST_CASE("nanogpt: a config that is not nanoGPT's, or hostile, is refused") {
  const auto with = [](const std::string& key, const std::string& value) {
    return refused_nanogpt_after([&](FakeCheckpoint& c) { c.arguments.emplace_back(key, value); });
  };
  CHECK_THAT(with("n_head", p_int(3)), Contains("n_head 3 does not divide n_embd 4"));
  CHECK_THAT(with("n_layer", p_int(0)), Contains("n_layer is 0"));
  CHECK_THAT(with("n_layer", p_int(9999)), Contains("9999 layers"));
  CHECK_THAT(with("n_layer", "\x8a\x08" + raw(INT64_MAX)),
             Contains("n_layer is 9223372036854775807"));
  CHECK_THAT(with("n_embd", "\x8a\x08" + raw(INT64_MAX)),
             Contains("n_embd is 9223372036854775807"));
  CHECK_THAT(with("n_embd", "\x88"),
             Contains("'model_args': 'n_embd' is True, not a whole number"));
  CHECK_THAT(with("n_head", p_text("2")), Contains("'n_head' is text '2', not a whole number"));
  CHECK_THAT(with("n_head", std::string("G\x40\0\0\0\0\0\0\0", 9)),
             Contains("'n_head' is the number 2, not a whole number"));
  CHECK_THAT(with("n_head", "\x8a\x09" + std::string(9, '\x11')),
             Contains("'n_head' is an object of 'builtins.int'"));
  CHECK_THAT(with("n_head", p_int(0)), Contains("'model_args': n_head is 0"));
  CHECK_THAT(with("bias", "N"), Contains("'bias' is None, not True or False"));
  CHECK_THAT(with("rope", "\x88"), Contains("'model_args': has 'rope'"));
  CHECK_THAT(
      refused_nanogpt_after([](FakeCheckpoint& c) { c.arguments.erase(c.arguments.begin() + 1); }),
      Contains("'model_args': has no 'n_head'"));
  const auto refused_root = [](const std::string& value) {
    return refused_zip({{"ckpt/data.pkl", p_pickle(value)}});
  };
  CHECK_THAT(refused_root(p_dict({{"model", "}"}, {"extra", "N"}})),
             Contains("neither 'model_args' nor 'config'") && Contains("'model', 'extra'"));
  CHECK_THAT(refused_root("]"), Contains("is a list, not a dict with 'model'"));
  CHECK_THAT(refused_root(p_dict({{"state_dict", "}"}})), Contains("it has 'state_dict'"));
  CHECK_THAT(refused_root(p_dict({{"wte.weight", FakeTensor().pickle()}})),
             Contains("is a state dict alone"));
}

TEST_CASE("nanogpt: a zip that is truncated, corrupt, compressed or a bomb is refused") {
  const FakeCheckpoint checkpoint;
  const std::string whole = zip(checkpoint.parts());
  CHECK_NOTHROW(open_nanogpt(in_memory(whole)));
  for (size_t size = 0; size < whole.size(); size += 7) {
    REQUIRE_THROWS_AS(open_nanogpt(in_memory(whole.substr(0, size))), Error);
  }
  std::vector<ZipPart> parts = checkpoint.parts();
  parts[1].claimed_size = 1'000'000'000;
  refused_zip(parts);
  parts = checkpoint.parts();
  parts[1].bytes.resize(40);
  CHECK_THAT(refused_zip(parts), Contains("which has 40"));
  parts = checkpoint.parts();
  parts[1].method = 8;
  CHECK_THAT(refused_zip(parts), Contains("'ckpt/data/0' is compressed"));
  parts = checkpoint.parts();
  parts[0].method = 8;
  parts[0].claimed_size = 4'000'000'000;
  CHECK_THAT(refused_zip(parts), Contains("claims 4000000000 bytes uncompressed"));
  parts[0].claimed_size = 1'000'000;  // within bounds, but what is there does not inflate
  CHECK_THAT(refused_zip(parts), Contains("'ckpt/data.pkl' is corrupt"));
  std::string flipped = whole;
  flipped[60] ^= 1;  // in data.pkl: its checksum no longer fits
  CHECK_THAT(refusal([&] { open_nanogpt(in_memory(flipped)); }), Contains("is corrupt"));
  CHECK_THAT(refused_zip({{"model.txt", "hello"}}), Contains("without data.pkl"));
  CHECK_THAT(refused_zip({{"a/data.pkl", "N."}, {"b/data.pkl", "N."}}), Contains("more than one"));
  CHECK_THAT(refused_zip({{"a/data.pkl", "N."}, {"a/data.pkl", "N."}}), Contains("two entries"));
  parts = checkpoint.parts();
  parts.push_back({"ckpt/byteorder", "big"});
  CHECK_THAT(refused_zip(parts), Contains("big-endian"));
}

TEST_CASE("nanogpt: PyTorch's old format and other files are refused with what to do") {
  const std::string magic = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.";
  try {
    open_nanogpt(in_memory(magic));
    FAIL("was accepted");
  } catch (const Error& error) {
    CHECK_THAT(error.problem(), Contains("PyTorch before 1.6"));
    CHECK_THAT(error.fix(), Contains("torch.save(torch.load("));
  }
  CHECK_THAT(refusal([] { open_nanogpt(in_memory("GGUF....")); }), Contains("is a GGUF model"));
  CHECK_THAT(refusal([] { open_nanogpt(in_memory("nothing")); }), Contains("not a zip file"));
  CHECK_THAT(refusal([] { open_nanogpt(in_memory("")); }), Contains("is empty"));
}

TEST_CASE("nanogpt: the real checkpoint opens, and its gradient's shapes are its parameters'") {
  if (!has_shared_data("nanogpt-shakespeare-char/ckpt.pt")) return;
  const auto source = open_checkpoint(shared_data("nanogpt-shakespeare-char/ckpt.pt"));
  CHECK(gpt_config(source->architecture()) == find_preset("nano-cpu").config);
  CHECK_THAT(source->description(), Contains("iteration 2000"));
  // One optimizer step at learning rate 1e-3 moves no value by much more than 5e-3 in 5 steps.
  const SafetensorsFile golden(shared_data("nanogpt-shakespeare-char/golden.safetensors"));
  for (const NamedTensor& parameter : named_tensors(source->architecture())) {
    CHECK(golden.at("grad." + parameter.name).shape == parameter.shape);
    const std::vector<double> after = golden.read_doubles("after5." + parameter.name);
    const std::vector<double> before = read_whole(*source, parameter.name);
    REQUIRE(after.size() == before.size());
    double most = 0;
    for (size_t i = 0; i < after.size(); ++i) most = std::max(most, std::abs(after[i] - before[i]));
    CHECK(most > 0);
    CHECK(most < 7e-3);
  }
}

TEST_CASE("nanogpt meta: the characters by id") {
  const std::vector<std::string> ascii =
      read_nanogpt_meta(fixture("nanogpt-tiny/meta.pkl")).characters;
  REQUIRE(ascii.size() == 96);
  CHECK(ascii[0] == "\n");
  CHECK(ascii[1] == " ");
  CHECK(ascii[95] == "~");
  if (!has_shared_data("nanogpt-shakespeare-char/meta.pkl")) return;
  std::string joined;
  for (const std::string& c :
       read_nanogpt_meta(shared_data("nanogpt-shakespeare-char/meta.pkl")).characters) {
    joined += c;
  }
  CHECK(joined == "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

TEST_CASE(
    "nanogpt meta: maps that are incomplete, do not agree or have no characters are refused") {
  const auto meta = [](const std::string& itos, const std::string& stoi, int32_t size) {
    return p_pickle(p_dict({{"vocab_size", p_int(size)}, {"itos", itos}, {"stoi", stoi}}));
  };
  const auto itos = [](int32_t a, const std::string& x, int32_t b, const std::string& y) {
    return "}(" + p_int(a) + p_text(x) + p_int(b) + p_text(y) + "u";
  };
  const std::string stoi = p_dict({{"x", p_int(0)}, {"\u00e9", p_int(1)}});
  CHECK(read_nanogpt_meta(*in_memory(meta(itos(0, "x", 1, "\u00e9"), stoi, 2))).characters ==
        std::vector<std::string>{"x", "\u00e9"});
  CHECK_THAT(refused_meta(meta(itos(0, "x", 2, "\u00e9"), stoi, 2)),
             Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", 0, "\u00e9"), stoi, 2)),
             Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", 1, "x"), stoi, 2)), Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", -1, "y"), stoi, 2)), Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", 1, "\xff"), stoi, 2)),
             Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", 1, ""), stoi, 2)), Contains("different characters"));
  CHECK_THAT(refused_meta(meta(itos(0, "\u00e9", 1, "x"), stoi, 2)), Contains("do not agree"));
  CHECK_THAT(refused_meta(meta(itos(0, "x", 1, "\u00e9"), stoi, 1)), Contains("do not agree"));
  CHECK_THAT(refused_meta(meta("}", "}", 0)), Contains("neither a vocab_size nor characters"));
  CHECK_THAT(refused_meta(meta("}", "}", -1)), Contains("vocab_size is no number of tokens"));
  CHECK_THAT(refused_meta("]."), Contains("not of a dict"));
  CHECK_THAT(refused_meta("cos\nsystem\n."), Contains("not of a dict"));
  CHECK_THAT(refused_meta(""), Contains("ends early"));
}

TEST_CASE("nanogpt meta: of other tokens than characters, their number is enough") {
  const auto read = [](const Items& items) {
    return read_nanogpt_meta(*in_memory(p_pickle(p_dict(items))));
  };
  const std::string size = p_int(50304),
                    words = "}(" + p_int(0) + p_text("the") + p_int(1) + p_text("a") + "u";
  const std::string stoi = p_dict({{"x", p_int(0)}, {"\u00e9", p_int(1)}});
  CHECK(read({{"vocab_size", size}}).vocab_size == 50304);
  CHECK_THAT(read({{"vocab_size", size}}).note, Contains("not listed"));
  CHECK(read({{"vocab_size", size}, {"encoding", p_text("gpt2")}}).characters.empty());
  CHECK(read({{"vocab_size", size}, {"itos", words}}).vocab_size == 50304);
  CHECK_THAT(read({{"vocab_size", size}, {"itos", words}}).note, Contains("no characters"));
  // A vocabulary may be larger than its characters, which may be a list, or stoi's alone.
  CHECK(read({{"vocab_size", size}, {"stoi", stoi}}).characters ==
        std::vector<std::string>{"x", "\u00e9"});
  CHECK(read({{"vocab_size", size}, {"stoi", stoi}}).vocab_size == 50304);
  CHECK(read({{"stoi", stoi}}).vocab_size == 2);
  CHECK(read({{"itos", "](" + p_text("x") + p_text("\u00e9") + "e"}, {"stoi", stoi}}).characters ==
        std::vector<std::string>{"x", "\u00e9"});
}
