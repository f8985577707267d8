#include "model/files/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "model/files/file_kind.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {
namespace {

using nlohmann::json;

constexpr uint64_t kMostHeaderBytes = 100'000'000;  // safetensors' own limit
constexpr const char* kCopyAgain = "the file is truncated or corrupt: download or copy it again";
constexpr const char* kSaveAgain =
    "the file was not written by safetensors, or is corrupt: save it again with safetensors' "
    "save_file";

std::optional<int64_t> whole_number(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(number);
}

// A truncated file has the beginning of its header still.
[[noreturn]] void refuse_length(const ByteSource& bytes, uint64_t length) {
  const std::string begin = begin_of(bytes, 9);
  const bool is_cut = begin.size() == 8 || (begin.size() > 8 && begin[8] == '{');
  if (!is_cut || length > kMostHeaderBytes) refuse_other_kind(bytes);
  if (is_cut && length <= kMostHeaderBytes) {
    fail_file(bytes.name(),
              fmt::format("is truncated: it has {} bytes, and its header alone needs {}",
                          bytes.size(), 8 + length),
              "download or copy it again");
  }
  fail_file(bytes.name(),
            fmt::format("the header's length, {}, is past the end of the file ({} bytes)", length,
                        bytes.size()),
            "this is no safetensors file, or a corrupt one: download or copy it again");
}

// The header's text, after its length has been held against the file's.
std::string read_header(const ByteSource& bytes) {
  if (bytes.size() < 8) {
    refuse_other_kind(bytes);
    fail_file(bytes.name(),
              fmt::format("has {} bytes; a safetensors file begins with 8 that give "
                          "its header's length",
                          bytes.size()),
              kCopyAgain);
  }
  uint64_t length = 0;
  static_assert(std::endian::native == std::endian::little);
  bytes.read(0, &length, sizeof length);
  if (length > static_cast<uint64_t>(bytes.size() - 8)) refuse_length(bytes, length);
  if (length > kMostHeaderBytes) {
    fail_file(bytes.name(),
              fmt::format("the header's length, {}, is over safetensors' limit of {}", length,
                          kMostHeaderBytes),
              kSaveAgain);
  }
  std::string header(static_cast<size_t>(length), '\0');
  bytes.read(8, header.data(), static_cast<int64_t>(length));
  return header;
}

StoredType parse_type(const json& entry, const std::string& where) {
  const std::string name = entry.contains("dtype") && entry["dtype"].is_string()
                               ? entry["dtype"].get<std::string>()
                               : std::string();
  std::string known;
  for (const StoredTypeRow& row : stored_types()) {
    if (row.safetensors == name) return row.type;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.safetensors);
  }
  fail_file(where, "unknown dtype " + in_quotes(name), "save it as one of " + known);
}

Shape parse_shape(const json& entry, const std::string& where) {
  Shape shape;
  const bool has_list = entry.contains("shape") && entry["shape"].is_array();
  bool good = has_list && entry["shape"].size() <= Shape::kMaxDims;
  if (good) {
    for (const json& size : entry["shape"]) {
      const std::optional<int64_t> number = whole_number(size);
      good = good && number.has_value();
      shape.push_back(number.value_or(0));
    }
  }
  if (!good)
    fail_file(where,
              fmt::format("its shape is not a list of at most {} whole numbers", Shape::kMaxDims),
              kSaveAgain);
  return shape;
}

// The number of values in a shape, or nothing where they need more bytes than the file has.
std::optional<int64_t> count_values(const Shape& shape, int64_t most) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  if (count > most) return std::nullopt;
  return count;
}

