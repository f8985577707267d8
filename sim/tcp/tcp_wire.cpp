// The wire by sockets: a line between each two processes.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <limits>
#include <map>

#include "sim/processes/session.h"
#include "sim/tcp/join.h"
#include "sim/tcp/meeting.h"

namespace tplab {
namespace {

constexpr uint64_t kMostMessageBytes = uint64_t{1} << 40;

// Before each message.
struct Head {
  enum class Kind : uint32_t { plain, tell_when_taken, taken } kind = Kind::plain;
  int32_t tag = 0;
  uint64_t bytes = 0;
};
static_assert(sizeof(Head) == 16);

struct Message {
  Head head;
  std::string text;
};

// Text that grows at its end and shrinks at its front.
class Queue {
 public:
  void add(std::string_view bytes) { all_ += bytes; }
  std::string_view front() const { return std::string_view(all_).substr(gone_); }
  void drop(size_t bytes) {
    gone_ += bytes;
    if (gone_ < all_.size()) return;
    all_.clear();
    gone_ = 0;
  }

 private:
  std::string all_;
  size_t gone_ = 0;
};

// To one peer. Nothing here waits.
class Line {
 public:
  explicit Line(Socket socket) : socket_(std::move(socket)), closed_(!socket_.open()) {}

  // Returns what sent() must come to before all of it is on its way.
  uint64_t send(Head head, std::string_view text) {
    head.bytes = text.size();
    out_.add({reinterpret_cast<const char*>(&head), sizeof head});
    out_.add(text);
    return given_ += sizeof head + text.size();
  }
  uint64_t sent() const { return sent_; }
  uint64_t taken() const { return taken_; }  // messages that were to tell of it
  bool closed() const { return closed_; }
  const Socket& socket() const { return socket_; }

  // The next message of that tag, if it is there.
  std::optional<std::string> take(int tag) {
    const auto found = came_.find(tag);
    if (found == came_.end()) return {};
    Message message = std::move(found->second.front());
    found->second.pop_front();
    if (found->second.empty()) came_.erase(found);
    if (message.head.kind == Head::Kind::tell_when_taken) {
      send({Head::Kind::taken, tag}, "");
      flush();
    }
    return std::move(message.text);
  }

  void move() {
    flush();
    while (!closed_ && receive_some()) {
    }
  }

 private:
  // To one that is gone nothing can be sent; what it had sent before can still be received.
  void flush() {
    while (!closed_ && !out_.front().empty()) {
      const std::string_view all = out_.front();
      const ssize_t n = ::send(socket_.descriptor(), all.data(), all.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      out_.drop(static_cast<size_t>(n));
      sent_ += static_cast<uint64_t>(n);
    }
  }

  bool receive_some() {
    const bool in_head = got_ < sizeof(Head);
    char* const to = in_head ? reinterpret_cast<char*>(&coming_.head) + got_
                             : coming_.text.data() + (got_ - sizeof(Head));
    const size_t whole = sizeof(Head) + (in_head ? 0 : coming_.text.size());
    if (got_ < whole) {
      const ssize_t n = ::recv(socket_.descriptor(), to, whole - got_, 0);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        closed_ = true;
      if (n <= 0) return false;
      got_ += static_cast<size_t>(n);
    }
    if (in_head && got_ == sizeof(Head)) {
      if (coming_.head.bytes > kMostMessageBytes) {  // no peer of ours speaks so
        closed_ = true;
        return false;
      }
      coming_.text.resize(coming_.head.bytes);
    }
    if (got_ < sizeof(Head) || got_ < sizeof(Head) + coming_.text.size()) return true;
    got_ = 0;
    if (coming_.head.kind == Head::Kind::taken)
      ++taken_;
    else
      came_[coming_.head.tag].push_back(std::move(coming_));
    coming_ = {};
    return true;
  }

  Socket socket_;
  bool closed_;
  Queue out_;
  uint64_t given_ = 0, sent_ = 0, taken_ = 0;
  Message coming_;
  size_t got_ = 0;  // bytes of coming_
  std::map<int, std::deque<Message>> came_;
};

class TcpWire final : public Wire {
 public:
  TcpWire(const JobPlace& place, double timeout_s) : rank_(place.rank), timeout_s_(timeout_s) {
    for (Socket& socket : meet(place, timeout_s)) lines_.emplace_back(std::move(socket));
    waited_for_.resize(lines_.size());
  }
  // A line that is closed while something in it is unread takes back what was sent.
  ~TcpWire() override {
    const SocketTime soon = after(1);
    for (Line& line : lines_) {
      line.move();
      if (line.socket().open()) ::shutdown(line.socket().descriptor(), SHUT_WR);
    }
    std::array<char, 4096> unread;
    for (const Line& line : lines_)
      while (line.socket().open() && receive_all(line.socket(), unread, soon) == Outcome::done) {
      }
  }
  TcpWire(const TcpWire&) = delete;
  TcpWire& operator=(const TcpWire&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(lines_.size()); }
  int most_tag() const override { return std::numeric_limits<int>::max(); }
  std::unique_ptr<Requests> requests() override;
  std::optional<std::pair<int, std::string>> take_message(int tag) override {
    move();
    for (int peer = 0; peer < size(); ++peer)
      if (auto text = line_to(peer).take(tag)) return std::pair(peer, std::move(*text));
    return {};
  }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override;
  bool has_closed(int peer) const override {
    return peer != rank_ && lines_[static_cast<size_t>(peer)].closed();
  }

