// From bf16 to f32 and back: two loops over memory.
#include "sim/cpu/in_f32.h"

#include "sim/cpu/tasks.h"

namespace tplab::cpu {
namespace {

template <class From, class To>
void convert(Crew& crew, const Array& from, const Array& to) {
  const From* const x = from.as<From>();
  To* const y = to.as<To>();
  crew.parallel_for(from.count(), grain_of(sizeof(From) + sizeof(To)),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) y[i] = To(x[i]);
                    });
}

}  // namespace

void InF32::note(Array* x, bool Copy::*how) {
  if (!is_bf16(x)) return;
  auto copy = std::find_if(copies_.begin(), copies_.end(), [&](const Copy& c) {
    return c.narrow.data() == x->data() && c.narrow.count() == x->count();
  });
  if (copy == copies_.end()) copy = copies_.insert(copy, {*x, {}});
  (*copy).*how = true;
  copy->users.push_back(x);
}

void InF32::stand_in(Device& device) {
  for (Copy& copy : copies_) {
    copy.wide = device.allocate(DType::f32, copy.narrow.shape());
    if (copy.is_read) convert<bf16, float>(crew_, copy.narrow, copy.wide);
    for (Array* user : copy.users) *user = copy.wide.reshaped(user->shape());
  }
}

void InF32::round() const {
  for (const Copy& copy : copies_)
    if (copy.is_written) convert<float, bf16>(crew_, copy.wide, copy.narrow);
}

}  // namespace tplab::cpu
