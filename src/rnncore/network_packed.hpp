// The weights of a network in the kernels' order, for calls and streams that share them.
#pragma once

#include <vector>

#include "rnncore/network.hpp"

namespace rnncore {

template <class T>
class PackedNetwork {  // never changes
 public:
  PackedNetwork(const Network& network, const Parameters<const T>& parameters);

  const Network& network() const { return network_; }
  const T* panels(index k) const { return panels_[static_cast<std::size_t>(k)].data(); }  // of direction k = l D + d
  // State s of a direction at the start and after resets, or null for zero.
  const T* initial(index k, index s) const {
    if (!network_.learned_state()) return nullptr;
    return initial_.data() + network_.learned_offset(k, s);
  }

 private:
  Network network_;
  std::vector<Buffer<T>> panels_;
  Buffer<T> initial_;
};

}  // namespace rnncore
