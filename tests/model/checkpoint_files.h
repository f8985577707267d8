// Checkpoint files made byte by byte, whole or broken, for the tests of the readers.
#pragma once

#include <catch2/catch.hpp>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "model/files/bytes.h"
#include "model/weights.h"
#include "sim/error.h"
#include "tests/model/raw_bytes.h"

namespace tplab::testing {

namespace fs = std::filesystem;

inline std::string fixture(const std::string& name) {
  return std::string(TPLAB_SOURCE_DIR) + "/tests/fixtures/" + name;
}
inline std::string shared_data(const std::string& name) {
  return std::string(TPLAB_SOURCE_DIR) + "/../shared/data/" + name;
}
// Whether real data is here; says so where it is not.
inline bool has_shared_data(const std::string& name) {
  if (fs::exists(shared_data(name))) return true;
  WARN("skipped: " << shared_data(name) << " is not here");
  return false;
}

// A folder of its own that goes away with it.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (fs::temp_directory_path() / "tplab-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string path(const std::string& name = "") const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path(name);
  }

 private:
  fs::path path_;
};

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::shared_ptr<const ByteSource> in_memory(std::string bytes) {
  return bytes_in_memory(std::move(bytes), "test-file");
}

// What f complains of; fails the test unless f throws an Error(bad_file) that says how to fix it.
template <std::invocable F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_file);
    CHECK(!error.fix().empty());
    return error.problem();
  }
  FAIL("was accepted");
  return "";
}

// A zip file of uncompressed entries. `size` is what the directory claims of each.
struct ZipPart {
  std::string name, bytes;
  uint16_t method = 0;
  int64_t claimed_size = -1;  // the true size
};

inline uint32_t crc32(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

inline std::string zip(const std::vector<ZipPart>& parts) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    const auto stored = static_cast<uint32_t>(part.bytes.size());
    const uint32_t size = part.claimed_size < 0 ? stored : static_cast<uint32_t>(part.claimed_size);
    const uint32_t compressed = part.method == 0 ? size : stored;
    const std::string common = raw(uint16_t{20}) + raw(uint16_t{0}) + raw(part.method) +
                               raw(uint32_t{0x21 << 16}) + raw(crc32(part.bytes)) +
                               raw(compressed) + raw(size) +
                               raw(static_cast<uint16_t>(part.name.size())) + raw(uint16_t{0});
    directory += "PK\x01\x02" + raw(uint16_t{20}) + common + std::string(10, '\0') +
                 raw(static_cast<uint32_t>(file.size())) + part.name;
    file += "PK\x03\x04" + common + part.name + part.bytes;
  }
  const auto count = static_cast<uint16_t>(parts.size());
  return file + directory + "PK\x05\x06" + std::string(4, '\0') + raw(count) + raw(count) +
         raw(static_cast<uint32_t>(directory.size())) + raw(static_cast<uint32_t>(file.size())) +
         std::string(2, '\0');
}

// A whole parameter as doubles; vectors are [n, 1].
inline std::vector<double> read_whole(const WeightSource& source, const std::string& name) {
  for (const NamedTensor& parameter : named_tensors(source.architecture())) {
    if (parameter.name != name) continue;
    const int64_t cols = cols_of(parameter.shape);
    std::vector<double> values(static_cast<size_t>(parameter.shape[0] * cols));
    source.read(name, {{{0, parameter.shape[0]}}, {0, cols}},
                {DType::f64, values.data(), static_cast<int64_t>(values.size())});
    return values;
  }
  FAIL("no parameter " << name);
  return {};
}

}  // namespace tplab::testing
