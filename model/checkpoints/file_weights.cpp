#include "model/checkpoints/file_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

Shape parameter_shape(const FileTensor& tensor) {
  Shape shape = tensor.shape;
  if (tensor.is_transposed && shape.dims() == 2) std::swap(shape[0], shape[1]);
  return shape;
}

// A missing tensor's name as the file would have it: what stands before the names of the others,
// such as "module.", stands before its own.
std::string name_in_file(const FileTensors& tensors, std::string_view parameter) {
  constexpr std::string_view kTransformer = "transformer.";
  for (const auto& [key, tensor] : tensors) {
    if (key.starts_with(kTransformer) != parameter.starts_with(kTransformer)) continue;
    const std::string_view core =
        std::string_view(key).substr(key.starts_with(kTransformer) ? kTransformer.size() : 0);
    if (!tensor.name.ends_with(core)) continue;
    if (parameter.starts_with(kTransformer)) parameter.remove_prefix(kTransformer.size());
    return tensor.name.substr(0, tensor.name.size() - core.size()) + std::string(parameter);
  }
  return std::string(parameter);
}

// Throws unless the tensors are exactly the network's parameters.
void check_tensors(const Architecture& architecture, const FileTensors& tensors,
                   const std::string& path) {
  std::vector<std::string> missing, extra, wrong;
  std::set<std::string_view> expected;
  const std::vector<NamedTensor> list = named_tensors(architecture);
  for (const NamedTensor& parameter : list) {
    expected.insert(parameter.name);
    const auto found = tensors.find(parameter.name);
    if (found == tensors.end()) {
      missing.push_back(in_quotes(name_in_file(tensors, parameter.name)));
    } else if (parameter_shape(found->second) != parameter.shape) {
      Shape shape = parameter.shape;
      if (found->second.is_transposed && shape.dims() == 2) std::swap(shape[0], shape[1]);
      wrong.push_back(fmt::format("{} is {}, not {}", in_quotes(found->second.name),
                                  found->second.shape.text(), shape.text()));
    } else if (!is_weight_type(found->second.type)) {
      wrong.push_back(fmt::format("{} holds {}, not f64, f32, f16 or bf16",
                                  in_quotes(found->second.name), row_of(found->second.type).name));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!expected.count(name)) extra.push_back(in_quotes(tensor.name));
  }

  std::vector<std::string> problems;
  if (!missing.empty()) problems.push_back("tensors are missing: " + list_text(missing));
  if (!wrong.empty()) problems.push_back("tensors have a wrong shape or type: " + list_text(wrong));
  if (!extra.empty()) problems.push_back("tensors have no place in the model: " + list_text(extra));
  if (problems.empty()) return;
  fail_file(path, fmt::format("{}", fmt::join(problems, "; ")),
            "the config and the weights must be of one GPT-2 or nanoGPT model: check that both "
            "files belong together and are complete");
}

class FileWeights final : public WeightSource {
 public:
  FileWeights(const Architecture& architecture, FileTensors tensors, const std::string& description,
              std::vector<std::string> notes)
      : architecture_(architecture),
        tensors_(std::move(tensors)),
        description_(printable_line(description)),
        notes_(std::move(notes)) {
    std::set<std::string_view> types;
    for (const auto& [name, tensor] : tensors_) types.insert(row_of(tensor.type).name);
    stored_dtype_ = fmt::format("{}", fmt::join(types, " and "));
  }

  const Architecture& architecture() const override { return architecture_; }
  std::string description() const override { return description_; }
  std::string stored_dtype() const override { return stored_dtype_; }
  std::vector<std::string> notes() const override { return notes_; }

  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    const auto found = tensors_.find(parameter);
    if (found == tensors_.end()) {
      fail(fmt::format("{}: there is no parameter {}", description_, in_quotes(parameter)),
           "this is a bug in tplab: please report it");
    }
    const FileTensor& tensor = found->second;
    int64_t rows = tensor.shape[0], cols = cols_of(tensor.shape);
    if (tensor.bytes_are_transposed) std::swap(rows, cols);
    const StoredMatrix matrix = {tensor.bytes.get(), tensor.offset, tensor.type, rows, cols};
    tensor.is_transposed != tensor.bytes_are_transposed ? read_transposed_slice(matrix, slice, out)
                                                        : read_slice(matrix, slice, out);
  }

  std::string place(std::string_view parameter, int64_t row, int64_t col) const override {
    const auto found = tensors_.find(parameter);
    if (found == tensors_.end()) return WeightSource::place(parameter, row, col);
    const FileTensor& tensor = found->second;
    const std::string& name = tensor.name;
    if (tensor.shape.dims() == 1) return fmt::format("{}[{}]", name, row);
    if (tensor.is_transposed) std::swap(row, col);
    return fmt::format("{}[{}, {}]", name, row, col);
  }

 private:
  Architecture architecture_;
  FileTensors tensors_;
  std::string description_, stored_dtype_;
  std::vector<std::string> notes_;
};

}  // namespace

void check_file_config(const GptConfig& config, const std::string& path) {
  try {
    check(config, path);
  } catch (const Error& error) {
    throw Error(ErrorKind::bad_file, error.problem(), error.fix());
  }
}

std::unique_ptr<WeightSource> make_file_weights(const Architecture& architecture,
                                                FileTensors tensors, const std::string& path,
                                                const std::string& description,
                                                std::vector<std::string> notes) {
  // So that the list of parameters is no longer than the file deserves.
  if (static_cast<size_t>(architecture.layers()) > tensors.size()) {
    fail_file(path,
              fmt::format("{} layers, but the weights have only {} tensors", architecture.layers(),
                          tensors.size()),
              "check that the config and the weights belong together");
  }
  check_tensors(architecture, tensors, path);
  return std::make_unique<FileWeights>(architecture, std::move(tensors), description,
                                       std::move(notes));
}

}  // namespace tplab
