// Sockets without waiting: what the processes of a job call one another by.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <span>
#include <string>

namespace tplab {

// A socket that is closed with its owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int descriptor() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

using SocketClock = std::chrono::steady_clock;
using SocketTime = SocketClock::time_point;
SocketTime after(double seconds);
int milliseconds_until(SocketTime deadline);  // for poll(): at most a second

// Listens at every address of this host. port 0: any that is free, which is returned in it.
// Throws Error(unavailable) where it cannot.
Socket listen_at(int& port, const std::string& who);
// Who has called; a closed one where nobody has.
Socket accept_one(const Socket& listener);
// One attempt at each of the host's addresses; a closed socket where none answers.
Socket call_once(const std::string& host, int port, SocketTime deadline);
// The other end's address, as text for call_once.
std::string peer_address(const Socket& line);

// All of the bytes, by the deadline; or the other end is gone.
enum class Outcome { done, late, gone };
Outcome send_all(const Socket& line, std::span<const char> bytes, SocketTime deadline);
Outcome receive_all(const Socket& line, std::span<char> bytes, SocketTime deadline);

template <class T>
std::array<char, sizeof(T)> bytes_of_value(const T& value) {
  return std::bit_cast<std::array<char, sizeof(T)>>(value);
}

}  // namespace tplab
