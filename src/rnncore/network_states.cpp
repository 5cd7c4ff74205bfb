// What the cells computed in every step of a forward call, read from its cache under the names of the equations.
#include <algorithm>
#include <stdexcept>

#include "rnncore/network.hpp"

#include "rnncore/kernels/table.hpp"

namespace rnncore {

// In the order of the cells' caches.
std::vector<std::string> Network::cached_names() const {
  const CellDescription& cell = description();
  return {cell.cached_names, cell.cached_names + cell.cached};
}

template <class T>
void Network::trace(const Cache<T>& cache, const std::string& name, T* to) const {
  if (cache.checkpoint > 0) throw std::invalid_argument("a checkpointed cache holds no " + name + " of every step");
  const auto names = cached_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (name != "h" && found == names.end()) throw std::invalid_argument(cell_ + " computes no '" + name + "'");
  const index steps = cache.inputs.steps, N = cache.inputs.rows, columns = output_size(), P = state_size(0),
              width = name == "h" ? P : hidden_size_, count = static_cast<index>(names.size()),
              unit_row = kernel<T>().cache_row(hidden_size_) / count;
  std::fill_n(to, checked_product({layers_ * directions_, steps, N, width}), T(0));
  for (index k = 0; k < layers_ * directions_; ++k, to += steps * N * width) {
    const index layer = k / directions_, direction = k % directions_;
    index active = N, row = 0;  // of the cache
    for (index step = 0; step < steps; ++step, row += active) {
      while (active > 0 && cache.lengths.data()[active - 1] <= step) --active;
      for (index slot = 0; slot < active; ++slot) {
        const index n = cache.order.data()[slot], t = direction ? cache.lengths.data()[slot] - 1 - step : step;
        const T* from = nullptr;
        if (name != "h")
          from = cache.kept.cell(k) + ((row + slot) * count + (found - names.begin())) * unit_row;
        else if (layer + 1 == layers_)
          from = cache.y.at(t, n) + direction * P;
        else
          from = cache.kept.outputs(layer) + (t * N + n) * columns + direction * P;
        std::copy_n(from, width, to + (t * N + n) * width);
      }
    }
  }
}

template void Network::trace(const Cache<float>&, const std::string&, float*) const;
template void Network::trace(const Cache<double>&, const std::string&, double*) const;

}  // namespace rnncore
