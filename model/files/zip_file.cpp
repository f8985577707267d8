#include "model/files/zip_file.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>

#include "sim/error.h"

namespace tplab {

// What libzip reads through: a position in a ByteSource.
struct ZipCursor {
  const ByteSource* bytes;
  int64_t position = 0;
  int64_t last_read = -1;  // where the latest read began
  zip_error_t error = {};
};

namespace {

constexpr const char* kCopyZipAgain = "the file is truncated or corrupt: download or copy it again";

zip_int64_t read_cursor(ZipCursor& cursor, void* data, zip_uint64_t length) {
  const int64_t left = cursor.bytes->size() - cursor.position;
  const int64_t count =
      static_cast<int64_t>(std::min(length, static_cast<zip_uint64_t>(std::max<int64_t>(left, 0))));
  try {  // no exception may pass through libzip, which is C
    cursor.bytes->read(cursor.position, data, count);
  } catch (const std::exception&) {
    zip_error_set(&cursor.error, ZIP_ER_READ, 0);
    return -1;
  }
  cursor.last_read = cursor.position;
  cursor.position += count;
  return count;
}

zip_int64_t cursor_callback(void* state, void* data, zip_uint64_t length,
                            zip_source_cmd_t command) {
  ZipCursor& cursor = *static_cast<ZipCursor*>(state);
  switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(
          ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
          ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    case ZIP_SOURCE_OPEN:
      cursor.position = 0;
      return 0;
    case ZIP_SOURCE_READ:
      return read_cursor(cursor, data, length);
    case ZIP_SOURCE_SEEK: {
      const zip_int64_t to = zip_source_seek_compute_offset(
          static_cast<zip_uint64_t>(cursor.position),
          static_cast<zip_uint64_t>(cursor.bytes->size()), data, length, &cursor.error);
      if (to < 0) return -1;
      cursor.position = to;
      return 0;
    }
    case ZIP_SOURCE_TELL:
      return cursor.position;
    case ZIP_SOURCE_STAT: {
      auto* status = static_cast<zip_stat_t*>(data);
      zip_stat_init(status);
      status->size = static_cast<zip_uint64_t>(cursor.bytes->size());
      status->valid |= ZIP_STAT_SIZE;
      return sizeof *status;
    }
    case ZIP_SOURCE_ERROR:
      return zip_error_to_data(&cursor.error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
      return 0;
    default:
      zip_error_set(&cursor.error, ZIP_ER_OPNOTSUPP, 0);
      return -1;
  }
}

using EntryFile = std::unique_ptr<zip_file_t, decltype(&zip_fclose)>;

}  // namespace

struct ZipFile::Handle {
  ZipCursor cursor;
  zip_t* zip = nullptr;
  ~Handle() {
    if (zip) zip_discard(zip);
  }
};

ZipFile::ZipFile(std::shared_ptr<const ByteSource> bytes)
    : bytes_(std::move(bytes)), handle_(std::make_unique<Handle>()) {
  handle_->cursor.bytes = bytes_.get();
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_function_create(cursor_callback, &handle_->cursor, &error);
  if (source) handle_->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!handle_->zip) {
    if (source) zip_source_free(source);
    const std::string what = zip_error_strerror(&error);
    zip_error_fini(&error);
    fail_file(bytes_->name(), "its zip directory cannot be read: " + what, kCopyZipAgain);
  }

  const zip_int64_t count = zip_get_num_entries(handle_->zip, 0);
  for (zip_uint64_t index = 0; index < static_cast<zip_uint64_t>(count); ++index) {
    zip_stat_t status;
    constexpr zip_uint64_t kNeeded =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(handle_->zip, index, ZIP_FL_ENC_RAW, &status) != 0 ||
        (status.valid & kNeeded) != kNeeded || status.size > INT64_MAX) {
      fail_file(bytes_->name(), fmt::format("entry {} of the zip directory is corrupt", index),
                kCopyZipAgain);
    }
    const bool encrypted =
        (status.valid & ZIP_STAT_ENCRYPTION_METHOD) && status.encryption_method != ZIP_EM_NONE;
    const ZipEntry entry = {
        index, static_cast<int64_t>(status.size),
        status.comp_method == ZIP_CM_STORE && !encrypted && status.comp_size == status.size};
    if (!entries_.emplace(status.name, entry).second) {
      fail_file(bytes_->name(), "the zip file has two entries named " + in_quotes(status.name),
                "save the checkpoint again");
    }
  }
}

ZipFile::~ZipFile() = default;

const ZipEntry* ZipFile::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

const ZipEntry& ZipFile::at(std::string_view name) const {
  if (const ZipEntry* entry = find(name)) return *entry;
  fail_file(bytes_->name(), fmt::format("the zip file has no entry {}", in_quotes(name)),
            kCopyZipAgain);
}

std::string ZipFile::read(std::string_view name, int64_t most) {
  const ZipEntry& entry = at(name);
  if (entry.size > most) {
    fail_file(bytes_->name(),
              fmt::format("zip entry {} claims {} bytes uncompressed; {} are allowed",
                          in_quotes(name), entry.size, most),
              "no real checkpoint needs this: save it again with torch.save");
  }
  std::string text(static_cast<size_t>(entry.size), '\0');
  const EntryFile file(zip_fopen_index(handle_->zip, entry.index, 0), &zip_fclose);
  zip_int64_t got = -1;
  if (file) {
    got = zip_fread(file.get(), text.data(), text.size());
    char end;  // reading past the last byte is what makes libzip compare the checksum
    if (got == entry.size && zip_fread(file.get(), &end, 1) != 0) got = -1;
  }
  if (got != entry.size) {
    fail_file(bytes_->name(), fmt::format("zip entry {} is corrupt", in_quotes(name)),
              kCopyZipAgain);
  }
  return text;
}

// libzip does not say where an entry's bytes are, but it reads a stored entry as they stand, and
// the cursor sees from where.
int64_t ZipFile::offset_of(std::string_view name) {
  const ZipEntry& entry = at(name);
  if (!entry.is_stored) {
    fail_file(bytes_->name(),
              fmt::format("zip entry {} is compressed or encrypted", in_quotes(name)),
              "PyTorch stores tensors uncompressed: save the checkpoint again with torch.save");
  }
  if (entry.size == 0) return 0;
  const EntryFile file(zip_fopen_index(handle_->zip, entry.index, ZIP_FL_COMPRESSED), &zip_fclose);
  char first;
  const bool good = file && zip_fread(file.get(), &first, 1) == 1;
  const int64_t offset = handle_->cursor.last_read;
  if (!good || entry.size > bytes_->size() - offset) {
    fail_file(bytes_->name(),
              fmt::format("zip entry {} of {} bytes ends past the end of the file", in_quotes(name),
                          entry.size),
              kCopyZipAgain);
  }
  return offset;
}

}  // namespace tplab
