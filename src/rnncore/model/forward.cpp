// The forward call of a model: through its layers from the first to the last.
#include <stdexcept>

#include "rnncore/model/walk.hpp"
#include "rnncore/short_weights.hpp"

namespace rnncore {

template <class T>
ModelCache<T>::ModelCache() = default;
template <class T>
ModelCache<T>::ModelCache(ModelCache&&) noexcept = default;
template <class T>
ModelCache<T>& ModelCache<T>::operator=(ModelCache&&) noexcept = default;
template <class T>
ModelCache<T>::~ModelCache() = default;

template <class T>
const std::string& ModelCache<T>::signature() const {
  static const std::string none;
  return kept_ ? kept_->signature : none;
}
template <class T>
index ModelCache<T>::steps() const {
  return kept_ ? kept_->inputs.steps : 0;
}
template <class T>
index ModelCache<T>::rows() const {
  return kept_ ? kept_->inputs.rows : 0;
}

template <class T>
bool ModelCache<T>::by_number() const {
  return kept_ && kept_->layers.front().by_number;
}

template <class T>
class Model::ForwardWalk {
 public:
  ForwardWalk(const Model& model, const ModelInputs<T>& inputs, const ModelOutputs<T>& outputs,
              typename ModelCache<T>::Kept& kept, bool keep, Control& control)
      : model_(model),
        inputs_(inputs),
        outputs_(outputs),
        kept_(kept),
        steps_(kept.steps),
        keep_(keep),
        control_(control) {}

  void run() {
    Values<const T> values{Form::whole, inputs_.x, model_.in_features_.value_or(inputs_.features)};
    for (std::size_t k = 0; k < model_.layers_.size(); ++k) {
      values = layer(k, values);
      if (!keep_ && k > 0) release(k - 1, values);
    }
    finish(values);
  }

 private:
  bool last(std::size_t k) const { return k + 1 == model_.layers_.size(); }
  const T* parameters(const ModelLayer& layer) const { return inputs_.parameters + layer.offset; }

  std::uint64_t key(std::size_t k) const { return inputs_.keys ? inputs_.keys[k] : 0; }

  Values<const T> layer(std::size_t k, const Values<const T>& x) {
    const ModelLayer& layer = model_.layers_[k];
    LayerCache<T>& cache = kept_.layers[k];
    if (layer.as<EmbeddingOptions>()) return embedding(layer, cache);
    if (layer.network) return recurrent(k, layer, cache, x);
    if (layer.last_step()) return last_step(k, cache);
    cache.x = picked(steps_, x, cache.input, control_);
    if (const auto* dropout = layer.as<DropoutOptions>()) return drop_out(k, *dropout, cache);
    Values<T> y = target(k, cache.x.form, layer.gives.value());
    if (layer.linear) {
      T* sums = nullptr;
      if (keep_ && layer.linear->keeps_sums()) {
        cache.sums = Buffer<T>(checked_product({count(cache.x.form), y.columns}));
        sums = cache.sums.data();
      }
      layer.linear->forward(parameters(layer), count(cache.x.form), cache.x.matrix(), y.matrix(), sums, control_);
    } else {
      normalise(layer, cache, y);
    }
    return cache.y = {y.form, {y.data.data, y.data.time, y.data.row}, y.columns};
  }

  index count(Form form) const { return form == Form::rows ? inputs_.rows : steps_.valid(); }

  // Where a layer that does not look along time writes: into the caller's y if it is the last one and the forms agree.
  Values<T> target(std::size_t k, Form form, index columns) {
    Matrix<T> matrix;
    if (last(k) && form == Form::rows) return values_of<T>(form, {outputs_.y.data, outputs_.y.row}, columns);
    if (last(k) && outputs_.valid_alone) return values_of<T>(form, {outputs_.y.data, outputs_.y.row}, columns);
    if (last(k) && steps_.as_matrix(outputs_.y, matrix)) return values_of(form, matrix, columns);
    auto& output = kept_.layers[k].output = Buffer<T>(checked_product({count(form), columns}));
    return values_of<T>(form, {output.data(), columns}, columns);
  }