  bool outlives_peers() const override { return true; }

  // --- For requests.

  void move() {
    for (Line& line : lines_) line.move();
  }
  Line& line_to(int peer) { return lines_[static_cast<size_t>(peer)]; }
  // How many messages to that peer have asked to be told of, this one with them.
  uint64_t count_waited_for(int peer) { return ++waited_for_[static_cast<size_t>(peer)]; }

 private:
  const int rank_;
  const double timeout_s_;
  std::vector<Line> lines_;  // by rank; this one's own is closed
  std::vector<uint64_t> waited_for_;
};

class TcpRequests final : public Requests {
 public:
  explicit TcpRequests(TcpWire& wire) : wire_(wire) {}

  void send(int peer, int tag, std::span<const std::byte> data) override {
    const uint64_t until = wire_.line_to(peer).send({Head::Kind::plain, tag}, text_of(data));
    all_.push_back({.peer = peer, .sent = until});
  }
  void send_until_received(int peer, int tag, std::span<const std::byte> data) override {
    wire_.line_to(peer).send({Head::Kind::tell_when_taken, tag}, text_of(data));
    all_.push_back({.peer = peer, .taken = wire_.count_waited_for(peer)});
  }
  void receive(int peer, int tag, std::span<std::byte> to) override {
    all_.push_back({.peer = peer, .receives = true, .tag = tag, .to = to});
  }
  bool done() override {
    wire_.move();
    bool all = true;
    for (One& one : all_) all &= one.done = one.done || is_done(one);
    return all;
  }
  std::vector<int> awaited() const override {
    std::vector<int> peers;
    for (const bool receives : {true, false}) {
      for (const One& one : all_)
        if (!one.done && one.receives == receives &&
            std::find(peers.begin(), peers.end(), one.peer) == peers.end())
          peers.push_back(one.peer);
      if (!peers.empty()) break;
    }
    return peers;
  }
  void clear() override { all_.clear(); }

 private:
  struct One {
    int peer;
    bool receives = false;
    int tag = 0;
    std::span<std::byte> to = {};
    uint64_t sent = 0, taken = 0;
    bool done = false;
  };
  static std::string_view text_of(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
  bool is_done(const One& one) {
    Line& line = wire_.line_to(one.peer);
    if (!one.receives) return line.sent() >= one.sent && line.taken() >= one.taken;
    const auto text = line.take(one.tag);
    if (!text) return false;
    if (text->size() > one.to.size())
      throw Lost(fmt::format("rank {} sent {} bytes where rank {} expected {}", one.peer,
                             text->size(), wire_.rank(), one.to.size()),
                 "this is a bug in tplab; please report it");
    if (!text->empty()) std::memcpy(one.to.data(), text->data(), text->size());
    return true;
  }

  TcpWire& wire_;
  std::vector<One> all_;
};

std::unique_ptr<Requests> TcpWire::requests() { return std::make_unique<TcpRequests>(*this); }

void TcpWire::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  constexpr int kTag = 0;
  const SocketTime deadline = after(timeout_s_);
  TcpRequests requests(*this);
  for (int peer = 0; peer < size(); ++peer) {
    const auto part = all.subspan(static_cast<size_t>(peer) * mine.size(), mine.size());
    if (peer == rank_) {
      std::copy(mine.begin(), mine.end(), part.begin());
      continue;
    }
    requests.send(peer, kTag, mine);
    requests.receive(peer, kTag, part);
  }
  while (!requests.done()) {
    for (const int peer : requests.awaited()) {
      if (!has_closed(peer) && SocketClock::now() < deadline) continue;
      throw Lost(fmt::format("rank {} {} at the start", peer,
                             has_closed(peer) ? "is gone: its process ended"
                                              : fmt::format("said nothing for {} s", timeout_s_)),
                 "look at that process's own output first");
    }
    ::usleep(100);
  }
}

}  // namespace

std::unique_ptr<Wire> make_tcp_wire(const JobPlace& place, double timeout_s) {
  return std::make_unique<TcpWire>(place, timeout_s);
}

std::unique_ptr<Processes> join_tcp(const JobPlace& place, double timeout_s,
                                    const std::string& version) {
  return std::make_unique<Session>(make_tcp_wire(place, timeout_s), version, place.local_rank);
}

}  // namespace tplab
