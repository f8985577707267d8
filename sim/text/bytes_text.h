// A number of bytes, for people.
#pragma once

#include <concepts>
#include <string>

namespace tplab {

// 640 B, 1.50 KiB, 24.9 MiB: three digits and a binary unit.
std::string bytes_text(double bytes);
std::string bytes_text(std::integral auto bytes) { return bytes_text(static_cast<double>(bytes)); }

}  // namespace tplab
