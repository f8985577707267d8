#include "sim/nccl/tcp_channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "sim/error.h"

namespace tplab {
namespace {

using SocketClock = std::chrono::steady_clock;
using SocketTime = SocketClock::time_point;

SocketTime after(double seconds) {
  return SocketClock::now() +
         std::chrono::duration_cast<SocketClock::duration>(std::chrono::duration<double>(seconds));
}

int milliseconds_until(SocketTime deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - SocketClock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

// What a process says first, and nothing else on this port does by chance.
struct Hello {
  std::array<char, 8> magic = {'t', 'p', 'l', 'a', 'b', 'r', 'v', '1'};
  uint64_t token = 0;
  int32_t rank = 0, size = 0;
};
static_assert(sizeof(Hello) == 24);

// Before each message.
struct Head {
  uint64_t bytes = 0;
  char kind = 0;
  std::array<char, 7> unused = {};
};
static_assert(sizeof(Head) == 16);
constexpr char kData = 'd', kFailure = 'f';
constexpr uint64_t kMostBytes = uint64_t{1} << 32;

enum class Outcome { done, late, gone };

// Moves all of `bytes` by `move(descriptor, from, size)`, which is send or recv.
template <class Byte, class Move>
Outcome move_all(int descriptor, std::span<Byte> bytes, short event, SocketTime deadline,
                 Move move) {
  while (!bytes.empty()) {
    const ssize_t n = move(descriptor, bytes.data(), bytes.size());
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      continue;
    }
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return Outcome::gone;
    if (SocketClock::now() >= deadline) return Outcome::late;
    pollfd one{descriptor, event, 0};
    ::poll(&one, 1, milliseconds_until(deadline));
  }
  return Outcome::done;
}

Outcome send_all(int descriptor, std::span<const char> bytes, SocketTime deadline) {
  return move_all(descriptor, bytes, POLLOUT, deadline, [](int to, const char* from, size_t size) {
    return ::send(to, from, size, MSG_NOSIGNAL);
  });
}

Outcome receive_all(int descriptor, std::span<char> bytes, SocketTime deadline) {
  return move_all(descriptor, bytes, POLLIN, deadline,
                  [](int from, char* to, size_t size) { return ::recv(from, to, size, 0); });
}

template <class T>
std::array<char, sizeof(T)> bytes_of_value(const T& value) {
  return std::bit_cast<std::array<char, sizeof(T)>>(value);
}

void make_quick(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

// Listens at every address of this host. port 0: any that is free, which is returned in it.
Socket listen_at(int& port) {
  const std::string fix = "choose another MASTER_PORT, or let the job before it end";
  Socket listener(::socket(AF_INET6, SOCK_STREAM, 0));
  const bool v6 = listener.open();
  if (!v6) listener = Socket(::socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1, off = 0;
  ::setsockopt(listener.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in6 any6{};
  sockaddr_in any4{};
  sockaddr* address = nullptr;
  socklen_t size = 0;
  if (v6) {
    ::setsockopt(listener.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(static_cast<uint16_t>(port));
    address = reinterpret_cast<sockaddr*>(&any6);
    size = sizeof any6;
  } else {
    any4.sin_family = AF_INET;
    any4.sin_port = htons(static_cast<uint16_t>(port));
    address = reinterpret_cast<sockaddr*>(&any4);
    size = sizeof any4;
  }
  if (::bind(listener.descriptor(), address, size) != 0 ||
      ::listen(listener.descriptor(), 128) != 0)
    fail_unavailable(fmt::format("rank 0 cannot listen on port {}: {}", port, std::strerror(errno)),
                     fix);
  ::getsockname(listener.descriptor(), address, &size);
  port = ntohs(v6 ? any6.sin6_port : any4.sin_port);
  make_quick(listener.descriptor());
  return listener;
}

// One attempt at each of the host's addresses; a closed socket where none answers.
Socket call_once(const std::string& host, int port, SocketTime deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  for (const addrinfo* one = found; one; one = one->ai_next) {
    Socket line(::socket(one->ai_family, one->ai_socktype, one->ai_protocol));
    if (!line.open()) continue;
    make_quick(line.descriptor());
    if (::connect(line.descriptor(), one->ai_addr, one->ai_addrlen) != 0) {
      if (errno != EINPROGRESS) continue;
      pollfd waited{line.descriptor(), POLLOUT, 0};
      if (::poll(&waited, 1, milliseconds_until(deadline)) != 1) continue;
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(line.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) continue;
    }
    return line;
  }
  return {};
}

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

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}
Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

TcpChannel::TcpChannel(const JobPlace& place, double timeout_s)
    : place_(place), timeout_s_(timeout_s) {
  if (place_.file.empty() && (place_.host.empty() || place_.port == 0))
    fail(fmt::format("rank {} of {}, by {}: where is rank 0?", place_.rank, place_.size, place_.by),
         "set MASTER_ADDR and MASTER_PORT, or TPLAB_RENDEZVOUS to a file that every process sees");
  const Time deadline = after(timeout_s_);
  if (place_.rank == 0)
    gather_processes(deadline);
  else
    call_rank_0(deadline);
}

TcpChannel::~TcpChannel() {
  if (wrote_file_) std::remove(place_.file.c_str());
}

void TcpChannel::gather_processes(Time deadline) {
  if (!place_.file.empty()) place_.token ^= std::random_device{}();
  int port = place_.port;
  const Socket listener = listen_at(port);
  if (!place_.file.empty()) {
    write_address(place_.file, port, place_.token);
    wrote_file_ = true;
  }
  lines_.resize(static_cast<size_t>(place_.size));

  // Whoever has called and not yet said who it is: it holds nobody up.
  struct Caller {
    Socket line;
    std::string said;
  };
  std::vector<Caller> callers;
  int missing = place_.size - 1, strangers = 0;
  while (missing > 0) {
    std::vector<pollfd> events = {{listener.descriptor(), POLLIN, 0}};
    for (const Caller& caller : callers) events.push_back({caller.line.descriptor(), POLLIN, 0});
    ::poll(events.data(), events.size(), milliseconds_until(deadline));
    while (true) {
      Socket line(::accept(listener.descriptor(), nullptr, nullptr));
      if (!line.open()) break;
      make_quick(line.descriptor());
      callers.push_back({std::move(line), ""});
    }
    for (Caller& caller : callers) {
      std::array<char, sizeof(Hello)> bytes;
      const ssize_t n =
          ::recv(caller.line.descriptor(), bytes.data(), sizeof(Hello) - caller.said.size(), 0);
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) continue;
      if (n > 0) caller.said.append(bytes.data(), static_cast<size_t>(n));
      const bool whole = caller.said.size() == sizeof(Hello);
      if (n > 0 && !whole) continue;
      Socket line = std::move(caller.line);
      if (!whole) {
        ++strangers;
        continue;
      }
      Hello hello;
      std::memcpy(&hello, caller.said.data(), sizeof hello);
      if (hello.magic != Hello{}.magic || hello.token != place_.token) {
        ++strangers;
        continue;
      }
      const auto refuse = [&](const std::string& problem, const std::string& fix) {
        lines_.push_back(std::move(line));  // it is told, too
        give_up(problem, fix);
      };
      if (hello.size != place_.size)
        refuse(fmt::format("rank {} counts {} processes, rank 0 counts {}", hello.rank, hello.size,
                           place_.size),
               "start all processes with one WORLD_SIZE");
      if (hello.rank < 1 || hello.rank >= place_.size)
        refuse(fmt::format("a process calls itself rank {} of {}", hello.rank, place_.size),
               "give each process a RANK of its own, below WORLD_SIZE");
      Socket& line_of_rank = lines_[static_cast<size_t>(hello.rank)];
      if (line_of_rank.open())
        refuse(fmt::format("two processes call themselves rank {}", hello.rank),
               "give each process a RANK of its own");
      line_of_rank = std::move(line);
      --missing;
    }
    std::erase_if(callers, [](const Caller& caller) { return !caller.line.open(); });
    if (missing == 0 || SocketClock::now() < deadline) continue;
    std::string absent;
    for (int peer = 1; peer < place_.size; ++peer)
      if (!lines_[static_cast<size_t>(peer)].open())
        absent += fmt::format("{}{}", absent.empty() ? "rank " : ", ", peer);
    strangers += static_cast<int>(callers.size());
    give_up(
        fmt::format(
            "{} of {} did not come to port {} within {} s{}", absent, place_.size, port, timeout_s_,
            strangers ? fmt::format("; {} called that are not of this job", strangers) : ""),
        "start every process of the job; if they are still coming, raise the timeout");
  }
  for (int peer = 1; peer < place_.size; ++peer) tell(peer, kData, "", "the start", deadline);
}

void TcpChannel::call_rank_0(Time deadline) {
  lines_.resize(1);
  while (true) {
    if (place_.file.empty() || read_address(place_.file, place_)) {
      lines_[0] = call_once(place_.host, place_.port, deadline);
      const Hello hello{.token = place_.token, .rank = place_.rank, .size = place_.size};
      if (lines_[0].open() &&
          send_all(lines_[0].descriptor(), bytes_of_value(hello), deadline) == Outcome::done)
        break;
    }
    if (SocketClock::now() >= deadline)
      fail_unavailable(place_.port == 0
                           ? fmt::format("rank {}: rank 0 wrote no {} within {} s", place_.rank,
                                         place_.file, timeout_s_)
                           : fmt::format("rank {}: rank 0 did not answer at {}:{} within {} s",
                                         place_.rank, place_.host, place_.port, timeout_s_),
                       "start rank 0 too; every host must be able to call it there");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  take(0, "the start", rank_0_has_given_up());  // until all have come
}

// Rank 0 gives up first: it can say who is missing.
TcpChannel::Time TcpChannel::rank_0_has_given_up() const { return after(timeout_s_ + 2); }

void TcpChannel::give_up(const std::string& problem, const std::string& fix) {
  leave(problem);
  throw Error(ErrorKind::run, problem, fix);
}

void TcpChannel::leave(std::string_view why) noexcept {
  const Time soon = after(1);
  for (const Socket& line : lines_) {
    if (!line.open()) continue;
    const Head head{.bytes = why.size(), .kind = kFailure};
    if (send_all(line.descriptor(), bytes_of_value(head), soon) == Outcome::done)
      send_all(line.descriptor(), why, soon);
    ::shutdown(line.descriptor(), SHUT_WR);
  }
  // A line that is closed while something in it is unread takes back what was sent.
  std::array<char, 4096> unread;
  for (const Socket& line : lines_)
    while (line.open() && receive_all(line.descriptor(), unread, soon) == Outcome::done) {
    }
  lines_.clear();
}

void TcpChannel::tell(int peer, char kind, std::string_view bytes, std::string_view what,
                      Time deadline) {
  const int line = lines_[static_cast<size_t>(peer)].descriptor();
  const Head head{.bytes = bytes.size(), .kind = kind};
  Outcome outcome = send_all(line, bytes_of_value(head), deadline);
  if (outcome == Outcome::done) outcome = send_all(line, bytes, deadline);
  if (outcome == Outcome::done) return;
  give_up(fmt::format("rank {} {} at {}", peer,
                      outcome == Outcome::gone ? "is gone: its process ended"
                                               : fmt::format("did not listen for {} s", timeout_s_),
                      what),
          "look at that process's own output first");
}

std::string TcpChannel::take(int peer, std::string_view what, Time deadline) {
  const int line = lines_[static_cast<size_t>(peer)].descriptor();
  std::array<char, sizeof(Head)> bytes;
  std::string said;
  Head head;
  Outcome outcome = receive_all(line, bytes, deadline);
  if (outcome == Outcome::done) {
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.bytes > kMostBytes) outcome = Outcome::gone;
  }
  if (outcome == Outcome::done) {
    said.resize(head.bytes);
    outcome = receive_all(line, said, deadline);
  }
  if (outcome == Outcome::done && head.kind == kData) return said;
  if (outcome == Outcome::done)  // in its own words, which rank 0 passes on
    give_up(said, "look at that process's own output first");
  give_up(fmt::format("rank {} {} at {}", peer,
                      outcome == Outcome::gone ? "is gone: its process ended"
                                               : fmt::format("said nothing for {} s", timeout_s_),
                      what),
          "look at that process's own output first");
}

std::vector<std::string> TcpChannel::all_gather(std::string_view mine, std::string_view what) {
  const Time deadline = after(timeout_s_);
  const auto size = static_cast<size_t>(place_.size);
  if (lines_.empty() && size > 1)
    throw Error(ErrorKind::run, fmt::format("rank {} has left the job", place_.rank), "");
  std::vector<std::string> said(size);
  if (place_.rank == 0) {
    said[0] = mine;
    std::string all;
    for (int peer = 1; peer < place_.size; ++peer)
      said[static_cast<size_t>(peer)] = take(peer, what, deadline);
    for (const std::string& one : said) {
      const uint64_t length = one.size();
      all.append(reinterpret_cast<const char*>(&length), sizeof length);
      all += one;
    }
    for (int peer = 1; peer < place_.size; ++peer) tell(peer, kData, all, what, deadline);
    return said;
  }
  tell(0, kData, mine, what, deadline);
  const std::string all = take(0, what, rank_0_has_given_up());
  size_t at = 0;
  for (std::string& one : said) {
    uint64_t length = 0;
    if (all.size() - at < sizeof length) give_up("rank 0 told less than it heard", "");
    std::memcpy(&length, all.data() + at, sizeof length);
    at += sizeof length;
    if (all.size() - at < length) give_up("rank 0 told less than it heard", "");
    one = all.substr(at, length);
    at += length;
  }
  return said;
}

}  // namespace tplab
