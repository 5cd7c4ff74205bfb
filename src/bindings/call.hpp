// One engine call without the GIL, that Ctrl-C can end.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>

#include "rnncore/network.hpp"

namespace rnncore::bindings {

namespace py = pybind11;

// Looks for signals at most every 50 ms: it needs the GIL, which other threads may hold.
class SignalCheck {
 public:
  static void poll(void* self) { static_cast<SignalCheck*>(self)->look(); }

  Control control(int threads) { return {threads, poll, this, false}; }
  void watch(Control& control) { stop_ = &control.stop; }

 private:
  using Clock = std::chrono::steady_clock;

  void look() {
    const auto now = Clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) __atomic_store_n(stop_, true, __ATOMIC_RELAXED);
  }

  Clock::time_point last_ = Clock::now();
  bool* stop_ = nullptr;
};

template <class Work>
void without_gil(int threads, const Work& work) {
  SignalCheck signals;
  Control control = signals.control(threads);
  signals.watch(control);
  try {
    // The engine touches memory of arrays that the caller holds, and no Python object.
    const py::gil_scoped_release release;
    work(control);
  } catch (const Stopped&) {
    throw py::error_already_set();
  }
}

// A label among the inputs of a stream.
inline void check_label(index label, index count) {
  if (label < 0 || label >= count)
    throw py::value_error("x must be in 0.." + std::to_string(count - 1) + ", got " + std::to_string(label));
}

// One call of a stream at a time: a block runs without the GIL.
class InUse {
 public:
  explicit InUse(std::atomic_flag& flag) : flag_(flag) {
    if (flag.test_and_set(std::memory_order_acquire))
      throw std::runtime_error("the stream is in use by another thread");
  }
  ~InUse() { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag& flag_;
};

}  // namespace rnncore::bindings
