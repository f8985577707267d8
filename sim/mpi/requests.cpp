#include "sim/mpi/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace tplab {

void check_mpi(int code, const char* function) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Lost(fmt::format("{} failed: {}", function, text),
             "look at the machines and the network between them");
}

namespace {

int count_of(size_t bytes) {
  if (bytes > static_cast<size_t>(std::numeric_limits<int>::max()))
    fail_unavailable(fmt::format("a message of {} bytes is more than MPI counts", bytes),
                     "use more ranks, or a smaller model or batch");
  return static_cast<int>(bytes);
}

}  // namespace

void Requests::send(int peer, int tag, std::span<const std::byte> data) {
  MPI_Request request;
  check_mpi(MPI_Isend(data.data(), count_of(data.size()), MPI_BYTE, peer, tag, comm_, &request),
            "MPI_Isend");
  requests_.push_back(request);
  add(peer, false);
}

void Requests::send_until_received(int peer, int tag, std::span<const std::byte> data) {
  MPI_Request request;
  check_mpi(MPI_Issend(data.data(), count_of(data.size()), MPI_BYTE, peer, tag, comm_, &request),
            "MPI_Issend");
  requests_.push_back(request);
  add(peer, false);
}

void Requests::receive(int peer, int tag, std::span<std::byte> to) {
  MPI_Request request;
  check_mpi(MPI_Irecv(to.data(), count_of(to.size()), MPI_BYTE, peer, tag, comm_, &request),
            "MPI_Irecv");
  requests_.push_back(request);
  add(peer, true);
}

bool Requests::done() {
  int flag = 0;
  check_mpi(
      MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &flag, MPI_STATUSES_IGNORE),
      "MPI_Testall");
  return flag != 0;
}

bool Requests::received() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (!receiving_[i] || requests_[i] == MPI_REQUEST_NULL) continue;
    int flag = 0;
    check_mpi(MPI_Test(&requests_[i], &flag, MPI_STATUS_IGNORE), "MPI_Test");
    if (!flag) return false;
  }
  return true;
}

std::vector<int> Requests::awaited() const {
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

// A message that nobody will ever take stays where it is: MPI does not take it back.
void Requests::clear() {
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

}  // namespace tplab
