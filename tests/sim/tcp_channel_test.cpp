// How the processes of a job find one another: threads here, each with a channel of its own, which
// is all that a channel knows of its process.
#include "sim/nccl/tcp_channel.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "ranks.h"
#include "sim/error.h"

namespace tplab {
namespace {

constexpr double kPlenty = 30 * kSoon, kShort = 0.3 * kSoon;

int free_port() {
  const Socket one(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(one.descriptor(), reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(one.descriptor(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

JobPlace place_of(int rank, int size, int port) {
  return {
      .rank = rank, .size = size, .host = "127.0.0.1", .port = port, .by = "a test", .token = 7};
}

// What each process ended with: "" or its error's words.
std::vector<std::string> run_all(const std::vector<JobPlace>& places, double timeout_s,
                                 const std::function<void(TcpChannel&)>& body) {
  std::vector<std::string> ends(places.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < places.size(); ++i)
    threads.emplace_back([&, i] {
      try {
        TcpChannel channel(places[i], timeout_s);
        body(channel);
      } catch (const Error& error) {
        ends[i] = error.problem();
      }
    });
  for (std::thread& one : threads) one.join();
  return ends;
}

// A caller that is no process of the job, and stays on the line.
Socket stranger(int port, const std::string& says) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  for (int attempt = 0; attempt < 500; ++attempt) {
    Socket line(::socket(AF_INET, SOCK_STREAM, 0));
    if (::connect(line.descriptor(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      if (!says.empty())
        REQUIRE(::send(line.descriptor(), says.data(), says.size(), MSG_NOSIGNAL) > 0);
      return line;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

TEST_CASE("tcp_channel: every process hears what each said, by rank") {
  const int port = free_port();
  const std::string large(3 << 20, 'x');
  const auto ends = run_all(
      {place_of(0, 3, port), place_of(1, 3, port), place_of(2, 3, port)}, kPlenty,
      [&](TcpChannel& channel) {
        for (int round = 0; round < 20; ++round) {
          const auto said = channel.all_gather(
              "rank " + std::to_string(channel.rank()) + (round == 7 ? large : ""), "a test");
          for (int r = 0; r < 3; ++r)
            if (said[static_cast<size_t>(r)] !=
                "rank " + std::to_string(r) + (round == 7 ? large : ""))
              fail("heard something else", "");
        }
      });
  CHECK(ends == std::vector<std::string>(3));
}

TEST_CASE("tcp_channel: processes find rank 0 through a file, which is then removed") {
  const std::string file =
      (std::filesystem::temp_directory_path() / ("tplab_rendezvous." + std::to_string(::getpid())))
          .string();
  std::vector<JobPlace> places;
  for (int r = 0; r < 2; ++r) places.push_back({.rank = r, .size = 2, .file = file, .token = 7});
  const auto body = [](TcpChannel& channel) {
    const auto said =
        channel.all_gather(std::string(1, static_cast<char>('a' + channel.rank())), "x");
    if (said != std::vector<std::string>{"a", "b"}) fail("heard something else", "");
  };
  CHECK(run_all(places, kPlenty, body) == std::vector<std::string>(2));
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("tcp_channel: a rank that never comes is named on every rank, within the deadline") {
  const int port = free_port();
  const int64_t start = now_ns();
  const auto ends = run_all({place_of(0, 4, port), place_of(2, 4, port)}, kShort,
                            [](TcpChannel&) { fail("nobody should come this far", ""); });
  CHECK(static_cast<double>(now_ns() - start) * 1e-9 < 4 * kSoon);
  for (const std::string& end : ends)
    CHECK_THAT(end, Catch::Contains("rank 1, 3 of 4 did not come to port"));
}

TEST_CASE("tcp_channel: without rank 0 the others end, and say where they called") {
  const int port = free_port();
  const auto ends = run_all({place_of(1, 2, port)}, kShort, [](TcpChannel&) {});
  CHECK_THAT(ends[0],
             Catch::Contains("rank 0 did not answer at 127.0.0.1:" + std::to_string(port)));
}

TEST_CASE("tcp_channel: strangers on the port are turned away and hold nobody up") {
  const int port = free_port();
  std::vector<Socket> strangers;
  std::thread calls([&] {
    strangers.push_back(stranger(port, ""));  // silent
    strangers.push_back(stranger(port, "GET / HTTP/1.1\r\nHost: rank0\r\n\r\n"));
    strangers.push_back(stranger(port, "tplab"));
  });
  JobPlace other_job = place_of(1, 2, port);
  other_job.token = 8;
  std::vector<std::string> ends(3);
  std::vector<std::thread> threads;
  std::vector<JobPlace> places = {place_of(0, 2, port), other_job, place_of(1, 2, port)};
  const auto start = [&](size_t i) {
    threads.emplace_back([&, i] {
      try {
        TcpChannel(places[i], kPlenty).all_gather("x", "a test");
      } catch (const Error& error) {
        ends[i] = error.problem();
      }
    });
  };
  start(0);
  calls.join();
  start(1);
  threads[1].join();  // turned away while rank 0 still waits
  start(2);
  threads[0].join();
  threads[2].join();
  CHECK(ends[0].empty());
  CHECK(ends[2].empty());
  CHECK_THAT(ends[1], Catch::Contains("rank 0 is gone"));
}

TEST_CASE("tcp_channel: processes that count differently, or one rank twice, are named") {
  const int port = free_port();
  auto ends = run_all({place_of(0, 3, port), place_of(1, 2, port)}, kPlenty, [](TcpChannel&) {});
  for (const std::string& end : ends) CHECK(end == "rank 1 counts 2 processes, rank 0 counts 3");
  const int another = free_port();
  ends = run_all({place_of(0, 3, another), place_of(1, 3, another), place_of(1, 3, another)},
                 kPlenty, [](TcpChannel&) {});
  CHECK(ends[0] == "two processes call themselves rank 1");
}

TEST_CASE("tcp_channel: a process that ends is named on the others, and one that leaves says why") {
  const int port = free_port();
  const bool says_why = GENERATE(false, true);
  const auto ends = run_all({place_of(0, 3, port), place_of(1, 3, port), place_of(2, 3, port)},
                            kPlenty, [&](TcpChannel& channel) {
                              channel.all_gather("x", "a first");
                              if (channel.rank() == 1) {
                                if (says_why) channel.leave("rank 1: out of memory");
                                return;
                              }
                              channel.all_gather("x", "a second");
                              channel.all_gather("x", "a third");
                            });
  const char* const words =
      says_why ? "rank 1: out of memory" : "rank 1 is gone: its process ended at a second";
  CHECK(ends[0] == words);
  CHECK(ends[1].empty());
  CHECK(ends[2] == words);
}

TEST_CASE("launch: each launcher's variables say which process this is") {
  std::map<std::string, std::string> set;
  const Variables variables = [&](const char* name) {
    const auto found = set.find(name);
    return found == set.end() ? nullptr : found->second.c_str();
  };
  CHECK_FALSE(launched_by(variables));
  set = {{"RANK", "5"},
         {"WORLD_SIZE", "8"},
         {"LOCAL_RANK", "1"},
         {"MASTER_ADDR", "node0"},
         {"MASTER_PORT", "29500"}};
  std::optional<JobPlace> place = launched_by(variables);
  REQUIRE(place);
  CHECK(place->rank == 5);
  CHECK(place->size == 8);
  CHECK(place->local_rank == 1);
  CHECK(place->host == "node0");
  CHECK(place->port == 29500);

  set["WORLD_SIZE"] = "1";
  set["RANK"] = "0";
  CHECK_FALSE(launched_by(variables));
  set = {{"SLURM_PROCID", "3"},
         {"SLURM_NTASKS", "4"},
         {"SLURM_LOCALID", "3"},
         {"TPLAB_RENDEZVOUS", "f"}};
  place = launched_by(variables);
  REQUIRE(place);
  CHECK(place->rank == 3);
  CHECK(place->file == "f");

  for (const char* wrong : {"4", "-1", "two", ""}) {
    set["SLURM_PROCID"] = wrong;
    if (*wrong == '\0')
      CHECK_FALSE(launched_by(variables));
    else
      CHECK_THROWS_WITH(launched_by(variables), Catch::Contains("SLURM_PROCID is"));
  }
}

}  // namespace
}  // namespace tplab
