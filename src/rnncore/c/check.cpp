#include <cinttypes>
#include <cstdint>

#include "rnncore/c/handles.hpp"

namespace rnncore::c {

std::size_t bytes_of(index steps, index rows, index columns, index element) noexcept {
  index bytes = element;
  for (const index factor : {steps, rows, columns})
    if (factor < 0 || __builtin_mul_overflow(bytes, factor, &bytes)) return SIZE_MAX;
  return static_cast<std::size_t>(bytes);
}

int refuse_null(const char* name, const char* expected) noexcept {
  return fail(RNNCORE_INVALID_ARGUMENT, "%s is a null pointer, expected %s", name, expected);
}

int check_count(const char* name, index count) noexcept {
  return count < 0 ? fail(RNNCORE_INVALID_ARGUMENT, "%s is %" PRId64 ", expected 0 or more", name, count) : RNNCORE_OK;
}

int check_buffer(const char* name, const void* data, std::size_t bytes, std::size_t expected) noexcept {
  if (expected == SIZE_MAX)
    return fail(RNNCORE_INVALID_ARGUMENT, "%s: so many steps and rows are more than memory can hold", name);
  if (bytes != expected) return fail(RNNCORE_INVALID_ARGUMENT, "%s has %zu bytes, expected %zu", name, bytes, expected);
  if (!data && expected > 0)
    return fail(RNNCORE_INVALID_ARGUMENT, "%s is a null pointer, expected %zu bytes", name, expected);
  return RNNCORE_OK;
}

int check_apart(const void* x, std::size_t x_bytes, const void* y, std::size_t y_bytes) noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(x), to = reinterpret_cast<std::uintptr_t>(y);
  if (from < to + y_bytes && to < from + x_bytes)
    return fail(RNNCORE_INVALID_ARGUMENT, "y lies over x, expected arrays apart from each other");
  return RNNCORE_OK;
}

int check_labels(const index* labels, index steps, index rows, const index* lengths, index count) noexcept {
  for (index t = 0; t < steps; ++t)
    for (index n = 0; n < rows; ++n)
      if (const index label = labels[t * rows + n]; (label < 0 || label >= count) && (!lengths || t < lengths[n]))
        return fail(RNNCORE_INVALID_ARGUMENT,
                    "x has the label %" PRId64 " at step %" PRId64 ", row %" PRId64 ", expected 0..%" PRId64, label, t,
                    n, count - 1);
  return RNNCORE_OK;
}

}  // namespace rnncore::c
