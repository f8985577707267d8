#include "sim/processes/session.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "sim/clock.h"
#include "sim/machine/rank.h"
#include "sim/machine/travel.h"
#include "sim/processes/session_run.h"
#include "sim/processes/tags.h"

namespace tplab {

namespace {

constexpr double kPatience = 300;  // seconds, outside of runs, which have a timeout of their own
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kBetweenLooks = kMs / 10, kBetweenChecks = 50 * kMs;
constexpr int64_t kSpinNs = 50'000;  // until the core is offered to others
constexpr int64_t kNapAfter = 20 * kMs;

class PlainWait final : public MessageWait {
 public:
  PlainWait(std::string doing, double timeout_s, std::function<std::vector<int>()> awaited)
      : MessageWait(timeout_s), doing_(std::move(doing)), awaited_(std::move(awaited)) {}
  std::string doing() const override { return doing_; }
  std::vector<int> awaited() const override { return awaited_(); }

 private:
  std::string doing_;
  std::function<std::vector<int>()> awaited_;
};

template <class T>
std::span<std::byte> bytes_of(T& x) {
  return std::as_writable_bytes(std::span(x));
}

const PackedSites kNoSites;

}  // namespace

Session::Session(std::unique_ptr<Wire> wire, const std::string& version, std::optional<int> place)
    : rank_(wire->rank()),
      size_(wire->size()),
      runs_of_tags_(tags_of_runs(wire->most_tag())),
      wire_(std::move(wire)),
      mesh_({.tp = size_}),
      cards_(static_cast<size_t>(size_)),
      exits_(static_cast<size_t>(size_)) {
  const Card mine = own_card(version);
  wire_->all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(cards_)));
  for (const Card& card : cards_) seen_.push_back(can_see(mine, card));
  place_ = place.value_or(place_on_machine(cards_, static_cast<size_t>(rank_)));
  oversubscribed_ = cores() < 1;
  const std::string problem = builds_text(cards_);
  if (problem.empty()) {
    watchman_.emplace(static_cast<Watched&>(*this));
    return;
  }
  wire_.reset();
  if (rank_ > 0) std::_Exit(static_cast<int>(ErrorKind::usage));  // the first says it
  fail(problem, "run one build of tplab in all processes, the same file on every machine");
}

Session::~Session() {
  if (!is_leaving_ && size_ > 1) lose(rank_);  // the others would wait for this one
  if (lost_) {
    // Who tells has done so. The others give it the time: the first to abort ends all.
    if (told_by_ != rank_) usleep(1'500'000);
    wire_->abandon(exit_code_);
  }
  watchman_.reset();
}

void Session::lose(int told_by) {
  told_by_ = told_by;
  lost_ = true;
}

void Session::wait_long(const std::function<bool()>& poll, MessageWait& wait) {
  const int64_t start = now_ns();
  int64_t next_look = start, next_check = start + kBetweenChecks;
  {
    const std::lock_guard lock(mutex_);
    waiting_ = &wait;
  }
  struct Over {
    Session& session;
    ~Over() {
      const std::lock_guard lock(session.mutex_);
      session.waiting_ = nullptr;
    }
  } over{*this};
  for (;;) {
    for (int i = 0; i < (oversubscribed_ ? 1 : 16); ++i)
      if (poll()) return;
    const int64_t now = now_ns();
    if (now > start + kNapAfter) {
      usleep(50);
    } else if (oversubscribed_ || now > start + kSpinNs) {
      sched_yield();
    }
    if (now < next_look) continue;
    next_look = now + kBetweenLooks;
    wait.look();
    fail_if_one_left(wait);
    if (now >= next_check || Watchman::called()) {
      next_check = now + kBetweenChecks;
      look_around(wait);
      if (static_cast<double>(now - start) > wait.timeout_s() * 1e9 && !poll()) fail_late(wait);
    }
  }
}

std::vector<int> Session::gone() const {
  std::vector<int> list;
  for (int rank = 0; rank < size_; ++rank) {
    const auto i = static_cast<size_t>(rank);
    if (rank == rank_ || exits_[i]) continue;
    if (wire_->has_closed(rank) || (seen_[i] && life_of(cards_[i]) == Life::gone))
      list.push_back(rank);
  }
  return list;
}

int Session::first_survivor() const {
  for (int rank = 0; rank < rank_; ++rank) {
    const auto i = static_cast<size_t>(rank);
    if (seen_[i] && life_of(cards_[i]) != Life::gone) return rank;
  }
  return rank_;
}

namespace {

std::string gone_text(const std::string& name, const Card& card) {
  return fmt::format("{} is gone: process {} on {} has ended", name, card.process, card.host);
}

constexpr const char* kWhyGone =
    "look why it ended: it was killed, or the machine had no more memory (dmesg); what was saved "
    "before is whole";

}  // namespace

