// What torch.save writes: a zip of a pickle and raw storages, read without Python.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/files/file_tensor.h"
#include "model/files/pickle.h"
#include "model/files/state_dict.h"
#include "model/files/zip_file.h"

namespace tplab {

// Nothing in the pickle is executed. For one thread; everything throws Error(bad_file).
class TorchFile {
 public:
  explicit TorchFile(std::shared_ptr<const ByteSource> file);

  const std::string& path() const { return file_->name(); }
  const pickle::Document& document() const { return document_; }
  // Where in the file each tensor's numbers are.
  std::vector<FileTensor> locate(const StateDict& state);

 private:
  FileTensor locate(const std::string& name, const TorchTensor& tensor);

  std::shared_ptr<const ByteSource> file_;
  ZipFile zip_;
  std::string folder_;  // of the zip, that everything is in: "ckpt/"
  pickle::Document document_;
};

}  // namespace tplab
