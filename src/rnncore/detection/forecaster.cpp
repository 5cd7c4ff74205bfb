#include "rnncore/detection/forecaster.hpp"

#include <algorithm>
#include <cmath>

#include "rnncore/buffer.hpp"
#include "rnncore/detection/monitor.hpp"
#include "rnncore/detection/tensor_values.hpp"
#include "rnncore/model/stream.hpp"

namespace rnncore {
namespace {

constexpr index ridge_lags = 24, window = 24;  // rows that linear regression and the encoder-decoder see

std::size_t sized(index size) { return static_cast<std::size_t>(size); }

LayerDescription lstm(index inputs, index units) {
  RecurrentOptions options;
  options.cell = "lstm";
  options.input_size = inputs;
  options.hidden_size = units;
  return {"0", options};
}
LayerDescription linear(index inputs, index outputs) { return {"1", LinearOptions{inputs, outputs}}; }

// What one head for each horizon forecasts.
index head_width(const ForecasterShape& shape) { return static_cast<index>(shape.horizons.size()) * shape.channels; }

// Arrays of a file, which are checked before anything of their size is made.
struct Source {
  const Tensors& tensors;
  const std::string& file;

  template <class T>
  std::vector<T> take(const std::string& name, std::initializer_list<index> shape) const {
    return values_of<T>(tensors, "forecaster." + name, checked_product(shape), file);
  }
};

template <class T>
ModelStream<T> stream_of(std::vector<LayerDescription> layers, const Source& source,
                         const std::vector<std::string>& names, index sensors) {
  const Model model(Architecture{sizeof(T) == 4 ? "float32" : "float64", std::move(layers)});
  std::vector<T> parameters;
  for (const std::string& name : names) {
    const auto part = values_of<T>(source.tensors, "forecaster." + name, any_size, source.file);
    parameters.insert(parameters.end(), part.begin(), part.end());
  }
  if (static_cast<index>(parameters.size()) != model.parameter_count())
    throw FormatError(source.file + ": forecaster." + names[0] + " has " + std::to_string(parameters.size()) +
                      " values, expected " + std::to_string(model.parameter_count()));
  return {std::make_shared<const PackedModel<T>>(model, parameters.data()), sensors};
}

class Nothing final : public Forecaster {
 public:
  void step(const float*, float*) noexcept override {}
};

class Networks final : public Forecaster {
 public:
  Networks(const ForecasterShape& shape, const Source& source) {
    const index N = shape.sensors, H = shape.hidden_size, width = head_width(shape);
    for (index m = 0; m < shape.members; ++m) {
      const std::string number = std::to_string(m);
      std::vector<float> state = source.take<float>("h" + number, {N, H});
      const std::vector<float> c = source.take<float>("c" + number, {N, H});
      state.insert(state.end(), c.begin(), c.end());
      streams_.push_back(
          stream_of<float>({lstm(input_width(shape.channels), H), linear(H, width)}, source, {"weights" + number}, N));
      streams_.back().set_state(state.data());
    }
  }

  void step(const float* x, float* forecasts) noexcept override {
    const index members = static_cast<index>(streams_.size());
    for (const auto& stream : streams_) {
      stream.step(x, stream.input_size(), forecasts, stream.output_size() * members);
      forecasts += stream.output_size();
    }
  }

 private:
  std::vector<ModelStream<float>> streams_;  // of each member
};

class Ridge final : public Forecaster {
 public:
  Ridge(const ForecasterShape& shape, const Source& source)
      : C_(shape.channels),
        N_(shape.sensors),
        past_(source.take<double>("past", {N_, C_, ridge_lags})),
        linear_(stream_of<double>({linear(ridge_lags * C_ + day_inputs, head_width(shape))}, source, {"weights"}, N_)),
        features_(sized(N_ * linear_.input_size())),
        told_(sized(N_ * linear_.output_size())) {}

  void step(const float* x, float* forecasts) noexcept override {
    double* to = features_.data();
    for (index n = 0; n < N_; ++n, x += input_width(C_)) {
      for (index c = 0; c < C_; ++c) {
        double* const lags = past_.data() + (n * C_ + c) * ridge_lags;
        std::copy(lags + 1, lags + ridge_lags, lags);
        lags[ridge_lags - 1] = double{x[c]};
        to = std::copy_n(lags, ridge_lags, to);
      }
      to = std::copy_n(x + 2 * C_, day_inputs, to);
    }
    linear_.step(features_.data(), linear_.input_size(), told_.data(), linear_.output_size());
    std::transform(told_.begin(), told_.end(), forecasts, [](double value) { return static_cast<float>(value); });
  }

