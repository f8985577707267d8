// What processes tell one another first, and what the environment tells of a launcher: without MPI.
#include "sim/processes/card.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <map>

#include "sim/processes/launcher.h"

namespace tplab {
namespace {

using Catch::Contains;

Card card_of(const char* machine, uint64_t cores, double quota = 1000) {
  Card card = {};
  std::memcpy(card.magic, "tplab 1", 8);
  std::strcpy(card.machine, machine);
  std::strcpy(card.host, machine);
  std::strcpy(card.version, "1.2");
  card.cores[0] = cores;
  card.quota = quota;
  return card;
}

TEST_CASE("card: cores that several processes may use are shared out, others are one's own",
          "[mpi]") {
  const Card both = card_of("a", 0b1111), low = card_of("a", 0b0011), other = card_of("b", 0b1111);
  CHECK(share_of_cores(std::vector{both, both}, 0) == 2);
  CHECK(share_of_cores(std::vector{both, other}, 0) == 4);
  CHECK(share_of_cores(std::vector{both, low}, 0) == 3);
  CHECK(share_of_cores(std::vector{both, low}, 1) == 1);
  CHECK(share_of_cores(std::vector{low, low, low, low}, 3) == 0.5);
  const Card held = card_of("a", 0b1111, 2);
  CHECK(share_of_cores(std::vector{held, held, held, held}, 0) == 0.5);
}

TEST_CASE("card: builds that differ are named with where they run", "[mpi]") {
  Card a = card_of("a", 1), b = card_of("b", 1);
  a.build = b.build = 7;
  CHECK(builds_text(std::vector{a, b}).empty());
  b.build = 8;
  CHECK_THAT(builds_text(std::vector{a, a, b}),
             Contains("rank 0 on a is tplab 1.2, build 0000000000000007") &&
                 Contains("rank 2 on b is tplab 1.2, build 0000000000000008"));
  b.magic[0] = 'x';
  CHECK_THAT(builds_text(std::vector{a, b}), Contains("rank 1 is no tplab"));
}

TEST_CASE("card: a process is seen to run, to be stopped and to be gone", "[mpi]") {
  const Card own = own_card("1.2");
  CHECK(life_of(own) == Life::runs);
  CHECK(can_see(own, own));
  CHECK(own.build != 0);
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const Card card = own_card("");
    if (write(ready[1], &card, sizeof card) != sizeof card) _exit(1);
    for (;;) pause();
  }
  Card card;
  REQUIRE(read(ready[0], &card, sizeof card) == sizeof card);
  close(ready[0]);
  close(ready[1]);
  CHECK(card.process == child);
  CHECK(life_of(card) == Life::runs);
  kill(child, SIGSTOP);
  waitpid(child, nullptr, WUNTRACED);
  CHECK(life_of(card) == Life::stopped);
  Card later = card;
  later.started += 1;  // another process with that id
  CHECK(life_of(later) == Life::gone);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(life_of(card) == Life::gone);
}

TEST_CASE("launcher: it is known by its variables, and an allocation alone is none", "[mpi]") {
  using Environment = std::map<std::string, std::string>;
  const auto found = [](const Environment& all) {
    return find_launcher([&](const char* name) {
      const auto at = all.find(name);
      return at == all.end() ? nullptr : at->second.c_str();
    });
  };
  CHECK_FALSE(found({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}));
  const auto openmpi = found({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}});
  REQUIRE(openmpi);
  CHECK(openmpi->size == 4);
  CHECK(openmpi->rank == 3);
  const auto hydra = found({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}});
  REQUIRE(hydra);
  CHECK(hydra->variable == "PMI_SIZE");
  CHECK(hydra->rank == 1);
  REQUIRE(found({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "5"}}));
  CHECK(found({{"PMIX_RANK", "1"}})->size == 0);
}

}  // namespace
}  // namespace tplab
