// What forecasts the next rows of N sensors from those so far: networks that carry their state, linear regression on
// the last rows, an encoder-decoder, or nothing; what was a season before beside them. Twins:
// python/rnncore/detection/forecasters.py, python/rnncore/detection/reconstruction.py and
// python/rnncore/detection/seasonal.py
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rnncore/files/tensors.hpp"

namespace rnncore {

class Forecaster {
 public:
  virtual ~Forecaster() = default;
  // x [N, input_width(C)], the inputs of a row of each sensor (monitor.hpp); forecasts [N, K, C].
  virtual void step(const float* x, float* forecasts) noexcept = 0;
};

struct ForecasterShape {
  std::string kind;  // "network", "ridge", "none" or "reconstruction"
  index sensors, channels, hidden_size, members;
  std::vector<index> horizons;
  bool seasonal = false;  // with one more head for each horizon: what was a season before

  std::vector<index> lags() const;        // of its heads
  std::vector<index> inner_lags() const;  // of those without the season
};

// One that goes on where that of the file stood, its arrays under names that begin with "forecaster.". FormatError if
// the kind is not known, or an array is missing or of another size.
std::unique_ptr<Forecaster> make_forecaster(const ForecasterShape& shape, const Tensors& tensors,
                                            const std::string& file);

}  // namespace rnncore
