// The second seam below Comm: what moves the numbers of a call, once the ranks agree on it.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/agreement.h"
#include "sim/array.h"
#include "sim/post.h"

namespace tplab {

// One rank's part of it, used by that rank's thread only.
class Transport {
 public:
  virtual ~Transport() = default;

  // Does what `call` says, from `in` to `out`, as Comm's method of that name: they may be one
  // array, or one of them a part of the other. A send has no `out`, a recv no `in`. Returns the
  // bytes that this rank sent to others.
  virtual int64_t move(const Post& call, const Array& in, Array& out) = 0;

  // For the ranks of a part of the group, which agree by `part`: Agreement::split's, which outlives
  // what this returns.
  virtual std::unique_ptr<Transport> split(Agreement& part) = 0;
};

}  // namespace tplab