// One entry of the header; its offset is relative to the data still.
TensorInfo parse_entry(const std::string& name, const json& entry, const std::string& path,
                       int64_t data_bytes) {
  const std::string where = fmt::format("{}: tensor {}", path, in_quotes(name));
  if (!entry.is_object()) fail_file(where, "its header entry is not an object", kSaveAgain);
  TensorInfo info{
      .name = name, .type = parse_type(entry, where), .shape = parse_shape(entry, where)};

  std::optional<int64_t> begin, end;
  if (entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
      entry["data_offsets"].size() == 2) {
    begin = whole_number(entry["data_offsets"][0]);
    end = whole_number(entry["data_offsets"][1]);
  }
  if (!begin || !end || *begin > *end) {
    fail_file(where, "its data_offsets are not two rising whole numbers", kSaveAgain);
  }
  if (*end > data_bytes) {
    fail_file(where,
              fmt::format("its data_offsets [{}, {}] are past the end of the data ({} bytes): the "
                          "file is truncated",
                          *begin, *end, data_bytes),
              "download or copy it again");
  }
  const int64_t size = row_of(info.type).size_bytes;
  const std::optional<int64_t> count = count_values(info.shape, data_bytes / size);
  if (!count || *count * size != *end - *begin) {
    fail_file(where,
              fmt::format("shape {} of {} does not have the {} bytes of its data_offsets",
                          info.shape.text(), row_of(info.type).name, *end - *begin),
              kSaveAgain);
  }
  info.count = *count;
  info.offset = *begin;
  return info;
}

// Throws unless the tensors, sorted by offset, tile the data.
void check_tiling(const std::vector<TensorInfo>& tensors, const std::string& path,
                  int64_t data_bytes) {
  int64_t covered = 0;
  for (const TensorInfo& info : tensors) {
    if (info.offset != covered) {
      fail_file(path,
                fmt::format("tensor {} begins at byte {} of the data, {} the end of the one before "
                            "it, at {}",
                            in_quotes(info.name), info.offset,
                            info.offset < covered ? "before" : "after", covered),
                kSaveAgain);
    }
    covered += info.count * row_of(info.type).size_bytes;
  }
  if (covered != data_bytes) {
    fail_file(path, fmt::format("{} bytes at the end belong to no tensor", data_bytes - covered),
              kSaveAgain);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : SafetensorsFile(open_file(path)) {}

SafetensorsFile::SafetensorsFile(std::shared_ptr<const ByteSource> bytes)
    : bytes_(std::move(bytes)) {
  const std::string text = read_header(*bytes_);
  const int64_t data = 8 + static_cast<int64_t>(text.size());
  const int64_t data_bytes = bytes_->size() - data;
  const json header = parse_json_object(text, path() + ": the header");

  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(parse_entry(name, entry, path(), data_bytes));
      continue;
    }
    if (entry.is_null()) continue;
    if (!entry.is_object()) fail_file(path(), "__metadata__ is not an object", kSaveAgain);
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail_file(path(), "__metadata__ has a value not text", kSaveAgain);
      metadata_[key] = value.get<std::string>();
    }
  }
  // Tensors without values share an offset with a neighbour: they come before it.
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.count < b.count;
  });
  check_tiling(tensors_, path(), data_bytes);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    tensors_[i].offset += data;
    index_[tensors_[i].name] = i;
  }
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  if (const TensorInfo* info = find(name)) return *info;
  std::string names;
  constexpr size_t kMostNames = 10;
  for (size_t i = 0; i < std::min(tensors_.size(), kMostNames); ++i) {
    names += fmt::format("{}{}", i == 0 ? "" : ", ", in_quotes(tensors_[i].name));
  }
  if (tensors_.size() > kMostNames) names += fmt::format(" and {} more", tensors_.size() - 10);
  fail_file(path(), fmt::format("has no tensor {}", in_quotes(name)), "it has " + names);
}

std::vector<double> SafetensorsFile::read_doubles(std::string_view name) const {
  const TensorInfo& info = at(name);
  if (info.type == StoredType::f8) {
    fail_file(path(), fmt::format("tensor {} has f8 values", in_quotes(name)), "save it as F32");
  }
  std::vector<double> values(static_cast<size_t>(info.count));
  tplab::read_doubles(*bytes_, info.offset, info.type, info.count, values.data());
  return values;
}

std::vector<int64_t> SafetensorsFile::read_integers(std::string_view name) const {
  const TensorInfo& info = at(name);
  if (is_weight_type(info.type) || info.type == StoredType::f8) {
    fail_file(path(),
              fmt::format("tensor {} has {} values, not integers", in_quotes(name),
                          row_of(info.type).name),
              "save it as I64");
  }
  std::vector<int64_t> values(static_cast<size_t>(info.count));
  tplab::read_integers(*bytes_, info.offset, info.type, info.count, values.data());
  return values;
}

}  // namespace tplab
