// A checkpoint is written from any mesh, and whatever happens meanwhile, a whole one is in place.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "checkpoint_files.h"
#include "checkpoint_states.h"
#include "model/files/safetensors.h"
#include "model/files/state_writer.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

constexpr Range kAll{0, 3};

// What a writer complains of, with a fix.
template <class F>
Error refused(F&& f, ErrorKind kind = ErrorKind::usage) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    CHECK(!error.fix().empty());
    return error;
  }
  FAIL("was accepted");
  throw std::logic_error("unreachable");
}

// A file of one generation: `n_tensors` of 64 KiB, number i of tensor t being t + i / 2^20 +
// 1000 times the generation.
constexpr int64_t kValues = 8192;
constexpr int kTensors = 16;

double value(int64_t generation, int tensor, int64_t i) {
  return static_cast<double>(1000 * generation + tensor) + static_cast<double>(i) * 0x1p-20;
}

void write_generation(const std::string& path, int64_t generation, const std::string& second = "") {
  std::vector<StateTensor> tensors;
  for (int t = 0; t < kTensors; ++t) tensors.push_back({"t" + std::to_string(t), {kValues}});
  StateWriter writer(path, tensors, DType::f64, {{"generation", std::to_string(generation)}});
  std::vector<double> values(static_cast<size_t>(kValues));
  for (int t = 0; t < kTensors; ++t) {
    for (int64_t i = 0; i < kValues; ++i) values[static_cast<size_t>(i)] = value(generation, t, i);
    writer.write("t" + std::to_string(t), {{{0, kValues}}, {0, 1}}, 0, kValues, values.data());
  }
  writer.commit(second);
}

// The generation of which the file holds every number; -1 where it holds a mixture.
int64_t whole_generation(const std::string& path) {
  const SafetensorsFile file(path);
  const int64_t generation = std::stoll(file.metadata().at("generation"));
  for (int t = 0; t < kTensors; ++t) {
    const std::vector<double> values = file.read_doubles("t" + std::to_string(t));
    for (int64_t i = 0; i < kValues; ++i)
      if (values.at(static_cast<size_t>(i)) != value(generation, t, i)) return -1;
  }
  return generation;
}

