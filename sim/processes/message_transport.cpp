#include "sim/processes/message_transport.h"

#include <cstring>
#include <stdexcept>

#include "sim/algorithms/table.h"
#include "sim/machine/travel.h"
#include "sim/rank_set.h"

namespace tplab {

namespace {

// This rank's links during one call. What came with the agreement is the first message between two
// ranks: the algorithm sends it as if it had not.
class MessageLinks final : public Links {
 public:
  MessageLinks(MessageAgreement& agreement, Device& device, const Post& call)
      : Links(agreement.rank(), agreement.size(), device),
        agreement_(agreement),
        call_(call),
        requests_(agreement.run().session().wire().requests()) {
    const bool first_is_here = agreement.carried() && call.op != Op::send && call.op != Op::recv;
    to_send_ = to_take_ = first_is_here ? first_ranks(size()) : 0;
  }

  bool peer_access() const override { return false; }
  void rendezvous() override {}

  // A send and its recv, which no agreement went before: what is sent says what it is. The sender
  // waits until it has been taken.
  void send_point_to_point(ConstBytes data);
  void receive_point_to_point(Bytes data);

 private:
  void do_send_recv(int to, ConstBytes sent, int from, Bytes received) override {
    begin_receive(from, received);
    begin_send(to, sent);
    wait();
  }
  void do_send(int to, ConstBytes sent) override {
    begin_send(to, sent);
    wait();
  }
  void do_recv(int from, Bytes received) override {
    begin_receive(from, received);
    wait();
  }

  void begin_send(int to, ConstBytes data) {
    if (take(to_send_, to)) return;  // it went with the envelope
    requests_->send(agreement_.world_rank(to), agreement_.tag(Channel::calls), data);
  }
  void begin_receive(int from, Bytes data) {
    if (!take(to_take_, from))
      return requests_->receive(agreement_.world_rank(from), agreement_.tag(Channel::calls), data);
    const ConstBytes came = agreement_.carried_from(from);
    if (came.size() != data.size()) throw std::logic_error("an envelope of another message");
    device().copy(came.data(), data.data(), static_cast<int64_t>(data.size()));
  }
  void wait() {
    agreement_.run().wait([&] { return requests_->done(); }, *requests_, call_, agreement_.name());
    requests_->clear();
  }
  static bool take(RankSet& ranks, int rank) {
    const bool there = (ranks & rank_set(rank)) != 0;
    ranks &= ~rank_set(rank);
    return there;
  }

  MessageAgreement& agreement_;
  const Post& call_;
  const std::unique_ptr<Requests> requests_;
  RankSet to_send_, to_take_;  // whose first message is in an envelope, and was not asked for yet
};

struct Announced {
  int64_t elements;
  DType dtype;
  std::string text_of_site;
};
const PackedSites kNoSitesOnTheWay;

void MessageLinks::send_point_to_point(ConstBytes data) {
  count_wire(data.size());
  Packer pack(kNoSitesOnTheWay);
  pack(Announced{call_.elements, call_.dtype, call_.site->path()});
  const std::string words = pack.take();
  const int peer = agreement_.world_rank(call_.peer), tag = agreement_.tag(Channel::point_to_point);
  requests_->send(peer, tag, std::as_bytes(std::span(words)));
  requests_->send_until_received(peer, tag, data);
  wait();
}

void MessageLinks::receive_point_to_point(Bytes data) {
  const int peer = agreement_.world_rank(call_.peer), tag = agreement_.tag(Channel::point_to_point);
  std::string words(4096, '\0');
  requests_->receive(peer, tag, std::as_writable_bytes(std::span(words)));
  wait();
  Announced announced;
  Unpacker(words, kNoSitesOnTheWay)(announced);
  if (announced.elements != call_.elements || announced.dtype != call_.dtype) {
    const Site root, site{&root, announced.text_of_site, 0};
    Post sent;
    sent.op = Op::send;
    sent.site = announced.text_of_site.empty() ? &root : &site;
    sent.elements = announced.elements;
    sent.dtype = announced.dtype;
    sent.peer = rank();
    throw Verdict(other_message({agreement_.caller_name(call_.peer), sent},
                                {agreement_.caller_name(rank()), call_}, agreement_.name()),
                  true);
  }
  requests_->receive(peer, tag, data);
  wait();
}

}  // namespace

bool host_reaches(Device& device) {
  Array one = device.allocate(DType::i32, {1});
  return device.host_memory(one) != nullptr;
}

MessageTransport::MessageTransport(MessageAgreement& agreement, Device& device)
    : agreement_(agreement),
      device_(device),
      host_(host_reaches(device) ? nullptr : make_cpu_device(alone_)) {}

int64_t MessageTransport::move(const Post& call, const Array& in, Array& out) {
  if (!host_) return move_on(device_, call, in, out);
  const Array from = on_host(in);
  const bool in_place = in.data() == out.data() && in.count() == out.count();
  Array to = in_place ? from : Array();
  if (!to.present() && out.present()) to = host_->allocate(out.dtype(), out.shape());
  const int64_t wire_bytes = move_on(*host_, call, from, to);
  if (out.present()) device_.upload({to.dtype(), to.data(), to.count()}, out);
  return wire_bytes;
}

Array MessageTransport::on_host(const Array& x) {
  if (!x.present()) return x;
  Array here = host_->allocate(x.dtype(), x.shape());
  device_.download(x, {x.dtype(), here.data(), x.count()});
  return here;
}

int64_t MessageTransport::move_on(Device& device, const Post& call, const Array& in, Array& out) {
  MessageLinks links(agreement_, device, call);
  if (call.op == Op::send) {
    links.send_point_to_point(bytes_of(in));
  } else if (call.op == Op::recv) {
    links.receive_point_to_point(bytes_of(out));
  } else {
    run_algorithm(links, call, in, out);
  }
  return links.wire_bytes();
}

std::unique_ptr<Transport> MessageTransport::split(Agreement& part) {
  return std::make_unique<MessageTransport>(dynamic_cast<MessageAgreement&>(part), device_);
}

}  // namespace tplab
