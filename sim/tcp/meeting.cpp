#include "sim/tcp/meeting.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <thread>
#include <utility>

#include "sim/error.h"

namespace tplab {
namespace {

// What a process says first, and nothing else on this port does by chance.
struct Hello {
  std::array<char, 8> magic = {'t', 'p', 'l', 'a', 'b', 'r', 'v', '2'};
  uint64_t token = 0;
  int32_t rank = 0, size = 0;
  int32_t port = 0, unused = 0;  // where it listens itself
};
static_assert(sizeof(Hello) == 32);

// What rank 0 answers, once: where all listen, or why nothing comes of it.
struct Answer {
  int32_t failed = 0;  // an ErrorKind; then `bytes` of text follow, a fix behind a line's end
  uint32_t bytes = 0;
};
struct Listener {
  std::array<char, 64> host = {};
  int32_t port = 0;
};

constexpr const char* kFirstElsewhere = "look at that process's own output first";

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

// "tplab-rendezvous <host> <port> <token>", all at once: whoever sees the file sees all of it.
void write_address(const std::string& path, int port, uint64_t token) {
  const std::string fresh = fmt::format("{}.{}", path, ::getpid());
  std::ofstream out(fresh);
  out << fmt::format("tplab-rendezvous {} {} {}\n", host_name(), port, token);
  out.close();
  const bool there = ::access(path.c_str(), F_OK) == 0;
  if (!out || there || std::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = there ? EEXIST : errno;
    std::remove(fresh.c_str());
    fail(fmt::format("TPLAB_RENDEZVOUS: rank 0 cannot write {}: {}", path, std::strerror(error)),
         "name a file that no earlier job has left, in a folder that every host sees");
  }
}

bool read_address(const std::string& path, JobPlace& place) {
  std::ifstream in(path);
  std::string word;
  if (!(in >> word >> place.host >> place.port >> place.token) || word != "tplab-rendezvous")
    return false;
  if (place.host == host_name()) place.host = "127.0.0.1";
  return true;
}

bool is_loopback(const std::string& host) {
  return host.starts_with("127.") || host == "::1" || host.starts_with("::ffff:127.");
}

class Meeting {
 public:
  Meeting(const JobPlace& place, double timeout_s)
      : place_(place),
        timeout_s_(timeout_s),
        deadline_(after(timeout_s)),
        lines_(static_cast<size_t>(place.size)) {}
  ~Meeting() {
    if (wrote_file_) std::remove(place_.file.c_str());
  }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  std::vector<Socket> held() {
    if (place_.rank == 0) {
      be_called();
    } else {
      int port = 0;
      const Socket listener = listen_at(port, fmt::format("rank {}", place_.rank));
      const std::vector<Listener> all = call_rank_0(port);
      for (int peer = 1; peer < place_.rank; ++peer)
        call_peer(peer, all[static_cast<size_t>(peer)]);
      const int later = place_.size - 1 - place_.rank;
      take_calls(listener, later, [&](const Hello& hello, Socket line) {
        if (hello.rank <= place_.rank || hello.rank >= place_.size || line_to(hello.rank).open())
          return;
        line_to(hello.rank) = std::move(line);
      });
      if (const std::string absent = missing(place_.rank + 1); !absent.empty())
        throw Error(ErrorKind::run,
                    fmt::format("{} of {} did not call rank {} within {} s", absent, place_.size,
                                place_.rank, timeout_s_),
                    "every host must be able to call every other one, on any port");
    }
    return std::move(lines_);
  }

 private:
  Socket& line_to(int rank) { return lines_[static_cast<size_t>(rank)]; }
  Hello hello(int port) const {
    return {.token = place_.token, .rank = place_.rank, .size = place_.size, .port = port};
  }

  // "rank 1, 3", of those from `first` on.
  std::string missing(int first) {
    std::string absent;
    for (int peer = first; peer < place_.size; ++peer)
      if (!line_to(peer).open())
        absent += fmt::format("{}{}", absent.empty() ? "rank " : ", ", peer);
    return absent;
  }

