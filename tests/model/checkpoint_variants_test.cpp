// Checkpoints that programs other than nanoGPT's train.py and transformers' GPT2LMHeadModel save of
// the same model: other names, other objects beside it, other layouts in memory, heads of their
// own.
#include "checkpoint_pickles.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/nanogpt.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

std::unique_ptr<WeightSource> open_variant(const FakeCheckpoint& checkpoint) {
  return open_nanogpt(in_memory(zip(checkpoint.parts())));
}

// Value i of the storage is i, and parameters follow one another in it.
void check_values(const WeightSource& source) {
  double next = 0;
  for (const NamedTensor& parameter : named_tensors(source.architecture())) {
    CAPTURE(parameter.name);
    for (const double value : read_whole(source, parameter.name)) REQUIRE(value == next++);
  }
}

// The fake checkpoint, its tensors under the names that `rename` makes of theirs.
template <class Rename>
FakeCheckpoint renamed(Rename&& rename) {
  FakeCheckpoint checkpoint;
  std::map<std::string, FakeTensor> tensors;
  for (const auto& [name, tensor] : checkpoint.tensors) tensors[rename(name)] = tensor;
  checkpoint.tensors = tensors;
  return checkpoint;
}

// What is said of a checkpoint after `change` was made to it.
template <class F>
Error refused_variant(F&& change) {
  FakeCheckpoint checkpoint;
  change(checkpoint);
  try {
    open_variant(checkpoint);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_file);
    return error;
  }
  FAIL("was accepted");
  return {ErrorKind::run, "", ""};
}

std::string without_transformer(const std::string& name) {
  return name.substr(std::string("transformer.").size());
}

// p_pickle of an object of a class, as Python writes it: made without arguments, then its
// attributes.
std::string p_object(const std::string& type, const std::string& state) {
  return "c" + type + "\n)\x81" + state + "b";
}

}  // namespace

TEST_CASE("checkpoint names: what wraps a model is taken off, in any mix and order") {
  for (const char* prefix :
       {"module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.module.", "model.",
        "model.module._orig_mod.", "gpt.", "_fsdp_wrapped_module.", "net.raw_model."}) {
    CAPTURE(prefix);
    check_values(*open_variant(renamed([&](const std::string& name) { return prefix + name; })));
    check_values(*open_variant(
        renamed([&](const std::string& name) { return prefix + without_transformer(name); })));
  }
  check_values(*open_variant(renamed([](const std::string& name) {
    return (name.find("ln_") != name.npos ? "module._orig_mod." : "_orig_mod.") + name;
  })));
  check_values(*open_variant(renamed([](std::string name) {  // blocks compiled one by one
    const size_t block = name.find(".h.0.");
    return block == name.npos ? name : name.insert(block + 5, "_orig_mod.");
  })));
}

TEST_CASE("checkpoint names: two tensors that would get one name are refused with both names") {
  const Error error = refused_variant([](FakeCheckpoint& c) {
    c.tensors["module.transformer.wpe.weight"] = c.tensors["transformer.wpe.weight"];
  });
  CHECK_THAT(error.problem(), Contains("'module.transformer.wpe.weight'") &&
                                  Contains("'transformer.wpe.weight' are both"));
}

TEST_CASE("checkpoint names: messages name tensors as the file has them") {
  FakeCheckpoint checkpoint = renamed([](const std::string& name) { return "module." + name; });
  checkpoint.tensors.erase("module.transformer.wpe.weight");
  checkpoint.tensors["module.transformer.h.0.moe.weight"] =
      checkpoint.tensors["module.transformer.wte.weight"];
  checkpoint.tensors["module.transformer.h.0.ln_1.weight"].shape = {2};
  const std::string problem = refusal([&] { open_variant(checkpoint); });
  CHECK_THAT(problem, Contains("missing: 'module.transformer.wpe.weight'"));
  CHECK_THAT(problem, Contains("no place in the model: 'module.transformer.h.0.moe.weight'"));
  CHECK_THAT(problem, Contains("'module.transformer.h.0.ln_1.weight' is [2], not [4]"));
}