void Session::look_around(MessageWait& wait) {
  if (gone().empty()) return;
  take_exits();  // of one that has left in good order, just now
  const std::vector<int> list = gone();
  if (list.empty()) return;
  lose(first_survivor());
  throw Lost(fmt::format("{}, and {} misses it, {}",
                         gone_text(name_of(list[0]), cards_[static_cast<size_t>(list[0])]),
                         name_of(rank_), wait.doing()),
             kWhyGone);
}

void Session::fail_late(MessageWait& wait) {
  std::string problem =
      fmt::format("{} has waited for {} s, {}", name_of(rank_), wait.timeout_s(), wait.doing());
  const std::vector<int> awaited = wait.awaited();
  for (int rank = 0; rank < size_; ++rank) {
    const auto i = static_cast<size_t>(rank);
    const bool stopped = seen_[i] && life_of(cards_[i]) == Life::stopped;
    const bool missed = std::find(awaited.begin(), awaited.end(), rank) != awaited.end();
    if (!missed && !stopped) continue;  // who is missed may wait for one that is stopped
    problem +=
        fmt::format("\n  {}: {}process {} on {}{}", name_of(rank), missed ? "has not come; " : "",
                    cards_[i].process, cards_[i].host, stopped ? " is stopped" : "");
  }
  lose(rank_);
  throw Lost(problem,
             "look at that process, its machine and the network; if it only takes long, allow more "
             "with --timeout");
}

std::string Session::last_words() {
  if (first_survivor() != rank_) return "";
  std::string doing;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_) doing = waiting_->doing();
  }
  const Rank* const rank = watched_;
  if (doing.empty() && rank) doing = computing_at(rank->site());
  std::string text = "tplab: ";
  for (const int other : gone())
    text += gone_text(name_of(other), cards_[static_cast<size_t>(other)]) + "; ";
  text +=
      fmt::format("{} is ended by SIGTERM{}\n", name_of(rank_), doing.empty() ? "" : ", " + doing);
  return text;
}

void Session::take_exits() {
  while (const auto message = take_message(kExitTag)) {
    Ending& ending = exits_[static_cast<size_t>(message->first)].emplace();
    Unpacker(message->second, kNoSites)(ending.exit_code, ending.message, ending.released);
  }
}

void Session::fail_if_one_left(const MessageWait& wait) {
  take_exits();
  std::vector<int> left;
  for (const int rank : wait.awaited())
    if (exits_[static_cast<size_t>(rank)]) left.push_back(rank);
  if (!left_.for_long(left, now_ns())) return;
  const int peer = left_.first();
  if (!exits_[static_cast<size_t>(peer)]->message.empty()) throw PeerFailed(name_of(peer));
  throw Error(ErrorKind::run,
              fmt::format("{} is done and has left, and {} is still {}", name_of(peer),
                          name_of(rank_), wait.doing()),
              "give all processes the same files and the same environment");
}

std::unique_ptr<ProcessRun> Session::begin(const Mesh& mesh, double timeout_s) {
  mesh_ = mesh;
  const int first_tag = first_tag_of_run(runs_++, runs_of_tags_);
  return std::make_unique<SessionRun>(*this, mesh, timeout_s, first_tag);
}

std::string Session::once(const std::function<std::string()>& work) {
  const std::unique_ptr<Requests> requests = wire_->requests();
  PlainWait wait("while rank 0 does what is done once", kPatience,
                 [&] { return rank_ == 0 ? requests->awaited() : std::vector{0}; });
  const auto all_done = [&] { return requests->done(); };
  struct Outcome {
    bool good = true;
    ErrorKind kind = ErrorKind::run;
    std::string problem = {}, fix = {}, told = {};
  } outcome;
  if (rank_ == 0) {
    try {
      outcome.told = work();
    } catch (...) {
      const Error error = as_error(std::current_exception());
      outcome = {false, error.kind(), error.problem(), error.fix(), ""};
    }
    Packer pack(kNoSites);
    pack(outcome);
    const std::string bytes = pack.take();
    for (int peer = 1; peer < size_; ++peer)
      requests->send(peer, kOnceTag, std::as_bytes(std::span(bytes)));
    this->wait(all_done, wait);
  } else {
    std::optional<std::pair<int, std::string>> said;
    this->wait(
        [&] {
          said = take_message(kOnceTag);
          return said.has_value();
        },
        wait);
    Unpacker(said->second, kNoSites)(outcome);
  }
  if (!outcome.good) throw Error(outcome.kind, outcome.problem, outcome.fix);
  return outcome.told;
}

