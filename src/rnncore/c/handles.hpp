// What the handles of the C face stand for, and the checks of its arguments.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <variant>

#include "rnncore/c/error.hpp"
#include "rnncore/model/file.hpp"
#include "rnncore/model/stream.hpp"
#include "rnncore/rnncore.h"

namespace rnncore::c {

// The bytes of an array, SIZE_MAX if memory cannot hold as many.
std::size_t bytes_of(index steps, index rows, index columns, index element) noexcept;

// INVALID_ARGUMENT, with a text that says what was expected in place of a null pointer.
int refuse_null(const char* name, const char* expected = "a handle") noexcept;
// RNNCORE_OK, or INVALID_ARGUMENT with a text.
int check_count(const char* name, index count) noexcept;
int check_buffer(const char* name, const void* data, std::size_t bytes, std::size_t expected) noexcept;
int check_apart(const void* x, std::size_t x_bytes, const void* y, std::size_t y_bytes) noexcept;
// Labels of row n at step t, for all that are valid.
int check_labels(const index* labels, index steps, index rows, const index* lengths, index count) noexcept;

}  // namespace rnncore::c

struct rnncore_model {
  rnncore::LoadedModel loaded;
  rnncore::StreamSizes sizes;  // of one row

  // Weights in the kernels' order, made for the first stream.
  template <class T>
  using Packed = std::shared_ptr<const rnncore::PackedModel<T>>;
  mutable std::mutex mutex;
  mutable std::variant<std::monostate, Packed<float>, Packed<double>> packed;
};

// A handle of a stream is the stream's memory itself, so that thousands of them take no more than their states.
struct rnncore_stream : rnncore::StreamMemory {};

namespace rnncore::c {

// work(view) with the stream of its dtype.
template <class Work>
auto with_stream(const rnncore_stream* stream, const Work& work) {
  auto* const memory = const_cast<rnncore_stream*>(stream);
  return memory->shared->element == sizeof(float) ? work(StreamView<float>(memory)) : work(StreamView<double>(memory));
}

}  // namespace rnncore::c
