// The entries of a zip file, and where in the file their bytes are, so that they can be read by
// position. (libzip's own handles are neither safe to share between threads nor fast to open.)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "model/files/bytes.h"

namespace tplab {

struct ZipEntry {
  uint64_t index = 0;     // libzip's
  int64_t size = 0;       // uncompressed, as the directory says
  bool is_stored = true;  // neither compressed nor encrypted
};

// For one thread: it is done with once a checkpoint is open. Everything throws Error(bad_file).
class ZipFile {
 public:
  explicit ZipFile(std::shared_ptr<const ByteSource> bytes);
  ~ZipFile();
  ZipFile(const ZipFile&) = delete;
  ZipFile& operator=(const ZipFile&) = delete;

  const std::map<std::string, ZipEntry, std::less<>>& entries() const { return entries_; }
  const ZipEntry* find(std::string_view name) const;  // null where there is none

  // A small entry whole, decompressed, its checksum checked. Refused, before allocating, where
  // the directory claims more than `most` bytes.
  std::string read(std::string_view name, int64_t most);

  // Where the bytes of a stored entry begin; all of them are known to lie within the file.
  int64_t offset_of(std::string_view name);

 private:
  struct Handle;
  const ZipEntry& at(std::string_view name) const;

  std::shared_ptr<const ByteSource> bytes_;
  std::unique_ptr<Handle> handle_;
  std::map<std::string, ZipEntry, std::less<>> entries_;
};

}  // namespace tplab
