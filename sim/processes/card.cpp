#include "sim/processes/card.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>

#include "sim/machine/cgroup.h"

namespace tplab {

namespace {

constexpr char kMagic[8] = "tplab 1";

template <size_t n>
void set_text(char (&to)[n], const std::string& text) {
  std::snprintf(to, n, "%s", text.c_str());
}

std::string text_of_file(const std::string& path) {
  std::string text;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "r"),
                                                             std::fclose);
  if (!file) return text;
  char part[4096];
  while (const size_t count = std::fread(part, 1, sizeof part, file.get()))
    text.append(part, count);
  return text;
}

// FNV-1a, eight bytes at a time: no two builds meet by chance.
uint64_t hash_of_file(const char* path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "rb"), std::fclose);
  uint64_t hash = 0xcbf29ce484222325u;
  if (!file) return hash;
  std::vector<uint64_t> words(size_t{1} << 16);
  while (const size_t bytes =
             std::fread(words.data(), 1, words.size() * sizeof(uint64_t), file.get())) {
    std::memset(reinterpret_cast<char*>(words.data()) + bytes, 0, (8 - bytes % 8) % 8);
    for (size_t i = 0; i < (bytes + 7) / 8; ++i) hash = (hash ^ words[i]) * 0x100000001b3u;
    hash ^= bytes;
  }
  return hash;
}

// A process' line in /proc without what stands before the state: a name, in brackets.
std::string stat_of(int process) {
  const std::string text = text_of_file(fmt::format("/proc/{}/stat", process));
  const size_t name_ends = text.rfind(')');
  return name_ends == std::string::npos ? "" : text.substr(std::min(name_ends + 2, text.size()));
}

uint64_t start_of(const std::string& stat) {
  std::istringstream words(stat);
  std::string word;
  constexpr int kStart = 20;  // the 22nd of the line, proc(5)
  for (int i = 0; i < kStart; ++i) words >> word;
  return std::strtoull(word.c_str(), nullptr, 10);
}

bool same_machine(const Card& a, const Card& b) { return std::strcmp(a.machine, b.machine) == 0; }

}  // namespace

Card own_card(const std::string& version) {
  Card card = {};
  std::memcpy(card.magic, kMagic, sizeof kMagic);
  card.build = hash_of_file("/proc/self/exe");
  set_text(card.version, version);
  char host[64] = "";
  gethostname(host, sizeof host - 1);
  set_text(card.host, host);
  std::string machine = text_of_file("/proc/sys/kernel/random/boot_id");
  if (machine.empty()) machine = host;
  set_text(card.machine, machine.substr(0, machine.find('\n')));
  struct stat space = {};
  if (stat("/proc/self/ns/pid", &space) == 0) card.processes_seen = space.st_ino;
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (size_t core = 0; core < 64 * std::size(card.cores) && core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) card.cores[core / 64] |= uint64_t{1} << core % 64;
  card.quota = cgroup_limits().cores.value_or(1 << 20);
  card.process = getpid();
  card.started = start_of(stat_of(card.process));
  return card;
}

std::string builds_text(std::span<const Card> cards) {
  const auto text = [&](size_t rank) {
    const Card& card = cards[rank];
    if (std::memcmp(card.magic, kMagic, sizeof kMagic) != 0)
      return fmt::format("rank {} is no tplab that can say what it is", rank);
    return fmt::format("rank {} on {} is tplab {}, build {:016x}", rank, card.host, card.version,
                       card.build);
  };
  for (size_t rank = 1; rank < cards.size(); ++rank) {
    if (std::memcmp(cards[rank].magic, cards[0].magic, sizeof kMagic) == 0 &&
        cards[rank].build == cards[0].build)
      continue;
    return fmt::format("the processes are not of one build:\n  {}\n  {}", text(0), text(rank));
  }
  return "";
}

double share_of_cores(std::span<const Card> cards, size_t mine) {
  const Card& own = cards[mine];
  double share = 0;
  int on_machine = 0;
  for (const Card& card : cards) on_machine += same_machine(card, own);
  for (size_t core = 0; core < 64 * std::size(own.cores); ++core) {
    const auto has = [&](const Card& card) { return card.cores[core / 64] >> core % 64 & 1; };
    if (!has(own)) continue;
    int users = 0;
    for (const Card& card : cards) users += same_machine(card, own) && has(card);
    share += 1.0 / users;
  }
  return std::min(share, own.quota / on_machine);
}

int place_on_machine(std::span<const Card> cards, size_t mine) {
  int before = 0;
  for (const Card& card : cards.first(mine)) before += same_machine(card, cards[mine]);
  return before;
}

bool can_see(const Card& from, const Card& other) {
  return same_machine(from, other) && from.processes_seen == other.processes_seen &&
         life_of(other) != Life::gone;
}

Life life_of(const Card& card) {
  const std::string stat = stat_of(card.process);
  if (stat.empty() || start_of(stat) != card.started) return Life::gone;
  switch (stat[0]) {
    case 'Z':
    case 'X':
      return Life::gone;
    case 'T':
    case 't':
      return Life::stopped;
    default:
      return Life::runs;
  }
}

}  // namespace tplab
