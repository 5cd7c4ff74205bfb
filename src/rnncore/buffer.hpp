// Memory for a call: aligned, not initialised, sizes checked.
#pragma once

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "rnncore/memory.hpp"

namespace rnncore {

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(const std::string& amount) : text_("could not allocate " + amount + " bytes") {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// The product or sum, or an error where it leaves 63 bits.
inline index checked_product(std::initializer_list<index> factors) {
  index product = 1;
  for (const index factor : factors) {
    if (factor < 0) throw std::invalid_argument("a size is negative: " + std::to_string(factor));
    if (__builtin_mul_overflow(product, factor, &product)) throw OutOfMemory("more than 2^63");
  }
  return product;
}

inline index checked_sum(index a, index b) {
  index sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) throw OutOfMemory("more than 2^63");
  return sum;
}

inline void check_at_least(const std::string& name, index least, index value) {
  if (value < least)
    throw std::invalid_argument(name + " must be at least " + std::to_string(least) + ", got " + std::to_string(value));
}

// As many elements or more, which fill cache lines.
template <class T>
constexpr index whole_lines(index count) {
  constexpr index line = cache_line / sizeof(T);
  return (count + line - 1) / line * line;
}

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(index count) : size_(count) {
    const index bytes = checked_product({count, sizeof(T)});
    if (bytes > 0) memory_ = take_memory(bytes);
  }
  Buffer(Buffer&& other) noexcept
      : memory_(std::exchange(other.memory_, Memory())), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (memory_.data) give_memory(memory_);
  }

  T* data() const { return static_cast<T*>(memory_.data); }
  index size() const { return size_; }

 private:
  Memory memory_;
  index size_ = 0;
};

}  // namespace rnncore
