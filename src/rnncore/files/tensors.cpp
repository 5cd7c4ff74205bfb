#include "rnncore/files/tensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

#include "rnncore/files/errors.hpp"
#include "rnncore/files/sha256.hpp"

namespace rnncore {
namespace {

using json = nlohmann::json;
static_assert(std::endian::native == std::endian::little, "tensors are written and read as they lie in memory");

struct ElementType {
  const char *stored, *dtype;  // in the file, and in NumPy (which has no bfloat16)
  index bytes;
};
constexpr std::array<ElementType, 8> element_types = {{{"F32", "float32", 4},
                                                       {"F64", "float64", 8},
                                                       {"I64", "int64", 8},
                                                       {"U64", "uint64", 8},
                                                       {"BF16", "bfloat16", 2},
                                                       {"BOOL", "bool", 1},
                                                       {"U8", "uint8", 1},
                                                       {"I8", "int8", 1}}};
constexpr std::size_t prefix = 8, longest_header = 100'000'000;  // bytes; the limit is that of the safetensors library

[[noreturn]] void damaged(const std::string& reason) { throw DamagedFileError(reason); }

// Where the elements of a tensor lie in the data, in bytes.
struct Extent {
  std::uint64_t begin, end;
  std::string name;
};

std::uint64_t header_size(std::string_view content) {
  if (content.size() < prefix) damaged("it has " + std::to_string(content.size()) + " bytes, expected at least 8");
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < prefix; ++i) size |= std::uint64_t{static_cast<unsigned char>(content[i])} << 8 * i;
  if (size > longest_header || size > content.size() - prefix)
    damaged("its header should have " + std::to_string(size) + " bytes, the file has " +
            std::to_string(content.size()) + " in all");
  return size;
}

// An object of JSON in which no name stands twice.
json parse_header(std::string_view text) {
  // The parser takes a zero for the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != text.npos)
    damaged("its header is no JSON from byte " + std::to_string(zero + 1) + " on");
  std::vector<std::set<std::string>> open;
  const auto look = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(value.get_ref<const std::string&>()).second)
      damaged("its header names " + value.dump() + " twice");
    return true;
  };
  try {
    json header = json::parse(text, look);
    if (!header.is_object()) damaged("its header is no object of JSON");
    return header;
  } catch (const json::parse_error& error) {  // its text repeats what stands there, whatever it is
    damaged("its header is no JSON from byte " + std::to_string(error.byte) + " on");
  } catch (const json::exception&) {
    damaged("its header holds a number out of range");
  }
}

std::map<std::string, std::string> read_metadata(const json& header) {
  std::map<std::string, std::string> metadata;
  const auto found = header.find("__metadata__");
  if (found == header.end() || found->is_null()) return metadata;
  if (!found->is_object()) damaged("its metadata are no object of JSON");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) damaged("its metadata hold something other than text under " + json(key).dump());
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::vector<std::uint64_t> read_counts(const json& entry, const char* key, const std::string& name) {
  std::vector<std::uint64_t> counts;
  const auto found = entry.find(key);
  bool good = found != entry.end() && found->is_array();
  if (good)
    for (const json& count : *found) {
      good = good && count.is_number_unsigned();
      if (good) counts.push_back(count.get<std::uint64_t>());
    }
  if (!good) damaged("tensor " + name + ": " + key + " should be a list of counts");
  return counts;
}

Extent read_extent(const json& entry, const std::string& name) {
  const auto offsets = read_counts(entry, "data_offsets", name);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    damaged("tensor " + name + ": data_offsets should be a beginning and an end");
  return {offsets[0], offsets[1], name};
}

// One entry of the header; data is what lies behind it.
Tensor read_tensor(const json& entry, const Extent& extent, std::string_view data) {
  const std::string& name = extent.name;
  const std::string stored = entry.value("dtype", json()).is_string() ? entry["dtype"].get<std::string>() : "none";
  const auto type = std::find_if(element_types.begin(), element_types.end(),
                                 [&](const ElementType& each) { return stored == each.stored; });
  if (type == element_types.end())
    damaged("tensor " + name + ": dtype is " + stored + ", expected F32, F64, I64, U64, BF16, BOOL, U8 or I8");
  Tensor tensor{type->dtype, {}, {}};
  index bytes = type->bytes;
  for (const std::uint64_t extent_of_axis : read_counts(entry, "shape", name)) {
    if (extent_of_axis > INT64_MAX || __builtin_mul_overflow(bytes, static_cast<index>(extent_of_axis), &bytes))
      damaged("tensor " + name + ": its shape is too large");
    tensor.shape.push_back(static_cast<index>(extent_of_axis));
  }
  if (static_cast<std::uint64_t>(bytes) != extent.end - extent.begin)
    damaged("tensor " + name + " has " + std::to_string(extent.end - extent.begin) + " bytes, its shape expects " +
            std::to_string(bytes));
  tensor.data = data.substr(extent.begin, extent.end - extent.begin);
  return tensor;
}

