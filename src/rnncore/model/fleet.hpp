// Many models that need nothing of each other: threads share them, each model is one thread's.
#pragma once

#include <functional>
#include <vector>

#include "rnncore/control.hpp"
#include "rnncore/model/stream.hpp"

namespace rnncore {

// work(k, control) for k in 0..count - 1. A worker that is done with one takes the next that nobody has begun; what
// work calls with its control runs on one thread. Throws Stopped as a call of one model does: some are done then.
void each_model(index count, Control& control, const std::function<void(index, Control&)>& work);

// A stream of as many rows of each of K models of one shape, stepped together: arrays are (K, ...), one behind the
// other.
template <class T>
class FleetStream {
 public:
  FleetStream(const Model& model, index models, const T* parameters, index rows);  // parameters (K, P)

  index models() const { return static_cast<index>(streams_.size()); }
  const StreamView<T>& operator[](index k) const { return streams_[static_cast<std::size_t>(k)]; }

  // One step of all rows of all models: x (K, N, I), or labels (K, N) in range; y (K, N, O).
  void step(const T* x, T* y, Control& control) const;
  void step(const index* labels, T* y, Control& control) const;
  // As many steps in one go: x (K, T, N, I), or labels (K, T, N); y (K, T, N, O). Where it throws, all states are as
  // before.
  void run(index steps, const T* x, T* y, Control& control) const;
  void run(index steps, const index* labels, T* y, Control& control) const;
  // Other weights, from the next step on. The states stay.
  void replace(const T* parameters);

 private:
  template <class X>
  void step_all(const X* x, T* y, Control& control) const;
  template <class X>
  void run_all(index steps, const X* x, T* y, Control& control) const;

  std::vector<ModelStream<T>> streams_;
};

}  // namespace rnncore
