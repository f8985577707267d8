#include "cli/same_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "model/parameters.h"
#include "sim/error.h"
#include "sim/machine/processes.h"

namespace tplab::cli {

namespace {

template <class T>
void add_hash(uint64_t& hash, const std::vector<T>& numbers) {
  const std::string_view bytes(reinterpret_cast<const char*>(numbers.data()),
                               numbers.size() * sizeof(T));
  hash = hash * 0x100000001b3u ^ std::hash<std::string_view>{}(bytes);
}

void require_same(const std::string& path, uint64_t mine) {
  const auto seen = processes()->gather(fmt::format("{:016x}", mine));
  const auto other = std::find_if(seen.begin(), seen.end(),
                                  [&](const std::string& theirs) { return theirs != seen[0]; });
  if (other == seen.end()) return;
  fail_file(
      path,
      fmt::format("rank {} reads something else under this name than rank 0", other - seen.begin()),
      "copy it to all machines, or put it on a disk that they share");
}

}  // namespace

void require_same_everywhere(const std::string& path, const WeightSource& weights) {
  if (!processes()) return;
  uint64_t hash = 0;
  for (const NamedTensor& tensor : named_tensors(weights.architecture())) {
    const int64_t rows = tensor.shape[0], cols = cols_of(tensor.shape);
    for (const int64_t row : {int64_t{0}, rows / 2}) {
      const Slice one{{{row, row + 1}}, {0, cols}};
      std::vector<double> numbers(static_cast<size_t>(cols));
      weights.read(tensor.name, one, {DType::f64, numbers.data(), cols});
      add_hash(hash, numbers);
    }
  }
  require_same(path, hash);
}

void require_same_everywhere(const std::string& path, const Dataset& data) {
  if (!processes()) return;
  uint64_t hash = 0;
  for (const TokenList* part : {&data.train, &data.val}) {
    const int64_t size = part->size(), few = std::min<int64_t>(size, 4096);
    add_hash(hash, std::vector{size});
    for (const int64_t begin : {int64_t{0}, (size - few) / 2, size - few}) {
      std::vector<int32_t> ids(static_cast<size_t>(few));
      part->read(begin, few, ids.data());
      add_hash(hash, ids);
    }
  }
  require_same(path, hash);
}

}  // namespace tplab::cli
