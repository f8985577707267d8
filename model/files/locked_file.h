// What files and folders have in common that are made beside the old ones and then renamed.
#pragma once

#include <string>

namespace tplab {

// The path itself, where `path` is a link: renaming would replace the link.
std::string resolved_path(const std::string& path);

// Opens with these flags and locks. -1 with errno; EWOULDBLOCK where another process has the lock.
int open_locked(const std::string& path, int flags);

// Gives a file a second name; where the disk has no such thing, a copy that is synced to it. Throws
// as fail_write does, with this fix.   REQUIRES: nothing is at `to`
void link_or_copy(const std::string& from, const std::string& to, const std::string& fix);

// So that a rename in the folder of `path` survives a power failure. False with errno where it may
// not.
bool sync_folder_of(const std::string& path);

}  // namespace tplab
