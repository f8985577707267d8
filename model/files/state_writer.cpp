// write() to a reserved .part, fsync, rename, fsync of the folder: in this order, nothing is lost.
#include "model/files/state_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "model/files/locked_file.h"
#include "model/files/slice.h"
#include "sim/error.h"

namespace tplab {

namespace {

constexpr const char* kOtherFolder = "choose a folder that you can write to";

// The 8 bytes of its length, and the header, padded so that values lie at multiples of 8.
std::string make_header(const std::vector<StateTensor>& tensors, DType dtype,
                        const std::map<std::string, std::string>& metadata) {
  using Json = nlohmann::ordered_json;
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  // As a list: looking for each name among those before it takes minutes where there are many.
  auto& rows = static_cast<Json::object_t::Container&>(header.get_ref<Json::object_t&>());
  int64_t end = 0;
  for (const StateTensor& tensor : tensors) {
    const int64_t begin = end;
    end += tensor.shape[0] * cols_of(tensor.shape) * size_bytes(dtype);
    rows.emplace_back(tensor.name, Json{{"dtype", dtype == DType::f64 ? "F64" : "F32"},
                                        {"shape", tensor.shape},
                                        {"data_offsets", {begin, end}}});
  }
  std::string text = json_text(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t length = text.size();
  text.insert(0, reinterpret_cast<const char*>(&length),
              sizeof length);  // little-endian, as we are
  return text;
}

bool has_another_name(int fd) {
  struct stat file = {};
  return fstat(fd, &file) == 0 && file.st_nlink > 1;
}

}  // namespace

StateWriter::StateWriter(const std::string& path, DType dtype)
    : path_(resolved_path(path)), part_(path_ + ".part"), value_bytes_(size_bytes(dtype)) {}

StateWriter::StateWriter(const std::string& path, const std::vector<StateTensor>& tensors,
                         DType dtype, const std::map<std::string, std::string>& metadata)
    : StateWriter(path, dtype) {
  const std::string header = make_header(tensors, dtype, metadata);
  lay_out(tensors, static_cast<int64_t>(header.size()));
  fd_ = open_locked(part_, O_RDWR | O_CREAT | O_CLOEXEC);
  if (fd_ >= 0 && has_another_name(fd_)) {  // of a process killed in put_in_place_as(): a good file
    unlink(part_.c_str());
    close(fd_);
    fd_ = open_locked(part_, O_RDWR | O_CREAT | O_CLOEXEC);
  }
  if (fd_ < 0 && errno == EWOULDBLOCK) {
    fail(fmt::format("{}: another process is writing it just now", path_),
         "end one of the two, or give this one another folder");
  }
  if (fd_ < 0) refuse("cannot be written", errno);
  try {
    // Cut first: of what a killed process left, nothing may be taken for ours.
    if (ftruncate(fd_, 0) != 0) refuse("cannot be written", errno);
    const int error_number = posix_fallocate(fd_, 0, bytes_);
    if (error_number != 0) refuse(fmt::format("cannot reserve {} bytes", bytes_), error_number);
    write_bytes(header.data(), static_cast<int64_t>(header.size()), 0);
  } catch (...) {
    unlink(part_.c_str());
    close(fd_);
    throw;
  }
}

std::unique_ptr<StateWriter> StateWriter::join(const std::string& path,
                                               const std::vector<StateTensor>& tensors,
                                               DType dtype) {
  std::unique_ptr<StateWriter> writer(new StateWriter(path, dtype));
  writer->joined_ = true;
  writer->fd_ = open(writer->part_.c_str(), O_RDWR | O_CLOEXEC);
  uint64_t length = 0;  // of the header, without these 8 bytes
  constexpr const char* kNotByAll = "cannot be written by all ranks";
  if (writer->fd_ < 0) writer->refuse(kNotByAll, errno);
  const ssize_t count = pread(writer->fd_, &length, sizeof length, 0);
  if (count != sizeof length) writer->refuse(kNotByAll, count < 0 ? errno : EIO);
  writer->lay_out(tensors, static_cast<int64_t>(sizeof length + length));
  struct stat file = {};
  if (fstat(writer->fd_, &file) != 0 || file.st_size != writer->bytes_)  // another's by now
    writer->refuse(kNotByAll, EIO);
  return writer;
}

StateWriter::~StateWriter() {
  if (fd_ < 0) return;
  if (!joined_) unlink(part_.c_str());  // before the lock goes: it cannot be another's by then
  close(fd_);
}

void StateWriter::refuse(const std::string& what, int error_number) const {
  const bool was_there = may_exist(path_);
  fail_write(fmt::format("{}: {} ({})", path_, what,
                         was_there ? "the file that was there is as it was" : "no file was made"),
             error_number, kOtherFolder);
}

// Where each tensor is: one after the other, behind the header.
void StateWriter::lay_out(const std::vector<StateTensor>& tensors, int64_t header_bytes) {
  bytes_ = header_bytes;
  for (const StateTensor& tensor : tensors) {
    const Place& place = places_[tensor.name] = {bytes_, tensor.shape[0], cols_of(tensor.shape)};
    bytes_ += place.rows * place.cols * value_bytes_;
  }
}

void StateWriter::write_bytes(const void* data, int64_t count, int64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (count > 0) {
    const ssize_t written = pwrite(fd_, from, static_cast<size_t>(count), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) refuse(fmt::format("cannot write byte {}", offset), errno);
    from += written;
    offset += written;
    count -= written;
  }
}

void StateWriter::write(std::string_view tensor, const Slice& slice, int64_t local_begin,
                        int64_t local_end, const void* data) {
  const auto found = places_.find(tensor);
  if (found == places_.end() || !is_within(slice, found->second.rows, found->second.cols) ||
      local_begin < 0 || local_begin > local_end || local_end > slice.count()) {
    fail(fmt::format("{}: a slice of {} that is not in it", path_, in_quotes(tensor)),
         "this is a bug in tplab: please report it");
  }
  const Place& place = found->second;
  const auto* from = static_cast<const char*>(data);
  for_each_run(slice, place.cols, local_begin, local_end,
               [&](int64_t in_tensor, int64_t in_list, int64_t count) {
                 write_bytes(from + (in_list - local_begin) * value_bytes_, count * value_bytes_,
                             place.offset + in_tensor * value_bytes_);
               });
}

// Files are only ever replaced as a whole, so that one may have two names.
void StateWriter::put_in_place_as(const std::string& second) const {
  const std::string path = resolved_path(second), part = path + ".part";
  unlink(part.c_str());
  link_or_copy(part_, part, kOtherFolder);
  if (std::rename(part.c_str(), path.c_str()) != 0) refuse("cannot be named " + path, errno);
}

// On a network's file system what could not be written may be told here and nowhere before.
void StateWriter::finish() {
  if (close(std::exchange(fd_, -1)) != 0) refuse("cannot be written to its end", errno);
}

void StateWriter::commit(const std::string& second) {
  if (fsync(fd_) != 0) refuse("cannot be synced to the disk", errno);
  if (!second.empty()) put_in_place_as(second);
  if (std::rename(part_.c_str(), path_.c_str()) != 0) refuse("cannot be replaced", errno);
  close(std::exchange(fd_, -1));
  if (sync_folder_of(path_)) return;
  fail(fmt::format("{}: its folder cannot be synced to the disk: {}", path_, std::strerror(errno)),
       "the file is complete, but a power failure now may bring the old one back: check the disk");
}

}  // namespace tplab
