// Detectors in files, as Python's `Detector.save` writes them. Nothing in a file is trusted.
// Twin: python/rnncore/detection/store.py
#pragma once

#include <string>
#include <string_view>

#include "rnncore/detection/detector.hpp"

namespace rnncore {

// A detector that goes on where that of the file stood. Throws std::filesystem::filesystem_error, DamagedFileError for
// a file that was changed in any bit, FormatError for one that holds something else or is of a newer version.
Detector load_detector(const std::string& path);
// The same of a file's content; `name` stands in the errors.
Detector parse_detector(std::string_view content, const std::string& name);

}  // namespace rnncore
