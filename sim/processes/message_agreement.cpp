#include "sim/processes/message_agreement.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "sim/machine/travel.h"

namespace tplab {

namespace {

const PackedSites kNoSitesInWords;

// Bytes of what a rank gives to a call.
size_t given_bytes(const Post& call, int n) {
  const int64_t whole = call.elements * size_bytes(call.dtype);
  return static_cast<size_t>(call.op == Op::all_gather ? whole / n : whole);
}

// f(each part of an envelope of so many bytes): equal parts that go at once.
template <class F>
void each_part(size_t bytes, F f) {
  const size_t parts = (bytes + kMostAtOnce - 1) / kMostAtOnce, each = (bytes + parts - 1) / parts;
  for (size_t at = 0; at < bytes; at += each) f(at, std::min(each, bytes - at));
}

}  // namespace

MessageAgreement::MessageAgreement(SessionRun& run, std::vector<int> members, int number, Axis axis,
                                   Device& device, bool carry)
    : Agreement(static_cast<int>(std::find(members.begin(), members.end(), run.session().rank()) -
                                 members.begin()),
                static_cast<int>(members.size()), axis),
      run_(run),
      members_(std::move(members)),
      number_(number),
      name_(run.mesh().group_name(members_, axis)),
      device_(device),
      may_carry_(carry),
      envelope_bytes_(sizeof(Header) + kMostCarried + 64),
      sent_(members_.size() > 1 ? members_.size() * envelope_bytes_ : 0),
      came_(sent_.size()),
      first_(run.session().wire().requests()),
      rest_(run.session().wire().requests()) {}

MessageAgreement::Header MessageAgreement::header_of(const Post& call) {
  Header header = {};
  header.sequence = call.sequence;
  header.site = call.site->hash;
  header.elements = call.elements;
  header.peer = call.peer;
  header.op = static_cast<uint8_t>(call.op);
  header.phase = static_cast<uint8_t>(call.phase);
  header.dtype = static_cast<uint8_t>(call.dtype);
  header.reduce = static_cast<uint8_t>(call.reduce);
  header.algorithm = static_cast<uint8_t>(call.algorithm);
  return header;
}

void MessageAgreement::agree(const Post& call) {
  run_.count_collective();
  const size_t given = given_bytes(call, size());
  in_ = {static_cast<const std::byte*>(call.in), given};
  dtype_ = call.dtype;
  root_ = call.peer;
  carried_ = may_carry_ && call.in ? carried_in(call, size(), given) : Carried::nothing;
  exchange(call);
}

void MessageAgreement::exchange(const Post& call) {
  const int n = size(), tag = this->tag(Channel::calls);
  const Header header = header_of(call);
  first_->clear();
  rest_->clear();
  for (int step = 1; step < n; ++step) {
    const int from = on_ring(rank() - step, n), peer = world_rank(from);
    const size_t bytes = sizeof header + carried_from(from).size();
    each_part(bytes, [&](size_t at, size_t part) {
      // A peer whose call differs may send more with it than this rank expects.
      const bool first = at == 0;
      (first ? first_ : rest_)
          ->receive(peer, tag, {envelope(came_, from) + at, first ? kMostAtOnce : part});
    });
  }
  for (int step = 1; step < n; ++step) {
    const int to = on_ring(rank() + step, n);
    std::byte* const out = envelope(sent_, to);
    const ConstBytes carried = carried_to(carried_, in_, to, n, dtype_, rank() == root_);
    std::memcpy(out, &header, sizeof header);
    if (!carried.empty()) std::memcpy(out + sizeof header, carried.data(), carried.size());
    each_part(sizeof header + carried.size(), [&](size_t at, size_t part) {
      rest_->send(world_rank(to), tag, {out + at, part});
    });
  }
  run_.wait([&] { return first_->done(); }, *first_, call, name_);
  for (int peer = 0; peer < n; ++peer)
    if (peer != rank() && std::memcmp(envelope(came_, peer), &header, sizeof header) != 0)
      fail_disagreement(call);
  run_.wait([&] { return rest_->done(); }, *rest_, call, name_);
}

std::span<const std::byte> MessageAgreement::carried_from(int rank) const {
  const ConstBytes mine =
      carried_ == Carried::parts ? chunk(in_, this->rank(), size(), dtype_) : in_;
  const bool comes = carried_ == Carried::whole || carried_ == Carried::parts ||
                     (carried_ == Carried::from_root && rank == root_);
  const size_t bytes = comes ? mine.size() : 0;
  return {came_.data() + static_cast<size_t>(rank) * envelope_bytes_ + sizeof(Header), bytes};
}

std::vector<std::string> MessageAgreement::exchange_words(const Post& call,
                                                          const std::string& mine) {
  std::vector<std::string> all(static_cast<size_t>(size()));
  all[static_cast<size_t>(rank())] = mine;
  const std::unique_ptr<Requests> requests = run_.session().wire().requests();
  for (int peer = 0; peer < size(); ++peer)
    if (peer != rank())
      requests->send(world_rank(peer), tag(Channel::words), std::as_bytes(std::span(mine)));
  int missing = size() - 1;
  run_.wait(
      [&] {
        while (auto message = run_.session().take_message(tag(Channel::words))) {
          const auto from = std::find(members_.begin(), members_.end(), message->first);
          all[static_cast<size_t>(from - members_.begin())] = std::move(message->second);
          --missing;
        }
        return missing == 0 && requests->done();
      },
      *requests, call, name_);
  return all;
}

void MessageAgreement::fail_disagreement(const Post& call) {
  const std::vector<std::string> paths = exchange_words(call, call.site->path());
  const Site root;
  std::vector<Site> sites(paths.size());
  std::vector<Caller> callers;
  for (int rank = 0; rank < size(); ++rank) {
    const auto i = static_cast<size_t>(rank);
    Header header = header_of(call);
    if (rank != this->rank()) std::memcpy(&header, envelope(came_, rank), sizeof header);
    sites[i] = {paths[i].empty() ? nullptr : &root, paths[i], header.site};
    Post post;
    post.sequence = header.sequence;
    post.op = static_cast<Op>(header.op);
    post.phase = static_cast<Phase>(header.phase);
    post.site = &sites[i];
    post.elements = header.elements;
    post.dtype = static_cast<DType>(header.dtype);
    post.reduce = static_cast<Reduce>(header.reduce);
    post.algorithm = static_cast<Algorithm>(header.algorithm);
    post.peer = header.peer;
    callers.push_back({caller_name(rank), post});
  }
  throw Verdict(disagreement(callers, name_), true);
}

std::unique_ptr<Agreement> MessageAgreement::split(const Post& call, int color, int key) {
  struct Wish {
    int color, key, next_group;
  };
  Packer pack(kNoSitesInWords);
  pack(Wish{color, key, run_.next_group()});
  const std::vector<std::string> words = exchange_words(call, pack.take());
  std::vector<Wish> wishes(words.size());
  int number = 0;
  for (size_t rank = 0; rank < words.size(); ++rank) {
    Unpacker(words[rank], kNoSitesInWords)(wishes[rank]);
    number = std::max(number, wishes[rank].next_group);
  }
  run_.take_group(number);
  if (color < 0) return nullptr;
  std::vector<int> order;
  for (int rank = 0; rank < size(); ++rank)
    if (wishes[static_cast<size_t>(rank)].color == color) order.push_back(rank);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return wishes[static_cast<size_t>(a)].key < wishes[static_cast<size_t>(b)].key;
  });
  for (int& rank : order) rank = world_rank(rank);
  return std::make_unique<MessageAgreement>(run_, std::move(order), number, axis(), device_,
                                            may_carry_);
}

}  // namespace tplab
