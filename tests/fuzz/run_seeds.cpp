// Runs a fuzz target on every file of a folder, its seeds, as an ordinary test; or on so many
// mutants of them, the same ones every time:
//   fuzz_ckpt_seeds tests/fuzz/corpus/ckpt [2000]
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& bytes) {
  constexpr unsigned kMostSeconds = 10;  // a hang ends the program
  alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  alarm(0);
}

using Random = std::mt19937_64;

size_t below(Random& random, size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); }

// One change: a bit, a byte, a part lost, said twice or taken from another place, the end lost, a
// number of a text, or a number of 4 or 8 bytes.
void change(std::string& bytes, Random& random) {
  static const std::vector<std::string> kTexts = {"0",
                                                  "-1",
                                                  "1e400",
                                                  "9223372036854775807",
                                                  "18446744073709551616",
                                                  "12.0",
                                                  "null",
                                                  "true",
                                                  "\"12\"",
                                                  "[]",
                                                  "{}",
                                                  "NaN",
                                                  "\\u0000",
                                                  "\x1b[31m",
                                                  "module.",
                                                  "\xff",
                                                  "h.0."};
  const size_t at = below(random, bytes.size() + 1), left = bytes.size() - at;
  const size_t count = std::min(left, 1 + below(random, 16));
  switch (below(random, 9)) {
    case 0:
      if (left > 0) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (left > 0) bytes[at] = static_cast<char>(random());
      break;
    case 2:
      bytes.erase(at, count);
      break;
    case 3:
      bytes.insert(at, bytes.substr(at, count));
      break;
    case 4:
      bytes.insert(at, bytes.substr(below(random, bytes.size()), count));
      break;
    case 5:
      bytes.resize(at);
      break;
    case 6: {
      const size_t digit = bytes.find_first_of("0123456789", at);
      if (digit == bytes.npos) break;
      const size_t end = std::min(bytes.find_first_not_of("0123456789", digit), bytes.size());
      bytes.replace(digit, end - digit, kTexts[below(random, kTexts.size())]);
      break;
    }
    case 7:
      bytes.insert(at, kTexts[below(random, kTexts.size())]);
      break;
    default: {
      constexpr uint64_t kNumbers[] = {0, 1, 0x7fffffff, 0xffffffff, 1ull << 62, ~0ull, 0x80};
      const uint64_t number = kNumbers[below(random, std::size(kNumbers))];
      std::memcpy(bytes.data() + at, &number, std::min<size_t>(left, random() % 2 ? 4 : 8));
    }
  }
}

// A mutant. Of a file that begins with the length of a header, the length is made right most times:
// else nearly all would be refused for it.
std::string mutant(std::string bytes, Random& random) {
  const bool has_header = bytes.size() > 9 && bytes[8] == '{';
  const bool in_header = has_header && random() % 8 != 0;
  std::string data;
  if (in_header) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    const size_t header = static_cast<size_t>(std::min<uint64_t>(length, bytes.size() - 8));
    data = bytes.substr(8 + header);
    bytes = bytes.substr(8, header);
  }
  for (size_t i = 0, n = 1 + below(random, 4); i < n; ++i) change(bytes, random);
  if (!in_header) return bytes;
  const uint64_t length = bytes.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + bytes + data;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);  // so that the one that crashes is the last shown
    run(seeds.back());
  }
  const size_t n_mutants = argc > 2 ? static_cast<size_t>(std::atoll(argv[2])) : 0;
  for (size_t i = 0; i < n_mutants; ++i) {
    const size_t seed = i % seeds.size();
    std::printf("mutant %zu, of %s\n", i, paths[seed].c_str());
    std::fflush(stdout);
    Random random(i);
    run(mutant(seeds[seed], random));
  }
  std::printf("%zu seeds, %zu mutants\n", seeds.size(), n_mutants);
  return seeds.empty() ? 1 : 0;
}
