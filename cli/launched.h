// A command that is several processes, one a rank: what it takes to be one of them. Rank 0's
// process speaks for all; stdout and stderr of the others lead nowhere, whoever writes to them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/machine/processes.h"

namespace tplab::cli {

class Launched {
 public:
  Launched() = default;
  ~Launched();
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;

  // Where the words ask for --comm mpi or nccl and a launcher has started this process: before
  // anything is printed or opened. With nccl no MPI is needed: where the environment says where
  // rank 0 listens (as torchrun does), processes meet there. Throws what join_mpi and join_tcp
  // throw.
  void join(const std::vector<std::string>& words);
  // How all end, and what this process is to print, for which stderr is as it was. Called once.
  Ending leave(const Ending& mine);

 private:
  void silence();
  void speak_again();

  std::unique_ptr<Processes> all_;  // null where there is but this one
  int stdout_ = -1, stderr_ = -1;   // as they were
};

}  // namespace tplab::cli
