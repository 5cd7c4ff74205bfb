// What can be wrong with a file that can be read; otherwise there is std::filesystem::filesystem_error.
// Twin: python/rnncore/files.py
#pragma once

#include <stdexcept>

namespace rnncore {

// The file holds something else, or is of a version that this library does not know.
class FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The content is not what was written.
class DamagedFileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace rnncore
