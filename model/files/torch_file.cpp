#include "model/files/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "model/files/file_kind.h"
#include "model/files/strided_bytes.h"
#include "sim/error.h"

namespace tplab {
namespace {

constexpr int64_t kMostPickleBytes = int64_t{16} << 20;  // nanoGPT's gpt2-xl needs under 1 MiB

constexpr const char* kSaveTorchAgain =
    "open it where PyTorch is and save it again: torch.save(torch.load('ckpt.pt'), 'new.pt')";

// "ckpt/" where the zip has ckpt/data.pkl: torch.save puts everything into one folder.
std::string find_folder(const ZipFile& zip, const std::string& path) {
  constexpr std::string_view kPickle = "data.pkl";
  std::optional<std::string> folder;
  for (const auto& [name, entry] : zip.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash + 1) != kPickle) continue;
    if (folder) fail_file(path, "has more than one data.pkl", kSaveTorchAgain);
    folder = name.substr(0, slash + 1);
  }
  if (!folder) {
    const bool is_npz = std::any_of(zip.entries().begin(), zip.entries().end(),
                                    [](const auto& e) { return e.first.ends_with(".npy"); });
    fail_file(path,
              is_npz ? "is a file of NumPy arrays (.npz), not what torch.save writes"
                     : "is a zip file without data.pkl, so torch.save did not write it",
              "give a nanoGPT ckpt.pt, or the file as it was written");
  }
  return *folder;
}

void check_byte_order(ZipFile& zip, const std::string& name, const std::string& path) {
  if (!zip.find(name) || zip.read(name, 64) == "little") return;
  fail_file(path, "its numbers are big-endian", "save it on a little-endian machine");
}

// Before libzip, which says less, is asked. Returns the file.
const std::shared_ptr<const ByteSource>& checked(const std::shared_ptr<const ByteSource>& file) {
  const std::string begin = begin_of(*file, 2);
  if (begin == "PK") return file;
  if (begin.starts_with('\x80')) {
    fail_file(file->name(), "is a pickle, as PyTorch before 1.6 saved, not a zip file",
              kSaveTorchAgain);
  }
  refuse_other_kind(*file);
  fail_file(file->name(), "is not a zip file, so torch.save did not write it",
            "give a nanoGPT ckpt.pt, or the file as it was written");
}

bool is_contiguous(const Shape& shape, const Shape& strides) {
  int64_t expected = 1;
  for (int i = shape.dims(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != expected) return false;
    if (__builtin_mul_overflow(expected, shape[i], &expected)) return false;
  }
  return true;
}

// A view, as bytes that stand row by row; a transposed one column by column, which reads as fast.
// (One of three or more dimensions is no parameter, and its bytes are never read.)
void take_view(FileTensor& found, const TorchTensor& tensor, int64_t item_bytes) {
  const Shape &shape = tensor.shape, &strides = tensor.strides;
  if (shape.dims() > 2 || is_contiguous(shape, strides)) return;
  StridedView view = {found.bytes, found.offset, item_bytes, shape[0], 1, strides[0], 1};
  if (shape.dims() == 2) {
    view.cols = shape[1];
    view.col_stride = strides[1];
    found.bytes_are_transposed = strides[0] == 1;
    if (found.bytes_are_transposed) {
      std::swap(view.rows, view.cols);
      std::swap(view.row_stride, view.col_stride);
      if (view.row_stride == view.cols) return;  // the transpose is contiguous
    }
  }
  found.bytes = strided_bytes(view);
  found.offset = 0;
}

}  // namespace

TorchFile::TorchFile(std::shared_ptr<const ByteSource> file)
    : file_(std::move(file)),
      zip_(checked(file_)),
      folder_(find_folder(zip_, path())),
      document_(zip_.read(folder_ + "data.pkl", kMostPickleBytes), path()) {
  check_byte_order(zip_, folder_ + "byteorder", path());
}

std::vector<FileTensor> TorchFile::locate(const StateDict& state) {
  std::vector<FileTensor> tensors;
  for (const auto& [name, tensor] : state.tensors) tensors.push_back(locate(name, tensor));
  return tensors;
}

FileTensor TorchFile::locate(const std::string& name, const TorchTensor& tensor) {
  const std::string entry_name = folder_ + "data/" + tensor.storage;
  const ZipEntry* entry = zip_.find(entry_name);
  const int64_t item_bytes = row_of(tensor.type).size_bytes, needed = tensor.end * item_bytes;
  if (!entry || entry->size < needed) {
    fail_file(path(),
              fmt::format("tensor {} needs {} bytes of zip entry {}, which has {}", in_quotes(name),
                          needed, in_quotes(entry_name), entry ? entry->size : 0),
              "the file is truncated or corrupt: download or copy it again");
  }
  FileTensor found = {.name = name,
                      .bytes = file_,
                      .offset = zip_.offset_of(entry_name) + tensor.begin * item_bytes,
                      .type = tensor.type,
                      .shape = tensor.shape};
  take_view(found, tensor, item_bytes);
  return found;
}

}  // namespace tplab
