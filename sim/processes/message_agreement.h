// Agreement between ranks that are processes: each sends its call to all others, in an envelope of
// one size, and with it numbers that the call would send next, if they are few.
//
// Where calls differ, all ranks of the group see it in the same envelopes, and tell one another
// their sites: the error is the same on every rank. A rank that does not come is named when it has
// failed or returned, when its process is gone, or at the run's deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/agreement.h"
#include "sim/processes/carried.h"
#include "sim/processes/session_run.h"

namespace tplab {

class Device;

class MessageAgreement final : public Agreement {
 public:
  // `members`: global indices. `number`: of the group in the run, the same on all of its ranks.
  // `carry`: ProcessRun::agreement's.
  MessageAgreement(SessionRun& run, std::vector<int> members, int number, Axis axis, Device& device,
                   bool carry);

  void agree(const Post& call) override;
  std::vector<std::string> gather(const Post& call, const std::string& mine) override {
    return exchange_words(call, mine);
  }
  void look(const Post& call) override { run_.look(call, name_); }
  std::unique_ptr<Agreement> split(const Post& call, int color, int key) override;

  // --- For a transport.

  SessionRun& run() { return run_; }
  int world_rank(int rank) const { return members_[static_cast<size_t>(rank)]; }
  const std::string& name() const { return name_; }
  int tag(Channel channel) const { return run_.tag(number_, channel); }
  std::string caller_name(int rank) const { return run_.mesh().rank_name(world_rank(rank)); }
  // What the call agreed on last brought along: the first message of each peer to this rank.
  bool carried() const { return carried_ != Carried::nothing; }
  std::span<const std::byte> carried_from(int rank) const;

 private:
  // What the ranks of a group agree on, as bytes: Post's fields that are compared, and no others.
  struct Header {
    uint64_t sequence, site;
    int64_t elements;
    int32_t peer;
    uint8_t op, phase, dtype, reduce, algorithm;
    uint8_t unused[31];
  };
  static_assert(sizeof(Header) == 64);
  static Header header_of(const Post& call);

  std::byte* envelope(std::vector<std::byte>& all, int rank) {
    return all.data() + static_cast<size_t>(rank) * envelope_bytes_;
  }
  void exchange(const Post& call);
  [[noreturn]] void fail_disagreement(const Post& call);
  // What every rank of the group has to say, by rank.
  std::vector<std::string> exchange_words(const Post& call, const std::string& mine);

  SessionRun& run_;
  const std::vector<int> members_;
  const int number_;
  const std::string name_;
  Device& device_;
  const bool may_carry_;
  Carried carried_ = Carried::nothing;
  ConstBytes in_;  // of the call agreed on last
  DType dtype_ = DType::f32;
  int root_ = 0;
  const size_t envelope_bytes_;
  std::vector<std::byte> sent_, came_;            // envelopes, by rank
  const std::unique_ptr<Requests> first_, rest_;  // parts of envelopes
};

}  // namespace tplab
