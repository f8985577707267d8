// What a test runs as one process a rank, under an MPI launcher or with torchrun's variables:
// mpi_cases NAME. Rank 0 prints what
// came of it; a failure ends all processes as in the command.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <thread>

#include "far_device.h"
#include "sim/algorithms/table.h"
#include "sim/error.h"
#include "sim/machine/rank_numbers.h"
#include "sim/machine/world.h"
#include "sim/mpi/join.h"
#include "sim/mpi/raw.h"
#include "sim/processes/launcher.h"
#include "sim/tcp/join.h"

namespace tplab {
namespace {

WorldOptions in_processes() { return {.tp = processes()->size(), .comm = "mpi"}; }

void print(const std::string& text) {
  if (is_first_process()) fmt::print("{}\n", text);
}

// What a rank gets from a collective of so many numbers, and what it sent.
struct Got {
  std::vector<double> numbers;
  int64_t wire_bytes = 0;
  bool operator==(const Got&) const = default;
};

Array numbers_of(Rank& rank, int64_t count) {
  Array x = rank.device().allocate(DType::f64, {count});
  std::vector<double> numbers;
  for (int64_t i = 0; i < count; ++i)  // whose sum depends on the order of its terms
    numbers.push_back(1.0 / (1.0 + static_cast<double>(i)) + 1e15 * (rank.global_index() % 2) +
                      0.1 * rank.global_index());
  rank.device().upload({DType::f64, numbers.data(), count}, x);
  return x;
}

Got called(Rank& rank, Op op, int64_t part) {
  const int64_t whole = part * rank.size();
  Array in = numbers_of(rank, op == Op::all_gather ? part : whole), out = in;
  switch (op) {
    case Op::all_reduce:
      in = numbers_of(rank, part);  // of any size
      rank.comm().all_reduce(in);
      out = in;
      break;
    case Op::all_gather:
      out = rank.device().allocate(DType::f64, {whole});
      rank.comm().all_gather(in, out);
      break;
    case Op::reduce_scatter:
      out = rank.device().allocate(DType::f64, {part});
      rank.comm().reduce_scatter(in, out);
      break;
    case Op::broadcast:
      rank.comm().broadcast(out, rank.size() - 1);
      break;
    default:
      out = rank.device().allocate(DType::f64, {whole});
      rank.comm().all_to_all(in, out);
  }
  Got got;
  got.numbers.resize(static_cast<size_t>(out.count()));
  rank.device().download(out, {DType::f64, got.numbers.data(), out.count()});
  got.wire_bytes = rank.ledger().events().back().wire_bytes;
  return got;
}

// Every operation by every algorithm, of sizes that go with the agreement and of larger ones: the
// same bits as threads, the same bytes in the ledger.
void compare_with_threads(const WorldOptions& in_processes) {
  int calls = 0;
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    const auto body = [](Rank& rank) {
      std::vector<Got> all;
      for (const Op op :
           {Op::all_reduce, Op::all_gather, Op::reduce_scatter, Op::broadcast, Op::all_to_all})
        for (const int64_t part : {1, 2, 7, 500, 1024, 1025, 40000})
          all.push_back(called(rank, op, part));
      return all;
    };
    WorldOptions options = in_processes;
    options.algorithm = algorithm;
    const auto mine = World(options).run(body);
    options.comm = "threads";
    options.wrap_device = {};
    options.threads_per_rank = 1;
    const auto expected = World(options).run(body);
    for (size_t r = 0; r < expected.results.size(); ++r)
      for (size_t i = 0; i < expected.results[r].size(); ++i, ++calls)
        if (!(mine.results[r][i] == expected.results[r][i]))
          throw Error(ErrorKind::run,
                      fmt::format("{}: rank {} got another result in call {} ({} bytes sent, and "
                                  "{} by threads)",
                                  name(algorithm), r, i, mine.results[r][i].wire_bytes,
                                  expected.results[r][i].wire_bytes),
                      "look at sim/mpi");
    for (size_t r = 0; r < expected.records.size(); ++r)
      if (mine.records[r].ledger.events().size() != expected.records[r].ledger.events().size())
        throw Error(ErrorKind::run, "the ledgers differ", "look at sim/mpi");
  }
  print(fmt::format("{} calls are the same", calls));
}

void algorithms() { compare_with_threads(in_processes()); }

// Of devices whose memory ends the process that touches it.
void far_memory() {
  WorldOptions options = in_processes();
  options.wrap_device = [](int, std::unique_ptr<Device> device) {
    return make_far_device(std::move(device));
  };
  compare_with_threads(options);
}

// Over NCCL, or what stands for it: the same; and its own sums, of numbers whose order is the same.
void over_nccl() {
  WorldOptions options{
      .tp = processes()->size(), .device = "cuda-host", .comm = "nccl", .timeout_s = 20};
  compare_with_threads(options);
  options.algorithm = Algorithm::library;
  const auto ran = World(options).run([](Rank& rank) {
    Array all = rank.device().allocate(DType::f64, {4});
    std::vector<double> numbers = {1, 2, 3, rank.index() + 1.0};
    rank.device().upload({DType::f64, numbers.data(), 4}, all);
    rank.comm().all_reduce(all);
    rank.comm().all_reduce(all, Reduce::max);
    Array mine = rank.device().allocate(DType::f64, {4 / rank.size()});
    rank.comm().reduce_scatter(all, mine);
    rank.comm().all_gather(mine, all);
    rank.device().download(all, {DType::f64, numbers.data(), 4});
    return numbers;
  });
  print(fmt::format("library: {}", fmt::join(ran.results.back(), " ")));
}

void disagree() {
  World(in_processes()).run([](Rank& rank) {
    const auto scope = rank.at("block 3");
    Array x = numbers_of(rank, rank.index() == 1 ? 5 : 4);
    rank.comm().all_reduce(x);
  });
}

void return_early() {
  World(in_processes()).run([](Rank& rank) {
    if (rank.index() == 1) return;
    const auto scope = rank.at("block 3");
    rank.comm().barrier();
  });
}

void throws() {
  World(in_processes()).run([](Rank& rank) {
    if (rank.index() == 1) fail("no such thing", "do without it");
    rank.comm().barrier();
  });
}

// A run that failed, and another after it.
void go_on() {
  std::exception_ptr failed;
  const auto ran = World(in_processes())
                       .try_run<int>(
                           [](Rank& rank, int& done) {
                             done = 7 + rank.index();
                             Array x = numbers_of(rank, 4);
                             if (rank.index() == 1) fail("not this one", "try another");
                             rank.comm().all_reduce(x);
                             done = 0;
                           },
                           failed);
  const auto next = World(in_processes()).run([](Rank& rank) {
    return sum_over_group(rank, rank.index() + 1.0);
  });
  print(fmt::format("{}; filled in {} {}; then {} {}", as_error(failed).problem(), ran.results[0],
                    ran.results[1], next.results[0], next.results[1]));
}

void deadline() {
  WorldOptions options = in_processes();
  options.timeout_s = 0.5;
  World(options).run([](Rank& rank) {
    const auto scope = rank.at("block 3");
    if (rank.index() == 1) std::this_thread::sleep_for(std::chrono::seconds(30));
    rank.comm().barrier();
  });
}

void killed() {
  World(in_processes()).run([](Rank& rank) {
    const auto scope = rank.at("block 3");
    rank.comm().barrier();
    if (rank.index() == 1) std::raise(SIGKILL);
    rank.comm().barrier();
  });
}

// The others compute, and miss nobody yet.
void killed_while_computing() {
  World(in_processes()).run([](Rank& rank) {
    const auto scope = rank.at("block 3");
    if (rank.index() == 1) std::raise(SIGKILL);
    std::this_thread::sleep_for(std::chrono::seconds(20));
  });
}

void leaves_the_program() {
  if (processes()->rank() == 1) fail("there is no such file here", "look for it");
  World(in_processes()).run([](Rank& rank) { rank.comm().barrier(); });
}

void leaves_well() {
  if (processes()->rank() == 1) return;
  World(in_processes()).run([](Rank& rank) {
    const auto scope = rank.at("block 3");
    rank.comm().barrier();
  });
}

// Rank 0 waits for rank 1, which waits for rank 3.
void stopped() {
  WorldOptions options{.tp = 2, .dp = 2, .comm = "mpi"};
  options.timeout_s = 1.5;
  World(options).run([](Rank& rank) {
    if (rank.global_index() == 3) std::raise(SIGSTOP);
    if (rank.global_index() > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    if (rank.global_index() == 1) rank.dp_comm().barrier();
    rank.comm().barrier();  // rank 0's deadline is the first
  });
}

void once_only() {
  int calls = 0;
  once([&] { ++calls; });
  const std::string told = once_told([] { return fmt::format("by {}", processes()->rank()); });
  const auto counts = World(in_processes()).run([&](Rank&) { return std::pair(calls, told); });
  std::string text;
  for (const auto& [count, said] : counts.results) text += fmt::format(" {} {}", count, said);
  print("once:" + text);
  once([] { fail("a full disk", "make room"); });
}

void split() {
  const auto ran = World(in_processes()).run([](Rank& rank) {
    const auto half = rank.comm().split(rank.index() % 2, -rank.index());
    const auto again = half->split(0, 0);
    Array x = numbers_of(rank, 1);
    const double mine = rank.index() + 1;
    rank.device().upload({DType::f64, const_cast<double*>(&mine), 1}, x);
    again->all_reduce(x);
    return std::tuple(half->rank(), half->size(), number_on_host(rank.device(), x));
  });
  std::string text;
  for (const auto& [place, size, sum] : ran.results)
    text += fmt::format(" {}/{} {}", place, size, sum);
  print("split:" + text);
}

void point_to_point() {
  const auto ran = World(in_processes()).run([](Rank& rank) {
    Array x = numbers_of(rank, 20000);
    const int n = rank.size();
    if (rank.index() == 0) rank.comm().send(x, n - 1);
    if (rank.index() == n - 1) rank.comm().recv(x, 0);
    rank.comm().barrier();
    std::vector<double> got(20000);
    rank.device().download(x, {DType::f64, got.data(), 20000});
    return got;
  });
  print(fmt::format("received {}", ran.results.front() == ran.results.back()));
}

void another_message() {
  World(in_processes()).run([](Rank& rank) {
    const auto scope = rank.at(rank.index() == 0 ? "here" : "there");
    Array x = numbers_of(rank, rank.index() == 0 ? 4 : 5);
    if (rank.index() == 0) rank.comm().send(x, 1);
    if (rank.index() == 1) rank.comm().recv(x, 0);
  });
}

// On a mesh of two axes.
void mesh() {
  WorldOptions options{.tp = processes()->size() / 2, .dp = 2, .comm = "mpi"};
  const auto body = [](Rank& rank) {
    return std::pair(sum_over_group(rank, rank.global_index()),
                     from_rank_0(rank, 5.0 + rank.global_index()));
  };
  const auto ran = World(options).run(body);
  std::string text;
  for (const auto& [sum, first] : ran.results) text += fmt::format(" {} {}", sum, first);
  print("mesh:" + text);
}

// Not a test: our all-reduce beside MPI's own, in turn, in microseconds.
void speed() {
  constexpr int64_t kCalls = 300;
  constexpr int kBatches = 41;
  const auto ran = World(in_processes()).run([](Rank& rank) {
    std::vector<std::array<double, 4>> rows;  // bytes, and seconds: ours, MPI's; as {min, median}
    for (const int64_t bytes : {64, 1024, 4096, 8192, 16384, 1 << 20}) {
      Array x = rank.device().allocate(DType::f32, {bytes / 4});
      rank.device().zero(x);
      std::vector<double> ours, raw;
      const int64_t calls = bytes > 8192 ? kCalls / 20 : kCalls;
      for (int i = 0; i < kBatches; ++i) {
        rank.ledger().clear();
        rank.comm().barrier();
        const int64_t start = rank.clock().now_ns();
        for (int64_t call = 0; call < calls; ++call) rank.comm().all_reduce(x);
        ours.push_back(static_cast<double>(rank.clock().now_ns() - start) * 1e-3 /
                       static_cast<double>(calls));
        rank.comm().barrier();
        raw.push_back(raw_all_reduce_seconds(bytes / 4, calls) * 1e6);
      }
      std::sort(ours.begin(), ours.end());
      std::sort(raw.begin(), raw.end());
      rows.push_back({ours[0], ours[kBatches / 2], raw[0], raw[kBatches / 2]});
    }
    return rows;
  });
  print("all-reduce of f32, us: ours min, median; MPI_Allreduce min, median; ratios");
  for (const auto& row : ran.results[0])
    print(fmt::format("{:9.2f} {:9.2f}   {:9.2f} {:9.2f}   {:5.2f} {:5.2f}", row[0], row[1], row[2],
                      row[3], row[0] / row[2], row[1] / row[3]));
}

const std::map<std::string, void (*)()>& cases() {
  static const std::map<std::string, void (*)()> all = {
      {"algorithms", algorithms},
      {"far_memory", far_memory},
      {"over_nccl", over_nccl},
      {"disagree", disagree},
      {"return_early", return_early},
      {"throws", throws},
      {"go_on", go_on},
      {"deadline", deadline},
      {"killed", killed},
      {"killed_while_computing", killed_while_computing},
      {"leaves_the_program", leaves_the_program},
      {"leaves_well", leaves_well},
      {"stopped", stopped},
      {"once_only", once_only},
      {"split", split},
      {"point_to_point", point_to_point},
      {"another_message", another_message},
      {"mesh", mesh},
      {"speed", speed}};
  return all;
}

Ending ended_by(const std::exception_ptr& thrown) {
  const Error error = as_error(thrown);
  Ending ending{static_cast<int>(error.kind()), error.what()};
  try {
    std::rethrow_exception(thrown);
  } catch (const PeerFailed&) {
    ending.released = true;
  } catch (...) {
  }
  return ending;
}

int run(const std::string& name) {
  std::unique_ptr<Processes> all;
  Ending ending;
  try {
    const auto job = find_job([](const char* variable) { return std::getenv(variable); });
    all = job && job->says_where() ? join_tcp(*job, 10, "cases")
                                   : join_mpi("cases", name == "impatient" ? 1 : 300);
    if (!all) fail("no launcher", "start it with mpirun");
    set_processes(all.get());
    cases().at(name)();
  } catch (...) {
    ending = ended_by(std::current_exception());
  }
  std::fflush(stdout);
  if (all) ending = all->leave(ending);
  if (!ending.message.empty()) fmt::print(stderr, "{}\n", ending.message);
  return ending.exit_code;
}

}  // namespace
}  // namespace tplab

int main(int argc, char** argv) { return tplab::run(argc > 1 ? argv[1] : ""); }
