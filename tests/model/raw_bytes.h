// Numbers as a file's bytes, and a safetensors file of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tplab::testing {

// The bytes of a number, little-endian.
template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline std::string safetensors(const std::string& header, const std::string& data) {
  return raw(uint64_t{header.size()}) + header + data;
}

}  // namespace tplab::testing