// No file may grow past `most` bytes, and growing fails instead of ending the process.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t most) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_) == 0);
    const rlimit limit = {most, old_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_ = {};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("state writer: every range of every slice lands where the whole tensor has it") {
  const TempFolder folder;
  const std::string path = folder.path("a.safetensors");
  const std::vector<Slice> slices = {{{{0, 2}, {3, 5}}, {0, 4}},  // whole rows, as of fused heads
                                     {{{0, 5}}, {1, 3}},          // a range of columns
                                     {{{4, 5}, {0, 1}}, {2, 4}},
                                     {{{2, 2}}, {0, 4}},
                                     {{{0, 5}}, {4, 4}}};
  for (const Slice& slice : slices) {
    for (int64_t begin = 0; begin <= slice.count(); ++begin) {
      for (int64_t end = begin; end <= slice.count(); ++end) {
        std::vector<double> expected(20), local;
        int64_t at = 0;
        for (const Range& rows : slice.rows)
          for (int64_t r = rows.begin; r < rows.end; ++r)
            for (int64_t c = slice.cols.begin; c < slice.cols.end; ++c, ++at) {
              if (at < begin || at >= end) continue;
              local.push_back(static_cast<double>(100 + at));
              expected[static_cast<size_t>(r * 4 + c)] = local.back();
            }
        StateWriter writer(path, {{"v", {3}}, {"w", {5, 4}}}, DType::f64, {});
        writer.write("w", slice, begin, end, local.data());
        writer.commit();
        REQUIRE(SafetensorsFile(path).read_doubles("w") == expected);
      }
    }
  }
}

TEST_CASE(
    "state writer: the header is one that safetensors accepts, its values at multiples of 8") {
  const TempFolder folder;
  const std::string path = folder.path("a.safetensors");
  for (const std::string text : {"", "x", "xy", "\"\\\n\u00e9"}) {
    StateWriter writer(path, {{"b", {3}}, {"a", {2, 1}}}, DType::f32, {{"key", text}});
    const float values[] = {1.5f, -2, 3};
    writer.write("b", {{kAll}, {0, 1}}, 0, 3, values);
    CHECK_FALSE(fs::exists(path + ".part.part"));
    writer.commit();
    CHECK_FALSE(fs::exists(path + ".part"));
    CHECK(static_cast<int64_t>(fs::file_size(path)) == writer.bytes());
    const SafetensorsFile file(path);
    CHECK(file.metadata().at("key") == text);
    CHECK(file.tensors()[0].name == "b");
    CHECK(file.tensors()[0].offset % 8 == 0);
    CHECK(file.read_doubles("b") == std::vector<double>{1.5, -2, 3});
    CHECK(file.read_doubles("a") == std::vector<double>{0, 0});  // never written
  }
}

TEST_CASE("state writer: without commit the old file stays, and nothing beside it") {
  const TempFolder folder;
  const std::string path = folder.write("a.safetensors", "old");
  {
    StateWriter writer(path, {{"b", {3}}}, DType::f64, {});
    const double values[] = {1, 2, 3};
    writer.write("b", {{kAll}, {0, 1}}, 0, 3, values);
    CHECK(fs::exists(path + ".part"));
    CHECK(file_bytes(path) == "old");
  }
  CHECK(file_bytes(path) == "old");
  CHECK_FALSE(fs::exists(path + ".part"));
}

TEST_CASE("state writer: a link to a checkpoint stays a link") {
  const TempFolder folder;
  folder.write("real", "old");
  fs::create_symlink("real", folder.path("link"));
  write_generation(folder.path("link"), 3);
  CHECK(fs::is_symlink(folder.path("link")));
  CHECK(whole_generation(folder.path("real")) == 3);
}

TEST_CASE("state writer: a .part of a killed process is written over, a living one's is refused") {
  const TempFolder folder;
  const std::string path = folder.path("a.safetensors");
  folder.write("a.safetensors.part", std::string(3'000'000, 'x'));
  write_generation(path, 1);
  CHECK(whole_generation(path) == 1);
  {
    const StateWriter first(path, {{"b", {3}}}, DType::f64, {});
    CHECK_THAT(refused([&] { write_generation(path, 2); }).problem(),
               Contains("another process is writing it"));
    CHECK(fs::exists(path + ".part"));
  }
  write_generation(path, 3);
  CHECK(whole_generation(path) == 3);
}

TEST_CASE("state writer: a second name is the same file, and outlives the next one at the first") {
  const TempFolder folder;
  const std::string path = folder.path("last"), second = folder.path("best");
  write_generation(path, 1, second);
  CHECK(fs::equivalent(path, second));
  write_generation(path, 2);
  CHECK(whole_generation(path) == 2);
  CHECK(whole_generation(second) == 1);
  // Killed when the second name was in place and the first was not yet.
  fs::create_hard_link(second, path + ".part");
  fs::create_hard_link(second, second + ".part");
  write_generation(path, 3);
  CHECK(whole_generation(path) == 3);
  CHECK(whole_generation(second) == 1);
  write_generation(path, 4, second);
  CHECK(whole_generation(second) == 4);
  CHECK_FALSE(fs::exists(path + ".part"));
  CHECK_FALSE(fs::exists(second + ".part"));
}

TEST_CASE("state writer: a disk that is full when writing begins leaves the old file") {
  const TempFolder folder;
  const std::string path = folder.path("a.safetensors");
  {
    const FileSizeLimit limit(300'000);
    const Error error = refused([&] { write_generation(path, 1); }, ErrorKind::unavailable);
    CHECK_THAT(error.problem(),
               Contains(path + ": cannot reserve 10") && Contains("no file was made"));
    CHECK_THAT(error.fix(), Contains("ulimit -f"));
    CHECK(fs::is_empty(folder.path()));
  }
  write_generation(path, 1);
  const FileSizeLimit limit(300'000);
  CHECK_THAT(refused([&] { write_generation(path, 2); }, ErrorKind::unavailable).problem(),
             Contains("the file that was there is as it was"));
  CHECK(whole_generation(path) == 1);
  CHECK_FALSE(fs::exists(path + ".part"));
}

TEST_CASE("state writer: a disk that fails later leaves the old file") {
  const TempFolder folder;
  const std::string path = folder.path("a.safetensors");
  write_generation(path, 1);
  {
    StateWriter writer(path, {{"b", {100'000}}}, DType::f64, {});
    const std::vector<double> values(100'000, 1.5);
    const FileSizeLimit limit(300'000);
    const auto write = [&] {
      writer.write("b", {{{0, 100'000}}, {0, 1}}, 0, 100'000, values.data());
    };
    CHECK_THAT(refused(write, ErrorKind::unavailable).problem(),
               Contains("cannot write byte 300000"));
  }
  CHECK(whole_generation(path) == 1);
  CHECK_FALSE(fs::exists(path + ".part"));
}

TEST_CASE("state writer: a folder that is not there, or a folder's own name, is refused") {
  const TempFolder folder;
  CHECK_THAT(refused([&] { write_generation(folder.path("absent/a"), 1); }).problem(),
             Contains("No such file"));
  fs::create_directories(folder.path("a/b"));
  CHECK_THAT(refused([&] { write_generation(folder.path("a"), 1); }).problem(),
             Contains("cannot be replaced"));
  CHECK_FALSE(fs::exists(folder.path("a.part")));
}

// 10,000 layers have 360,000 tensors. Looking for each among all takes longer than CTest waits.
TEST_CASE("state writer: a file of 400,000 tensors is written, and read, each once", "[slow]") {
  const TempFolder folder;
  const std::string path = folder.path("many.safetensors");
  std::vector<StateTensor> tensors;
  for (int t = 0; t < 400'000; ++t) tensors.push_back({"t" + std::to_string(t), {1}});
  StateWriter writer(path, tensors, DType::f64, {});
  const double value = 7;
  writer.write("t399999", {{{0, 1}}, {0, 1}}, 0, 1, &value);
  writer.commit();
  CHECK(SafetensorsFile(path).read_doubles("t399999") == std::vector{value});
}

TEST_CASE("state writer: a slice outside its tensor is a bug that is caught") {
  const TempFolder folder;
  StateWriter writer(folder.path("a"), {{"w", {5, 4}}}, DType::f64, {});
  const std::vector<double> values(64);
  const auto refuses = [&](const std::string& name, const Slice& slice, int64_t begin,
                           int64_t end) {
    CHECK_THAT(refused([&] { writer.write(name, slice, begin, end, values.data()); }).problem(),
               Contains("not in it"));
  };
  refuses("x", {{{0, 5}}, {0, 4}}, 0, 20);
  refuses("w", {{{0, 6}}, {0, 4}}, 0, 20);
  refuses("w", {{{0, 5}}, {0, 5}}, 0, 20);
  refuses("w", {{{-1, 5}}, {0, 4}}, 0, 20);
  refuses("w", {{{0, 5}}, {0, 4}}, 0, 21);
  refuses("w", {{{0, 5}}, {0, 4}}, 5, 4);
  refuses("w", {{{0, 5}}, {0, 4}}, -1, 4);
}

TEST_CASE("state writer: killed at 50 random moments, one whole generation is always in place") {
  using std::chrono::steady_clock;
  const TempFolder folder;
  const std::string path = folder.path("ckpt.safetensors");
  const auto start = steady_clock::now();
  write_generation(path, 0);
  // Moments are drawn from the length of two writes, however long they take here.
  const auto two_writes_us =
      std::chrono::duration_cast<std::chrono::microseconds>(2 * (steady_clock::now() - start));
  std::mt19937 random(1337);
  std::uniform_int_distribution<int64_t> moment_us(0, two_writes_us.count());
  int64_t last = 0;
  for (int kill_number = 0; kill_number < 50; ++kill_number) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        for (int64_t generation = last + 1;; ++generation) write_generation(path, generation);
      } catch (...) {
        _exit(1);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(moment_us(random)));
    kill(child, SIGKILL);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const int64_t generation = whole_generation(path);
    CAPTURE(kill_number, last);
    REQUIRE(generation >= last);
    last = generation;
  }
  write_generation(path, last + 1);  // and what they left behind is in nobody's way
  CHECK(whole_generation(path) == last + 1);
  CHECK_FALSE(fs::exists(path + ".part"));
}
