#include "sim/processes/session_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/clock.h"
#include "sim/machine/travel.h"
#include "sim/processes/message_transport.h"

namespace tplab {

namespace {

const PackedSites kNoSitesHere;

class EndWait final : public MessageWait {
 public:
  EndWait(double timeout_s, const std::vector<std::optional<RankEnd>>& ends)
      : MessageWait(timeout_s), ends_(ends) {}
  std::string doing() const override { return "waiting for the others to end"; }
  std::vector<int> awaited() const override {
    std::vector<int> ranks;
    for (size_t rank = 0; rank < ends_.size(); ++rank)
      if (!ends_[rank]) ranks.push_back(static_cast<int>(rank));
    return ranks;
  }

 private:
  const std::vector<std::optional<RankEnd>>& ends_;
};

}  // namespace

SessionRun::SessionRun(Session& session, const Mesh& mesh, double timeout_s, int first_tag)
    : session_(session),
      mesh_(mesh),
      timeout_s_(timeout_s),
      first_tag_(first_tag),
      ends_(static_cast<size_t>(session.size())) {}

std::unique_ptr<Agreement> SessionRun::agreement(std::vector<int> members, Axis axis,
                                                 Device& device, bool carry) {
  const int number = next_group_;
  take_group(number);
  carry = carry && host_reaches(device);
  return std::make_unique<MessageAgreement>(*this, std::move(members), number, axis, device, carry);
}

std::unique_ptr<Transport> SessionRun::transport(Agreement& agreement, Device& device) {
  return std::make_unique<MessageTransport>(dynamic_cast<MessageAgreement&>(agreement), device);
}

void SessionRun::take_group(int number) {
  if (number >= kMostGroups)
    fail_unavailable(fmt::format("a run has made {} groups of ranks", number),
                     "keep the groups that were split off, and use them again");
  next_group_ = number + 1;
}

void SessionRun::take_ends() {
  while (const auto message = session_.take_message(first_tag_ + kEndTag)) {
    RankEnd& end = end_of(message->first).emplace();
    Unpacker(message->second, kNoSitesHere)(end);
  }
}

void SessionRun::look(const MessageWait& wait) {
  take_ends();
  try {
    for (int rank = 0; rank < mesh_.ranks(); ++rank)
      if (end_of(rank) && end_of(rank)->outcome != RankEnd::Outcome::returned)
        throw PeerFailed(session_.name_of(rank));
    std::vector<int> returned;
    for (const int rank : wait.awaited())
      if (end_of(rank)) returned.push_back(rank);
    if (returned_.for_long(returned, now_ns()))
      throw Verdict(
          {ErrorKind::run,
           fmt::format("{} waits for {}, which has returned", session_.name_of(session_.rank()),
                       session_.name_of(returned_.first())),
           "make every rank of a group call the same collectives in the same order, and "
           "pair each send with a recv"},
          false);
  } catch (...) {
    doing_ = wait.doing();
    throw;
  }
}

void SessionRun::look(const Post& post, const std::string& group) {
  const std::unique_ptr<Requests> none = session_.wire().requests();
  CallWait wait(*this, *none, post, group);
  look(wait);
  session_.look_around(wait);
}

RankEnd SessionRun::classified(const std::exception_ptr& mine) const {
  using enum RankEnd::Outcome;
  RankEnd end;
  end.doing = doing_.empty() ? fmt::format("returned after {} collectives", collectives_) : doing_;
  if (!mine) return end;
  const Error error = as_error(mine);
  end.kind = error.kind();
  end.problem = error.problem();
  end.fix = error.fix();
  try {
    std::rethrow_exception(mine);
  } catch (const Verdict& verdict) {
    end.outcome = RankEnd::Outcome::verdict;
    end.complete = verdict.complete();
  } catch (const Lost&) {
    end.outcome = RankEnd::Outcome::lost;
    end.told_by = session_.told_by();
  } catch (const PeerFailed&) {
    end.outcome = released;
  } catch (...) {
    end.outcome = threw;
    if (doing_.empty()) end.doing = "failed: " + error.problem();
  }
  return end;
}

std::exception_ptr SessionRun::end(std::exception_ptr mine) {
  end_of(session_.rank()) = classified(mine);
  const RankEnd own = *end_of(session_.rank());
  Packer pack(kNoSitesHere);
  pack(own);
  const std::string bytes = pack.take();
  const std::unique_ptr<Requests> requests = session_.wire().requests();
  EndWait wait(timeout_s_, ends_);
  const auto one_is_lost = [&] {
    return std::any_of(ends_.begin(), ends_.end(), [](const std::optional<RankEnd>& end) {
      return end && end->outcome == RankEnd::Outcome::lost;
    });
  };
  try {
    for (int peer = 0; peer < session_.size(); ++peer)
      if (peer != session_.rank())
        requests->send(peer, first_tag_ + kEndTag, std::as_bytes(std::span(bytes)));
    session_.wait(
        [&] {
          take_ends();
          return one_is_lost() || (wait.awaited().empty() && requests->done());
        },
        wait);
  } catch (...) {  // what there is to say of this rank itself goes first
    return own.outcome == RankEnd::Outcome::threw ? mine : std::current_exception();
  }
  return failure();
}

// What all processes find in what the ranks' ends say.
std::exception_ptr SessionRun::failure() {
  using enum RankEnd::Outcome;
  for (const RankEnd::Outcome worst : {lost, threw, verdict}) {
    for (int rank = 0; rank < mesh_.ranks(); ++rank) {
      const std::optional<RankEnd>& end = end_of(rank);
      if (!end || end->outcome != worst) continue;
      std::string problem = end->problem;
      if (worst == lost && !session_.lost()) session_.lose(end->told_by);
      if (worst == threw) problem = fmt::format("{}: {}", session_.name_of(rank), problem);
      if (worst == verdict && !end->complete)
        for (int other = 0; other < mesh_.ranks(); ++other)
          problem += fmt::format("\n  {}: {}", session_.name_of(other), end_of(other)->doing);
      return std::make_exception_ptr(Error(end->kind, problem, end->fix));
    }
  }
  for (int rank = 0; rank < mesh_.ranks(); ++rank)  // one that left the program
    if (end_of(rank)->outcome == released)
      return std::make_exception_ptr(PeerFailed("another process"));
  return nullptr;
}

}  // namespace tplab
