// Pickles written opcode by opcode, and nanoGPT checkpoints made of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint_files.h"

namespace tplab::testing {

// A string + a string: "x" + a temporary string makes g++ 12 warn of overlaps that are none.
inline std::string p_text(const std::string& text) {
  return std::string("X") + raw(static_cast<uint32_t>(text.size())) + text;
}
inline std::string p_int(int32_t value) { return std::string("J") + raw(value); }
inline std::string p_tuple(const std::vector<std::string>& items) {
  std::string pickle = "(";
  for (const std::string& item : items) pickle += item;
  return pickle + "t";
}
inline std::string p_sizes(const std::vector<int32_t>& sizes) {
  std::vector<std::string> items;
  for (const int32_t size : sizes) items.push_back(p_int(size));
  return p_tuple(items);
}
using Items = std::vector<std::pair<std::string, std::string>>;  // text keys, pickled values
inline std::string p_dict(const Items& items) {
  std::string pickle = "}(";
  for (const auto& [key, value] : items) pickle += p_text(key) + value;
  return pickle + "u";
}
inline std::string p_pickle(const std::string& value) { return "\x80\x02" + value + "."; }

// What torch.save writes for a tensor.
struct FakeTensor {
  std::string type = "FloatStorage", key = "0";
  int32_t length = 0, offset = 0;
  std::vector<int32_t> shape, strides;
  std::string pickle() const {
    const std::string storage = p_tuple({p_text("storage"), "ctorch\n" + type + "\n", p_text(key),
                                         p_text("cpu"), p_int(length)}) +
                                "Q";
    return "ctorch._utils\n_rebuild_tensor_v2\n" +
           p_tuple({storage, p_int(offset), p_sizes(shape), p_sizes(strides), "\x89",
                    "ccollections\nOrderedDict\n)R"}) +
           "R";
  }
};

// A 1-layer, 2-head, 4-wide nanoGPT of 3 tokens without biases, to be broken by tests. All
// parameters share storage "0", whose value i is i.
struct FakeCheckpoint {
  Items arguments = {{"n_layer", p_int(1)},
                     {"n_head", p_int(2)},
                     {"n_embd", p_int(4)},
                     {"block_size", p_int(5)},
                     {"bias", "\x89"},
                     {"vocab_size", p_int(3)},
                     {"dropout", std::string("G\0\0\0\0\0\0\0\0", 9)}};
  std::map<std::string, FakeTensor> tensors;
  std::vector<float> values;
  Items more;  // entries of the outermost dict

  FakeCheckpoint() {
    const GptConfig config = {1, 2, 4, 5, 3, 16, false, true};
    int32_t begin = 0;
    for (const NamedTensor& parameter : named_tensors(config)) {
      FakeTensor tensor;
      tensor.offset = begin;
      int32_t count = 1;
      for (const int64_t size : parameter.shape) {
        tensor.shape.push_back(static_cast<int32_t>(size));
        count *= static_cast<int32_t>(size);
      }
      tensor.strides = tensor.shape.size() == 2 ? std::vector<int32_t>{tensor.shape[1], 1}
                                                : std::vector<int32_t>{1};
      begin += count;
      tensors[parameter.name] = tensor;
    }
    for (int32_t i = 0; i < begin; ++i) values.push_back(static_cast<float>(i));
    for (auto& [name, tensor] : tensors) tensor.length = begin;
  }

  std::string pickle() const {
    Items model;
    for (const auto& [name, tensor] : tensors) model.emplace_back(name, tensor.pickle());
    Items root = {{"model", p_dict(model)}, {"model_args", p_dict(arguments)}};
    root.insert(root.end(), more.begin(), more.end());
    return p_pickle(p_dict(root));
  }

  std::vector<ZipPart> parts() const {
    return {{"ckpt/data.pkl", pickle()}, {"ckpt/data/0", raw(values)}, {"ckpt/version", "3\n"}};
  }
};

}  // namespace tplab::testing