std::vector<std::string> Session::gather(const std::string& mine) {
  return gather(mine, kTellTag, kPatience);
}

std::vector<std::string> Session::gather(const std::string& mine, int tag, double timeout_s) {
  std::vector<std::string> all(static_cast<size_t>(size_));
  std::vector<uint64_t> sizes(static_cast<size_t>(size_));
  const uint64_t own_size = mine.size();
  const std::unique_ptr<Requests> requests = wire_->requests();
  PlainWait wait("while all tell what they have", timeout_s, [&] { return requests->awaited(); });
  const auto all_done = [&] { return requests->done(); };
  const auto each_peer = [&](auto f) {
    for (int step = 1; step < size_; ++step) f((rank_ + step) % size_);
  };
  each_peer([&](int peer) {
    requests->receive(peer, tag, bytes_of(sizes).subspan(static_cast<size_t>(peer) * 8, 8));
    requests->send(peer, tag, std::as_bytes(std::span(&own_size, 1)));
  });
  this->wait(all_done, wait);
  requests->clear();
  const auto each_part = [](std::span<std::byte> whole, auto f) {
    constexpr size_t kPart = size_t{1} << 30;  // of what MPI counts in an int
    for (size_t at = 0; at < whole.size(); at += kPart)
      f(whole.subspan(at, std::min(kPart, whole.size() - at)));
  };
  std::string own = mine;
  each_peer([&](int peer) {
    std::string& of_peer = all[static_cast<size_t>(peer)];
    of_peer.resize(sizes[static_cast<size_t>(peer)]);
    each_part(bytes_of(of_peer), [&](auto part) { requests->receive(peer, tag, part); });
    each_part(bytes_of(own), [&](auto part) { requests->send(peer, tag, part); });
  });
  this->wait(all_done, wait);
  requests->clear();
  all[static_cast<size_t>(rank_)] = std::move(own);
  return all;
}

namespace {

// What rank 0 prints for all: what they have to say, each thing once. Who was only released has
// nothing to add to what the others say.
std::string said_by_all(const std::vector<std::optional<Ending>>& exits, const Mesh& mesh) {
  for (const bool released : {false, true}) {
    std::vector<std::string> texts;
    std::string first;
    for (size_t rank = 0; rank < exits.size(); ++rank) {
      const std::optional<Ending>& ending = exits[rank];
      if (!ending || ending->message.empty() || ending->released != released) continue;
      if (first.empty()) first = ending->message;
      if (rank > 0 && ending->message == first && exits[0] && exits[0]->message == first) continue;
      const std::string who = rank == 0 ? "" : mesh.rank_name(static_cast<int>(rank)) + ": ";
      texts.push_back(who + ending->message);
    }
    if (!texts.empty()) return fmt::format("{}", fmt::join(texts, "\ntplab: "));
  }
  return "";
}

}  // namespace

Ending Session::leave(const Ending& mine) {
  is_leaving_ = true;
  exit_code_ = mine.exit_code;
  const auto i = static_cast<size_t>(rank_);
  std::string bytes;
  const std::unique_ptr<Requests> requests = wire_->requests();
  const auto tell = [&](const Ending& ending) {
    Packer pack(kNoSites);
    pack(ending.exit_code, ending.message, ending.released);
    bytes = pack.take();
    for (int peer = 0; peer < size_; ++peer)
      if (peer != rank_) requests->send(peer, kExitTag, std::as_bytes(std::span(bytes)));
  };
  try {
    if (lost_ && wire_->outlives_peers()) tell({exit_code_, "", true});  // it is not this one
    if (!lost_) {
      exits_[i] = mine;
      tell(mine);
      const auto missing = [&] {
        std::vector<int> list;
        for (int rank = 0; rank < size_; ++rank)
          if (!exits_[static_cast<size_t>(rank)]) list.push_back(rank);
        return list;
      };
      PlainWait wait("at the end of the program", kPatience, missing);
      this->wait(
          [&] {
            take_exits();
            return requests->done() && missing().empty();
          },
          wait);
    }
  } catch (const Lost& error) {
    if (told_by_ != rank_) return {exit_code_, ""};
    if (exit_code_ == 0) exit_code_ = static_cast<int>(error.kind());
    return {exit_code_, mine.message.empty() ? error.what() : mine.message};
  }
  if (lost_) return {exit_code_, told_by_ == rank_ ? mine.message : ""};
  for (const std::optional<Ending>& ending : exits_)
    exit_code_ = std::max(exit_code_, ending->exit_code);
  return {exit_code_, rank_ == 0 ? said_by_all(exits_, mesh_) : ""};
}

}  // namespace tplab
