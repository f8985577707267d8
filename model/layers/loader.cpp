#include "model/layers/loader.h"

#include <fmt/format.h>

#include <vector>

#include "model/layers/computed.h"
#include "sim/error.h"

namespace tplab {

namespace {

FlatLayout layout_of(const ShardPlan& plan, const Rank& rank) {
  require_computed(plan.architecture());
  return {plan, rank.index(), rank.dp_size()};
}

}  // namespace

Loader::Loader(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype,
               Purpose purpose)
    : rank_(rank),
      source_(source),
      plan_(plan),
      dtype_(dtype),
      flat_{layout_of(plan, rank), {}, {}} {
  const Shape shape{flat_.layout.count()};
  flat_.values = rank.device().allocate(dtype, shape);
  if (purpose == Purpose::generate) return;
  // The gaps between parameters must be zeros: the optimizer and collectives pass over them.
  rank.device().zero(flat_.values);
  flat_.gradients = rank.device().allocate(accumulator(dtype), shape);
  rank.device().zero(flat_.gradients);
}

Loader::ValueAndGradient Loader::read(const ParameterId& id, bool sharded) {
  const std::vector<ParameterRow>& rows = plan_.rows();
  if (id.bias && !plan_.has(id)) return {};
  const size_t first = plan_.index_of(id);
  size_t end = first + 1;
  while (end < rows.size() && rows[end].joined) ++end;

  Shape shape = plan_.local_shape(rows[first], rank_.index());
  for (size_t i = first + 1; i < end; ++i) shape[0] += plan_.local_shape(rows[i], rank_.index())[0];
  const int64_t begin = flat_.layout.entry(first).first;
  const auto of_list = [&](const Array& list) {
    return list.present() ? list.part(begin, shape) : Array();
  };
  for (size_t i = first; i < end; ++i) {
    const ParameterRow& row = rows[i];
    if ((row.split != Split::whole) != sharded) {
      throw Error(ErrorKind::run,
                  fmt::format("{}: the layer holds it {}, and the shard plan {}", row.tensor,
                              sharded ? "sharded" : "whole", sharded ? "whole" : "sharded"),
                  "make the plan (model/parameters.cpp) and the layer's type agree");
    }
    if (rank_.device().has_numbers())
      copy(row,
           flat_.values.part(flat_.layout.entry(i).first, plan_.local_shape(row, rank_.index())));
  }
  return {of_list(flat_.values), of_list(flat_.gradients)};
}

void Loader::copy(const ParameterRow& row, Array local) {
  Device& device = rank_.device();
  const Slice slice = plan_.saved_slice(row, rank_.index());
  if (slice.count() < local.count()) device.zero(local);  // rows past the vocabulary
  if (void* memory = device.host_memory(local)) {
    source_.read(row.tensor, slice, {dtype_, memory, slice.count()});
  } else {
    std::vector<std::byte> staging(static_cast<size_t>(local.bytes()));
    source_.read(row.tensor, slice, {dtype_, staging.data(), slice.count()});
    device.upload({dtype_, staging.data(), local.count()}, local);
  }
}

}  // namespace tplab
