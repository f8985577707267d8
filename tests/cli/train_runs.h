// Small training runs, and what they leave behind.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "model/files/safetensors.h"
#include "run_tplab.h"

namespace tplab::testing {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// tplab train of one layer, 16 wide, that takes milliseconds, with these options, which may replace
// any of its own.
inline Arguments tiny(const std::string& out, const Arguments& options = {}) {
  const std::vector<std::pair<std::string, std::string>> usual = {
      {"--layers", "1"}, {"--heads", "2"},       {"--width", "16"}, {"--block", "16"},
      {"--batch", "4"},  {"--warmup", "2"},      {"--lr", "1e-2"},  {"--decay-steps", "6"},
      {"--out", out},    {"--eval-batches", "1"}};
  Arguments arguments = {"train"};
  for (const auto& [name, value] : usual)
    if (std::find(options.begin(), options.end(), name) == options.end())
      arguments = arguments + Arguments{name, value};
  return arguments + options;
}

inline Ran trained(const Arguments& arguments) {
  const Ran ran = tplab(arguments);
  INFO(ran.err);
  REQUIRE(ran.exit_code == 0);
  return ran;
}

inline std::string checkpoint(const std::string& folder) { return folder + "/ckpt.safetensors"; }

inline int64_t steps_done(const std::string& folder) {
  return std::stoll(SafetensorsFile(checkpoint(folder)).metadata().at("step"));
}

// The largest difference of any number, weights and moments alike, over the largest of its tensor.
inline double largest_difference(const std::string& folder, const std::string& other) {
  const SafetensorsFile a(checkpoint(folder)), b(checkpoint(other));
  REQUIRE(a.tensors().size() == b.tensors().size());
  double worst = 0;
  for (const TensorInfo& tensor : a.tensors()) {
    const auto x = a.read_doubles(tensor.name), y = b.read_doubles(tensor.name);
    REQUIRE(x.size() == y.size());
    double largest = 0, difference = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::abs(x[i]));
      const double d = std::abs(x[i] - y[i]);
      if (!(d <= difference)) difference = d;  // and NaN stays
    }
    const double relative = difference / largest;
    if (!(relative <= worst)) worst = relative;
  }
  return worst;
}

// Changes a checkpoint as an editor would: its header, and the bytes that follow it.
template <class Change>  // (nlohmann::json& header, std::string& data)
void edit(const std::string& path, Change&& change) {
  const std::string bytes = file_text(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  std::string data = bytes.substr(8 + length);
  change(header, data);
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  length = text.size();
  write_file(path, std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
}

// Puts one value of an f32 tensor in place, in a checkpoint.
inline void poke(const std::string& path, const std::string& tensor, size_t place, float value) {
  edit(path, [&](nlohmann::json& header, std::string& data) {
    const size_t begin = header.at(tensor).at("data_offsets").at(0);
    std::memcpy(data.data() + begin + 4 * place, &value, 4);
  });
}

inline void edit_train_settings(const std::string& path, const std::string& name,
                                const nlohmann::json& value) {
  edit(path, [&](nlohmann::json& header, std::string&) {
    std::string& text = header["__metadata__"]["train"].get_ref<std::string&>();
    nlohmann::json train = nlohmann::json::parse(text);
    train[name] = value;
    text = train.dump();
  });
}

}  // namespace tplab::testing
