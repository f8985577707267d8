// Shards as text: of any number of ranks and with any name, and every number given once.
#include <algorithm>
#include <catch2/catch.hpp>

#include "small_model.h"
#include "viz/drawing/table.h"
#include "viz/pictures/shards_picture.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

TEST_CASE("shards: the parts of a matrix are all of it, and a rank's are what it holds") {
  for (const int tp : {1, 2, 3, 4}) {
    const ShardPlan plan(kSmallModel, tp, true);
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

// A name from outside is text: no markup in the graph, no escape codes in the terminal.
TEST_CASE("shards: a model's name that is markup or terminal codes is shown, not obeyed") {
  const std::string hostile = "a\x1b[31m<b>&\"é漢\n" + std::string(100, 'x');
  const ShardsPicture picture = shards_picture(ShardPlan(kSmallModel, 2), DType::f32, hostile);
  const std::string dot = dot_text(shards_graph(picture));
  CHECK_THAT(dot, !Contains("<b>&") && !Contains("\x1b") && Contains("&lt;b&gt;&amp;&quot;é漢"));
  const std::string text = shards_text(picture, {.colour = false, .unicode = true});
  CHECK_THAT(text, !Contains("\x1b") && Contains("a?[31m<b>&\"é漢?xxx") && Contains("x…\n"));
  CHECK_THAT(shards_text(picture, {.colour = false, .unicode = false}), Contains("&\"???xxx"));
}

TEST_CASE("shards: text is at most 80 columns, and two digits are legible, up to 64 ranks") {
  GptConfig large = kSmallModel;
  large.n_head = 64, large.n_embd = 256, large.n_inner = 1024, large.vocab_size = 50257;
  for (const int tp : {1, 4, 7, 16, 33, 64}) {
    const ShardsPicture picture = shards_picture(ShardPlan(large, tp, true), DType::f32, "m");
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
