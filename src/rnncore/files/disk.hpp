// Whole files, read and replaced in one go.
#pragma once

#include <string>

namespace rnncore {

// The content of a regular file. Throws std::filesystem::filesystem_error.
std::string read_file(const std::string& path);
// Whoever opens the path finds the old content or the new, even if the power fails; on an error the old file stays and
// nothing is left behind. A symbolic link stays a link; the new file has the mode of the old one. Throws
// std::filesystem::filesystem_error.
void replace_file(const std::string& path, const std::string& content);

}  // namespace rnncore