// Tensors lie one behind the other and fill the data: no overlap, no gap.
void check_extents(std::vector<Extent> extents, std::uint64_t size) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t end = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != end)
      damaged("tensor " + extent.name + " begins at byte " + std::to_string(extent.begin) +
              (extent.begin < end ? ", over the one before it, which ends at " : ", behind a gap from ") +
              std::to_string(end));
    end = extent.end;
  }
  if (end != size) damaged("its tensors end at byte " + std::to_string(end) + ", its data at " + std::to_string(size));
}

Tensors parse(std::string_view content) {
  const std::uint64_t size = header_size(content);
  const json header = parse_header(content.substr(prefix, size));
  const std::string_view data = content.substr(prefix + size);
  Tensors tensors{{}, read_metadata(header)};
  std::vector<Extent> extents;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    if (!entry.is_object()) damaged("tensor " + name + " is not described by an object of JSON");
    extents.push_back(read_extent(entry, name));
  }
  check_extents(extents, data.size());
  for (const Extent& extent : extents) tensors.named[extent.name] = read_tensor(header[extent.name], extent, data);
  return tensors;
}

// Text as Python's json.dumps writes it.
std::string quoted(const std::string& text) { return json(text).dump(-1, ' ', true); }

std::string digest_of(const Tensors& tensors) {
  Sha256 digest;
  std::string told = "{", between;
  for (const auto& [key, value] : tensors.metadata) {
    told.append(between).append(quoted(key)).append(": ").append(quoted(value));
    between = ", ";
  }
  digest.update(told + "}");
  for (const auto& [name, tensor] : tensors.named) {
    told = "[";
    told.append(quoted(name)).append(", ").append(quoted(tensor.dtype)).append(", [");
    between.clear();
    for (const index extent : tensor.shape) {
      told.append(between).append(std::to_string(extent));
      between = ", ";
    }
    digest.update(told + "]]");
    digest.update(tensor.data.data(), tensor.data.size());
  }
  return digest.hexdigest();
}

// Whether text is a whole number greater than the version.
bool is_newer(const std::string& text, int version) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const std::size_t first = digits ? std::min(text.find_first_not_of('0'), text.size()) : 0;
  return digits && (text.size() - first > 9 || (first < text.size() && std::stol(text.substr(first)) > version));
}

}  // namespace

std::string format_tensors(const Tensors& tensors, const std::string& format, int version) {
  Tensors told = tensors;
  told.metadata["format"] = format;
  told.metadata["version"] = std::to_string(version);
  told.metadata["digest"] = digest_of(told);
  nlohmann::ordered_json header;
  header["__metadata__"] = told.metadata;
  std::string data;
  for (const auto& type : element_types)  // wide elements first, so that all are aligned
    for (const auto& [name, tensor] : told.named) {
      if (tensor.dtype != type.dtype) continue;
      header[name] = {{"dtype", type.stored},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
      data += tensor.data;
    }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string content;
  for (std::size_t i = 0; i < prefix; ++i) content += static_cast<char>(text.size() >> 8 * i);
  return content + text + data;
}

Tensors parse_tensors(std::string_view content, const std::string& name, const std::string& format, int version) {
  Tensors tensors;
  try {
    tensors = parse(content);
  } catch (const DamagedFileError& error) {
    throw DamagedFileError(name + " is no safetensors file, or damaged: " + error.what());
  }
  const auto told = [&](const char* key) {
    const auto found = tensors.metadata.find(key);
    return found == tensors.metadata.end() ? std::string() : found->second;
  };
  if (told("format") != format)
    throw FormatError(name + ": expected the format " + format + ", got '" + told("format") + "'");
  const std::string digest = told("digest"), given = told("version");
  tensors.metadata.erase("digest");
  const std::string reads = name + (given.empty() ? " does not say its version" : " is of version " + given) +
                            ", this rnncore reads up to version " + std::to_string(version);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  const bool whole = true;  // no fuzzer finds a digest, and what stands behind it is to be tried
#else
  const bool whole = digest == digest_of(tensors);
#endif
  if (!whole) {
    if (is_newer(given, version)) throw FormatError(reads);
    throw DamagedFileError(name + " is damaged: its content does not match its digest");
  }
  if (given != std::to_string(version)) throw FormatError(reads);
  return tensors;
}

}  // namespace rnncore
