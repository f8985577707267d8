// Reading a golden file: every name and shape is checked against the model before it is used.
#include "verify/golden.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "model/files/safetensors.h"
#include "sim/error.h"
#include "verify/golden_names.h"

namespace tplab {

Shape without_leading_ones(const Shape& shape) {
  int ones = 0;
  while (ones < shape.dims() && shape[ones] == 1) ++ones;
  return shape.from(ones);
}

namespace {

constexpr const char* kOfThisModel = "use the golden file that belongs to this model";

class Reader {
 public:
  Reader(const SafetensorsFile& file, const Architecture& architecture)
      : file_(file), architecture_(architecture), names_(architecture) {
    golden_.path = file.path();
  }
  Golden read() &&;

 private:
  void read_tokens();
  void read_targets();
  void read_greedy();
  void read_tensor(const TensorInfo& info);
  void read_loss(const TensorInfo& info);
  void read_site(const TensorInfo& info, const std::string& site);
  void read_parameter(const TensorInfo& info, const std::string& parameter,
                      const std::string& site);
  void read_numbers_of_steps(const TensorInfo& info, const std::string& what);
  void read_train_batches();

  [[noreturn]] void refuse(const std::string& tensor, const std::string& what,
                           const std::string& fix) const {
    fail_file(file_.path(), fmt::format("{} {}", in_quotes(tensor), what), fix);
  }
  void leave_out(const std::string& tensor, const std::string& why) {
    golden_.unknown.push_back({tensor, why});
  }
  std::vector<int32_t> ids(const TensorInfo& info, bool may_be_ignored) const;
  std::vector<double> numbers(const TensorInfo& info) const;
  std::vector<int32_t> targets(const TensorInfo& info) const;
  void set_steps(const std::string& tensor, int64_t steps);
  int64_t batch_count() const { return golden_.tokens.batch * golden_.tokens.length; }