  // Until so many lines are taken, or the time is up. Who has called and not yet said who it is
  // holds nobody up; others than this job's are strangers.
  void take_calls(const Socket& listener, int wanted,
                  const std::function<void(const Hello&, Socket)>& take) {
    struct Caller {
      Socket line;
      std::string said;
    };
    std::vector<Caller> callers;
    const auto open_lines = [&] {
      return std::count_if(lines_.begin(), lines_.end(), [](const Socket& s) { return s.open(); });
    };
    const auto until = open_lines() + wanted;
    while (open_lines() < until && SocketClock::now() < deadline_) {
      std::vector<pollfd> events = {{listener.descriptor(), POLLIN, 0}};
      for (const Caller& caller : callers) events.push_back({caller.line.descriptor(), POLLIN, 0});
      ::poll(events.data(), events.size(), milliseconds_until(deadline_));
      for (Socket line = accept_one(listener); line.open(); line = accept_one(listener))
        callers.push_back({std::move(line), ""});
      for (Caller& caller : callers) {
        std::array<char, sizeof(Hello)> bytes;
        const ssize_t n =
            ::recv(caller.line.descriptor(), bytes.data(), sizeof(Hello) - caller.said.size(), 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) continue;
        if (n > 0) caller.said.append(bytes.data(), static_cast<size_t>(n));
        const bool whole = caller.said.size() == sizeof(Hello);
        if (n > 0 && !whole) continue;
        Socket line = std::move(caller.line);
        Hello hello;
        if (whole) std::memcpy(&hello, caller.said.data(), sizeof hello);
        if (whole && hello.magic == Hello{}.magic && hello.token == place_.token)
          take(hello, std::move(line));
        else
          ++strangers_;
      }
      std::erase_if(callers, [](const Caller& caller) { return !caller.line.open(); });
    }
    strangers_ += static_cast<int>(callers.size());
  }

  void be_called() {
    if (!place_.file.empty()) place_.token ^= std::random_device{}();
    int port = place_.port;
    const Socket listener = listen_at(port, "rank 0");
    if (!place_.file.empty()) {
      write_address(place_.file, port, place_.token);
      wrote_file_ = true;
    }
    std::vector<Listener> all(lines_.size());
    take_calls(listener, place_.size - 1, [&](const Hello& hello, Socket line) {
      const auto refuse = [&](const std::string& problem, const std::string& fix) {
        lines_.push_back(std::move(line));  // it is told, too
        give_up(ErrorKind::usage, problem, fix);
      };
      if (hello.size != place_.size)
        refuse(fmt::format("rank {} counts {} processes, rank 0 counts {}", hello.rank, hello.size,
                           place_.size),
               "start all processes with one WORLD_SIZE");
      if (hello.rank < 1 || hello.rank >= place_.size)
        refuse(fmt::format("a process calls itself rank {} of {}", hello.rank, place_.size),
               "give each process a RANK of its own, below WORLD_SIZE");
      if (line_to(hello.rank).open())
        refuse(fmt::format("two processes call themselves rank {}", hello.rank),
               "give each process a RANK of its own");
      Listener& one = all[static_cast<size_t>(hello.rank)];
      std::snprintf(one.host.data(), one.host.size(), "%s", peer_address(line).c_str());
      one.port = hello.port;
      line_to(hello.rank) = std::move(line);
    });
    if (const std::string absent = missing(1); !absent.empty())
      give_up(ErrorKind::run,
              fmt::format("{} of {} did not come to port {} within {} s{}", absent, place_.size,
                          port, timeout_s_,
                          strangers_ == 0
                              ? ""
                              : fmt::format("; {} called that are not of this job", strangers_)),
              "start every process of the job; if they are still coming, raise --timeout");
    std::string table;
    for (const Listener& one : all) table.append(bytes_of_value(one).data(), sizeof one);
    for (int peer = 1; peer < place_.size; ++peer) {
      if (tell(line_to(peer), Answer{0, static_cast<uint32_t>(table.size())}, table, deadline_))
        continue;
      line_to(peer) = Socket();
      give_up(ErrorKind::run, fmt::format("rank {} is gone: its process ended at the start", peer),
              kFirstElsewhere);
    }
  }