  // The rows of the table, by number: all of them for the steps, or for a recurrent layer each of those that occur
  // once.
  Values<const T> embedding(const ModelLayer& layer, LayerCache<T>& cache) {
    const auto& o = *layer.as<EmbeddingOptions>();
    const index E = o.embedding_dim, V = steps_.valid();
    const T* const table = parameters(layer);
    const auto* const above =
        model_.layers_.size() > 1 && model_.layers_[1].network ? &*model_.layers_[1].network : nullptr;
    if (above && above->precision() == Precision::float32 && find_distinct(o, cache)) {
      const index distinct = cache.distinct.size();
      cache.output = Buffer<T>(checked_product({distinct, E}));
      for (index d = 0; d < distinct; ++d)
        std::copy_n(table + cache.distinct.data()[d] * E, E, cache.output.data() + d * E);
      return {Form::whole, {cache.output.data(), 0, E}, E};
    }
    cache.labels = Buffer<index>(V + 1);
    index* const labels = cache.labels.data();
    const Values<T> y = target(0, Form::valid, E);
    each_rows(V, E, control_, [&](index first, index end) {
      steps_.each(first, end, [&](index t, index n, index v) {
        labels[v] = *inputs_.labels.at(t, n);
        std::copy_n(table + labels[v] * E, E, y.data.data + v * y.data.row);
      });
    });
    return values_of<const T>(Form::valid, {y.data.data, y.data.row}, E);
  }

  // Whether each number occurs so often that a recurrent layer had better multiply it once.
  bool find_distinct(const EmbeddingOptions& o, LayerCache<T>& cache) {
    constexpr index repeats =
        16;  // less often, the table of the products leaves the caches and costs more than it saves
    const index V = steps_.valid();
    if (V < repeats || o.num_embeddings / repeats > V) return false;
    const Buffer<index> place(o.num_embeddings);
    std::fill_n(place.data(), o.num_embeddings, index{-1});
    steps_.each(0, V, [&](index t, index n, index) { place.data()[*inputs_.labels.at(t, n)] = 0; });
    index distinct = 0;
    for (index number = 0; number < o.num_embeddings; ++number)
      if (place.data()[number] == 0) place.data()[number] = distinct++;
    if (distinct * repeats > V) return false;
    cache.distinct = Buffer<index>(distinct);
    for (index number = 0; number < o.num_embeddings; ++number)
      if (place.data()[number] >= 0) cache.distinct.data()[place.data()[number]] = number;
    const index N = inputs_.rows;
    cache.labels = Buffer<index>(checked_product({inputs_.steps, N}));
    std::fill_n(cache.labels.data(), cache.labels.size(), index{0});
    steps_.each(0, V, [&](index t, index n, index) {
      cache.labels.data()[t * N + n] = place.data()[*inputs_.labels.at(t, n)];
    });
    return cache.by_number = true;
  }

  Values<const T> recurrent(std::size_t k, const ModelLayer& layer, LayerCache<T>& cache, const Values<const T>& x) {
    const Network& network = *layer.network;
    const index N = inputs_.rows;
    Inputs<T> in;
    in.steps = inputs_.steps;
    in.rows = N;
    in.parameters = parameters(layer);
    in.format = model_.architecture_.weights;
    if (k > 0 && kept_.layers[k - 1].by_number) {
      in.labels = kept_.layers[k - 1].labels.data();
      in.distinct = kept_.layers[k - 1].distinct.size();
      cache.x = x;
    } else {
      cache.x = put_back(steps_, x, cache.input, control_);
    }
    in.x = cache.x.data;
    in.lengths = inputs_.lengths;
    in.resets = inputs_.resets;
    in.checkpoint = keep_ ? inputs_.checkpoint : 0;
    const double dropout = layer.as<RecurrentOptions>()->dropout;
    if (dropout > 0 && network.num_layers() > 1 && key(k) != 0) in.dropout = {dropout, key(k)};
    Outputs<T> out;
    for (index s = 0; s < network.num_states(); ++s) {
      const auto at = layer.first_state + static_cast<std::size_t>(s);
      in.initial[s] = inputs_.initial ? inputs_.initial[at] : nullptr;
      out.final[s] = outputs_.final[at];
    }
    const index columns = network.output_size();
    out.y = outputs_.y;
    if (last(k) && outputs_.valid_alone && !steps_.padded()) {
      out.y = steps_.whole(outputs_.y.data, outputs_.y.row);
    } else if (!last(k) || outputs_.valid_alone) {
      cache.output = Buffer<T>(checked_product({inputs_.steps, N, columns}));
      out.y = steps_.whole(cache.output.data(), columns);
    }
    network.forward(in, out, keep_ ? &cache.network : nullptr, control_);
    return cache.y = {Form::whole, {out.y.data, out.y.time, out.y.row}, columns};
  }

  // (L D, N, P) -> (N, D P): h of the top layer, its directions side by side.
  Values<const T> last_step(std::size_t k, LayerCache<T>& cache) {
    const ModelLayer& below = model_.layers_[k - 1];
    const Network& network = *below.network;
    const index N = inputs_.rows, P = network.state_size(0), D = network.num_directions();
    const Values<T> y = target(k, Form::rows, D * P);
    const T* const h = outputs_.final[below.first_state] + (network.num_layers() - 1) * D * N * P;
    for (index d = 0; d < D; ++d)
      for (index n = 0; n < N; ++n) std::copy_n(h + (d * N + n) * P, P, y.data.data + n * y.data.row + d * P);
    return cache.y = values_of<const T>(Form::rows, {y.data.data, y.data.row}, D * P);
  }

