// How the processes of a job find one another and speak, where no MPI does: threads here, each with
// a wire of its own, which is all that a wire knows of its process.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "sim/error.h"
#include "sim/processes/launcher.h"
#include "sim/ranks.h"
#include "sim/tcp/join.h"
#include "sim/tcp/meeting.h"

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
                                 const std::function<void(Wire&)>& body) {
  std::vector<std::string> ends(places.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < places.size(); ++i)
    threads.emplace_back([&, i] {
      try {
        body(*make_tcp_wire(places[i], timeout_s));
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

// Until all of them are done.
void wait_for(Requests& requests) {
  const int64_t start = now_ns();
  while (!requests.done()) {
    if (static_cast<double>(now_ns() - start) * 1e-9 > kPlenty) fail("it does not come", "");
    ::usleep(50);
  }
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Each tells all others a text, and hears theirs.
void exchange(Wire& wire, int tag, size_t extra) {
  const auto text_of = [&](int rank) {
    return "rank " + std::to_string(rank) + std::string(extra, 'x');
  };
  const std::unique_ptr<Requests> requests = wire.requests();
  std::vector<std::string> heard(static_cast<size_t>(wire.size()), text_of(0));
  const std::string mine = text_of(wire.rank());
  for (int peer = 0; peer < wire.size(); ++peer) {
    if (peer == wire.rank()) continue;
    requests->receive(peer, tag,
                      std::as_writable_bytes(std::span(heard[static_cast<size_t>(peer)])));
    requests->send(peer, tag, bytes_of(mine));
  }
  wait_for(*requests);
  for (int peer = 0; peer < wire.size(); ++peer)
    if (peer != wire.rank() && heard[static_cast<size_t>(peer)] != text_of(peer))
      fail("heard something else", "");
}

std::vector<JobPlace> places_of(int size, int port) {
  std::vector<JobPlace> places;
  for (int rank = 0; rank < size; ++rank) places.push_back(place_of(rank, size, port));
  return places;
}

TEST_CASE("tcp: every process hears what each says, of any size") {
  CHECK(run_all(places_of(3, free_port()), kPlenty, [](Wire& wire) {
          for (int round = 0; round < 20; ++round)
            exchange(wire, 3, round == 7 ? 16 << 20 : static_cast<size_t>(round));
          exchange(wire, 4, 0);
        }) == std::vector<std::string>(3));
}

TEST_CASE("tcp: messages of a tag come in their order, and those of others are left for later") {
  const auto body = [](Wire& wire) {
    const std::string first = "first", second = "second", other = "other";
    const std::unique_ptr<Requests> requests = wire.requests();
    if (wire.rank() == 0) {
      requests->send(1, 5, bytes_of(first));
      requests->send(1, 6, bytes_of(other));
      requests->send(1, 5, bytes_of(second));
      return wait_for(*requests);
    }
    std::string a(5, ' '), b(6, ' ');
    requests->receive(0, 5, std::as_writable_bytes(std::span(a)));
    requests->receive(0, 5, std::as_writable_bytes(std::span(b)));
    wait_for(*requests);
    const auto taken = wire.take_message(6);
    if (a != first || b != second || !taken || taken->second != other)
      fail("they came in another order", "");
    if (wire.take_message(6)) fail("it came twice", "");
  };
  CHECK(run_all(places_of(2, free_port()), kPlenty, body) == std::vector<std::string>(2));
}

TEST_CASE("tcp: what is sent until received is done when it has been asked for") {
  std::atomic<bool> asked{false};
  const auto body = [&](Wire& wire) {
    const std::unique_ptr<Requests> requests = wire.requests();
    std::string text = "text";
    if (wire.rank() == 0) {
      requests->send_until_received(1, 5, bytes_of(text));
      for (int i = 0; i < 100; ++i)
        if (requests->done() && !asked) fail("nobody has asked for it", "");
      asked = true;
    } else {
      while (!asked) ::usleep(50);
      requests->receive(0, 5, std::as_writable_bytes(std::span(text)));
    }
    wait_for(*requests);
  };
  CHECK(run_all(places_of(2, free_port()), kPlenty, body) == std::vector<std::string>(2));
}

TEST_CASE("tcp: a process that ends is seen to be gone, after all that it has sent") {
  const auto body = [&](Wire& wire) {
    const std::string last = "last words";
    const std::unique_ptr<Requests> requests = wire.requests();
    if (wire.rank() == 1) {
      requests->send(0, 5, bytes_of(last));
      return wait_for(*requests);
    }
    while (!wire.has_closed(1)) {
      if (wire.take_message(6)) fail("what is this?", "");
      ::usleep(50);
    }
    const auto taken = wire.take_message(5);
    if (!taken || taken->second != last) fail("its last words are lost", "");
    const std::string none = "none";
    requests->send(1, 5, bytes_of(none));
    if (requests->done()) fail("sent to one that is gone", "");
    if (requests->awaited() != std::vector{1}) fail("it is not awaited", "");
  };
  CHECK(run_all(places_of(2, free_port()), kPlenty, body) == std::vector<std::string>(2));
}

TEST_CASE("tcp: processes find rank 0 through a file, which is then removed") {
  const std::string file =
      (std::filesystem::temp_directory_path() / ("tplab_rendezvous." + std::to_string(::getpid())))
          .string();
  std::vector<JobPlace> places;
  for (int r = 0; r < 2; ++r) places.push_back({.rank = r, .size = 2, .file = file, .token = 7});
  const auto body = [](Wire& wire) { exchange(wire, 1, 0); };
  CHECK(run_all(places, kPlenty, body) == std::vector<std::string>(2));
  CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("tcp: a rank that never comes is named on every rank, within the deadline") {
  const int port = free_port();
  const int64_t start = now_ns();
  const auto ends = run_all({place_of(0, 4, port), place_of(2, 4, port)}, kShort,
                            [](Wire&) { fail("nobody should come this far", ""); });
  CHECK(static_cast<double>(now_ns() - start) * 1e-9 < 4 * kSoon);
  for (const std::string& end : ends)
    CHECK_THAT(end, Catch::Contains("rank 1, 3 of 4 did not come to port"));
}

TEST_CASE("tcp: without rank 0 the others end, and say where they called") {
  const int port = free_port();
  const auto ends = run_all({place_of(1, 2, port)}, kShort, [](Wire&) {});
  CHECK_THAT(ends[0],
             Catch::Contains("rank 0 did not answer at 127.0.0.1:" + std::to_string(port)));
}

TEST_CASE("tcp: strangers on the port are turned away and hold nobody up") {
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
        exchange(*make_tcp_wire(places[i], kPlenty), 1, 0);
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
  CHECK_THAT(ends[1], Catch::Contains("hung up at the start: it has ended, or is of another job"));
}

TEST_CASE("tcp: processes that count differently, or one rank twice, are named") {
  const int port = free_port();
  auto ends = run_all({place_of(0, 3, port), place_of(1, 2, port)}, kPlenty, [](Wire&) {});
  for (const std::string& end : ends) CHECK(end == "rank 1 counts 2 processes, rank 0 counts 3");
  const int another = free_port();
  ends = run_all({place_of(0, 3, another), place_of(1, 3, another), place_of(1, 3, another)},
                 kPlenty, [](Wire&) {});
  CHECK(ends[0] == "two processes call themselves rank 1");
}

TEST_CASE("launcher: each one's variables say which process this is") {
  std::map<std::string, std::string> set;
  const Variables variables = [&](const char* name) {
    const auto found = set.find(name);
    return found == set.end() ? nullptr : found->second.c_str();
  };
  CHECK_FALSE(find_job(variables));
  set = {{"RANK", "5"},
         {"WORLD_SIZE", "8"},
         {"LOCAL_RANK", "1"},
         {"MASTER_ADDR", "node0"},
         {"MASTER_PORT", "29500"}};
  std::optional<JobPlace> place = find_job(variables);
  REQUIRE(place);
  CHECK(place->rank == 5);
  CHECK(place->size == 8);
  CHECK(place->local_rank == 1);
  CHECK(place->says_where());
  CHECK(place->host == "node0");
  CHECK(place->port == 29500);

  set.erase("MASTER_PORT");
  CHECK_FALSE(find_job(variables)->says_where());
  set = {{"SLURM_PROCID", "3"}, {"SLURM_NTASKS", "4"}};
  CHECK_FALSE(find_job(variables));  // an allocation alone starts nothing
  set = {{"SLURM_PROCID", "3"},
         {"SLURM_STEP_NUM_TASKS", "4"},
         {"SLURM_LOCALID", "3"},
         {"TPLAB_RENDEZVOUS", "f"}};
  place = find_job(variables);
  REQUIRE(place);
  CHECK(place->rank == 3);
  CHECK(place->file == "f");

  for (const char* wrong : {"4", "-1", "two", ""}) {
    set["SLURM_PROCID"] = wrong;
    if (*wrong == '\0')
      CHECK_FALSE(find_job(variables));
    else
      CHECK_THROWS_WITH(find_job(variables), Catch::Contains("SLURM_PROCID is"));
  }
}

}  // namespace
}  // namespace tplab
