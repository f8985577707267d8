// The wire by MPI.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "sim/mpi/arrival.h"
#include "sim/mpi/join.h"
#include "sim/processes/launcher.h"
#include "sim/processes/session.h"
#include "sim/processes/wire.h"

namespace tplab {

namespace {

// Throws Lost where an MPI function says anything but success.
void check_mpi(int code, const char* function) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Lost(fmt::format("{} failed: {}", function, text),
             "look at the machines and the network between them");
}

int count_of(size_t bytes) {
  if (bytes > static_cast<size_t>(std::numeric_limits<int>::max()))
    fail_unavailable(fmt::format("a message of {} bytes is more than MPI counts", bytes),
                     "use more ranks, or a smaller model or batch");
  return static_cast<int>(bytes);
}

class MpiRequests final : public Requests {
 public:
  explicit MpiRequests(MPI_Comm comm) : comm_(comm) {}
  ~MpiRequests() override { forget(); }
  MpiRequests(const MpiRequests&) = delete;
  MpiRequests& operator=(const MpiRequests&) = delete;

  void send(int peer, int tag, std::span<const std::byte> data) override {
    check_mpi(
        MPI_Isend(data.data(), count_of(data.size()), MPI_BYTE, peer, tag, comm_, add(peer, false)),
        "MPI_Isend");
  }
  void send_until_received(int peer, int tag, std::span<const std::byte> data) override {
    check_mpi(MPI_Issend(data.data(), count_of(data.size()), MPI_BYTE, peer, tag, comm_,
                         add(peer, false)),
              "MPI_Issend");
  }
  void receive(int peer, int tag, std::span<std::byte> to) override {
    check_mpi(
        MPI_Irecv(to.data(), count_of(to.size()), MPI_BYTE, peer, tag, comm_, add(peer, true)),
        "MPI_Irecv");
  }
  bool done() override {
    int flag = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &flag,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    return flag != 0;
  }
  std::vector<int> awaited() const override {
    std::vector<int> peers;
    for (const char receiving : {true, false}) {
      for (size_t i = 0; i < requests_.size(); ++i)
        if (requests_[i] != MPI_REQUEST_NULL && receiving_[i] == receiving &&
            std::find(peers.begin(), peers.end(), peers_[i]) == peers.end())
          peers.push_back(peers_[i]);
      if (!peers.empty()) break;
    }
    return peers;
  }
  void clear() override { forget(); }

 private:
  MPI_Request* add(int peer, bool receiving) {
    peers_.push_back(peer);
    receiving_.push_back(receiving);
    return &requests_.emplace_back(MPI_REQUEST_NULL);
  }
  // A message that nobody will ever take stays where it is: MPI does not take it back.
  void forget() {
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i] == MPI_REQUEST_NULL) continue;
      if (receiving_[i]) {
        MPI_Cancel(&requests_[i]);
        MPI_Wait(&requests_[i], MPI_STATUS_IGNORE);
      } else {
        MPI_Request_free(&requests_[i]);
      }
    }
    requests_.clear();
    peers_.clear();
    receiving_.clear();
  }

  MPI_Comm comm_;
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;
  std::vector<char> receiving_;
};

std::string library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string whole(text);
  std::replace(whole.begin(), whole.end(), '\t', ' ');  // MPICH's
  return whole.substr(0, whole.find_first_of(",\n"));
}

std::string late_text(const Launcher& launcher, double patience_s) {
  return fmt::format(
      "tplab: rank {} has waited for {} s until MPI has begun in all processes{}\n"
      "  fix: give all of them --comm mpi; look whether one of them has ended or stands still, and "
      "at\n       the network between their machines\n",
      launcher.rank, patience_s,
      launcher.size > 0 ? fmt::format(", {}={}", launcher.variable, launcher.size) : "");
}

class MpiWire final : public Wire {
 public:
  MpiWire() {
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided_);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm_);
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  ~MpiWire() override {
    MPI_Comm_free(&comm_);
    MPI_Finalize();
  }
  MpiWire(const MpiWire&) = delete;
  MpiWire& operator=(const MpiWire&) = delete;

  bool takes_any_thread() const { return provided_ >= MPI_THREAD_SERIALIZED; }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int most_tag() const override {
    void* most = nullptr;
    int flag = 0;
    MPI_Comm_get_attr(comm_, MPI_TAG_UB, &most, &flag);
    return flag ? *static_cast<int*>(most) : 32767;
  }
  std::unique_ptr<Requests> requests() override { return std::make_unique<MpiRequests>(comm_); }
  std::optional<std::pair<int, std::string>> take_message(int tag) override {
    int flag = 0, bytes = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &flag, &status), "MPI_Iprobe");
    if (!flag) return {};
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    std::string text(static_cast<size_t>(bytes), '\0');
    check_mpi(
        MPI_Recv(text.data(), bytes, MPI_BYTE, status.MPI_SOURCE, tag, comm_, MPI_STATUS_IGNORE),
        "MPI_Recv");
    return std::pair(status.MPI_SOURCE, std::move(text));
  }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    const int bytes = count_of(mine.size());
    check_mpi(MPI_Allgather(mine.data(), bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, comm_),
              "MPI_Allgather");
  }
  void abandon(int exit_code) override { MPI_Abort(comm_, exit_code); }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1, provided_ = 0;
};

}  // namespace

std::unique_ptr<Processes> join_mpi(const std::string& version, double patience_s) {
  const auto launcher = find_launcher([](const char* name) { return std::getenv(name); });
  if (!launcher) return nullptr;
  std::optional<Arrival> arrival;
  arrival.emplace(patience_s, late_text(*launcher, patience_s));
  auto wire = std::make_unique<MpiWire>();
  arrival.reset();
  std::string problem, fix;
  if (wire->size() == 1 && launcher->size > 1) {
    problem = fmt::format(
        "a launcher has started {} processes ({}={}), but each sees itself alone: it is another "
        "MPI's than this build's, {}",
        launcher->size, launcher->variable, launcher->size, library());
    fix =
        "start it with the mpirun of the MPI that tplab was built with, as `tplab doctor` names it "
        "(--comm nccl needs no MPI where MASTER_ADDR and MASTER_PORT say where rank 0 is)";
  } else if (!wire->takes_any_thread()) {
    problem = fmt::format("{} lets no thread but the first one call it", library());
    fix = "use another MPI, or this one built for several threads";
  }
  if (problem.empty())
    return std::make_unique<Session>(std::move(wire), version, launcher->local_rank);
  wire.reset();
  if (launcher->rank > 0) std::_Exit(static_cast<int>(ErrorKind::usage));  // the first says it
  fail(problem, fix);
}

}  // namespace tplab