  Values<const T> drop_out(std::size_t k, const DropoutOptions& options, LayerCache<T>& cache) {
    if (options.p == 0 || key(k) == 0) return cache.x;
    cache.dropout = {options.p, key(k)};
    const index columns = cache.x.columns;
    const Values<T> y = target(k, cache.x.form, columns);
    each_rows(count(y.form), 8 * columns, control_, [&](index first, index end) {
      for (index r = first; r < end; ++r)
        drop(cache.dropout, r * columns, columns, cache.x.matrix().at(r), y.matrix().at(r));
    });
    return values_of<const T>(y.form, {y.data.data, y.data.row}, columns);
  }

  void normalise(const ModelLayer& layer, LayerCache<T>& cache, const Values<T>& y) {
    const index rows = count(y.form), F = y.columns;
    if (keep_) {
      cache.normal = Buffer<T>(checked_product({rows, F}));
      cache.inverse = Buffer<T>(rows);
    }
    const LayerNormWeights<T> weights = layer_norm_weights(layer, parameters(layer));
    each_rows(rows, 4 * F, control_, [&](index first, index end) {
      kernels<T>().pointwise.layer_norm.forward(weights, cache.x.matrix(), y.matrix(), cache.normal.data(),
                                                cache.inverse.data(), first, end);
    });
  }

  // Without a cache a layer's memory goes as soon as nothing refers to it: dropout hands its input on.
  void release(std::size_t k, const Values<const T>& values) {
    for (std::size_t j = 0; j <= k; ++j) {
      auto& cache = kept_.layers[j];
      if (values.data.data && (values.data.data == cache.output.data() || values.data.data == cache.input.data()))
        continue;
      if (cache.by_number && j == k) continue;  // its labels
      cache = LayerCache<T>();
    }
  }

  // What has not been written into the caller's y yet.
  void finish(const Values<const T>& values) {
    if (values.data.data == outputs_.y.data) return;
    const index columns = values.columns, N = inputs_.rows;
    if (values.form == Form::rows) {
      for (index n = 0; n < N; ++n) std::copy_n(values.data.data + n * values.data.row, columns, outputs_.y.at(0, n));
    } else if (outputs_.valid_alone) {
      const Matrix<T> to{outputs_.y.data, outputs_.y.row};
      if (values.form == Form::valid)
        for (index v = 0; v < steps_.valid(); ++v) std::copy_n(values.matrix().at(v), columns, to.at(v));
      else
        steps_.each(0, steps_.valid(),
                    [&](index t, index n, index v) { std::copy_n(values.data.at(t, n), columns, to.at(v)); });
    } else if (values.form == Form::valid) {
      put_back(steps_, values.matrix(), columns, outputs_.y, control_);
    } else {
      for (index t = 0; t < inputs_.steps; ++t)
        for (index n = 0; n < N; ++n) std::copy_n(values.data.at(t, n), columns, outputs_.y.at(t, n));
    }
  }

  const Model& model_;
  const ModelInputs<T>& inputs_;
  const ModelOutputs<T>& outputs_;
  typename ModelCache<T>::Kept& kept_;
  const Steps& steps_;
  const bool keep_;
  Control& control_;
};

template <class T>
void Model::forward(const ModelInputs<T>& inputs, const ModelOutputs<T>& outputs, ModelCache<T>* cache,
                    Control& control) const {
  using Kept = typename ModelCache<T>::Kept;
  if (cache && architecture_.weights != WeightFormat::full)
    throw std::invalid_argument(std::string("a model with weights in ") + name_of(architecture_.weights) +
                                " is for inference: train the model that it was made from");
  auto kept = std::make_unique<Kept>();
  kept->steps = Steps(inputs.steps, inputs.rows, inputs.lengths, batch_first_);
  kept->layers.resize(layers_.size());
  ForwardWalk<T>(*this, inputs, outputs, *kept, cache != nullptr, control).run();
  if (!cache) return;
  kept->signature = signature();
  kept->inputs = inputs;
  if (inputs.initial) {
    kept->initial.assign(inputs.initial, inputs.initial + states_.size());
    kept->inputs.initial = kept->initial.data();
  }
  kept->inputs.lengths = nullptr;  // the steps know them
  kept->inputs.resets = nullptr;   // the recurrent layers do
  kept->inputs.keys = nullptr;
  cache->kept_ = std::move(kept);
}

template class ModelCache<float>;
template class ModelCache<double>;
template void Model::forward(const ModelInputs<float>&, const ModelOutputs<float>&, ModelCache<float>*, Control&) const;
template void Model::forward(const ModelInputs<double>&, const ModelOutputs<double>&, ModelCache<double>*,
                             Control&) const;

}  // namespace rnncore