TEST_CASE("checkpoint names: heads beside the transformer are not read, and named") {
  FakeCheckpoint checkpoint;
  for (const char* head : {"score.weight", "v_head.summary.weight", "multiple_choice_head.weight"})
    checkpoint.tensors[head] = checkpoint.tensors["transformer.ln_f.weight"];
  checkpoint.tensors["classifier.weight"] = checkpoint.tensors["transformer.ln_f.weight"];
  checkpoint.tensors["classifier.weight"].type = "ComplexFloatStorage";
  const auto source = open_variant(checkpoint);
  check_values(*source);
  REQUIRE(source->notes().size() == 1);
  CHECK_THAT(source->notes()[0], Contains("'score.weight'") &&
                                     Contains("'v_head.summary.weight'") &&
                                     Contains("'classifier.weight'"));
  CHECK(open_variant({})->notes().empty());

  // Nothing but its name tells a head from a part of the transformer where none is "transformer.".
  FakeCheckpoint bare = renamed(without_transformer);
  bare.tensors["score.weight"] = bare.tensors["ln_f.weight"];
  CHECK_THAT(open_variant(bare)->notes().at(0), Contains("'score.weight'"));
  bare.tensors["emb_ln.weight"] = bare.tensors["ln_f.weight"];
  CHECK_THAT(refusal([&] { open_variant(bare); }),
             Contains("no place in the model: 'emb_ln.weight'"));
  CHECK_THAT(refused_variant([](FakeCheckpoint& c) {
               c.tensors["lm_head.bias"] = c.tensors["transformer.ln_f.weight"];
             }).problem(),
             Contains("no place in the model: 'lm_head.bias'"));
}

TEST_CASE("nanogpt: a tied head saved under its name alone is the embedding") {
  for (const std::string prefix : {"", "module."}) {
    const auto source = open_variant(renamed([&](const std::string& name) {
      return prefix + (name == "transformer.wte.weight" ? "lm_head.weight" : name);
    }));
    CHECK(gpt_config(source->architecture()).tied_head);
    check_values(*source);
  }
}

TEST_CASE("nanogpt: transposed, cut out, stepped and expanded tensors are read as they are") {
  FakeCheckpoint checkpoint;
  const auto begin = static_cast<int32_t>(checkpoint.values.size());
  for (int i = 0; i < 500; ++i) checkpoint.values.push_back(static_cast<float>(1000 + i));
  for (auto& [name, tensor] : checkpoint.tensors)
    tensor.length = static_cast<int32_t>(checkpoint.values.size());
  FakeTensor& wpe = checkpoint.tensors["transformer.wpe.weight"];    // [5, 4]
  FakeTensor& norm = checkpoint.tensors["transformer.ln_f.weight"];  // [4]
  const auto check = [&](std::vector<int32_t> strides, int32_t offset) {
    CAPTURE(strides, offset);
    wpe.strides = strides;
    wpe.offset = begin + offset;
    norm.strides = {strides[0]};
    norm.offset = begin + offset;
    const auto source = open_variant(checkpoint);
    const auto value = [&](int32_t r, int32_t c) {
      return 1000.0 + offset + r * strides[0] + c * strides[1];
    };
    const std::vector<double> rows = read_whole(*source, "transformer.wpe.weight");
    for (int32_t r = 0; r < 5; ++r) {
      for (int32_t c = 0; c < 4; ++c) REQUIRE(rows[static_cast<size_t>(r * 4 + c)] == value(r, c));
    }
    std::vector<double> part(6);  // rows 1 to 3, columns 1 and 2
    source->read("transformer.wpe.weight", {{{1, 4}}, {1, 3}}, {DType::f64, part.data(), 6});
    for (int32_t i = 0; i < 6; ++i)
      REQUIRE(part[static_cast<size_t>(i)] == value(1 + i / 2, 1 + i % 2));
    const std::vector<double> vector = read_whole(*source, "transformer.ln_f.weight");
    for (int32_t i = 0; i < 4; ++i) REQUIRE(vector[static_cast<size_t>(i)] == value(i, 0));
  };
  check({1, 5}, 0);   // .t()
  check({1, 9}, 3);   // .t() of a part
  check({9, 1}, 7);   // [:, a:b]
  check({9, 2}, 1);   // [:, ::2]
  check({2, 30}, 1);  // its transpose
  check({0, 1}, 4);   // one row, expanded
  check({1, 0}, 4);   // one column, expanded
  check({0, 0}, 11);  // one number, expanded
  check({3, 3}, 0);   // as_strided, overlapping
  wpe.strides = {4, 200};
  CHECK_THAT(refusal([&] { open_variant(checkpoint); }), Contains("does not fit in its storage"));
}

