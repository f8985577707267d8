#include "viz/recording/collective_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <tuple>

#include "sim/error.h"
#include "sim/machine/world.h"

namespace tplab {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::run, what,
              "this is a bug in a collective algorithm of tplab or in its picture; please report "
              "it");
}

// Each chunk is two numbers: the sum of 2^r over the ranks whose terms are in it, and its own index
// once for each term. Both are exact, and tell what a chunk is wherever it turns up.
constexpr int kNumbers = 2;
constexpr int64_t kChunkBytes = kNumbers * sizeof(double);

void put(double* at, int chunk, int rank) {
  at[0] = static_cast<double>(rank_set(rank));
  at[1] = chunk;
}

Holding chunks_in(ConstBytes bytes) {
  Holding chunks;
  const auto* numbers = reinterpret_cast<const double*>(bytes.data());
  if (bytes.size() % kChunkBytes != 0) refuse("an algorithm moved a part of a chunk");
  for (size_t i = 0; i < bytes.size() / sizeof(double); i += kNumbers) {
    const auto ranks = static_cast<RankSet>(numbers[i]);
    if (ranks == 0) continue;
    const int chunk = static_cast<int>(numbers[i + 1]) / std::popcount(ranks);
    if (!(numbers[i + 1] == chunk * std::popcount(ranks)) ||
        !(numbers[i] == static_cast<double>(ranks)))
      refuse(fmt::format("an algorithm summed different chunks, or one term twice, at chunk {}",
                         chunk));
    chunks[chunk] = ranks;
  }
  return chunks;
}

// Where messages wait. A message is its sender's until its step is set.
class PostOffice {
 public:
  struct Message {
    ConstBytes data;
    int clock;     // of the sender, before it
    int step = 0;  // set when it has arrived
  };

  void send(int from, int to, Message& message) {
    const std::lock_guard lock(mutex_);
    boxes_[{from, to}].push_back(&message);
    changed_.notify_all();
  }
  int wait_for_arrival(const Message& message) {
    std::unique_lock lock(mutex_);
    wait(lock, [&] { return message.step > 0; });
    return message.step;
  }
  // Copies it; returns its step.
  int receive(int from, int to, int clock, Bytes into) {
    std::unique_lock lock(mutex_);
    std::deque<Message*>& box = boxes_[{from, to}];
    wait(lock, [&] { return !box.empty(); });
    Message& message = *box.front();
    box.pop_front();
    if (message.data.size() != into.size()) refuse("a message of another size was expected");
    std::copy(message.data.begin(), message.data.end(), into.begin());
    message.step = 1 + std::max(message.clock, clock);
    changed_.notify_all();
    return message.step;
  }

 private:
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    if (!changed_.wait_for(lock, std::chrono::seconds(60), condition))
      refuse("an algorithm waits for a message that nobody sends");
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int, int>, std::deque<Message*>> boxes_;
};

// The wires between the ranks, which are threads of this process: each sees the others' memory
// and posts to them. What is recorded is not here; each rank's body returns its own.
class Wires {
 public:
  explicit Wires(int n) : in_(static_cast<size_t>(n)), out_(in_.size()) {}

  // Before the others look, which a barrier says.
  void attach(int rank, ConstBytes in, Bytes out) {
    in_[static_cast<size_t>(rank)] = in.data();
    out_[static_cast<size_t>(rank)] = out.data();
  }
  const std::byte* in(int rank) const { return in_[static_cast<size_t>(rank)]; }
  std::byte* out(int rank) const { return out_[static_cast<size_t>(rank)]; }
  PostOffice& office() { return office_; }

 private:
  std::vector<const std::byte*> in_;
  std::vector<std::byte*> out_;
  PostOffice office_;
};

// One rank's part of the record.
struct RankPart {
  Holding begin, end;
  int64_t chunks_sent = 0;
  std::vector<Transfer> transfers;
};

class RecordingLinks final : public Links {
 public:
  RecordingLinks(Rank& rank, Wires& wires)
      : Links(rank.index(), rank.size(), rank.device()), rank_(rank), wires_(wires) {}

  std::vector<Transfer> take() { return std::move(transfers_); }

  const std::byte* peer_in(int peer) const override { return wires_.in(peer); }
  std::byte* peer_out(int peer) const override { return wires_.out(peer); }
  void rendezvous() override { rank_.comm().barrier(); }

