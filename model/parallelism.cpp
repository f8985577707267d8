#include "model/parallelism.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab {

std::string Parallelism::text() const {
  std::string text = fmt::format("tp {}, dp {}", tp, dp);
  if (sp) text += regather ? ", SP, gathered again" : ", SP";
  if (recompute) text += ", recompute";
  if (zero != Zero::none) text += fmt::format(", ZeRO {}", static_cast<int>(zero));
  if (accumulation > 1) text += fmt::format(", {} micro-batches", accumulation);
  return text;
}

void Parallelism::check() const {
  if (zero < Zero::none || zero > Zero::gradients)
    fail(fmt::format("there is no ZeRO stage {} here", static_cast<int>(zero)),
         "use --zero 0, 1 or 2");
  if (regather && !sp)
    fail("--sp-regather gathers again what only --sp splits", "add --sp, or drop it");
  if (accumulation < 1)
    fail(fmt::format("{} micro-batches a step", accumulation), "use at least 1");
}

void Parallelism::check_batch(int64_t sequences, int64_t length) const {
  check();
  const int64_t unit = accumulation * dp;
  if (sequences < 1 || sequences % unit != 0)
    fail(fmt::format("a batch of {} sequences does not divide by {} replicas and {} micro-batches",
                     sequences, dp, accumulation),
         fmt::format("use a multiple of {}", unit));
  if (sp && length % tp != 0)
    fail(fmt::format("sequence parallelism splits {} positions over {} ranks, which do not divide",
                     length, tp),
         fmt::format("use sequences of a multiple of {} tokens, or no sequence parallelism", tp));
}

}  // namespace tplab
