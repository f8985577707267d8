// Saves a training run from all its ranks into one file, and takes it up again on any mesh.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/checkpoints/tplab_checkpoint.h"
#include "model/training/trainer.h"

namespace tplab {

// What a training run has left in a folder: checkpoints and results.
std::vector<std::string> names_of_run(const std::string& folder);

// The first of PATH, PATH-2, PATH-3, ... that is not there; the number stands before the ending.
std::string first_free(const std::string& path);

// Where the ranks of a mesh save together, into a folder: each writes the numbers that it alone
// updates, through an object of its own; of a model in bf16 its masters, in f32. A file appears
// whole or not at all; until then the old one stays.
class SharedSave {
 public:
  // earlier: where the run that is in the folder is kept once there is something to put in its
  // place; empty where there is none, or where it is this one.
  explicit SharedSave(std::string folder, std::string earlier = "")
      : folder_(std::move(folder)), earlier_(std::move(earlier)) {}

  // Throws what a save would, of a disk without room for it for example, and saves nothing. Called
  // before the ranks run. dtype: of the training.
  void try_out(const CheckpointFacts& facts, DType dtype);

  // Called by every rank, with the same arguments. ckpt.safetensors is replaced, and if it is the
  // best, best.safetensors too, which then is the same file. saved is called once a rank knows that
  // the file is in its place: by the rank that put it there at once, even where a peer is lost now.
  //   comm: 3 barriers over each axis of the mesh
  void write(
      Rank& rank, Trainer& trainer, const CheckpointFacts& facts, bool is_best,
      const std::function<void()>& saved = [] {});

 private:
  void keep_earlier_run();

  std::string folder_, earlier_;
};

// Fills the optimizer's moments with what `checkpoint` has of them. The parameters, and the masters
// of those in bf16, come from the checkpoint when the trainer is made.
void load_moments(Rank& rank, const TplabCheckpoint& checkpoint, Trainer& trainer);

}  // namespace tplab
