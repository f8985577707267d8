// A Hugging Face folder of any family, read plainly: every number by the place that the format's
// table gives it.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/checkpoints/formats/format.h"
#include "model/files/json.h"
#include "model/files/safetensors.h"
#include "tests/model/checkpoint_files.h"

namespace tplab::testing {

inline const Format& format_of(const std::string& type) {
  for (const Format& format : formats())
    if (format.model_type == type) return format;
  FAIL("no format " << type);
  return formats()[0];
}

struct Described {
  Architecture architecture;
  NameTable names;
};

inline Described described(const std::string& text, const std::string& path = "config.json") {
  const nlohmann::json object = parse_json_object(text, path);
  const Format& format = format_of(object.at("model_type"));
  Described made{read_architecture(format, ConfigJson(object, path)), {}};
  made.names = format.names(made.architecture);
  return made;
}

// Of shared/data/hf.
inline Described described_folder(const std::string& folder,
                                  const std::string& config = "config.json") {
  return described(file_bytes(shared_data("hf/" + folder + "/" + config)), config);
}

// Element [r, c] of a parameter in its tensor's list of numbers.
inline int64_t index_of(const NameRow& name, const ParameterRow& row, const Shape& tensor,
                        int64_t r, int64_t c) {
  const int64_t stored_row = name.piece.row(r);
  const int64_t expert = name.all_experts ? row.id.at.expert : 0;
  const int first = name.all_experts ? 1 : 0;
  const int64_t cols = tensor.dims() == first + 2 ? tensor[first + 1] : 1;
  const int64_t in_expert = name.transposed ? c * cols + stored_row : stored_row * cols + c;
  return expert * (tensor.count() / (name.all_experts ? tensor[0] : 1)) + in_expert;
}

// The files of a folder, one or several.
class FolderTensors {
 public:
  explicit FolderTensors(const std::string& folder) {
    for (const auto& entry : fs::directory_iterator(shared_data("hf/" + folder))) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("model") && name.ends_with(".safetensors"))
        files_.push_back(std::make_unique<SafetensorsFile>(entry.path().string()));
    }
  }

  std::vector<TensorInfo> infos() const {
    std::vector<TensorInfo> all;
    for (const auto& file : files_)
      all.insert(all.end(), file->tensors().begin(), file->tensors().end());
    return all;
  }
  const SafetensorsFile& file_of(const std::string& name) const {
    for (const auto& file : files_)
      if (file->find(name)) return *file;
    FAIL("no tensor " << name);
    return *files_[0];
  }

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
};

// A parameter of the model, [out, in], from the numbers of the tensor that has it.
inline std::vector<double> parameter_of(const Described& model, const ParameterRow& row,
                                        const Shape& tensor, const std::vector<double>& numbers) {
  const NameRow& name = name_row(model.names, row.id);
  std::vector<double> values;
  for (int64_t r = 0; r < row.shape[0]; ++r)
    for (int64_t c = 0; c < cols_of(row.shape); ++c)
      values.push_back(numbers.at(static_cast<size_t>(index_of(name, row, tensor, r, c))));
  return values;
}

}  // namespace tplab::testing
