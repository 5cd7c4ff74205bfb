// An architecture as the text that stands in a model's file.
// Twin: `architecture` and `build` in python/rnncore/models/file.py
#pragma once

#include <string>

#include "rnncore/model/architecture.hpp"

namespace rnncore {

std::string to_json(const Architecture& architecture);
// std::invalid_argument for a text that describes none: unknown kinds and options, missing ones, and values of another
// type. Whether the layers fit is for Model to say.
Architecture parse_architecture(const std::string& text);

}  // namespace rnncore
