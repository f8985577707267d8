// The processes of one program, as one of them sees them: how it waits for the others, and how
// it learns that one is gone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sim/machine/processes.h"
#include "sim/processes/card.h"
#include "sim/processes/watchman.h"
#include "sim/processes/wire.h"

namespace tplab {

// What a process waits for: asked only of waits that last.
class MessageWait {
 public:
  explicit MessageWait(double timeout_s) : timeout_s_(timeout_s) {}
  virtual ~MessageWait() = default;
  double timeout_s() const { return timeout_s_; }
  virtual std::string doing() const = 0;         // "waiting in barrier #3 at save"; by any thread
  virtual std::vector<int> awaited() const = 0;  // processes that it still waits for
  virtual void look() {}  // from time to time: throws where the wait is in vain

 private:
  double timeout_s_;
};

// Peers that are waited for and will send no more: what they have sent may still be on its way, as
// parts of a large message are that only this process's polls bring in. So it takes a while until
// that is in vain.
class InVain {
 public:
  // Seen at this look. True once the same ones have been for long.
  bool for_long(const std::vector<int>& peers, int64_t now_ns) {
    if (peers != peers_) {
      peers_ = peers;
      since_ns_ = now_ns;
      looks_ = 0;
    }
    return !peers_.empty() && ++looks_ >= kLooks && now_ns - since_ns_ >= kLongNs;
  }
  int first() const { return peers_.front(); }

 private:
  static constexpr int kLooks = 200;
  static constexpr int64_t kLongNs = 1'000'000'000;
  std::vector<int> peers_;
  int64_t since_ns_ = 0;
  int looks_ = 0;
};

// One in a process. Used by one thread at a time.
class Session final : public Processes, private Watched {
 public:
  // Collective.   version: of tplab, for messages   place: Processes', where the launcher tells
  // Throws Error(usage) where the processes are not of one build.
  Session(std::unique_ptr<Wire> wire, const std::string& version, std::optional<int> place);
  ~Session() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int place() const override { return place_; }
  double cores() const override { return share_of_cores(cards_, static_cast<size_t>(rank_)); }
  bool lost() const override { return lost_; }
  std::unique_ptr<ProcessRun> begin(const Mesh& mesh, double timeout_s) override;
  std::string once(const std::function<std::string()>& work) override;
  std::vector<std::string> gather(const std::string& mine) override;
  Ending leave(const Ending& mine) override;

  // --- For sim/processes.

  Wire& wire() { return *wire_; }
  std::string name_of(int rank) const { return mesh_.rank_name(rank); }
  void watch(const Rank* rank) { watched_ = rank; }
  // Returns when poll() is true. Throws what wait.look() throws, and Lost.
  template <class Poll>
  void wait(const Poll& poll, MessageWait& wait);
  // Whether those that can be seen are still there: throws Lost.
  void look_around(MessageWait& wait);
  // Every process's bytes, of any size.   timeout_s: for each of them
  std::vector<std::string> gather(const std::string& mine, int tag, double timeout_s);
  std::optional<std::pair<int, std::string>> take_message(int tag) {
    return wire_->take_message(tag);
  }
  void lose(int told_by);  // and who says so
  int told_by() const { return told_by_; }

 private:
  void wait_long(const std::function<bool()>& poll, MessageWait& wait);
  void take_exits();
  // Throws where one of these has left the program: PeerFailed, if it has said why.
  void fail_if_one_left(const MessageWait& wait);
  [[noreturn]] void fail_late(MessageWait& wait);
  int first_survivor() const;  // of those that can be seen from here
  std::vector<int> gone() const;
  // Watched:
  std::string last_words() override;
  bool is_telling() const override { return lost_; }

  const int rank_, size_, runs_of_tags_;
  int place_ = 0;
  std::unique_ptr<Wire> wire_;
  Mesh mesh_;  // of the run, for names
  uint64_t runs_ = 0;
  std::vector<Card> cards_;
  std::vector<char> seen_;  // can be looked at from here
  std::vector<std::optional<Ending>> exits_;
  InVain left_;
  bool oversubscribed_ = false, is_leaving_ = false;
  std::atomic<bool> lost_{false};
  int told_by_ = 0, exit_code_ = 1;
  std::atomic<const Rank*> watched_{nullptr};
  std::mutex mutex_;                // guards:
  MessageWait* waiting_ = nullptr;  // while a wait lasts
  std::optional<Watchman> watchman_;
};

template <class Poll>
void Session::wait(const Poll& poll, MessageWait& wait) {
  // A peer that runs comes within microseconds.
  constexpr int kEagerPolls = 200;
  const int eager = oversubscribed_ ? 2 : kEagerPolls;
  for (int i = 0; i < eager; ++i)
    if (poll()) return;
  wait_long(poll, wait);
}

}  // namespace tplab
