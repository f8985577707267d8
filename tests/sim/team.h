// A crew with its threads, as World gives one to each rank.
#pragma once

#include <thread>
#include <vector>

#include "sim/threads/crew.h"

namespace tplab {

class Team {
 public:
  explicit Team(int lanes, bool oversubscribed = false) : crew_(lanes, oversubscribed) {
    for (int lane = 1; lane < lanes; ++lane) {
      threads_.emplace_back([this, lane] { crew_.serve(lane); });
    }
  }
  ~Team() {
    crew_.close();
    for (std::thread& thread : threads_) thread.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  Crew& crew() { return crew_; }

 private:
  Crew crew_;
  std::vector<std::thread> threads_;
};

}  // namespace tplab