 private:
  void do_send(int to, ConstBytes data) override {
    PostOffice::Message message{data, clock_};
    wires_.office().send(rank(), to, message);
    clock_ = wires_.office().wait_for_arrival(message);
  }
  void do_recv(int from, Bytes data) override {
    clock_ = wires_.office().receive(from, rank(), clock_, data);
    transfers_.push_back({clock_, from, rank(), chunks_in(data)});
  }
  void do_send_recv(int to, ConstBytes sent, int from, Bytes received) override {
    PostOffice::Message message{sent, clock_};
    wires_.office().send(rank(), to, message);
    const int step = wires_.office().receive(from, rank(), clock_, received);
    transfers_.push_back({step, from, rank(), chunks_in(received)});
    clock_ = std::max(step, wires_.office().wait_for_arrival(message));
  }
  // Reads that follow each other are one step, as no one waits for another; so are writes.
  void accessed(int from, int to, ConstBytes data) override {
    const bool reads = to == rank();
    if (clock_ == 0 || reads != last_reads_) ++clock_;
    last_reads_ = reads;
    transfers_.push_back({clock_, from, to, chunks_in(data)});
  }

  Rank& rank_;
  Wires& wires_;
  std::vector<Transfer> transfers_;
  int clock_ = 0;
  bool last_reads_ = false;
};

bool in_place(Op op) { return op == Op::all_reduce || op == Op::broadcast; }

// Rank r's input: [chunks of the whole tensor, or for all_gather its own].
void fill(Array& in, const CollectiveRecord& record, int rank) {
  const int n = record.n;
  const int64_t chunks = in.count() / kNumbers;
  std::fill_n(in.as<double>(), in.count(), 0);
  for (int c = 0; c < chunks; ++c) {
    double* at = in.as<double>() + int64_t{kNumbers} * c;
    switch (record.row->op) {
      case Op::all_gather:
        put(at, rank, rank);
        break;
      case Op::all_to_all:
        put(at, rank * n + c, rank);
        break;
      case Op::broadcast:
        if (rank == record.root) put(at, c, rank);
        break;
      default:
        put(at, c, rank);
    }
  }
}

Bytes bytes_of_array(const Array& x) {
  return {static_cast<std::byte*>(x.data()), static_cast<size_t>(x.bytes())};
}

// What an operation promises rank r.
Holding promised(const CollectiveRecord& record, int rank) {
  const int n = record.n;
  const RankSet all = first_ranks(n);
  Holding chunks;
  for (int c = 0; c < n; ++c) {
    switch (record.row->op) {
      case Op::all_gather:
        chunks[c] = rank_set(c);
        break;
      case Op::all_to_all:
        chunks[c * n + rank] = rank_set(c);
        break;
      case Op::broadcast:
        chunks[c] = rank_set(record.root);
        break;
      case Op::reduce_scatter:
        if (c == rank) chunks[c] = all;
        break;
      default:
        chunks[c] = all;
    }
  }
  return chunks;
}

// Bytes as counted, as recorded and as the table says.
void check_bytes(const CollectiveRecord& record) {
  const AlgorithmRow& row = *record.row;
  std::vector<int64_t> moved(static_cast<size_t>(record.n));
  for (const Transfer& t : record.transfers) {
    const bool read = row.algorithm == Algorithm::direct && t.step == 1;  // the reader counts
    moved[static_cast<size_t>(read ? t.to : t.from)] += std::ssize(t.chunks);
  }
  for (int r = 0; r < record.n; ++r) {
    const auto i = static_cast<size_t>(r);
    const int64_t predicted =
        row.sent.elements({r, record.n, int64_t{kNumbers} * record.n, record.root}) / kNumbers;
    if (record.chunks_sent[i] != predicted || moved[i] != predicted)
      refuse(fmt::format("rank {} sent {} chunks, {} of them recorded, where the table says {}", r,
                         record.chunks_sent[i], moved[i], predicted));
  }
}

}  // namespace

