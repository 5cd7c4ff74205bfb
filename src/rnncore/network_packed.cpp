#include "rnncore/network_packed.hpp"

#include <algorithm>
#include <utility>

#include "rnncore/caches.hpp"
#include "rnncore/kernels/table.hpp"

namespace rnncore {

template <class T>
PackedNetwork<T>::PackedNetwork(const Network& network, const Parameters<const T>& parameters, WeightFormat format)
    : network_(network), format_(format) {
  network.check_format(format, parameters);
  const index directions = network.num_layers() * network.num_directions();
  Buffer<T> constrained;
  Parameters<const T> run_on = network.effective(parameters, constrained);
  // The kernels round by themselves what they pack in this format, to the same numbers.
  const bool by_kernels = network.read_format(format) == format;
  const Buffer<T> rounded = network.rounded(by_kernels ? WeightFormat::full : format, run_on);
  if (!by_kernels && format != WeightFormat::full) run_on = rounded.data();
  for (index k = 0; k < directions; ++k) panels_.push_back(network.pack(run_on, k, network.read_format(format)));
  if (!network.learned_state()) return;
  initial_ = Buffer<T>(network.learned_offset(directions, 0));
  for (index k = 0; k < directions; ++k)
    for (index s = 0; s < network.num_states(); ++s)
      std::copy_n(network.reset_state(parameters, k, s), network.state_size(s),
                  initial_.data() + network.learned_offset(k, s));
}

// Few rows gain by it in the product of their inputs alone, that of many steps.
template <class T>
bool PackedNetwork<T>::widens(index rows, index steps) const {
  const WeightFormat read = read_format();
  const bool many = rows > most_short_rows || rows * steps > 4 * most_short_rows;
  return many && (read == WeightFormat::bf16 || read == WeightFormat::int8);
}

template <class T>
void PackedNetwork<T>::widen(index rows, index steps) const {
  if (!widens(rows, steps)) return;
  std::call_once(widened_once_, [this] {
    std::vector<Buffer<T>> widened;
    for (index k = 0; k < index(panels_.size()); ++k) widened.push_back(network_.widen(read_format(), k, panels(k)));
    widened_ = std::move(widened);
  });
}

// In bf16 many rows are a call in float32, with the same bits. Calls of many steps whose recurrent weights stay in half of
// the second cache gain nothing by fewer bits of these.
template <class T>
void PackedNetwork<T>::lend(index k, index rows, index steps, Sequence<T>& call) const {
  call.weights = panels(k);
  call.format = read_format();
  if (!widens(rows, steps)) return;
  const T* const widened = widened_[static_cast<std::size_t>(k)].data();
  const index bytes =
      network_.template kernel<T>().cell.gates * network_.hidden_size() * network_.state_size(0) * index(sizeof(T));
  const bool near = bytes <= caches().second / 2;
  call.short_rows = near ? 1 : most_short_rows;
  if (call.format == WeightFormat::bf16 && (near || rows > most_short_rows)) {
    call.weights = widened;
    call.format = WeightFormat::full;
  } else {
    call.widened = widened;
  }
}

template class PackedNetwork<float>;
template class PackedNetwork<double>;

}  // namespace rnncore
