// An example of each operation: an operation added to the list does not compile here until it has
// one.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "sim/ops/list.h"
#include "tests/sim/operation_arrays.h"

namespace tplab::testing {

template <class Op>
using An = std::type_identity<Op>;

inline Operation example(An<op::Linear>, Maker& m, const Sizes& s) {
  return op::Linear{m.read({s.B, s.T, s.C}), m.read({s.O, s.C}), m.read({s.O}),
                    m.written({s.B, s.T, s.O})};
}
inline Operation example(An<op::LinearBackwardInput>, Maker& m, const Sizes& s) {
  return op::LinearBackwardInput{m.read({s.B, s.T, s.O}), m.read({s.O, s.C}),
                                 m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::LinearBackwardWeight>, Maker& m, const Sizes& s) {
  return op::LinearBackwardWeight{m.read({s.B, s.T, s.O}), m.read({s.B, s.T, s.C}),
                                  m.read_sums({s.O, s.C})};
}
inline Operation example(An<op::SumRows>, Maker& m, const Sizes& s) {
  return op::SumRows{m.read({s.B, s.T, s.C}), m.read_sums({s.C})};
}
inline Operation example(An<op::Add>, Maker& m, const Sizes& s) {
  return op::Add{m.read({s.B, s.T, s.C}), m.read({s.C}), m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::Activation>, Maker& m, const Sizes& s) {
  return op::Activation{ActivationKind::gelu, m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::ActivationBackward>, Maker& m, const Sizes& s) {
  return op::ActivationBackward{ActivationKind::gelu_tanh, m.read({s.B, s.T, s.C}),
                                m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::Gated>, Maker& m, const Sizes& s) {
  return op::Gated{{.activation = ActivationKind::silu},
                   m.read({s.B, s.T, 2 * s.C}),
                   m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::GatedBackward>, Maker& m, const Sizes& s) {
  return op::GatedBackward{{.limit = 0.5, .alpha = 1.702},
                           m.read({s.B, s.T, 2 * s.C}),
                           m.read({s.B, s.T, s.C}),
                           m.written({s.B, s.T, 2 * s.C})};
}
inline Operation example(An<op::SoftCap>, Maker& m, const Sizes& s) {
  return op::SoftCap{0.7, m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::SoftCapBackward>, Maker& m, const Sizes& s) {
  return op::SoftCapBackward{1.25, m.read({s.B, s.T, s.C}), m.read({s.B, s.T, s.C}),
                             m.written({s.B, s.T, s.C})};
}
inline DropoutMask mask(const Sizes& s) {
  return {.rate = 0.3,
          .stream = RandomStream(7, "every operation"),
          .first_sequence = 1,
          .first_position = 0,
          .whole_length = s.T,
          .first_head = 1,
          .whole_heads = 4};
}
inline Operation example(An<op::Dropout>, Maker& m, const Sizes& s) {
  return op::Dropout{m.read({s.B, s.T, s.C}), mask(s), m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::LayerNorm>, Maker& m, const Sizes& s) {
  return op::LayerNorm{m.read({s.B, s.T, s.C}), m.read({s.C}), m.read({s.C}), 1e-5,
                       m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::LayerNormBackward>, Maker& m, const Sizes& s) {
  return op::LayerNormBackward{m.read({s.B, s.T, s.C}),
                               m.read({s.C}),
                               1e-5,
                               m.read({s.B, s.T, s.C}),
                               m.written({s.B, s.T, s.C}),
                               m.read_sums({s.C}),
                               m.read_sums({s.C})};
}
inline Operation example(An<op::RmsNorm>, Maker& m, const Sizes& s) {
  return op::RmsNorm{m.read({s.B, s.T, s.C}), m.read({s.C}), 1e-5, true,
                     m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::RmsNormBackward>, Maker& m, const Sizes& s) {
  return op::RmsNormBackward{
      m.read({s.B, s.T, s.C}),    m.read({s.C}),     1e-5, true, m.read({s.B, s.T, s.C}),
      m.written({s.B, s.T, s.C}), m.read_sums({s.C})};
}
// 3 positions are in the longest cache; the sequences are of unequal lengths.
inline op::Past past(Maker& m, const Sizes& s) { return {m.counts(s.B, 3), 3}; }
inline Operation example(An<op::Rotary>, Maker& m, const Sizes& s) {
  const int64_t turned = s.C / 2 * 2;  // of heads of C
  return op::Rotary{
      m.read({s.B, s.T, 4 * s.C}),   m.read_sums({s.T + 3, turned}), 3, s.C, false, past(m, s),
      m.written({s.B, s.T, 4 * s.C})};
}
// All that attention can have: two heads of one key, a window, a soft cap.
inline constexpr int64_t kHeads = 4, kKvHeads = 2;
inline AttentionForm form(const Sizes& s, bool dropped) {
  return {.heads = kHeads,
          .kv_heads = kKvHeads,
          .scale = 0.3,
          .window = 1 + s.T / 2,
          .softcap = 1.5,
          .mask = dropped ? std::optional(mask(s)) : std::nullopt};
}
inline Operation example(An<op::CachedAttention>, Maker& m, const Sizes& s) {
  const Shape cache = {s.B, kKvHeads, s.T + 4, s.C};  // 1 position stays free
  return op::CachedAttention{form(s, false),
                             m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                             m.read({kHeads}),
                             past(m, s),
                             m.read(cache),
                             m.read(cache),
                             m.written({s.B, s.T, kHeads * s.C})};
}
inline Operation example(An<op::CausalAttention>, Maker& m, const Sizes& s) {
  return op::CausalAttention{form(s, true), m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                             m.read({kHeads}), m.written({s.B, s.T, kHeads * s.C}),
                             m.written_sums({s.B, kHeads, s.T, 2})};
}
inline Operation example(An<op::CausalAttentionBackward>, Maker& m, const Sizes& s) {
  return op::CausalAttentionBackward{form(s, true),
                                     m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                                     m.read({kHeads}),
                                     m.read({s.B, s.T, kHeads * s.C}),
                                     m.positive_sums({s.B, kHeads, s.T, 2}),
                                     m.read({s.B, s.T, kHeads * s.C}),
                                     m.written({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                                     m.read_sums({kHeads})};
}
inline Operation example(An<op::Embedding>, Maker& m, const Sizes& s) {
  return op::Embedding{m.ids({s.B, s.T}, s.O, 5), m.read({s.O, s.C}), 5,
                       m.written({s.B, s.T, s.C})};
}
inline Operation example(An<op::EmbeddingBackward>, Maker& m, const Sizes& s) {
  return op::EmbeddingBackward{m.ids({s.B, s.T}, s.O, 5), m.read({s.B, s.T, s.C}), 5,
                               m.read_sums({s.O, s.C})};
}
inline Operation example(An<op::RowMax>, Maker& m, const Sizes& s) {
  return op::RowMax{m.read({s.B, s.T, s.C}), s.C - 1, m.written_sums({s.B, s.T})};
}
inline Operation example(An<op::Pick>, Maker& m, const Sizes& s) {
  return op::Pick{m.read({s.B, s.T, s.C}), s.C - 1, m.ids({s.B, s.T}, s.C, 5), 5,
                  m.written_sums({s.B, s.T})};
}
inline Operation example(An<op::ExpRows>, Maker& m, const Sizes& s) {
  return op::ExpRows{m.read({s.B, s.T, s.C}), s.C - 1, m.read_sums({s.B, s.T}),
                     m.written_sums({s.B, s.T})};
}
inline Operation example(An<op::SoftmaxMinusOnehot>, Maker& m, const Sizes& s) {
  return op::SoftmaxMinusOnehot{m.positive({s.B, s.T, s.C}), s.C - 1, m.positive_sums({s.B, s.T}),
                                m.ids({s.B, s.T}, s.C, 5),   5,       0.25};
}
inline Operation example(An<op::SumOfLosses>, Maker& m, const Sizes& s) {
  const Shape rows{s.B, s.T};
  return op::SumOfLosses{
      m.read_sums(rows), m.read_sums(rows), m.positive_sums(rows), m.ids(rows, s.C, 5), 0.25,
      m.number(2)};
}
inline Operation example(An<op::CrossEntropy>, Maker& m, const Sizes& s) {
  return op::CrossEntropy{m.read({s.B, s.T, s.C}), m.ids({s.B, s.T}, s.C, 0),
                          m.written({1}, DType::f64)};
}
inline Operation example(An<op::SumOfSquares>, Maker& m, const Sizes& s) {
  return op::SumOfSquares{m.read({s.B, s.T, s.C}), m.written({1}, DType::f64)};
}
inline Operation example(An<op::ClipScale>, Maker& m, const Sizes&) {
  return op::ClipScale{m.number(7), m.number(3), 0.5, m.written({1}, DType::f64),
                       m.written({1}, DType::f64)};
}
inline Operation example(An<op::AdamW>, Maker& m, const Sizes& s) {
  return op::AdamW{{.learning_rate = 0.01,
                    .beta1 = 0.9,
                    .beta2 = 0.99,
                    .eps = 1e-8,
                    .weight_decay = 0.1,
                    .step = 3},
                   m.number(0.5),
                   m.read_sums({s.T, s.C}),
                   m.read_sums({s.T, s.C}),
                   m.positive_sums({s.T, s.C}),
                   m.read_sums({s.T, s.C}),
                   m.written({s.T, s.C})};
}
inline Operation example(An<op::LastPosition>, Maker& m, const Sizes& s) {
  return op::LastPosition{m.read({s.B, s.T, s.C}), m.written({s.B, 1, s.C})};
}
inline Operation example(An<op::JoinShards>, Maker& m, const Sizes& s) {
  return op::JoinShards{m.read({3, s.B * s.T, s.C}), m.written({s.B, s.T, 3 * s.C - 2})};
}
inline Operation example(An<op::CutShards>, Maker& m, const Sizes& s) {
  return op::CutShards{m.read({s.B, s.T, 4 * s.C}), 1, m.written({3, s.B * s.T, s.C})};
}

// what(make), for each: make(maker, sizes) makes its example.
template <class What>
void for_every_operation(What what) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (what([](Maker& maker, const Sizes& sizes) {
       return example(An<std::variant_alternative_t<I, AnyOperation>>{}, maker, sizes);
     }),
     ...);
  }
  (std::make_index_sequence<std::variant_size_v<AnyOperation>>{});
}

}  // namespace tplab::testing
