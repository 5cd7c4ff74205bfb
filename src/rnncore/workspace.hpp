// Memory for a call: aligned, not initialised, sizes checked.
#pragma once

#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "rnncore/kernels/table.hpp"

namespace rnncore {

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(const std::string& amount) : text_("could not allocate " + amount + " bytes") {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// The product, or an error where it leaves 63 bits.
inline index checked_product(std::initializer_list<index> factors) {
  index product = 1;
  for (const index factor : factors) {
    if (factor < 0) throw std::invalid_argument("a size is negative: " + std::to_string(factor));
    if (__builtin_mul_overflow(product, factor, &product)) throw OutOfMemory("more than 2^63");
  }
  return product;
}

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(index count) : size_(count) {
    constexpr index line = 64;
    const index bytes = checked_product({count, sizeof(T)});
    if (bytes > std::numeric_limits<index>::max() - line) throw OutOfMemory("more than 2^63");
    if (count > 0)
      data_ = static_cast<T*>(std::aligned_alloc(line, static_cast<std::size_t>((bytes + line - 1) / line * line)));
    if (count > 0 && !data_) throw OutOfMemory(std::to_string(bytes));
  }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() const { return data_; }
  index size() const { return size_; }

 private:
  T* data_ = nullptr;
  index size_ = 0;
};

}  // namespace rnncore
