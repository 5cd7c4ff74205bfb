// The weights of a network in the kernels' order, for calls and streams that share them.
#pragma once

#include <mutex>
#include <vector>

#include "rnncore/network.hpp"

namespace rnncore {

template <class T>
class PackedNetwork {  // never changes, as far as calls can tell
 public:
  // std::invalid_argument for what Network::check_format refuses.
  PackedNetwork(const Network& network, const Parameters<const T>& parameters,
                WeightFormat format = WeightFormat::full);

  const Network& network() const { return network_; }
  WeightFormat format() const { return format_; }                                         // that was asked for
  WeightFormat read_format() const { return network_.read_format(format_); }              // of the panels
  const T* panels(index k) const { return panels_[static_cast<std::size_t>(k)].data(); }  // of direction k = l D + d
  // Before calls of so many rows and steps: weights in fewer bits that many rows share are widened once, and then stand
  // beside those that are packed.
  void widen(index rows, index steps) const;
  // The weights of direction k for such a call, as the kernels shall read them.
  void lend(index k, index rows, index steps, Sequence<T>& call) const;
  // State s of a direction at the start and after resets, or null for zero.
  const T* initial(index k, index s) const {
    if (!network_.learned_state()) return nullptr;
    return initial_.data() + network_.learned_offset(k, s);
  }

 private:
  bool widens(index rows, index steps) const;

  Network network_;
  WeightFormat format_;
  std::vector<Buffer<T>> panels_;
  mutable std::once_flag widened_once_;
  mutable std::vector<Buffer<T>> widened_;
  Buffer<T> initial_;
};

}  // namespace rnncore
