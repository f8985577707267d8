// Saves a training run from all its ranks into one file, and takes it up again on any mesh.
#pragma once

#include <memory>
#include <string>

#include "model/checkpoints/state_writer.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/training/trainer.h"

namespace tplab {

// Where the ranks of a mesh save together: each writes the numbers that it alone has. A file
// appears whole or not at all; until then the old one stays.
class SharedSave {
 public:
  // keep_other: what is at `path` belongs to another run; the first save leaves it as PATH.old.
  explicit SharedSave(std::string path, bool keep_other = false)
      : path_(std::move(path)), keep_other_(keep_other) {}

  // Called by every rank, with the same facts.   comm: 3 barriers over each axis of the mesh
  void write(Rank& rank, Trainer& trainer, const CheckpointFacts& facts);

 private:
  void keep_other_run();

  std::string path_;
  bool keep_other_;
  std::unique_ptr<StateWriter> writer_;  // made and committed by global rank 0
};

// Fills the optimizer's moments with what `checkpoint` has of them. The parameters come from the
// checkpoint when the trainer is made.
void load_moments(Rank& rank, const TplabCheckpoint& checkpoint, Trainer& trainer);

}  // namespace tplab
