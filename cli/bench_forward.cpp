// tplab bench forward: the whole forward pass, as a part of the matrix throughput.
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "cli/bench.h"
#include "model/plan/costs.h"
#include "sim/error.h"
#include "sim/ops/list.h"

namespace tplab::cli {

namespace {

struct ForwardTiming : Paired {
  Timing collectives, products;  // of a pass, by themselves

  static void fields(auto& self, auto&& f) {
    f(self.work, self.limit, self.parts, self.collectives, self.products);
  }
};

struct ForwardRun : ModelRun {
  std::optional<double> collectives_seconds;  // none at tp 1
  double products_seconds;
  double rest_seconds() const {
    return median_seconds - products_seconds - collectives_seconds.value_or(0);
  }
};

struct ForwardBench : ModelBench {
  void run();
  int64_t length(const Architecture& architecture) const;
  double flops(const Architecture& architecture) const {
    return forward_cost(architecture, batch, length(architecture), parse_dtype(dtype)).flops;
  }
  std::vector<ForwardTiming> measure(const WeightSource& source);
  std::string text(const std::vector<ForwardRun>& runs, const WeightSource& source) const;
  nlohmann::ordered_json document(const std::vector<ForwardRun>& runs,
                                  const WeightSource& source) const;
};

int64_t ForwardBench::length(const Architecture& architecture) const {
  const int64_t T = seq ? seq : architecture.context;
  if (T > architecture.context)
    fail(fmt::format("--seq {} is longer than the model's context of {}", T, architecture.context),
         fmt::format("use at most {}", architecture.context));
  return T;
}

constexpr int kPassesBetween = 4;  // that the collectives are not made again

// The collectives that a pass has made, once more and with nothing between them.
double collectives_alone(Rank& rank, const std::vector<Event>& made) {
  std::map<std::tuple<Op, DType, int64_t>, std::pair<Array, Array>> arrays;  // a part, the whole
  const auto of = [&](const Event& event) -> std::pair<Array, Array>& {
    auto& pair = arrays[{event.op, event.dtype, event.elements}];
    auto& [part, whole] = pair;
    if (!whole.present()) {
      part = rank.device().allocate(event.dtype, {event.elements / rank.size()});
      whole = rank.device().allocate(event.dtype, {event.elements});
      rank.device().zero(part);
      rank.device().zero(whole);
    }
    return pair;
  };
  const auto call_all = [&] {
    for (const Event& event : made) {
      if (event.op == Op::all_reduce) rank.comm().all_reduce(of(event).second);
      if (event.op == Op::all_gather) rank.comm().all_gather(of(event).first, of(event).second);
    }
    rank.comm().barrier();
  };
  for (const Event& event : made) of(event);
  rank.comm().barrier();
  return seconds_of(rank, call_all);
}

// The products of a pass over `tokens` with this rank's weights.
std::vector<op::Linear> products_of(Rank& rank, const Network& network, int64_t tokens) {
  const FlatParameters& flat = network.parameters();
  std::vector<op::Linear> products;
  std::map<int64_t, Array> inputs, results;  // by their columns
  const auto some = [&](int64_t columns) {   // weights, again and again: zeros multiply faster
    Array& x = inputs[columns];
    if (x.present()) return x;
    x = rank.device().allocate(network.dtype(), {tokens, columns});
    for (int64_t at = 0; at < x.count(); at += flat.values.count()) {
      const Shape left = {std::min(flat.values.count(), x.count() - at)};
      rank.device().copy(flat.values.data(), x.part(at, left).data(), x.part(at, left).bytes());
    }
    return x;
  };
  int64_t first = 0;
  for (const FlatEntry& entry : flat.layout.entries()) {
    const ParameterRow& row = network.plan().rows()[entry.row];
    const bool is_table =
        row.id.role == Role::position_embedding ||
        (row.id.role == Role::token_embedding && !network.architecture().tied_head);
    if (row.shape.dims() != 2 || is_table) continue;
    const int64_t depth = row.split == Split::cols ? entry.count / row.shape[0] : row.shape[1];
    int64_t outputs = entry.count / depth;
    if (entry.joined) {  // one product with the rows before
      outputs += products.back().w.shape()[0];
      products.pop_back();
    } else {
      first = entry.first;
    }
    Array& y = results[outputs];
    if (!y.present()) y = rank.device().allocate(network.dtype(), {tokens, outputs});
    products.push_back({some(depth), flat.values.part(first, {outputs, depth}), {}, y});
  }
  return products;
}

// From a barrier until every rank has the logits.
std::vector<ForwardTiming> ForwardBench::measure(const WeightSource& source) {
  const int64_t T = length(source.architecture());
  const Tokens prompt = random_tokens(source.architecture(), T);
  const double work = flops(source.architecture());
  const auto make_turn =
      [&](Rank& rank, const std::shared_ptr<const Network>& network) -> ModelTurn<ForwardTiming> {
    const auto product = std::make_shared<ProductBeside>(rank, parse_dtype(dtype), work);
    const std::vector<op::Linear> products = products_of(rank, *network, batch * T);
    return [&, network, product, products, passes = 0](
               ForwardTiming& timing, std::optional<double> usual_seconds) mutable {
      rank.ledger().clear();
      rank.comm().barrier();
      const double seconds = seconds_of(rank, [&] {
        static_cast<void>(network->forward(prompt));
        rank.comm().barrier();
      });
      timing.work.add(seconds);
      if (timing.products.count() == 0 || ++passes % kPassesBetween == 0) {
        const std::vector<Event> made = rank.ledger().events();
        if (rank.size() > 1) timing.collectives.add(collectives_alone(rank, made));
        rank.comm().barrier();
        timing.products.add(seconds_of(rank, [&] {
          for (const op::Linear& one : products) rank.device().run(one);
          rank.comm().barrier();
        }));
      }
      product->after_work(seconds, usual_seconds ? times_between_products(*usual_seconds) : 1,
                          timing);
    };
  };
  return run_model<ForwardTiming>(*this, source, 1, make_turn);
}

std::string ForwardBench::text(const std::vector<ForwardRun>& runs,
                               const WeightSource& source) const {
  SideBySide table;
  std::vector<std::string> tp, products, collectives, rest;
  std::vector<const ModelRun*> each;
  for (const ForwardRun& r : runs) {
    tp.push_back(fmt::format("{}", r.tp));
    collectives.push_back(
        r.collectives_seconds ? fmt::format("{:.3f}", *r.collectives_seconds * 1e3) : "-");
    products.push_back(fmt::format("{:.3f}", r.products_seconds * 1e3));
    rest.push_back(fmt::format("{:.3f}", r.rest_seconds() * 1e3));
    each.push_back(&r);
  }
  table.row("tp", tp);
  add_rows(table, each, "GFLOP/s", "products' GFLOP/s");
  table.row("products' ms", products);
  table.row("collectives' ms", collectives);
  table.row("all else's ms", rest);
  return title(fmt::format("forward: {}, {} x {} tokens, {}", model.describe(source), batch,
                           length(source.architecture()), dtype)) +
         table.text(output.colour()) + about_samples(each);
}

nlohmann::ordered_json ForwardBench::document(const std::vector<ForwardRun>& runs,
                                              const WeightSource& source) const {
  nlohmann::ordered_json doc = header("forward", source);
  doc["seq"] = length(source.architecture());
  doc["flops"] = flops(source.architecture());
  doc["runs"] = nlohmann::ordered_json::array();
  for (const ForwardRun& r : runs) {
    nlohmann::ordered_json row = json(r, "flops");
    row["collectives_seconds"] =
        r.collectives_seconds ? nlohmann::ordered_json(*r.collectives_seconds) : nullptr;
    row["products_seconds"] = r.products_seconds;
    row["rest_seconds"] = r.rest_seconds();
    doc["runs"].push_back(row);
  }
  return doc;
}

void ForwardBench::run() {
  const std::unique_ptr<WeightSource> source = open();
  const int64_t T = length(source->architecture());  // refused before the work
  const std::vector<ForwardTiming> timings = measure(*source);
  std::vector<ForwardRun> runs;
  for (size_t w = 0; w < tps.size(); ++w) {
    runs.push_back(
        {judge(tps[w], timings[w], timings[0], static_cast<double>(batch * T),
               flops(source->architecture()), MatmulProbe::flops(tps[w], machine.device)),
         {},
         timings[w].products.median()});
    if (timings[w].collectives.count() > 0)
      runs[w].collectives_seconds = timings[w].collectives.median();
  }
  print(text(runs, *source), document(runs, *source));
}

}  // namespace

void add_bench_forward(CLI::App& bench) {
  auto command = std::make_shared<ForwardBench>();
  CLI::App* sub = bench.add_subcommand("forward", "Forward passes, against the matrix throughput");
  sub->footer(R"(Examples:
  tplab bench forward --preset gpt2 --tp 1,2
  tplab bench forward --checkpoint ckpt.pt --tp 1,2,4 --seq 32 --batch 8 --json
A pass is timed from a barrier until every rank has the logits. All --tp are loaded at once and run
in turn, so their ratio is of one run. The limit is a product of matrices of 1024 x 1024 (on a GPU
8192 x 8192) shared out over the same ranks, timed between the passes. FLOPs are the model's own, without the vocabulary's
padding. A pass' products and its
collectives are made again by themselves; all else is norms, attention and what acts on single
numbers, and the launches of all of it. What a tp costs beyond the first is the difference of each.)");
  command->add_options(*sub);
  sub->add_option("--seq", command->seq, "tokens a sequence (the model's context)")
      ->check(whole_number(1));
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
