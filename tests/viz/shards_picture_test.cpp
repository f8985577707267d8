// Shards as pictures, against numbers worked out by hand.
#include "viz/shards_picture.h"

#include <catch2/catch.hpp>

#include "sim/error.h"
#include "viz/table.h"

using namespace tplab;
using Catch::Contains;

namespace {

// D = 4; V = 70 is padded to 128 at tp 2, so a rank has 64 rows: 64 real ones, and 6.
const GptConfig kConfig{.n_layer = 2,
                        .n_head = 4,
                        .n_embd = 16,
                        .block_size = 8,
                        .vocab_size = 70,
                        .n_inner = 64,
                        .bias = true};

const ShardMatrix& matrix(const ShardsPicture& picture, const std::string& name) {
  for (const ShardMatrix& m : picture.matrices)
    if (m.name == name) return m;
  throw std::logic_error("no matrix " + name);
}

// "1 q [8:16, 0:16] heads 2:4", rank first.
std::vector<std::string> lines(const ShardMatrix& m) {
  std::vector<std::string> out;
  for (const ShardPart& p : m.parts) {
    const auto range = [](const Range& r) {
      return std::to_string(r.begin) + ":" + std::to_string(r.end);
    };
    out.push_back(std::to_string(p.rank) + (p.block.empty() ? "" : " " + p.block) + " [" +
                  range(p.rows) + ", " + range(p.cols) + "]" +
                  (p.heads.size() ? " heads " + range(p.heads) : "") +
                  (p.padding ? " padding" : ""));
  }
  return out;
}

using Lines = std::vector<std::string>;

TEST_CASE("shards: each split as rectangles of the stored matrix") {
  const ShardsPicture picture = shards_picture(ShardPlan(kConfig, 2), DType::f32, "m");
  CHECK(lines(matrix(picture, "transformer.h.0.attn.c_attn.weight")) ==
        Lines{"0 q [0:8, 0:16] heads 0:2", "1 q [8:16, 0:16] heads 2:4",
              "0 k [16:24, 0:16] heads 0:2", "1 k [24:32, 0:16] heads 2:4",
              "0 v [32:40, 0:16] heads 0:2", "1 v [40:48, 0:16] heads 2:4"});
  CHECK(lines(matrix(picture, "transformer.h.0.attn.c_proj.weight")) ==
        Lines{"0 [0:16, 0:8]", "1 [0:16, 8:16]"});
  CHECK(lines(matrix(picture, "transformer.h.0.mlp.c_fc.bias")) ==
        Lines{"0 [0:32, 0:1]", "1 [32:64, 0:1]"});
  CHECK(lines(matrix(picture, "transformer.wte.weight")) ==
        Lines{"0 [0:64, 0:16]", "1 [64:70, 0:16]", "1 [70:128, 0:16] padding"});
  CHECK(lines(matrix(picture, "transformer.ln_f.weight")) == Lines{"-1 [0:16, 0:1]"});
  CHECK(matrix(picture, "transformer.wte.weight").rank_bytes == 64 * 16 * 4);
  CHECK(matrix(picture, "transformer.wte.weight").padding_rows == 58);
  for (const ShardMatrix& m : picture.matrices) CHECK_THAT(m.name, !Contains("h.1."));
}

TEST_CASE("shards: the parts of a matrix are all of it, and a rank's are what it holds") {
  for (const int tp : {1, 2, 4}) {
    const ShardPlan plan(kConfig, tp);
    for (const ShardMatrix& m : shards_picture(plan, DType::f64, "m").matrices) {
      int64_t all = 0, of_rank_0 = 0;
      for (const ShardPart& p : m.parts) {
        all += p.rows.size() * p.cols.size();
        if (p.rank <= 0) of_rank_0 += p.rows.size() * p.cols.size();
      }
      CHECK(all == m.rows * m.cols);
      CHECK(of_rank_0 * 8 == m.rank_bytes);
    }
  }
}

TEST_CASE("shards: a plan that leaves numbers out, or gives them twice, is refused") {
  ShardPlan plan(kConfig, 2);
  for (ShardRow& row : plan.rows())
    if (row.name == "transformer.h.0.mlp.c_fc.weight") row.shape[0] = 63;  // 63 / 2 is 31
  CHECK_THROWS_WITH(shards_picture(plan, DType::f32, "m"),
                    Contains("mlp.c_fc.weight gives 992 of its 1008 numbers"));
}

// A name from outside is text: no markup in the graph, no escape codes in the terminal.
TEST_CASE("shards: a model's name that is markup or terminal codes is shown, not obeyed") {
  const std::string hostile = "a\x1b[31m<b>&\"é漢\n" + std::string(100, 'x');
  const ShardsPicture picture = shards_picture(ShardPlan(kConfig, 2), DType::f32, hostile);
  const std::string dot = dot_text(shards_graph(picture));
  CHECK_THAT(dot, !Contains("<b>&") && !Contains("\x1b") && Contains("&lt;b&gt;&amp;&quot;é漢"));
  const std::string text = shards_text(picture, {.colour = false, .unicode = true});
  CHECK_THAT(text, !Contains("\x1b") && Contains("a?[31m<b>&\"é漢?xxx") && Contains("x…\n"));
  CHECK_THAT(shards_text(picture, {.colour = false, .unicode = false}), Contains("&\"???xxx"));
}

TEST_CASE("shards: text is at most 80 columns, and two digits are legible, up to 64 ranks") {
  GptConfig large = kConfig;
  large.n_head = 64, large.n_embd = 256, large.n_inner = 1024, large.vocab_size = 50257;
  for (const int tp : {1, 4, 16, 64}) {
    const ShardsPicture picture = shards_picture(ShardPlan(large, tp), DType::f32, "m");
    const std::string text = shards_text(picture, {.colour = false, .unicode = true});
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      CHECK(display_width(text.substr(at, end - at)) <= 80);
      at = end + 1;
    }
    for (int r = 0; r < tp; ++r) {
      const std::string number = std::to_string(r);
      CHECK_THAT(text, Contains("rank " + number));
      if (tp == 64) CHECK_THAT(text, Contains(number + "│") || Contains(number + " │"));
    }
    const std::string plain = shards_text(picture, {.colour = false, .unicode = false});
    CHECK(std::all_of(plain.begin(), plain.end(), [](char c) { return c == '\n' || c >= ' '; }));
  }
}

}  // namespace
