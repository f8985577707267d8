#include "model/parameters.h"

#include <fmt/format.h>

#include <vector>

#include "sim/error.h"

namespace tplab {

Loader::Loader(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype,
               Purpose purpose)
    : rank_(rank),
      source_(source),
      plan_(plan),
      dtype_(dtype),
      flat_{FlatLayout(plan, rank.index(), rank.dp_size()), {}, {}} {
  const Shape shape{flat_.layout.count()};
  flat_.values = rank.device().allocate(dtype, shape);
  if (purpose == Purpose::generate) return;
  // The gaps between parameters must be zeros: the optimizer and collectives pass over them.
  rank.device().zero(flat_.values);
  flat_.gradients = rank.device().allocate(dtype, shape);
  rank.device().zero(flat_.gradients);
}

Loader::ValueAndGradient Loader::read(const std::string& parameter, bool sharded) {
  if (parameter.ends_with(".bias") && !plan_.config().bias) return {};
  const ShardRow& row = plan_.row(parameter);
  if ((row.split != Split::whole) != sharded) {
    throw Error(ErrorKind::run,
                fmt::format("{}: the layer holds it {}, and the shard plan says '{}'", parameter,
                            sharded ? "sharded" : "whole", name(row.split)),
                "make the plan (model/shard_plan.cpp) and the layer's type agree");
  }
  const Shape shape = plan_.local_shape(row, rank_.index());
  const int64_t first = flat_.layout.entry(static_cast<size_t>(&row - plan_.rows().data())).first;
  Array local = flat_.values.part(first, shape);
  Device& device = rank_.device();

  Array gradient;
  if (flat_.gradients.present()) gradient = flat_.gradients.part(first, shape);
  if (!device.has_numbers()) return {local, gradient};

  const Slice slice = plan_.slice(row, rank_.index());
  if (slice.count() < local.count()) device.zero(local);  // rows past the vocabulary
  if (void* memory = device.host_memory(local)) {
    source_.read(parameter, slice, {dtype_, memory, slice.count()});
  } else {
    std::vector<std::byte> staging(static_cast<size_t>(local.bytes()));
    source_.read(parameter, slice, {dtype_, staging.data(), slice.count()});
    device.upload({dtype_, staging.data(), local.count()}, local);
  }
  return {local, gradient};
}

}  // namespace tplab
