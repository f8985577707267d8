#include "sim/threads/thread_transport.h"

#include <utility>

#include "sim/algorithms/table.h"

namespace tplab {
namespace {

// This rank's links during one call.
class ThreadLinks final : public Links {
 public:
  ThreadLinks(ThreadAgreement& agreement, Device& device, const Post& call)
      : Links(agreement.rank(), agreement.size(), device),
        agreement_(agreement),
        call_(call),
        reaches_peers_(device.reaches_peers()) {}

  bool peer_access() const override { return reaches_peers_; }
  void rendezvous() override { agreement_.meet_when_done(call_); }
  const std::byte* peer_in(int peer) const override {
    if (!std::exchange(inputs_are_there_, true)) agreement_.wait_for_inputs();
    return static_cast<const std::byte*>(agreement_.post_of(peer).in);
  }
  std::byte* peer_out(int peer) const override {
    return static_cast<std::byte*>(agreement_.post_of(peer).out);
  }

 private:
  void do_send_recv(int to, ConstBytes sent, int from, Bytes received) override {
    ThreadGroup::Message message(group(), rank(), to, sent, call_, device());
    group().receive(rank(), from, received, call_, device());
    message.wait_until_copied();
  }
  void do_send(int to, ConstBytes sent) override {
    ThreadGroup::Message(group(), rank(), to, sent, call_, device()).wait_until_copied();
  }
  void do_recv(int from, Bytes received) override {
    group().receive(rank(), from, received, call_, device());
  }
  ThreadGroup& group() { return agreement_.group(); }

  ThreadAgreement& agreement_;
  const Post& call_;
  const bool reaches_peers_;
  mutable bool inputs_are_there_ = false;
};

}  // namespace

ThreadTransport::ThreadTransport(ThreadAgreement& agreement, Device& device)
    : agreement_(agreement), device_(device) {}

int64_t ThreadTransport::move(const Post& call, const Array& in, Array& out) {
  ThreadLinks links(agreement_, device_, call);
  if (call.op == Op::send) {
    links.send(call.peer, bytes_of(in));
  } else if (call.op == Op::recv) {
    links.recv(call.peer, bytes_of(out));
  } else {
    run_algorithm(links, call, in, out);
  }
  return links.wire_bytes();
}

std::unique_ptr<Transport> ThreadTransport::split(Agreement& part) {
  return std::make_unique<ThreadTransport>(dynamic_cast<ThreadAgreement&>(part), device_);
}

}  // namespace tplab
