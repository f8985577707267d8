// What each process tells the others first: which build it is, and where it runs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tplab {

// Of one size in every build, so that builds that differ can say so. Texts end with 0.
struct Card {
  char magic[8];
  uint64_t build;  // a hash of the program's file
  char version[32];
  char host[64];
  char machine[40];         // the same in all containers of one
  uint64_t processes_seen;  // the namespace of process ids
  uint64_t cores[16];       // a bit each: those that this process may run on
  double quota;             // cores that its control group lets it keep busy
  uint64_t started;         // with the id: this process and no later one
  int32_t process;          // its id
  int32_t unused;
};

Card own_card(const std::string& version);

// Empty where all are of one build; else which are not, and where they run.
std::string builds_text(std::span<const Card> cards);

// Of the cores that several processes of a machine may run on, this one's part; at most its quota.
double share_of_cores(std::span<const Card> cards, size_t mine);

// How many of the processes before this one are on its machine: which of its GPUs is this one's.
int place_on_machine(std::span<const Card> cards, size_t mine);

// Whether that process can be looked at from here; and whether it is gone, or has been stopped.
bool can_see(const Card& from, const Card& other);
enum class Life { runs, stopped, gone };
Life life_of(const Card& card);

}  // namespace tplab
