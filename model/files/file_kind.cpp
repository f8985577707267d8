#include "model/files/file_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "sim/error.h"

namespace tplab {
namespace {

using namespace std::string_view_literals;

constexpr const char* kDownloadAgain =
    "download the file itself: a server sends a page like this in place of a file that needs a "
    "login, has moved or is too large to show";
constexpr const char* kUnpack = "unpack it first, and give what is in it";
constexpr const char* kConvert =
    "convert it where Python is: GPT2LMHeadModel.from_pretrained(...).save_pretrained('folder') "
    "writes a folder that tplab reads";
constexpr const char* kUtf8 = "save it as UTF-8";
constexpr const char* kOther = "give a checkpoint, or the file as it was written";
constexpr const char* kTakeOut = "take the text out of it";
constexpr const char* kText = "give a text";

struct KindRow {
  size_t at;
  std::string_view bytes;
  FileKind kind;
};
constexpr KindRow kKinds[] = {
    {0, "\x1f\x8b"sv, {"a gzip archive", kUnpack, "uncompress it with gunzip"}},
    {0, "BZh"sv, {"a bzip2 archive", kUnpack, "uncompress it with bunzip2"}},
    {0, "\xfd\x37zXZ"sv, {"an xz archive", kUnpack, "uncompress it with unxz"}},
    {0, "\x28\xb5\x2f\xfd"sv, {"a Zstandard archive", kUnpack, "uncompress it with unzstd"}},
    {0, "7z\xbc\xaf"sv, {"a 7-Zip archive", kUnpack, kUnpack}},
    {0, "PK\x03\x04"sv, {"a zip archive, as .docx, .epub and .npz are", kUnpack, kTakeOut}},
    {257, "ustar"sv, {"a tar archive", kUnpack, kUnpack}},
    {0, "GGUF"sv, {"a GGUF model, as llama.cpp reads", kConvert, kText}},
    {0, "lmgg"sv, {"a GGML model, as llama.cpp reads", kConvert, kText}},
    {0, "tjgg"sv, {"a GGML model, as llama.cpp reads", kConvert, kText}},
    {0, "\x89HDF\r\n"sv, {"an HDF5 file, as Keras and TensorFlow save", kConvert, kText}},
    {4, "TFL3"sv, {"a TensorFlow Lite model", kConvert, kText}},
    {0, "\x93NUMPY"sv, {"a NumPy array (.npy)", kConvert, "give a text; for ids see --data"}},
    {0, "SQLite format 3"sv, {"an SQLite database", kOther, kTakeOut}},
    {0, "PAR1"sv, {"a Parquet table", kOther, "write its column of texts to a file"}},
    {0, "\xd0\xcf\x11\xe0"sv, {"a document of an old Office", kOther, "save it as plain text"}},
    {0, "%PDF-"sv, {"a PDF document", kOther, "take the text out of it, as pdftotext does"}},
    {0, "\x89PNG"sv, {"a PNG picture", kOther, kText}},
    {0, "\xff\xd8\xff"sv, {"a JPEG picture", kOther, kText}},
    {0, "\177ELF"sv, {"a program (ELF)", kOther, kText}},
    {0, "\xff\xfe"sv, {"a text in UTF-16", kUtf8}},
    {0, "\xfe\xff"sv, {"a text in UTF-16", kUtf8}},
};

// "<!DOCTYPE html>", "<html lang=...", "<?xml": in any case, after spaces.
bool is_markup(std::string_view begin) {
  const size_t first = begin.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  std::string word(begin.substr(first, 9));
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word.starts_with("<!doctype") || word.starts_with("<html") || word.starts_with("<head") ||
         word.starts_with("<?xml");
}

// Protocol buffers: the version of the format, then the name of the program that wrote it.
bool is_onnx(std::string_view begin) {
  return begin.size() > 8 && begin[0] == 8 && begin[1] < 32 && begin[2] == 0x12 && begin[3] < 64 &&
         std::isalpha(static_cast<unsigned char>(begin[4]));
}

}  // namespace

std::optional<FileKind> kind_of_file(std::string_view begin) {
  for (const KindRow& row : kKinds) {
    if (begin.substr(std::min(row.at, begin.size())).starts_with(row.bytes)) return row.kind;
  }
  if (is_markup(begin)) return FileKind{"a web page (HTML)", kDownloadAgain};
  if (is_onnx(begin)) return FileKind{"an ONNX model", kConvert};
  if (begin.size() >= 64 && begin.find_first_not_of('\0') == begin.npos)
    return FileKind{"zeros, at least at its beginning", "the download was cut: download it again"};
  return {};
}

void refuse_other_kind(const ByteSource& file) {
  if (file.size() == 0) fail_file(file.name(), "is empty", "download or copy it again");
  if (const auto kind = kind_of_file(begin_of(file, 512)))
    fail_file(file.name(), fmt::format("is {}", kind->what), std::string(kind->way));
}

}  // namespace tplab
