// One addition to the residual stream: a norm, and branches between a read and a write.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/layers/branch.h"
#include "model/layers/norm.h"

namespace tplab {

// x + after(dropout(write(sum of branches(read(before(x)))) + biases)), where `after` may be
// absent.
//   comm: TP: 1 all-reduce forward, 1 backward, however many branches; a ring sends
//         2 (tp-1)/tp * B*T*C*sizeof(x) bytes
//         SP: 1 all-gather and 1 reduce-scatter forward, the same backward: as many bytes
//         (+ 1 all-gather backward if inputs are gathered again)
//   source: Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2; of several
//           branches Wang and Komatsuzaki 2021
template <class Residual>
class Join {
  using S = Stream<Residual>;

 public:
  // last: of the block's.
  Join(Loader& loader, const JoinSpec& spec, Place at, bool last);

  struct Saved {
    Tensor<Residual> x;          // the stream before
    SavedInput<Residual> input;  // of the branches
    std::vector<Branch::Saved> branches;
    Tensor<Residual> sum;  // what `after` normalises
  };

  // x: [B, T, C]   ->   [B, T, C]. Fills `saved` unless it is null.
  Tensor<Residual> forward(Rank& rank, Tensor<Residual> x, const Pass& pass, Saved* saved) const;
  Grad<Residual> backward(Rank& rank, Grad<Residual> dy, const Pass& pass, Saved saved) const;

 private:
  Tensor<Residual> branches(Rank& rank, const Tensor<Residual>& x, const Pass& pass,
                            Saved* saved) const;
  Grad<Residual> branches_backward(Rank& rank, const Grad<Residual>& dy, const Pass& pass,
                                   Saved& saved) const;

  Norm<Residual> before_;
  std::vector<Branch> branches_;
  std::vector<SmallParameter<Residual>> biases_;  // of the branches, on the stream
  std::optional<Norm<Residual>> after_;
  std::string name_, key_;               // of its site; of its dropout
  std::string norm_name_, result_name_;  // of what it shows
};

}  // namespace tplab
