// --comm nccl without GPUs: a library that stands for NCCL (tests/fake_nccl), ranks on cuda-host.
#include "sim/nccl/nccl.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>

#include "launch.h"
#include "sim/cuda/host/host_runtime.h"
#include "sim/error.h"

namespace tplab::testing {
namespace {

using Catch::Contains;
using Words = std::vector<std::string>;

bool has_fake_nccl() {
  if (*TPLAB_FAKE_NCCL) return true;
  WARN("skipped: this build has no NCCL");
  return false;
}

// The environment in which the fake is found, and told to do so.
Words with_fake(const std::string& script = "") {
  return {"LD_LIBRARY_PATH=" + std::filesystem::path(TPLAB_FAKE_NCCL).parent_path().string(),
          "FAKE_NCCL=" + script};
}

Words joined_words(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Words kOverNccl = {"--device", "cuda-host", "--comm", "nccl"};

Words verifying(const Words& more) {
  return joined_words({"verify", "--checkpoint", fixture("gpt2-tiny"), "--batch", "1", "--seq", "2",
                       "--dtype", "f64"},
                      more);
}

// In one process.
Ran over_threads(const Words& words, const std::string& script = "") {
  return tplab(joined_words(words, kOverNccl), {.env = with_fake(script)});
}

// In a process a rank. The second one's script may be another.
std::vector<Ran> over_sockets(int n, const Words& words, const std::string& script = "",
                              Words env = {}) {
  return Job(n, joined_words({TPLAB_COMMAND}, joined_words(words, kOverNccl)),
             joined_words(with_fake(script), env))
      .wait();
}

TEST_CASE("nccl: threads, processes by sockets and under mpirun do what threads do without it",
          "[nccl]") {
  if (!has_fake_nccl()) return;
  TemporaryFolder folder;
  const std::string trace = folder / "threads.jsonl";
  const Words words = verifying({"--tp", "2", "--algorithm", "gather"});  // values are held against
  REQUIRE(tplab(joined_words(words, {"--device", "cuda-host", "--trace", trace})).exit_code == 0);
  const Words against = joined_words(words, {"--trace-against", trace});
  const auto check_same_run = [](const Ran& ran) {
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK_THAT(ran.out,
               Contains("verified") && Contains("the same run as") && Contains("values, too"));
  };
  check_same_run(over_threads(against));
  const auto ran = over_sockets(2, against);
  check_same_run(ran[0]);
  CHECK(ran[1].exit_code == 0);
  CHECK((ran[1].out + ran[1].err).empty());  // one process speaks
  if (!has_mpi()) return;
  How how = launched();
  how.env = joined_words(with_fake(), how.env);
  check_same_run(
      Started(under_mpi(2, joined_words({TPLAB_COMMAND}, joined_words(against, kOverNccl))), how)
          .wait());
}

TEST_CASE("nccl: every collective by every algorithm gives the bits and the bytes of threads",
          "[nccl]") {
  if (!has_fake_nccl() || !has_mpi()) return;
  const auto ran = Job(2, {TPLAB_MPI_CASES, "over_nccl"}, with_fake()).wait();
  INFO(ran[0].err);
  CHECK(ran[0].exit_code == 0);
  CHECK_THAT(ran[0].out, Contains("calls are the same"));
  CHECK_THAT(ran[0].out, Contains("library: 4 8 12 6"));
}

TEST_CASE("nccl: replicas train in processes, and save what threads save", "[nccl]") {
  if (!has_fake_nccl()) return;
  TemporaryFolder folder;
  const auto training = [&](const std::string& out, int tp) {
    return Words{"train", "--layers", "1",    "--heads",         "2",          "--width",
                 "8",     "--block",  "8",    "--batch",         "2",          "--eval-batches",
                 "1",     "--seed",   "3",    "--out",           folder / out, "--eval-interval",
                 "0",     "--dtype",  "f64",  "--no-sample",     "--steps",    "1",
                 "--dp",  "2",        "--tp", std::to_string(tp)};
  };
  const auto tensors = [&](const std::string& out) {
    const std::string text = file_text(folder / (out + "/ckpt.safetensors"));
    return text.substr(text.find("}}") + 2);
  };
  REQUIRE(tplab(joined_words(training("a", 1), {"--device", "cuda-host"})).exit_code == 0);
  for (const Ran& ran : over_sockets(2, training("b", 1))) {
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
  }
  CHECK(tensors("a") == tensors("b"));
}

TEST_CASE("nccl: what does not end is an error at the deadline, on the rank that waits", "[nccl]") {
  if (!has_fake_nccl()) return;
  const auto begin = std::chrono::steady_clock::now();
  const Words words = verifying({"--tp", "2", "--timeout", "0.5"});
  const auto check_ends = [&](const std::string& script, const std::string& says) {
    const Ran ran = over_threads(words, script);
    INFO(script);
    CHECK(ran.exit_code == 1);
    CHECK_THAT(ran.err, Contains(says));
  };
  check_ends("no_init", " of the 2 tp ranks: making a communicator has not ended after 0.5 s");
  check_ends("hangs=1", "has not ended after 0.5 s: a rank did not come to it, or is gone");
  check_ends("fails=1", "remote process exited or there was a network error: the fake said so");
  check_ends("hangs=1,abort_hangs", "NCCL does not let go of its peers, so this process ends here");
  const auto ran = over_sockets(2, words, "hangs=1");
  CHECK(ran[0].exit_code == 1);
  CHECK_THAT(ran[0].err, Contains("of the 2 tp ranks") && Contains("has not ended after 0.5 s"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("nccl: a library that is too old, or not the same everywhere, is refused", "[nccl]") {
  if (!has_fake_nccl()) return;
  const Words words = verifying({"--tp", "2"});
  const Ran old = over_threads(words, "version=21805");
  CHECK(old.exit_code == 4);
  CHECK_THAT(old.err, Contains("is 2.18.5, and this build needs "));
  const Ran no_network = over_threads(words, "id_fails");
  CHECK(no_network.exit_code == 1);
  CHECK_THAT(no_network.err, Contains("ncclGetUniqueId") && Contains("NCCL_SOCKET_IFNAME"));
  // Two scripts: the first of a name counts.
  TemporaryFolder folder;
  const auto process = [&](const std::string& rank, const std::string& script) {
    return std::make_unique<Started>(
        joined_words({TPLAB_COMMAND}, joined_words(words, kOverNccl)),
        How{.env = joined_words({"RANK=" + rank, "WORLD_SIZE=2",
                                 std::string("TPLAB_RENDEZVOUS=") + (folder / "meet")},
                                with_fake(script))});
  };
  const auto first = process("0", "version=29901"), second = process("1", "version=29902");
  const Ran ran = first->wait();
  CHECK(ran.exit_code == 4);
  CHECK_THAT(ran.err, Contains("rank 0 has NCCL 2.99.1 and rank 1 has 2.99.2"));
  CHECK(second->wait().exit_code == 4);
}

TEST_CASE("nccl: two ranks on one GPU are refused by its UUID, unless NCCL allows it", "[nccl]") {
  if (!has_fake_nccl()) return;
  const Words words = verifying({"--tp", "2"});
  Words allowed = {"NCCL_MULTI_RANK_GPU_ENABLE=1"};
  for (const Ran& ran : {over_threads(words, "one_gpu"), over_sockets(2, words, "one_gpu")[0],
                         over_sockets(2, words, "one_gpu,version=22999", allowed)[0]}) {
    CHECK(ran.exit_code == 4);
    CHECK_THAT(ran.err, Contains("ranks 0 and 1 are on one GPU (GPU-000") &&
                            Contains("takes one rank a GPU\n  fix: use --comm threads"));
  }
  CHECK_THAT(over_threads(words, "one_gpu,version=23000").err,
             Contains("NCCL_MULTI_RANK_GPU_ENABLE=1"));
  CHECK(over_sockets(2, words, "one_gpu,version=23000", allowed)[0].exit_code == 0);
}

int unused_port() {
  const int one = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(one, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(one, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(one);
  return ntohs(address.sin_port);
}

TEST_CASE("nccl: variables that lead nowhere, or contradict the mesh, are named", "[nccl]") {
  if (!has_fake_nccl()) return;
  const auto alone = [&](const Words& env) {
    return tplab(joined_words(verifying({"--tp", "2", "--timeout", "0.5"}), kOverNccl),
                 {.env = joined_words(with_fake(), env)});
  };
  const std::string port = std::to_string(unused_port());
  const Ran nobody =
      alone({"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port});
  CHECK(nobody.exit_code == 4);
  CHECK_THAT(nobody.err, Contains("rank 1: rank 0 did not answer at 127.0.0.1:" + port));
  const Ran missed =
      alone({"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port});
  CHECK(missed.exit_code == 1);
  CHECK_THAT(missed.err, Contains("rank 1 of 2 did not come to port " + port));
  const Ran nowhere = alone({"RANK=1", "WORLD_SIZE=2"});
  CHECK(nowhere.exit_code == 2);
  CHECK_THAT(nowhere.err, Contains("where is rank 0?\n  fix: set MASTER_ADDR and MASTER_PORT"));
  const Ran wrong = alone({"RANK=2", "WORLD_SIZE=2", "MASTER_ADDR=x", "MASTER_PORT=1"});
  CHECK(wrong.exit_code == 2);
  CHECK_THAT(wrong.err, Contains("the variable RANK is '2', not a number from 0 to 1"));
  const auto ran = over_sockets(2, verifying({"--tp", "4"}));
  CHECK(ran[0].exit_code == 2);
  CHECK_THAT(ran[0].err, Contains("tp 4 needs 4 processes, and the launcher has started 2"));
  CHECK(ran[1].exit_code == 2);
}

TEST_CASE("nccl: a process that is killed ends the others in seconds, and what was saved is whole",
          "[nccl]") {
  if (!has_fake_nccl()) return;
  TemporaryFolder folder;
  Job job(2,
          joined_words({TPLAB_COMMAND,
                        "train",
                        "--layers",
                        "1",
                        "--heads",
                        "2",
                        "--width",
                        "8",
                        "--block",
                        "4",
                        "--batch",
                        "2",
                        "--eval-batches",
                        "1",
                        "--out",
                        folder / "a",
                        "--eval-interval",
                        "1",
                        "--steps",
                        "100000",
                        "--dp",
                        "2",
                        "--tp",
                        "1",
                        "--no-sample"},
                       kOverNccl),
          with_fake());
  for (int i = 0; i < 3000 && !std::filesystem::exists(folder / "a/ckpt.safetensors"); ++i)
    ::usleep(20000);
  job.process(1).send(SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  const Ran ran = job.process(0).wait();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  INFO(ran.err);
  CHECK(ran.exit_code == 1);
  CHECK_THAT(ran.err, Contains("rank 1 (dp 1, tp 0) is gone: process "));
  CHECK(tplab({"info", "--checkpoint", folder / "a"}).exit_code == 0);
}

TEST_CASE("nccl: what moves host memory alone goes with cuda-host", "[nccl]") {
  if (!has_fake_nccl()) return;
  CHECK_THAT(tplab({"verify", "--preset", "nano-cpu", "--comm", "nccl"}, {.env = with_fake()}).err,
             Contains("comm 'nccl' moves numbers between GPUs, and the device is 'cpu'"));
}

// A rank alone, and what waits for its GPU.
class Alone final : public Agreement {
 public:
  Alone() : Agreement(0, 1, Axis::tp) {}
  void agree(const Post&) override {}
  std::vector<std::string> gather(const Post&, const std::string& mine) override { return {mine}; }
  void look(const Post&) override {
    ++looks;
    if (peer_is_gone) throw PeerFailed("rank 1");
  }
  std::unique_ptr<Agreement> split(const Post&, int, int) override { return nullptr; }
  int looks = 0;
  bool peer_is_gone = false;
};

TEST_CASE("nccl: a stream that is awaited is looked at: deadline, asynchronous errors, peers",
          "[nccl]") {
  if (!has_fake_nccl()) return;
  REQUIRE(::dlopen(TPLAB_FAKE_NCCL, RTLD_NOW));  // found by its name from now on
  const std::unique_ptr<Device> device = make_cuda_host_device();
  class Watched final : public CudaRuntime {
   public:
    std::string_view name() const override { return "a test's"; }
    bool memory_is_the_hosts() const override { return true; }
    void* stream() override { return nullptr; }
    int64_t rounded(int64_t bytes) const override { return bytes; }
    void* take(int64_t) override { return nullptr; }
    void give_back(void*, int64_t) noexcept override {}
    void lend(void*, int64_t) override {}
    std::string_view way_out() const override { return ""; }
    void upload(const void*, void*, int64_t) override {}
    void download(const void*, void*, int64_t) override {}
    void copy(const void*, void*, int64_t) override {}
    void set(void*, int, int64_t) override {}
    void multiply(const CudaProduct&) override {}
    void wait() override {}
    void watch(const void*, const std::function<void(double)>& given) override { look = given; }
    std::shared_ptr<void> record() override { return nullptr; }
    void wait_for(const std::shared_ptr<void>&) override {}
    std::shared_ptr<void> mark() override { return nullptr; }
    double seconds_between(const std::shared_ptr<void>&, const std::shared_ptr<void>&) override {
      return 0;
    }
    void begin_capture() override {}
    CapturedStep end_capture(bool) override { return {}; }
    void replay(const CapturedStep&) override {}
    std::function<void(double waited_s)> look;
  } runtime;
  Alone agreement;
  const Site root;
  Post call;
  call.op = Op::all_reduce;
  call.site = &root;
  call.elements = 2;
  Array x = device->allocate(DType::f32, {2});
  const auto begun = [&] {
    auto transport = make_nccl_transport(agreement, *device, runtime, 5);
    transport->move(call, x, x);
    REQUIRE(runtime.look);
    return transport;
  };
  {
    const auto transport = begun();
    for (const double waited_s : {0.0, 0.01, 0.06, 0.061, 0.2})
      CHECK_NOTHROW(runtime.look(waited_s));
    CHECK(agreement.looks == 2);  // now and then
    CHECK_THROWS_WITH(runtime.look(5.1),
                      Contains("rank 0 of the 1 tp ranks: has waited for its GPU for 5 s, after "
                               "all_reduce #0 of 2 f32"));
  }
  CHECK_FALSE(runtime.look);  // and no more
  {
    const auto transport = begun();
    ::setenv("FAKE_NCCL", "lost", 1);
    CHECK_THROWS_WITH(runtime.look(0.0), Contains("all_reduce #0 of 2 f32: remote process exited"));
    ::unsetenv("FAKE_NCCL");
  }
  agreement.peer_is_gone = true;
  {
    const auto transport = begun();
    CHECK_NOTHROW(runtime.look(0.0));
    CHECK_THROWS_WITH(runtime.look(0.1), Contains("rank 1 failed"));
  }
}

}  // namespace
}  // namespace tplab::testing
