#include "rnncore/model/fleet.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <type_traits>

#include "rnncore/kernels/table.hpp"
#include "rnncore/parallel.hpp"

namespace rnncore {
namespace {

// What a model's call asks in place of the caller: worker 0 asks the caller, all heed the answer.
struct Watch {
  const Team* team;
  Control* own;

  static void poll(void* self) {
    const auto& watch = *static_cast<Watch*>(self);
    watch.team->look();
    if (watch.team->stopped()) watch.own->stop = true;
  }
};

}  // namespace

void each_model(index count, Control& control, const std::function<void(index, Control&)>& work) {
  std::atomic<index> next{0};
  const int threads = static_cast<int>(std::min<index>(thread_count(control.threads), std::max<index>(count, 1)));
  parallel(threads, control, [&](const Team& team) {
    Control own;
    own.threads = 1;
    Watch watch{&team, &own};
    own.poll = Watch::poll;
    own.poll_context = &watch;
    for (index k = next++; k < count && !team.stopped(); k = next++) {
      try {
        work(k, own);
      } catch (const Stopped&) {
        return;
      }
      team.look();
    }
  });
}

namespace {

template <class T>
std::shared_ptr<const PackedModel<T>> packed_model(const Model& model, const T* parameters, index k) {
  return std::make_shared<const PackedModel<T>>(model, parameters + k * model.parameter_count());
}

}  // namespace

template <class T>
FleetStream<T>::FleetStream(const Model& model, index models, const T* parameters, index rows) {
  check_at_least("models", 1, models);
  streams_.reserve(static_cast<std::size_t>(models));
  for (index k = 0; k < models; ++k) streams_.emplace_back(packed_model(model, parameters, k), rows);
}

template <class T>
template <class X>
void FleetStream<T>::step_all(const X* x, T* y, Control& control) const {
  const StreamSizes& sizes = streams_.front().sizes();
  const index in = sizes.rows * sizes.features, out = sizes.rows * sizes.outputs, K = models();
  const auto step = [&](index k) {
    if constexpr (std::is_same_v<X, index>)
      (*this)[k].step(x + k * in, y + k * out, sizes.outputs);
    else
      (*this)[k].step(x + k * in, sizes.features, y + k * out, sizes.outputs);
  };
  constexpr double worthwhile = 1e6;  // multiply-adds, as of a network's call
  const auto each = static_cast<double>(streams_.front().model().parameter_count() * sizes.rows);
  if (each * static_cast<double>(K) < worthwhile || thread_count(control.threads) == 1) {
    for (index k = 0; k < K; ++k) step(k);
    return;
  }
  const index parts = std::min<index>(K, 8 * thread_count(control.threads));  // some models at a time
  Control own;                                                                // nothing stops it half-way
  own.threads = control.threads;
  each_model(parts, own, [&](index part, Control&) {
    for (index k = part * K / parts; k < (part + 1) * K / parts; ++k) step(k);
  });
}

template <class T>
template <class X>
void FleetStream<T>::run_all(index steps, const X* x, T* y, Control& control) const {
  const StreamSizes& sizes = streams_.front().sizes();
  const index N = sizes.rows, I = sizes.features, O = sizes.outputs;
  const Buffer<T> before(checked_product({models(), sizes.state}));
  for (index k = 0; k < models(); ++k) (*this)[k].copy_state(before.data() + k * sizes.state);
  try {
    each_model(models(), control, [&](index k, Control& own) {
      const Rows<const X> from{x + k * steps * N * I, N * I, I};
      (*this)[k].run(steps, from, Rows<T>{y + k * steps * N * O, N * O, O}, own);
    });
  } catch (...) {
    for (index k = 0; k < models(); ++k) (*this)[k].set_state(before.data() + k * sizes.state);
    throw;
  }
}

template <class T>
void FleetStream<T>::step(const T* x, T* y, Control& control) const {
  step_all(x, y, control);
}
template <class T>
void FleetStream<T>::step(const index* labels, T* y, Control& control) const {
  step_all(labels, y, control);
}
template <class T>
void FleetStream<T>::run(index steps, const T* x, T* y, Control& control) const {
  run_all(steps, x, y, control);
}
template <class T>
void FleetStream<T>::run(index steps, const index* labels, T* y, Control& control) const {
  run_all(steps, labels, y, control);
}

template <class T>
void FleetStream<T>::replace(const T* parameters) {
  const Model model = streams_.front().model();
  std::vector<std::shared_ptr<const PackedModel<T>>> packed;  // all that can fail comes first
  for (index k = 0; k < models(); ++k) packed.push_back(packed_model(model, parameters, k));
  for (std::size_t k = 0; k < packed.size(); ++k) streams_[k].replace(packed[k]);
}

template class FleetStream<float>;
template class FleetStream<double>;

}  // namespace rnncore