  const SafetensorsFile& file_;
  const Architecture& architecture_;
  GoldenNames names_;
  Golden golden_;
  const TensorInfo* x_ = nullptr;
  const TensorInfo* y_ = nullptr;
  std::set<std::string, std::less<>> read_;
};

// All of a tensor as token ids; -1 where a target does not count.
std::vector<int32_t> Reader::ids(const TensorInfo& info, bool may_be_ignored) const {
  constexpr int64_t kNanoGptIgnores = -1, kTorchIgnores = -100;
  std::vector<int32_t> all;
  all.reserve(static_cast<size_t>(info.count));
  for (const int64_t id : file_.read_integers(info.name)) {
    const bool ignored = may_be_ignored && (id == kNanoGptIgnores || id == kTorchIgnores);
    if (!ignored && (id < 0 || id >= architecture_.vocabulary))
      refuse(info.name,
             fmt::format("holds the token id {}, outside the vocabulary of {}{}", id,
                         architecture_.vocabulary,
                         may_be_ignored ? ", and not -1 or -100, which leave a target out" : ""),
             kOfThisModel);
    all.push_back(ignored ? -1 : static_cast<int32_t>(id));
  }
  return all;
}

std::vector<double> Reader::numbers(const TensorInfo& info) const {
  if (!is_weight_type(info.type))
    refuse(info.name, fmt::format("holds {}, not f64, f32, bf16 or f16", row_of(info.type).name),
           "save it as F32");
  return file_.read_doubles(info.name);
}

void Reader::read_tokens() {
  x_ = file_.find("x") ? file_.find("x") : file_.find("input_ids");
  if (!x_)
    fail_file(file_.path(), "there is no tensor 'x', the token ids that went in",
              "write x as int64 [B, T] beside logits [B, T, V]");
  if (x_->name == "x" && file_.find("input_ids")) leave_out("input_ids", "x is read instead");
  read_.insert({"x", "input_ids"});
  const Shape& shape = x_->shape;
  if (shape.dims() == 0 || shape.dims() > 3)
    refuse(x_->name,
           fmt::format("is {}, not [B, T], nor [T], nor [N, B, T] of which the first batch is used",
                       shape.text()),
           "reshape it");
  if (x_->count < 1)  // so that no product of its sizes can be too large: the file has them all
    refuse(x_->name, fmt::format("is {}: it holds no token", shape.text()),
           "write at least one sequence of one token");
  golden_.tokens.length = shape[-1];
  golden_.tokens.batch = shape.dims() == 1 ? 1 : shape[-2];
  if (golden_.tokens.length > architecture_.context)
    refuse(x_->name,
           fmt::format("has {} tokens a row, and the model's context is {}", golden_.tokens.length,
                       architecture_.context),
           kOfThisModel);
  golden_.tokens.ids = ids(*x_, false);  // of all batches; read_train_batches() takes the others
}

// What y holds, or Hugging Face's labels: the target of a position is the label of the next.
std::vector<int32_t> Reader::targets(const TensorInfo& info) const {
  std::vector<int32_t> all = ids(info, true);
  if (info.name != "labels") return all;
  const int64_t T = golden_.tokens.length;
  for (int64_t row = 0; row + T <= std::ssize(all); row += T) {
    std::rotate(all.begin() + row, all.begin() + row + 1, all.begin() + row + T);
    all[static_cast<size_t>(row + T - 1)] = -1;
  }
  return all;
}

void Reader::read_targets() {
  y_ = file_.find("y") ? file_.find("y") : file_.find("labels");
  if (!y_) return;
  if (y_->name == "y" && file_.find("labels")) leave_out("labels", "y is read instead");
  read_.insert({"y", "labels"});
  const Shape shape = without_leading_ones(y_->shape),
              batch = {golden_.tokens.batch, golden_.tokens.length};
  const bool fits = shape == without_leading_ones(x_->shape) ||
                    shape == without_leading_ones(batch) || shape == Shape{batch_count()} ||
                    (y_->shape.dims() == 3 && y_->shape.from(1) == batch);
  if (!fits)
    refuse(y_->name,
           fmt::format("is {}, and {} is {}", y_->shape.text(), x_->name, x_->shape.text()),
           "write a target for each token: the shape of x");
  golden_.targets = targets(*y_);
  golden_.targets.resize(static_cast<size_t>(batch_count()));
  if (std::all_of(golden_.targets.begin(), golden_.targets.end(), [](int32_t t) { return t < 0; }))
    refuse(y_->name, "leaves every target out, so there is no loss",
           "write at least one target, or leave it out");
}

// What continues the beginning of x's first row. They share at least the prompt.
void Reader::read_greedy() {
  const TensorInfo* info = file_.find("greedy");
  if (!info) return;
  read_.insert("greedy");
  if (info->shape.dims() > 2 || (info->shape.dims() == 2 && info->shape[0] != 1))
    refuse("greedy", fmt::format("is {}, not [1, n]", info->shape.text()),
           "write one sequence: the prompt and the tokens that follow it");
  const std::vector<int32_t> all = ids(*info, false);
  const auto row_end = golden_.tokens.ids.begin() + golden_.tokens.length;
  const auto [end, ignored] =
      std::mismatch(all.begin(), all.end(), golden_.tokens.ids.begin(), row_end);
  if (end == all.begin())
    refuse("greedy", fmt::format("does not begin as the first row of {} does", x_->name),
           "write greedy as the prompt and the tokens that follow it");
  if (end == all.end())
    return leave_out("greedy", fmt::format("it ends within the first row of {}, so nothing in it "
                                           "is new",
                                           x_->name));
  golden_.greedy_prompt.assign(all.begin(), end);
  // Up to the context a token costs one position. Past it, the whole context is computed again.
  constexpr int64_t kFewest = 16, kPositions = 4096;
  const int64_t cached = architecture_.context - std::ssize(golden_.greedy_prompt) + 1;
  const int64_t most = cached + std::max(kFewest, kPositions / architecture_.context);
  const int64_t fresh = all.end() - end;
  golden_.greedy_new.assign(end, end + std::min(most, fresh));
  golden_.greedy_left = std::max<int64_t>(0, fresh - most);
}

void Reader::read_loss(const TensorInfo& info) {
  if (!y_) return leave_out("loss", "there are no targets: save them as y");
  if (info.count != 1)
    refuse("loss", fmt::format("is {}, not one number", info.shape.text()), "write the mean loss");
  golden_.tensors.push_back({"loss", "loss", {1}, info.type, numbers(info)});
}

// A padded vocabulary has columns that the model does not: they are cut off.
void Reader::read_site(const TensorInfo& info, const std::string& site) {
  GoldenTensor tensor{info.name, site, info.shape, info.type, numbers(info)};
  const int64_t V = architecture_.vocabulary, wide = info.shape.dims() == 0 ? 0 : info.shape[-1];
  if (site == "head/logits" && wide > V) {
    auto to = tensor.values.begin();
    for (auto row = tensor.values.begin(); row != tensor.values.end(); row += wide)
      to = std::copy(row, row + V, to);
    tensor.values.erase(to, tensor.values.end());
    tensor.shape[-1] = V;
    tensor.note = fmt::format("the first {} of its {} columns: the model's vocabulary", V, wide);
  }
  golden_.tensors.push_back(std::move(tensor));
}

// A tensor that holds something of a parameter.
void Reader::read_parameter(const TensorInfo& info, const std::string& parameter,
                            const std::string& site) {
  const Shape* shape = names_.shape_of(parameter);
  if (!shape)
    refuse(info.name,
           fmt::format("belongs to no parameter: this model has no {}", in_quotes(parameter)),
           "use nanoGPT's names, and the golden file that belongs to this model");
  if (*shape != info.shape)
    refuse(info.name,
           fmt::format("is {}, and the model's parameter {}", info.shape.text(), shape->text()),
           "write it in nanoGPT's layout, linears [out, in]");
  golden_.tensors.push_back({info.name, site + parameter, info.shape, info.type, numbers(info)});
}

// All that speaks of optimizer steps must speak of the same number.
void Reader::set_steps(const std::string& tensor, int64_t steps) {
  if (steps < 1)
    refuse(tensor, fmt::format("is of {} optimizer steps", steps),
           "write at least one step, or leave it out");
  if (golden_.steps != 0 && golden_.steps != steps)
    refuse(tensor, fmt::format("is of {} optimizer steps, and others of {}", steps, golden_.steps),
           "write train.losses [K], train.grad_norms [K] and after<K>.* of the same K");
  golden_.steps = steps;
}

void Reader::read_numbers_of_steps(const TensorInfo& info, const std::string& what) {
  if (info.shape.dims() != 1)
    refuse(info.name, fmt::format("is {}, not [steps]", info.shape.text()),
           "write one number a step");
  set_steps(info.name, info.shape[0]);
  const std::vector<double> all = numbers(info);
  for (size_t i = 0; i < all.size(); ++i)
    golden_.tensors.push_back({fmt::format("{}[{}]", info.name, i),
                               fmt::format("step {}/{}", i + 1, what),
                               {1},
                               info.type,
                               {all[i]}});
}

void Reader::read_tensor(const TensorInfo& info) {
  constexpr std::string_view kGrad = "grad.";
  const std::string& name = info.name;
  if (read_.count(name)) return;
  if (name == "loss") return read_loss(info);
  if (name == "train.losses") return read_numbers_of_steps(info, "loss");
  if (name == "train.grad_norms") return read_numbers_of_steps(info, "norm");
  if (name == "attention_mask")
    return leave_out(name, "tplab has no mask: a token attends to all before it");
  if (name.starts_with(kGrad)) {
    if (!y_)
      refuse(name, "is the gradient of a loss without 'y'",
             "write y, the targets, with the shape of x");
    return read_parameter(info, name.substr(kGrad.size()), std::string(kGrad));
  }
  if (const AfterName after = parse_after(name); after.is_after) {
    set_steps(name, after.steps);
    return read_parameter(info, after.parameter, "after.");
  }
  const std::string site = names_.site_of(name);
  if (site.empty()) return leave_out(name, names_.why_unknown(name));
  read_site(info, site);
}

// Batches 1 to `steps` of x and y [N, B, T].
void Reader::read_train_batches() {
  const int64_t count = batch_count(), batches = x_->count / count;
  if (batches - 1 < golden_.steps)
    fail_file(file_.path(),
              fmt::format("{} optimizer steps need a batch each, and {} has {} after the first",
                          golden_.steps, x_->name, batches - 1),
              "write x and y as [1 + steps, B, T]: one batch to evaluate, then one a step");
  if (!y_ || y_->shape != x_->shape)
    fail_file(file_.path(),
              fmt::format("training needs 'y' of the shape of {}, {}", x_->name, x_->shape.text()),
              "write the targets, -1 for those that do not count");
  const std::vector<int32_t> all = targets(*y_);
  for (int64_t batch = 1; batch <= golden_.steps; ++batch) {
    const auto of_batch = [&](const std::vector<int32_t>& of) -> std::vector<int32_t> {
      return {of.begin() + batch * count, of.begin() + (batch + 1) * count};
    };
    golden_.train_tokens.push_back(
        {golden_.tokens.batch, golden_.tokens.length, of_batch(golden_.tokens.ids)});
    golden_.train_targets.push_back(of_batch(all));
    const std::vector<int32_t>& last = golden_.train_targets.back();
    if (std::all_of(last.begin(), last.end(), [](int32_t t) { return t < 0; }))
      refuse(y_->name, fmt::format("leaves every target of batch {} out", batch),
             "write at least one target of each batch");
  }
}

Golden Reader::read() && {
  read_tokens();
  read_targets();
  read_greedy();
  for (const TensorInfo& info : file_.tensors()) read_tensor(info);
  if (golden_.steps > 0) read_train_batches();
  golden_.tokens.ids.resize(static_cast<size_t>(batch_count()));
  return std::move(golden_);
}

bool is_of_training(const std::string& site) {
  return site.starts_with("grad.") || site.starts_with("step ") || site.starts_with("after.");
}

bool is_compared(const GoldenTensor& tensor, const GoldenUse& use) {
  return tensor.site == "loss" || is_of_training(tensor.site) == use.training;
}

}  // namespace

const GoldenTensor* Golden::find(std::string_view site) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const GoldenTensor& t) { return t.site == site; });
  return found == tensors.end() ? nullptr : &*found;
}