TEST_CASE("nanogpt: objects of any class beside the model are skipped unexecuted") {
  FakeCheckpoint checkpoint;
  checkpoint.more = {{"best_val_loss", "cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(" +
                                           p_text("f8") + "\x89\x88tRc_codecs\nencode\n(" +
                                           p_text("12345678") + p_text("latin1") + "tRtR"},
                     {"shape", "ctorch\nSize\n(" + p_sizes({2, 3}) + "tR"},
                     {"device", "ctorch\ndevice\n(" + p_text("cpu") + "tR"},
                     {"dtype", "ctorch\nbfloat16\n"},
                     {"config", p_object("__main__\nTrainConfig", p_dict({{"lr", "N"}}))},
                     {"when", "cdatetime\ndatetime\n(" + p_text("2024") + "tR"},
                     {"calls", "cos\nsystem\n(" + p_text("exit 1") + "tR"},
                     {"large", std::string("\x8b\x0c\0\0\0", 5) + "123456789012"}};
  const auto source = open_variant(checkpoint);
  check_values(*source);
  CHECK(source->notes().empty());
}

TEST_CASE("nanogpt: an object where the model or its sizes should be is named, with its remedy") {
  const Error module = refused_variant([](FakeCheckpoint& c) {
    c.more = {{"model", p_object("__main__\nGPT", p_dict({{"training", "\x89"}}))}};
  });
  CHECK_THAT(module.problem(), Contains("'model' is an object of '__main__.GPT'"));
  CHECK_THAT(module.fix(), Contains("torch.load(") && Contains("c['model'].state_dict()") &&
                               Contains("torch.save("));
  const Error array = refused_variant([](FakeCheckpoint& c) {
    c.more = {{"model", p_dict({{"transformer.wte.weight",
                                 "cnumpy._core.multiarray\n_reconstruct\n("
                                 "cnumpy\nndarray\ntR"}})}};
  });
  CHECK_THAT(array.problem(),
             Contains("'transformer.wte.weight' of 'model' is an object of 'numpy.ndarray'"));
  CHECK_THAT(array.fix(), Contains("torch.as_tensor(v)"));
  const Error sizes = refused_variant([](FakeCheckpoint& c) {
    c.more = {{"model_args", "cx\nArgs\n)\x81"}};
  });
  CHECK_THAT(sizes.problem(), Contains("'model_args' is an object of 'x.Args'"));
  CHECK_THAT(sizes.fix(), Contains("vars(c['model_args'])"));
  const Error scalar = refused_variant(
      [](FakeCheckpoint& c) { c.arguments[1].second = "cnumpy._core.multiarray\nscalar\n)R"; });
  CHECK_THAT(scalar.problem(),
             Contains("'n_head' is an object of 'numpy._core.multiarray.scalar'"));
  CHECK_THAT(scalar.fix(), Contains("int(c['model_args']['n_head'])"));
}