  static bool tell(const Socket& line, const Answer& answer, std::string_view text,
                   SocketTime deadline) {
    return send_all(line, bytes_of_value(answer), deadline) == Outcome::done &&
           send_all(line, text, deadline) == Outcome::done;
  }

  // Rank 0 says why to all that have come.
  [[noreturn]] void give_up(ErrorKind kind, const std::string& problem, const std::string& fix) {
    const SocketTime soon = after(1);
    const std::string text = problem + '\n' + fix;
    for (const Socket& line : lines_) {
      if (!line.open()) continue;
      tell(line, Answer{static_cast<int32_t>(kind), static_cast<uint32_t>(text.size())}, text,
           soon);
      ::shutdown(line.descriptor(), SHUT_WR);
    }
    throw Error(kind, problem, fix);
  }

  std::vector<Listener> call_rank_0(int port) {
    while (true) {
      if (place_.file.empty() || read_address(place_.file, place_)) {
        line_to(0) = call_once(place_.host, place_.port, deadline_);
        if (line_to(0).open() &&
            send_all(line_to(0), bytes_of_value(hello(port)), deadline_) == Outcome::done)
          break;
      }
      if (SocketClock::now() >= deadline_)
        fail_unavailable(place_.port == 0
                             ? fmt::format("rank {}: rank 0 wrote no {} within {} s", place_.rank,
                                           place_.file, timeout_s_)
                             : fmt::format("rank {}: rank 0 did not answer at {}:{} within {} s",
                                           place_.rank, place_.host, place_.port, timeout_s_),
                         "start rank 0 too; every host must be able to call it there");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    // Rank 0 gives up first: it can say who is missing.
    const SocketTime deadline = after(timeout_s_ + 2);
    std::array<char, sizeof(Answer)> bytes;
    Answer answer;
    std::string text;
    Outcome outcome = receive_all(line_to(0), bytes, deadline);
    if (outcome == Outcome::done) {
      std::memcpy(&answer, bytes.data(), sizeof answer);
      text.resize(std::min<uint32_t>(answer.bytes, 1 << 20));
      outcome = receive_all(line_to(0), text, deadline);
    }
    if (outcome == Outcome::done && answer.failed) {
      const size_t end = text.find('\n');
      throw Error(static_cast<ErrorKind>(answer.failed), text.substr(0, end), text.substr(end + 1));
    }
    if (outcome == Outcome::done && text.size() == lines_.size() * sizeof(Listener)) {
      std::vector<Listener> all(lines_.size());
      std::memcpy(all.data(), text.data(), text.size());
      return all;
    }
    throw Error(ErrorKind::run,
                outcome == Outcome::late
                    ? fmt::format("rank 0 said nothing for {} s at the start", timeout_s_)
                    : fmt::format("rank 0, at {}:{}, hung up at the start: it has ended, or is of "
                                  "another job",
                                  place_.host, place_.port),
                kFirstElsewhere);
  }

  void call_peer(int peer, const Listener& listener) {
    std::string host(listener.host.data(), ::strnlen(listener.host.data(), listener.host.size()));
    if (is_loopback(host)) host = place_.host;  // on rank 0's machine
    Socket& line = line_to(peer);
    line = call_once(host, listener.port, deadline_);
    if (line.open() && send_all(line, bytes_of_value(hello(0)), deadline_) == Outcome::done) return;
    throw Error(ErrorKind::run,
                fmt::format("rank {}: rank {} does not answer at {}:{}", place_.rank, peer, host,
                            listener.port),
                "every host must be able to call every other one, on any port");
  }

  JobPlace place_;
  const double timeout_s_;
  const SocketTime deadline_;
  std::vector<Socket> lines_;  // by rank
  int strangers_ = 0;
  bool wrote_file_ = false;
};

}  // namespace

std::vector<Socket> meet(const JobPlace& place, double timeout_s) {
  if (!place.says_where())
    fail(fmt::format("rank {} of {}, by {}: where is rank 0?", place.rank, place.size, place.by),
         "set MASTER_ADDR and MASTER_PORT, or TPLAB_RENDEZVOUS to a file that every process sees");
  return Meeting(place, timeout_s).held();
}

}  // namespace tplab
