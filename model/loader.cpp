#include "model/loader.h"

#include <fmt/format.h>

#include <vector>

#include "sim/error.h"

namespace tplab {

Array Loader::read(const std::string& parameter, bool sharded) {
  if (parameter.ends_with(".bias") && !plan_.config().bias) return {};
  const ShardRow& row = plan_.row(parameter);
  if ((row.split != Split::whole) != sharded) {
    throw Error(ErrorKind::run,
                fmt::format("{}: the layer holds it {}, and the shard plan says '{}'", parameter,
                            sharded ? "sharded" : "whole", name(row.split)),
                "make the plan (model/shard_plan.cpp) and the layer's type agree");
  }
  const std::vector<int64_t> shape = plan_.local_shape(row);
  Device& device = rank_.device();
  Array local =
      device.allocate(dtype_, shape.size() == 2 ? Shape{shape[0], shape[1]} : Shape{shape[0]});

  const Slice slice = plan_.slice(row, rank_.index());
  if (slice.count() < local.count()) device.zero(local);  // rows past the vocabulary
  if (void* memory = device.host_memory(local)) {
    source_.read(parameter, slice, {dtype_, memory, slice.count()});
  } else {
    std::vector<std::byte> staging(static_cast<size_t>(local.bytes()));
    source_.read(parameter, slice, {dtype_, staging.data(), slice.count()});
    device.upload({dtype_, staging.data(), local.count()}, local);
  }
  return local;
}

}  // namespace tplab