TEST_CASE(
    "nanogpt: sizes are read from an object's attributes, and build-nanogpt's from 'config'") {
  const FakeCheckpoint plain;
  FakeCheckpoint object;
  object.more = {{"model_args", p_object("argparse\nNamespace", p_dict(plain.arguments))}};
  check_values(*open_variant(object));

  // build-nanogpt: no model_args, but its GPTConfig; always biases; GELU in its tanh form.
  Items sizes;
  for (const auto& [key, value] : plain.arguments)
    if (key != "bias" && key != "dropout") sizes.emplace_back(key, value);
  FakeCheckpoint build;
  for (const NamedTensor& p : named_tensors(GptConfig{1, 2, 4, 5, 3, 16, true, true})) {
    if (build.tensors.count(p.name)) continue;
    build.tensors[p.name] = build.tensors["transformer.ln_f.weight"];
    build.tensors[p.name].offset = 0;
    build.tensors[p.name].shape = {static_cast<int32_t>(p.shape[0])};
  }
  const auto open_build = [&](const std::string& config) {
    Items model;
    for (const auto& [name, tensor] : build.tensors) model.emplace_back(name, tensor.pickle());
    const std::string root =
        p_dict({{"model", p_dict(model)}, {"config", config}, {"step", p_int(9)}});
    return open_nanogpt(
        in_memory(zip({{"c/data.pkl", p_pickle(root)}, {"c/data/0", raw(build.values)}})));
  };
  const auto source = open_build(p_object("__main__\nGPTConfig", p_dict(sizes)));
  CHECK(gpt_config(source->architecture()) ==
        GptConfig{1, 2, 4, 5, 3, 16, true, true, Gelu::tanh, 1e-5});
  CHECK_THAT(source->description(), Contains("iteration 9"));
  REQUIRE(source->notes().size() == 1);
  CHECK_THAT(source->notes()[0], Contains("sizes are in 'config'") &&
                                     Contains("'__main__.GPTConfig'") && Contains("tanh"));
  CHECK(gpt_config(open_build(p_dict(sizes))->architecture()).gelu == Gelu::tanh);
  sizes.emplace_back("bias", "\x88");  // nanoGPT's own class, whose GELU is exact
  CHECK(
      gpt_config(open_build(p_object("__main__\nGPTConfig", p_dict(sizes)))->architecture()).gelu ==
      Gelu::erf);
  // What train.py calls 'config' is of the run.
  sizes.pop_back();
  sizes.pop_back();
  CHECK_THAT(refusal([&] { open_build(p_dict(sizes)); }), Contains("neither 'model_args' nor"));
}

TEST_CASE("open_checkpoint: a file of another kind is called by its name") {
  const TempFolder folder;
  const auto opened = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    return refusal([&] { open_checkpoint(path); });
  };
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
      "\nsize 548118077\n";
  for (const char* name : {"ckpt.pt", "model.safetensors", "pytorch_model.bin", "other"}) {
    CAPTURE(name);
    CHECK_THAT(opened(name, pointer), Contains("is a Git LFS pointer"));
    CHECK_THAT(opened(name, "<!DOCTYPE html><html>"), Contains("is a web page (HTML)"));
    CHECK_THAT(opened(name, "\n <HTML lang=en>"), Contains("is a web page (HTML)"));
    CHECK_THAT(opened(name, "\x1f\x8b\x08 and more"), Contains("is a gzip archive"));
    CHECK_THAT(opened(name, std::string(257, 'x') + "ustar"), Contains("is a tar archive"));
    CHECK_THAT(opened(name, "GGUF\x03"), Contains("is a GGUF model"));
    CHECK_THAT(opened(name, "\x89HDF\r\n\x1a\n"), Contains("is an HDF5 file"));
    CHECK_THAT(opened(name, "\x08\x07\x12\x07pytorch"), Contains("is an ONNX model"));
    CHECK_THAT(opened(name, std::string(100, '\0')), Contains("is zeros"));
    CHECK_THAT(opened(name, ""), Contains("is empty"));
  }
  CHECK_THAT(opened("a.npz", zip({{"x.npy", "1"}})), Contains("NumPy arrays (.npz)"));
  CHECK_THAT(opened("model.ckpt.data-00000-of-00001", "weights"), Contains("TensorFlow"));
  CHECK_THAT(opened("checkpoint", "model_checkpoint_path: \"model.ckpt\""), Contains("TensorFlow"));
  // The header of a safetensors file of 128 bytes begins as a pickle does.
  const std::string whole = safetensors("{" + std::string(127, ' '), "");
  CHECK_THAT(opened("cut.safetensors", whole.substr(0, 60)), Contains("is truncated"));
  const std::string link = folder.path("link.pt");
  fs::create_symlink("blobs/abc", link);
  CHECK_THAT(refusal([&] { open_checkpoint(link); }), Contains("is a link to 'blobs/abc'"));
  fs::create_directory(folder.path("f"));
  fs::create_directory(folder.path("f/ckpt.pt"));
  CHECK_THAT(refusal([&] { open_checkpoint(folder.path("f")); }),
             Contains("ckpt.pt: is a folder, not a file"));
}
