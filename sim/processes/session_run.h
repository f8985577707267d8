// One run of a world, in one of its processes: how its rank waits for the others, and how it learns
// that one of them has failed or returned.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/machine/processes.h"
#include "sim/processes/session.h"
#include "sim/processes/tags.h"

namespace tplab {

// What a rank found wrong with the run itself, that the others are to say too.
class Verdict : public Error {
 public:
  // complete: the problem lists already what each rank did.
  Verdict(const Error& error, bool complete) : Error(error), complete_(complete) {}
  bool complete() const { return complete_; }

 private:
  bool complete_;
};

// How a rank's body ended.
struct RankEnd {
  enum class Outcome { returned, threw, verdict, released, lost } outcome = Outcome::returned;
  ErrorKind kind = ErrorKind::run;
  std::string problem = {}, fix = {};
  bool complete = false;
  int told_by = 0;         // of a lost process: who prints it
  std::string doing = {};  // "waiting in barrier #3", for lists
};

class SessionRun final : public ProcessRun {
 public:
  SessionRun(Session& session, const Mesh& mesh, double timeout_s, int first_tag);
  ~SessionRun() override { session_.watch(nullptr); }

  void watch(const Rank& rank) override { session_.watch(&rank); }
  std::unique_ptr<Agreement> agreement(std::vector<int> members, Axis axis, Device& device,
                                       bool carry) override;
  std::unique_ptr<Transport> transport(Agreement& agreement, Device& device) override;
  std::exception_ptr end(std::exception_ptr mine) override;
  std::vector<std::string> gather(const std::string& mine) override {
    return session_.gather(mine, first_tag_ + kGatherTag, timeout_s_);
  }

  // --- For this rank's agreements and transports.

  Session& session() { return session_; }
  const Mesh& mesh() const { return mesh_; }
  int tag(int group, Channel channel) const { return tag_of(first_tag_, group, channel); }
  // Of groups that are made, which all of their ranks must number alike.
  int next_group() const { return next_group_; }
  void take_group(int number);  // throws Error(unavailable) where there are too many
  void count_collective() { ++collectives_; }

  // Returns when poll() is true, which `requests` decide. Throws what Session::wait throws;
  // Verdict where a rank that is waited for has returned; PeerFailed where one has failed.
  template <class Poll>
  void wait(const Poll& poll, const Requests& requests, const Post& post,
            const std::string& group) {
    CallWait wait(*this, requests, post, group);
    session_.wait(poll, wait);
  }
  // The same look as such a wait has, for one that is not for messages.
  void look(const Post& post, const std::string& group);

 private:
  class CallWait final : public MessageWait {
   public:
    CallWait(SessionRun& run, const Requests& requests, const Post& post, const std::string& group)
        : MessageWait(run.timeout_s_), run_(run), requests_(requests), post_(post), group_(group) {}
    std::string doing() const override { return "waiting in " + post_.text() + group_; }
    std::vector<int> awaited() const override { return requests_.awaited(); }
    void look() override { run_.look(*this); }

   private:
    SessionRun& run_;
    const Requests& requests_;
    const Post& post_;
    const std::string& group_;
  };

  void look(const MessageWait& wait);
  void take_ends();
  std::optional<RankEnd>& end_of(int rank) { return ends_[static_cast<size_t>(rank)]; }
  RankEnd classified(const std::exception_ptr& mine) const;
  std::exception_ptr failure();

  Session& session_;
  const Mesh mesh_;
  const double timeout_s_;
  const int first_tag_;
  int next_group_ = 0;
  uint64_t collectives_ = 0;
  std::string doing_;  // when a wait was given up
  InVain returned_;
  std::vector<std::optional<RankEnd>> ends_;  // by rank
};

}  // namespace tplab
