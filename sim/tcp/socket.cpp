#include "sim/tcp/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "sim/error.h"

namespace tplab {

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}
Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

SocketTime after(double seconds) {
  return SocketClock::now() +
         std::chrono::duration_cast<SocketClock::duration>(std::chrono::duration<double>(seconds));
}

int milliseconds_until(SocketTime deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - SocketClock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

namespace {

void make_quick(const Socket& line) {
  const int on = 1, descriptor = line.descriptor();
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

// Moves all of `bytes` by `move(from, size)`, which is send or recv.
template <class Byte, class Move>
Outcome move_all(const Socket& line, std::span<Byte> bytes, short event, SocketTime deadline,
                 Move move) {
  while (!bytes.empty()) {
    const ssize_t n = move(bytes.data(), bytes.size());
    if (n > 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
      continue;
    }
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return Outcome::gone;
    if (SocketClock::now() >= deadline) return Outcome::late;
    pollfd one{line.descriptor(), event, 0};
    ::poll(&one, 1, milliseconds_until(deadline));
  }
  return Outcome::done;
}

}  // namespace

Socket listen_at(int& port, const std::string& who) {
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
    fail_unavailable(
        fmt::format("{} cannot listen on port {}: {}", who, port, std::strerror(errno)),
        "choose another MASTER_PORT, or let the job before it end");
  ::getsockname(listener.descriptor(), address, &size);
  port = ntohs(v6 ? any6.sin6_port : any4.sin_port);
  make_quick(listener);
  return listener;
}

Socket accept_one(const Socket& listener) {
  Socket line(::accept(listener.descriptor(), nullptr, nullptr));
  if (line.open()) make_quick(line);
  return line;
}

Socket call_once(const std::string& host, int port, SocketTime deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  for (const addrinfo* one = found; one; one = one->ai_next) {
    Socket line(::socket(one->ai_family, one->ai_socktype, one->ai_protocol));
    if (!line.open()) continue;
    make_quick(line);
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

std::string peer_address(const Socket& line) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char text[NI_MAXHOST] = "";
  if (::getpeername(line.descriptor(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
    ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, text, sizeof text, nullptr, 0,
                  NI_NUMERICHOST);
  return text;
}

Outcome send_all(const Socket& line, std::span<const char> bytes, SocketTime deadline) {
  return move_all(line, bytes, POLLOUT, deadline, [&](const char* from, size_t size) {
    return ::send(line.descriptor(), from, size, MSG_NOSIGNAL);
  });
}

Outcome receive_all(const Socket& line, std::span<char> bytes, SocketTime deadline) {
  return move_all(line, bytes, POLLIN, deadline,
                  [&](char* to, size_t size) { return ::recv(line.descriptor(), to, size, 0); });
}

}  // namespace tplab
