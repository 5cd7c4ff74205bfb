// How a batch and its gradients come: (steps, rows, columns), or packed as PyTorch's PackedSequence, all rows of step
// 0, then all rows of step 1 that are so long, and so on.
// Twin: python/rnncore/reference/calls.py
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "rnncore/network.hpp"

namespace rnncore::bindings {

class BatchForm {
 public:
  // Of an array (steps, rows, ...), or with batch_sizes of a packed one, (rows of all steps, columns).
  BatchForm(const View& array, const py::object& batch_sizes) : count_(array.shape(0)) {
    if (batch_sizes.is_none()) {
      steps_ = array.shape(0);
      rows_ = array.shape(1);
    } else {
      read(batch_sizes);
    }
  }
  // Of the call that a cache is of.
  template <class T>
  explicit BatchForm(const Cache<T>& cache)
      : steps_(cache.inputs.steps),
        rows_(cache.inputs.rows),
        count_(std::accumulate(cache.lengths.data(), cache.lengths.data() + rows_, index{0})),
        starts_(cache.inputs.x.starts) {}
  BatchForm(const BatchForm&) = delete;
  BatchForm& operator=(const BatchForm&) = delete;

  index steps() const { return steps_; }
  index rows() const { return rows_; }
  const index* lengths() const { return starts_ ? own_lengths_.data() : nullptr; }  // null: not packed

  // An array in this form, its columns contiguous.
  template <class T>
  Rows<T> view(const py::object& object, const Name& name, index columns, Access access) const {
    if (!starts_) return bindings::rows<T>(object, name, {steps_, rows_, columns}, access);
    const auto packed = matrix<T>(object, name, count_, columns, access);
    return {packed.data, 0, packed.row, starts_};
  }

  // A flag for each row of each step, as (steps, rows); of a packed batch a copy, which lives as long as this does.
  const std::uint8_t* flags(const py::object& object, const Name& name) {
    const auto shape = starts_ ? Shape{count_} : Shape{steps_, rows_};
    const auto array = contiguous<bool>(object, name, shape, Access::read);
    const auto* const given = reinterpret_cast<const std::uint8_t*>(pointer<bool>(array));
    if (!starts_) return given;
    own_flags_.assign(static_cast<std::size_t>(steps_ * rows_), 0);
    for (index t = 0; t < steps_; ++t) {
      const index end = t + 1 < steps_ ? starts_[t + 1] : count_;
      std::copy(given + starts_[t], given + end, own_flags_.begin() + t * rows_);
    }
    return own_flags_.data();
  }

 private:
  // How many rows each step has, none more than the step before.
  void read(const py::object& object) {
    const View view = of_dimensions(object, "batch_sizes", 1);
    steps_ = view.shape(0);
    const index* const sizes = pointer<index>(contiguous<index>(object, "batch_sizes", {steps_}, Access::read));
    rows_ = steps_ > 0 ? sizes[0] : 0;
    index sum = 0;
    for (index t = 0; t < steps_; ++t) {
      if (sizes[t] < 1 || (t > 0 && sizes[t] > sizes[t - 1]))
        throw py::value_error("batch_sizes must be positive, none greater than the one before");
      own_starts_.push_back(sum);
      if (sizes[t] > count_ - sum) break;
      sum += sizes[t];
    }
    if (steps_ == 0) throw py::value_error("batch_sizes must have a step");
    if (sum != count_ || own_starts_.size() != static_cast<std::size_t>(steps_))
      throw py::value_error("batch_sizes must add up to the " + std::to_string(count_) + " rows of x");
    own_lengths_.resize(static_cast<std::size_t>(rows_));
    for (index t = 0; t < steps_; ++t)
      std::fill(own_lengths_.begin() + (t + 1 < steps_ ? sizes[t + 1] : 0), own_lengths_.begin() + sizes[t], t + 1);
    starts_ = own_starts_.data();
  }

  index steps_ = 0, rows_ = 0, count_ = 0;  // count_: rows of all steps, of a packed batch
  const index* starts_ = nullptr;           // of a packed batch: the row with which each step begins
  std::vector<index> own_starts_, own_lengths_;
  std::vector<std::uint8_t> own_flags_;
};

}  // namespace rnncore::bindings