CollectiveRecord record_collective(const AlgorithmRow& row, int n, int root) {
  if (n < 2 || n > kMostPicturedRanks)
    fail(fmt::format("a collective of {} rank{} cannot be drawn", n, n == 1 ? "" : "s"),
         fmt::format("use --tp 2 to {}", kMostPicturedRanks));
  CollectiveRecord record{.row = &row, .n = n, .root = root, .transfers = {}};
  Wires wires(n);
  const auto [results, records] = World({.tp = n, .comm = "threads"}).run([&](Rank& rank) {
    RankPart result;
    const int64_t whole = int64_t{kNumbers} * n;
    Array in = rank.device().allocate(DType::f64,
                                      Shape{row.op == Op::all_gather ? int64_t{kNumbers} : whole});
    fill(in, record, rank.index());
    Array out =
        in_place(row.op)
            ? in
            : rank.device().allocate(
                  DType::f64, Shape{row.op == Op::reduce_scatter ? int64_t{kNumbers} : whole});
    result.begin = chunks_in(bytes_of_array(in));
    wires.attach(rank.index(), bytes_of_array(in), bytes_of_array(out));
    rank.comm().barrier();
    RecordingLinks links(rank, wires);
    row.run(links, {bytes_of_array(in), bytes_of_array(out), DType::f64, Reduce::sum, root});
    rank.comm().barrier();
    result.end = chunks_in(bytes_of_array(out));
    result.chunks_sent = links.wire_bytes() / kChunkBytes;
    result.transfers = links.take();
    return result;
  });
  for (const RankPart& of_rank : results) {
    record.begin.push_back(of_rank.begin);
    record.end.push_back(of_rank.end);
    record.chunks_sent.push_back(of_rank.chunks_sent);
    record.transfers.insert(record.transfers.end(), of_rank.transfers.begin(),
                            of_rank.transfers.end());
  }
  const auto key = [](const Transfer& t) { return std::tuple(t.step, t.to, t.from); };
  std::sort(record.transfers.begin(), record.transfers.end(),
            [&](const Transfer& a, const Transfer& b) { return key(a) < key(b); });
  return record;
}

std::vector<std::vector<Holding>> holdings(const CollectiveRecord& record) {
  std::vector<std::vector<Holding>> after = {record.begin};
  for (const Transfer& t : record.transfers) {
    while (std::ssize(after) <= t.step) after.push_back(after.back());
    const Holding& sender = after[static_cast<size_t>(t.step - 1)][static_cast<size_t>(t.from)];
    Holding& receiver = after.back()[static_cast<size_t>(t.to)];
    for (const auto& [chunk, ranks] : t.chunks) {
      const auto held = sender.find(chunk);
      if (held == sender.end() || (ranks & ~held->second) != 0)
        refuse(fmt::format("in step {} rank {} sends {} of chunk {}, which it does not hold",
                           t.step, t.from, in_braces(ranks), chunk));
      receiver[chunk] |= ranks;
    }
  }
  return after;
}

void check(const CollectiveRecord& record) {
  const std::vector<Holding> last = holdings(record).back();
  const AlgorithmRow& row = *record.row;
  if (record.steps() != row.steps(record.n))
    refuse(fmt::format("{} by {} took {} steps, where the table says {}", name(row.op), row.name,
                       record.steps(), row.steps(record.n)));
  for (int r = 0; r < record.n; ++r) {
    const auto i = static_cast<size_t>(r);
    if (record.end[i] != promised(record, r))
      refuse(fmt::format("{} by {} left rank {} with something else", name(row.op), row.name, r));
    for (const auto& [chunk, ranks] : record.end[i])
      if (const auto held = last[i].find(chunk); held == last[i].end() || held->second != ranks)
        refuse(fmt::format("the transfers do not give rank {} the {} of chunk {} that it has", r,
                           in_braces(ranks), chunk));
  }
  check_bytes(record);
}

std::string ranges_text(RankSet numbers) {
  std::string text;
  while (numbers != 0) {
    const int first = std::countr_zero(numbers), end = first + std::countr_one(numbers >> first);
    text += fmt::format("{}{}", text.empty() ? "" : ",", first);
    if (end - 1 > first) text += fmt::format("{}{}", end - 2 == first ? "," : "-", end - 1);
    numbers &= ~first_ranks(end);
  }
  return text;
}

std::string in_braces(RankSet ranks) { return fmt::format("{{{}}}", ranges_text(ranks)); }

}  // namespace tplab
