// Errors of the C face: a status, and a text for each thread. Nothing here allocates.
#pragma once

#include <exception>

namespace rnncore::c {

// Keeps the text, as printf makes it, and returns the status.
[[gnu::format(printf, 2, 3)]] int fail(int status, const char* format, ...) noexcept;
// The status of the exception that is being handled; keeps its text.
int fail_with_current_exception() noexcept;
const char* last_error() noexcept;

// Runs what may throw; no exception leaves.
template <class Work>
int guarded(const Work& work) noexcept {
  try {
    return work();
  } catch (...) {
    return fail_with_current_exception();
  }
}

}  // namespace rnncore::c
