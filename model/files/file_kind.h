// What a file is that is not what was wanted: by its first bytes, for messages.
#pragma once

#include <optional>
#include <string_view>

#include "model/files/bytes.h"

namespace tplab {

struct FileKind {
  std::string_view what;           // "a web page (HTML)"
  std::string_view way;            // what to do about it where a checkpoint was wanted
  std::string_view text_way = "";  // and where a text was; empty: a text may begin so
};

// Nothing where it is none that is known here.
std::optional<FileKind> kind_of_file(std::string_view begin);

// Throws Error(bad_file) where it is one, or is empty.
void refuse_other_kind(const ByteSource& file);

}  // namespace tplab
