// The reference of every family against what Hugging Face's transformers computes in float64.
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "tests/model/huggingface_folder.h"
#include "verify/reference/reference.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

using Numbers = std::vector<double>;

// The largest difference over the largest number; NaN if there is one.
double distance(const Numbers& got, const Numbers& want) {
  double error = 0, size = 0;
  if (got.size() != want.size()) return NAN;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(got[i] - want[i]) <= error)) error = std::abs(got[i] - want[i]);
    size = std::max(size, std::abs(want[i]));
  }
  return size == 0 ? error : error / size;
}

// A folder's model, its weights under tplab's names, and its golden file.
struct Family {
  Described model;
  FolderTensors files;
  SafetensorsFile golden;
  std::vector<ParameterRow> rows;
  std::map<std::string, Numbers> weights;

  explicit Family(const std::string& folder)
      : model(described_folder(folder)),
        files(folder),
        golden(shared_data("hf/" + folder + "/golden.safetensors")),
        rows(parameters(model.architecture)) {
    for (const ParameterRow& row : rows) {
      const std::string tensor = tensor_name(name_row(model.names, row.id), row.id);
      const SafetensorsFile& file = files.file_of(tensor);
      weights[row.tensor] =
          parameter_of(model, row, file.at(tensor).shape, file.read_doubles(tensor));
    }
  }

  TokenBatch batch() const {
    TokenBatch batch{.B = golden.at("x").shape[0], .T = golden.at("x").shape[1], .tokens = {}};
    for (const int64_t id : golden.read_integers("x")) batch.tokens.push_back(static_cast<int>(id));
    for (const int64_t id : golden.read_integers("y"))
      batch.targets.push_back(static_cast<int>(id));
    return batch;
  }

  template <class Real>
  Reference<Real> reference() const {
    return Reference<Real>(model.architecture,
                           [this](const std::string& name) { return weights.at(name); });
  }

  // The site of the reference that is a golden's, "activation.block1".
  std::map<std::string, std::string> sites() const {
    std::map<std::string, std::string> all = {{"embed/out", "activation.embed"},
                                              {"ln_f", "activation.final_norm"}};
    for (int64_t i = 0; i < model.architecture.layers(); ++i)
      all["block " + std::to_string(i) + "/out"] = "activation.block" + std::to_string(i);
    return all;
  }
};

const std::vector<std::string> kFamilies = {
    "llama",     "llama31-tied", "mistral-sliding", "qwen2",     "qwen3",
    "qwen3-moe", "mixtral",      "falcon-40b",      "falcon-7b", "gpt-neox",
    "phi3",      "gemma2",       "gemma3",          "olmo2",     "gpt-oss"};

}  // namespace

TEST_CASE("reference of every family: activations, logits and loss are transformers'") {
  for (const std::string& folder : kFamilies) {
    if (!has_shared_data("hf/" + folder)) continue;
    INFO(folder);
    const Family family(folder);
    const std::map<std::string, std::string> sites = family.sites();
    size_t seen = 0;
    const auto out = family.reference<double>().forward(family.batch(), [&](const Activation& a) {
      const auto site = sites.find(a.site);
      if (site == sites.end()) return;
      ++seen;
      INFO(a.site);
      CHECK(distance(a.values, family.golden.read_doubles(site->second)) <= 1e-12);
    });
    CHECK(seen == sites.size());
    CHECK(distance(out.logits, family.golden.read_doubles("logits")) <= 1e-12);
    CHECK(distance({*out.loss}, family.golden.read_doubles("loss")) <= 1e-13);
  }
}

TEST_CASE("reference of every family: gradients are transformers'") {
  for (const std::string& folder : kFamilies) {
    if (!has_shared_data("hf/" + folder)) continue;
    INFO(folder);
    const Family family(folder);
    const ReferenceGradients d = family.reference<double>().backward(family.batch());
    CHECK(d.parameters.size() == family.rows.size());
    for (const ParameterRow& row : family.rows) {
      const std::string tensor =
          "grad." + tensor_name(name_row(family.model.names, row.id), row.id);
      INFO(row.tensor << " = " << tensor);
      const TensorInfo& info = family.golden.at(tensor);
      const Numbers want =
          parameter_of(family.model, row, info.shape, family.golden.read_doubles(tensor));
      const bool rounded = info.type == StoredType::f32;  // of each number half a last place
      CHECK(distance(d.parameters.at(row.tensor), want) <= (rounded ? 0x1p-24 : 1e-12));
    }
  }
}

TEST_CASE("reference of every family: greedy tokens are transformers'") {
  for (const std::string& folder : kFamilies) {
    if (!has_shared_data("hf/" + folder)) continue;
    INFO(folder);
    const Family family(folder);
    std::vector<int> want;
    for (const int64_t id : family.golden.read_integers("greedy"))
      want.push_back(static_cast<int>(id));
    CHECK(family.reference<double>().greedy({want.begin(), want.begin() + 8}, 32) == want);
  }
}
