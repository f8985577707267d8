// The four widths are tried on the whole file; other layouts on its beginning, to name what it is.
#include "model/training/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/error.h"

namespace tplab {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int64_t kBlockBytes = int64_t{1} << 20;
constexpr size_t kEnough = 16;  // numbers that fit a layout, all of them: no chance
constexpr const char* kUint8OrNot =
    "say so with --data-dtype uint8, or uint16 if that is what it is";
constexpr const char* kMakeAgain =
    "make it with nanoGPT's data/DATASET/prepare.py, or any program that writes ids as uint16";

// --- Widths, on the whole file

struct Extent {
  uint64_t smallest = ~uint64_t{0}, largest = 0;
};

template <class Id>
void widen(const std::vector<uint64_t>& block, int64_t n_bytes, Extent& extent) {
  std::vector<Id> ids(static_cast<size_t>(n_bytes) / sizeof(Id));
  if (ids.empty()) return;
  std::memcpy(ids.data(), block.data(), ids.size() * sizeof(Id));
  const auto [smallest, largest] = std::minmax_element(ids.begin(), ids.end());
  extent.smallest = std::min<uint64_t>(extent.smallest, *smallest);
  extent.largest = std::max<uint64_t>(extent.largest, *largest);
}

// By an id's bytes: 1, 2, 4 and 8.
using Extents = std::array<Extent, 9>;

Extents extents_of(const ByteSource& file) {
  Extents extents;
  std::vector<uint64_t> block(kBlockBytes / sizeof(uint64_t));
  for (int64_t at = 0; at < file.size(); at += kBlockBytes) {
    const int64_t n = std::min(kBlockBytes, file.size() - at);
    file.read(at, block.data(), n);
    widen<uint8_t>(block, n, extents[1]);
    widen<uint16_t>(block, n, extents[2]);
    widen<uint32_t>(block, n, extents[4]);
    widen<uint64_t>(block, n, extents[8]);
  }
  return extents;
}

// --- Layouts, on the beginning

struct Layout {
  const char *name, *numpy;  // for people, and for np.fromfile
  size_t bytes;
  double (*number)(const char* bytes);
};

template <class Number, bool is_big_endian = false>
double number_at(const char* bytes) {
  std::array<char, sizeof(Number)> own{};
  std::copy_n(bytes, own.size(), own.begin());
  if (is_big_endian) std::reverse(own.begin(), own.end());
  return static_cast<double>(std::bit_cast<Number>(own));
}

constexpr Layout kFloats[] = {{"float32", "f4", 4, number_at<float>},
                              {"float64", "f8", 8, number_at<double>}};
constexpr Layout kUint16 = {"uint16", "u2", 2, number_at<uint16_t>};
constexpr Layout kBig16 = {"big-endian uint16", ">u2", 2, number_at<uint16_t, true>};
constexpr Layout kIntegers[] = {{"int64", "i8", 8, number_at<int64_t>},
                                {"int32 (or uint32)", "i4", 4, number_at<int32_t>},
                                {"big-endian int64", ">i8", 8, number_at<int64_t, true>},
                                {"big-endian int32", ">i4", 4, number_at<int32_t, true>},
                                kBig16};

// The least and the greatest of the numbers of this layout; nothing where they are not whole
// numbers that ids could be, are too few, or all the same.
std::optional<std::pair<double, double>> fits(std::string_view begin, const Layout& layout,
                                              int64_t below) {
  constexpr double kLeast = -100;  // PyTorch's "ignore this label"
  const size_t count = begin.size() / layout.bytes;
  if (count < kEnough) return std::nullopt;
  double least = INFINITY, greatest = -INFINITY;
  for (size_t i = 0; i < count; ++i) {
    const double x = layout.number(begin.data() + i * layout.bytes);
    if (!(x >= kLeast && x < static_cast<double>(below)) || x != std::floor(x)) return std::nullopt;
    least = std::min(least, x);
    greatest = std::max(greatest, x);
  }
  if (least == greatest) return std::nullopt;
  return std::pair{least, greatest};
}

[[noreturn]] void refuse_layout(const ByteSource& file, const Layout& layout, double least,
                                double greatest) {
  const char* const needed = greatest < 65536 ? "uint16" : "uint32";
  fail_file(
      file.name(),
      fmt::format("looks like {}, with numbers from {} to {}", layout.name, least, greatest),
      least < 0 ? std::string("ids begin at 0: leave the negative ones out")
      : layout.numpy == std::string_view("i4") && greatest >= 65536
          ? std::string("if they are right, add --data-dtype uint32, and a meta.pkl beside them "
                        "that says their vocab_size")
          : fmt::format("convert it: numpy.fromfile(FILE, '{}').astype('{}').tofile(NEW)",
                        layout.numpy, needed));
}

// Refuses the file as the first of the layouts that fits, if one does.
void refuse_if_any(const ByteSource& file, std::string_view begin, std::span<const Layout> layouts,
                   int64_t below) {
  for (const Layout& layout : layouts)
    if (const auto found = fits(begin, layout, below))
      refuse_layout(file, layout, found->first, found->second);
}

// Files with something before the ids, or of another kind.
void refuse_header(const ByteSource& file, std::string_view begin) {
  uint32_t magic = 0;
  if (begin.size() >= sizeof magic) std::memcpy(&magic, begin.data(), sizeof magic);
  if (begin.starts_with("\x93NUMPY")) {
    fail_file(file.name(), "is an .npy file, which has a header before its ids",
              "write the ids alone: numpy.load(FILE).astype('uint16').tofile(NEW)");
  }
  if (magic == 20240520 || magic == 20240801) {
    fail_file(file.name(), "is llm.c's, which has a header of 1024 bytes before its ids",
              "cut it off: tail -c +1025 FILE > NEW");
  }
  if (begin.starts_with("PK\x03\x04")) {
    fail_file(file.name(), "is a zip archive, as torch.save and .npz are",
              "write the ids alone: array.astype('uint16').tofile(NEW)");
  }
}

bool is_text(std::string_view begin) {
  const auto prints = [](char c) { return (c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r'); };
  const auto n = std::count_if(begin.begin(), begin.end(), prints);
  return begin.size() >= 4 * kEnough && n * 20 > static_cast<int64_t>(begin.size()) * 19;
}

[[noreturn]] void refuse_text(const ByteSource& file) {
  fail_file(file.name(), "looks like a text, not like token ids",
            "give a text with --text FILE; if its bytes are the ids, add --data-dtype uint8");
}

// What the file may be, where it begins with what are no ids as uint16.
void refuse_what_it_looks_like(const ByteSource& file, std::string_view begin, int64_t vocab_size) {
  constexpr int64_t kMostTokens = int64_t{1} << 20;
  if (fits(begin, kUint16, vocab_size)) return;
  if (is_text(begin)) refuse_text(file);
  refuse_if_any(file, begin, kFloats, vocab_size);
  refuse_if_any(file, begin, kIntegers, vocab_size);
  // With ids past the vocabulary; of 16 bits, most files would fit.
  refuse_if_any(file, begin, std::span(kIntegers).first<4>(), kMostTokens);
}

// What is no chance in ids of 16 bits, though it would pass for some.
void refuse_what_is_not_uint16(const ByteSource& file, std::string_view begin, int64_t vocab_size) {
  if (is_text(begin)) refuse_text(file);
  refuse_if_any(file, begin, kFloats, vocab_size);
  uint8_t low = 0, high = 0;  // the largest of each 16-bit number's bytes
  std::bitset<256> lows, highs;
  for (size_t at = 0; at + 1 < begin.size(); at += 2) {
    low = std::max(low, static_cast<uint8_t>(begin[at]));
    high = std::max(high, static_cast<uint8_t>(begin[at + 1]));
    lows.set(static_cast<uint8_t>(begin[at]));
    highs.set(static_cast<uint8_t>(begin[at + 1]));
  }
  const uint8_t any = std::max(low, high);
  if (low == 0) refuse_if_any(file, begin, kIntegers, vocab_size);
  if (begin.size() >= 8 * kEnough && any < 128 && low >= 16 && high >= 16) {
    fail_file(file.name(), fmt::format("looks like uint8: no byte is above {}", any), kUint8OrNot);
  }
  // Ids up to 50256 have lower bytes of all values and upper bytes up to 196.
  const bool alike = (lows & highs).count() * 10 > (lows | highs).count() * 9;
  if (begin.size() >= 256 * kEnough && any < 255 && lows.count() >= 16 && alike)
    fail_file(file.name(), "looks like uint8: first and second bytes are of the same values",
              kUint8OrNot);
}

std::string beginning_of(const ByteSource& file) {
  std::string begin(static_cast<size_t>(std::min(kBlockBytes, file.size())), '\0');
  file.read(0, begin.data(), static_cast<int64_t>(begin.size()));
  return begin;
}

// The widest that fits, of those that are more than chance: ids as uint32 are, as uint16, every
// second one 0.
IdWidth automatic_width(const ByteSource& file, const Extents& extents, int64_t vocab_size) {
  const auto passes = [&](size_t bytes) {
    return file.size() % static_cast<int64_t>(bytes) == 0 &&
           extents[bytes].largest < static_cast<uint64_t>(vocab_size);
  };
  for (const IdWidth wide : {IdWidth::eight, IdWidth::four}) {
    const auto bytes = static_cast<size_t>(wide);
    const bool is_enough = static_cast<size_t>(file.size()) / bytes >= kEnough;
    if (passes(bytes) && is_enough && extents[bytes].smallest < extents[bytes].largest) return wide;
  }
  const std::string begin = beginning_of(file);
  if (passes(2)) {
    refuse_what_is_not_uint16(file, begin, vocab_size);
    return IdWidth::two;
  }
  refuse_what_it_looks_like(file, begin, vocab_size);
  // A cut list of uint16 would pass for uint8 too, every second id 0.
  constexpr int64_t kByteIds = 256;
  const bool are_pairs = extents[2].largest >= static_cast<uint64_t>(vocab_size);
  if (vocab_size <= kByteIds && passes(1) && are_pairs && begin.size() >= kEnough)
    return IdWidth::one;
  return IdWidth::two;  // and then refused
}

}  // namespace

void refuse_id(const ByteSource& file, int64_t vocab_size, uint64_t id, int64_t number) {
  fail_file(file.name(),
            fmt::format("token {} (number {}, from 0) is outside the vocabulary of {}", id, number,
                        vocab_size),
            "the file was made with another tokenizer: give it the meta.pkl or the tokenizer that "
            "it was made with, or a model with that vocabulary");
}

IdWidth find_id_width(const ByteSource& file, int64_t vocab_size, IdWidth width) {
  if (file.size() == 0) fail_file(file.name(), "is empty", kMakeAgain);
  if (width == IdWidth::automatic) {
    refuse_header(file, beginning_of(file).substr(0, 512));
    width = automatic_width(file, extents_of(file), vocab_size);
  }
  const auto bytes = static_cast<int64_t>(width);
  if (file.size() % bytes != 0) {
    fail_file(file.name(),
              fmt::format("has {} bytes, which is no whole number of ids of {} bytes", file.size(),
                          bytes),
              fmt::format("the file is truncated, or not of ids: {}", kMakeAgain));
  }
  return width;
}

}  // namespace tplab