 private:
  index C_, N_;
  std::vector<double> past_;  // [N, C, 24] z
  ModelStream<double> linear_;
  std::vector<double> features_, told_;
};

class Reconstruction final : public Forecaster {
 public:
  Reconstruction(const ForecasterShape& shape, const Source& source)
      : C_(shape.channels),
        N_(shape.sensors),
        past_(source.take<float>("past", {window, N_, C_})),
        encoder_(stream_of<float>({lstm(C_, shape.hidden_size)}, source, {"encoder"}, N_)),
        decoder_(stream_of<float>({lstm(1, shape.hidden_size), linear(shape.hidden_size, C_)}, source,
                                  {"decoder", "head"}, N_)),
        state_(sized(encoder_.state_size())),
        said_(sized(N_ * shape.hidden_size)),
        silence_(sized(N_)) {}

  void step(const float* x, float* forecasts) noexcept override {
    std::copy(past_.begin() + N_ * C_, past_.end(), past_.begin());
    float* const latest = past_.data() + (window - 1) * N_ * C_;
    for (index n = 0; n < N_; ++n) std::copy_n(x + n * input_width(C_), C_, latest + n * C_);
    for (index n = 0; n < N_; ++n) encoder_.reset(n);
    for (index t = 0; t < window; ++t)
      encoder_.step(past_.data() + t * N_ * C_, C_, said_.data(), encoder_.output_size());
    encoder_.copy_state(state_.data());
    decoder_.set_state(state_.data());
    decoder_.step(silence_.data(), 1, forecasts, C_);
    for (index i = 0; i < N_ * C_; ++i) forecasts[i] -= latest[i];
  }

 private:
  index C_, N_;
  std::vector<float> past_;  // [24, N, C] z
  ModelStream<float> encoder_, decoder_;
  std::vector<float> state_, said_, silence_;
};

class Seasonal final : public Forecaster {
 public:
  Seasonal(std::unique_ptr<Forecaster> inner, const ForecasterShape& shape, const Source& source)
      : inner_(std::move(inner)),
        shape_(shape),
        past_(values_of<float>(source.tensors, "forecaster.season", any_size, source.file)),
        rows_(static_cast<index>(past_.size()) / checked_product({shape.sensors, shape.channels})),
        inner_width_(static_cast<index>(shape.inner_lags().size()) * shape.channels),
        told_(sized(shape.sensors * inner_width_)) {
    source.take<float>("season", {std::max<index>(rows_, 1), shape.sensors, shape.channels});
  }

  void step(const float* x, float* forecasts) noexcept override {
    const index N = shape_.sensors, C = shape_.channels;
    inner_->step(x, told_.data());
    for (index n = 0; n < N; ++n) std::copy_n(x + n * input_width(C), C, past_.data() + (next_ * N + n) * C);
    for (index n = 0; n < N; ++n) {
      forecasts = std::copy_n(told_.data() + n * inner_width_, inner_width_, forecasts);
      const float* const now = past_.data() + (next_ * N + n) * C;
      for (const index horizon : shape_.horizons) {
        const index back = (rows_ - horizon % rows_) % rows_;  // from this row to the one that is taken
        const float* const before = past_.data() + ((next_ + rows_ - back) % rows_ * N + n) * C;
        for (index c = 0; c < C; ++c) *forecasts++ = std::isnan(before[c]) ? 0 : before[c] - now[c];
      }
    }
    next_ = (next_ + 1) % rows_;
  }

 private:
  std::unique_ptr<Forecaster> inner_;
  ForecasterShape shape_;
  std::vector<float> past_;  // [rows, N, C] z, NaN before there were any; the oldest row stands at next_
  index rows_, inner_width_, next_ = 0;
  std::vector<float> told_;
};

std::unique_ptr<Forecaster> make_inner(const ForecasterShape& shape, const Source& source) {
  if (shape.kind == "network") return std::make_unique<Networks>(shape, source);
  if (shape.kind == "ridge") return std::make_unique<Ridge>(shape, source);
  if (shape.kind == "reconstruction") return std::make_unique<Reconstruction>(shape, source);
  if (shape.kind == "none") return std::make_unique<Nothing>();
  throw FormatError(source.file + " holds a forecaster that this rnncore does not know: " + shape.kind);
}

}  // namespace

std::vector<index> ForecasterShape::inner_lags() const {
  if (kind == "none") return {};
  if (kind == "reconstruction") return {0};
  std::vector<index> all;
  for (index m = 0; m < (kind == "network" ? members : 1); ++m) all.insert(all.end(), horizons.begin(), horizons.end());
  return all;
}

std::vector<index> ForecasterShape::lags() const {
  std::vector<index> all = inner_lags();
  if (seasonal) all.insert(all.end(), horizons.begin(), horizons.end());
  return all;
}

std::unique_ptr<Forecaster> make_forecaster(const ForecasterShape& shape, const Tensors& tensors,
                                            const std::string& file) {
  const Source source{tensors, file};
  auto inner = make_inner(shape, source);
  if (!shape.seasonal) return inner;
  return std::make_unique<Seasonal>(std::move(inner), shape, source);
}

}  // namespace rnncore
