// The CPU device's operations that move numbers or fold several ranks' memory: exact results.
#include <catch2/catch.hpp>
#include <limits>

#include "tests/sim/numbers.h"

namespace tplab {
namespace {

template <class Real>
std::vector<Real> listed(const Array& x) {
  return {x.as<Real>(), x.as<Real>() + x.count()};
}

TEMPLATE_TEST_CASE("embedding: rows of the table, zeros for ids outside it", "", float, double) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const Array table = numbers<TestType>(*device, Shape{4, 3}, 1);  // rows 10 to 13
  const std::vector<int32_t> ids{10, 9, 13, 14, 0, 12, 2147483647};
  Array y = numbers<TestType>(*device, Shape{7, 3}, 2);
  device->run(op::Embedding{ids_of(*device, ids), table, 10, y});
  for (int64_t i = 0; i < 7; ++i) {
    const int64_t row = ids[static_cast<size_t>(i)] - 10;
    for (int64_t c = 0; c < 3; ++c) {
      const TestType expected =
          row >= 0 && row < 4 ? table.as<TestType>()[row * 3 + c] : TestType(0);
      CHECK(y.as<TestType>()[i * 3 + c] == expected);
    }
  }
}

TEMPLATE_TEST_CASE("last_position: one row of each sequence", "", float, double) {
  Team team(1);
  const auto device = make_cpu_device(team.crew());
  const Array x = numbers<TestType>(*device, Shape{3, 5, 2}, 1);
  Array y = device->allocate(x.dtype(), Shape{3, 1, 2});
  device->run(op::LastPosition{x, y});
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t c = 0; c < 2; ++c) {
      CHECK(y.as<TestType>()[b * 2 + c] == x.as<TestType>()[(b * 5 + 4) * 2 + c]);
    }
  }
}

TEMPLATE_TEST_CASE("join_shards: features in order, padding dropped, cut_shards: the reverse", "",
                   float, double) {
  for (const int lanes : {1, 3}) {
    Team team(lanes);
    const auto device = make_cpu_device(team.crew());
    const Array shards = numbers<TestType>(*device, Shape{3, 4000, 5}, 1);
    for (const int64_t width : {15, 14, 11, 9}) {
      Array y = device->allocate(shards.dtype(), Shape{4000, width});
      device->run(op::JoinShards{shards, y});
      int64_t wrong = 0;
      for (int64_t i = 0; i < 4000; ++i) {
        for (int64_t j = 0; j < width; ++j) {
          const TestType expected = shards.as<TestType>()[(j / 5 * 4000 + i) * 5 + j % 5];
          if (y.as<TestType>()[i * width + j] != expected) ++wrong;
        }
      }
      CHECK(wrong == 0);
      if (width != 15) continue;
      Array all = device->allocate(shards.dtype(), shards.shape());
      device->run(op::CutShards{y, 0, all});
      CHECK(same_bits(all, shards));
      Array second = device->allocate(shards.dtype(), Shape{1, 4000, 5});
      device->run(op::CutShards{y, 1, second});
      CHECK(std::equal(second.as<TestType>(), second.as<TestType>() + second.count(),
                       shards.as<TestType>() + 4000 * 5));
    }
  }
}

TEMPLATE_TEST_CASE("sum: strictly in the order of the terms, out may be any of them", "", float,
                   double) {
  for (const int lanes : {1, 2, 3}) {
    Team team(lanes);
    const auto device = make_cpu_device(team.crew());
    for (const int64_t count : {1, 3, 17, 31, 65, 50001}) {
      for (const size_t out : {size_t{0}, size_t{1}, size_t{2}, size_t{3}}) {
        std::vector<Array> terms;
        for (int t = 0; t < 3; ++t) terms.push_back(numbers<TestType>(*device, Shape{count}, t));
        terms.push_back(device->allocate(dtype_of<TestType>, Shape{count}));  // not a term
        std::vector<std::vector<TestType>> before;
        for (const Array& term : terms) before.push_back(listed<TestType>(term));
        const void* const data[] = {terms[0].data(), terms[1].data(), terms[2].data()};
        device->sum(data, terms[out].data(), dtype_of<TestType>, count);
        int64_t wrong = 0;
        for (int64_t i = 0; i < count; ++i) {
          const auto at = static_cast<size_t>(i);
          const TestType expected = (before[0][at] + before[1][at]) + before[2][at];
          if (terms[out].as<TestType>()[i] != expected) ++wrong;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEMPLATE_TEST_CASE("max: the largest term, NaN if any is NaN, wherever it stands", "", float,
                   double) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  for (const int64_t count : {1, 17, 65}) {
    for (int nan_term = -1; nan_term < 3; ++nan_term) {
      std::vector<Array> terms;
      for (int t = 0; t < 3; ++t) terms.push_back(numbers<TestType>(*device, Shape{count}, t));
      if (nan_term >= 0) {
        terms[static_cast<size_t>(nan_term)].as<TestType>()[count - 1] =
            std::numeric_limits<TestType>::quiet_NaN();
      }
      Array y = device->allocate(dtype_of<TestType>, Shape{count});
      const void* const data[] = {terms[0].data(), terms[1].data(), terms[2].data()};
      device->max(data, y.data(), dtype_of<TestType>, count);
      for (int64_t i = 0; i < count; ++i) {
        const TestType got = y.as<TestType>()[i];
        if (nan_term >= 0 && i == count - 1) {
          CHECK(std::isnan(got));
        } else {
          CHECK(got == std::max({terms[0].as<TestType>()[i], terms[1].as<TestType>()[i],
                                 terms[2].as<TestType>()[i]}));
        }
      }
    }
  }
}

TEST_CASE("copy, zero, upload, download: every byte, on any number of lanes") {
  for (const int lanes : {1, 3}) {
    Team team(lanes);
    const auto device = make_cpu_device(team.crew());
    for (const int64_t count : {1, 17, 100003}) {
      const Array from = numbers<float>(*device, Shape{count}, 1);
      Array to = numbers<float>(*device, Shape{count}, 2);
      device->copy(from.data(), to.data(), from.bytes());
      CHECK(same_bits(from, to));
      std::vector<float> host(static_cast<size_t>(count), 7.0f);
      device->download(from, {DType::f32, host.data(), count});
      CHECK(host == listed<float>(from));
      device->zero(to);
      CHECK(listed<float>(to) == std::vector<float>(static_cast<size_t>(count), 0.0f));
      device->upload({DType::f32, host.data(), count}, to);
      CHECK(same_bits(from, to));
    }
  }
}

}  // namespace
}  // namespace tplab