Golden read_golden(const std::string& path, const Architecture& architecture) {
  const SafetensorsFile file(path);
  return Reader(file, architecture).read();
}

std::vector<NotCompared> not_compared(const Golden& golden, const GoldenUse& use) {
  const std::string elsewhere =
      use.training ? "compared without --backward" : "--backward compares it";
  std::vector<NotCompared> all = golden.unknown;
  for (const GoldenTensor& tensor : golden.tensors)
    if (!is_compared(tensor, use)) all.push_back({tensor.name, elsewhere, true});
  if (golden.greedy_new.empty()) return all;
  if (use.training) {
    all.push_back({"greedy", elsewhere, true});
  } else if (!use.f64) {
    all.push_back({"greedy", "compared in f64: in f32 two near logits may rightly swap"});
  } else if (golden.greedy_left > 0) {
    all.push_back({"greedy", fmt::format("its last {} tokens: past the model's context each costs "
                                         "a pass over a whole context",
                                         golden.greedy_left)});
  }
  return all;
}

void require_compared(const Golden& golden, const GoldenUse& use) {
  if (!use.training && use.f64 && !golden.greedy_new.empty()) return;
  if (std::any_of(golden.tensors.begin(), golden.tensors.end(),
                  [&](const GoldenTensor& tensor) { return is_compared(tensor, use); }))
    return;
  constexpr size_t kMost = 5;
  const std::vector<NotCompared> all = not_compared(golden, use);
  std::string what = all.empty() ? ": it has only tokens" : "";
  for (size_t i = 0; i < std::min(kMost, all.size()); ++i)
    what += fmt::format("{} {}: {}", i == 0 ? ":" : ";", in_quotes(all[i].tensor), all[i].why);
  if (all.size() > kMost) what += fmt::format("; and {} more", all.size() - kMost);
  fail_file(golden.path, "nothing in it can be compared" + what,
            use.training ? "save loss, y and grad.<parameter> beside x, or leave out --backward"
                         : "save logits [B, T, V], loss and y, or activation.<site> beside x");
}

}  // namespace tplab
