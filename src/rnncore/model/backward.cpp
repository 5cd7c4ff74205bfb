// The backward call of a model: through its layers from the last to the first.
#include <stdexcept>

#include "rnncore/embedding.hpp"
#include "rnncore/model/walk.hpp"

namespace rnncore {

template <class T>
class Model::BackwardWalk {
 public:
  BackwardWalk(const Model& model, const typename ModelCache<T>::Kept& kept, const ModelOutputGradients<T>& outputs,
               const ModelInputGradients<T>& inputs, Control& control)
      : model_(model), kept_(kept), steps_(kept.steps), outputs_(outputs), inputs_(inputs), control_(control) {}

  void run() {
    d_.form = !model_.per_step_ ? Form::rows : outputs_.valid_alone ? Form::valid : Form::whole;
    d_.data = outputs_.y;
    d_.columns = model_.out_features_.value_or(kept_.inputs.features);
    for (std::size_t k = model_.layers_.size(); k-- > 0;) layer(k);
    if (inputs_.x.data && !written_) finish();
  }

 private:
  // Whether the layers below learn anything from the gradient by this one's input.
  bool wanted(const ModelLayer& layer) const { return inputs_.x.data || layer.offset > 0; }
  index count(Form form) const { return form == Form::rows ? kept_.inputs.rows : steps_.valid(); }

  void layer(std::size_t k) {
    const ModelLayer& layer = model_.layers_[k];
    if (layer.network) return recurrent(k, layer);
    if (layer.last_step()) {
      d_top_ = d_.data.data ? d_.matrix() : Matrix<const T>();
      d_ = {};
      return;
    }
    if (!d_.data.data) return;
    if (layer.as<EmbeddingOptions>()) return embedding(layer, kept_.layers[k]);
    Buffer<T> picked_values;
    const auto dy = picked(steps_, d_, picked_values, control_);
    if (layer.as<DropoutOptions>())
      drop_out(kept_.layers[k], dy);
    else if (layer.linear)
      linear(k, layer, dy);
    else
      normalise(layer, kept_.layers[k], dy);
    if (!d_.data.data || d_.data.data == picked_values.data()) std::swap(memory_, picked_values);
  }

  T* d_parameters(const ModelLayer& layer) const { return inputs_.parameters + layer.offset; }
  const T* parameters(const ModelLayer& layer) const { return outputs_.parameters + layer.offset; }

  // The gradient of the layer below becomes the one at hand; its memory takes the place of the last one's.
  void hand_down(Form form, Buffer<T>&& memory, index columns) {
    d_ = values_of<const T>(form, {memory.data(), columns}, columns);
    memory_ = std::move(memory);
  }

  // Where the gradient by the model's input may be written at once.
  bool straight_to_input(std::size_t k, Form form, Matrix<T>& dx) {
    if (k > 0 || form != Form::valid || !inputs_.x.data || !steps_.as_matrix(inputs_.x, dx)) return false;
    return written_ = true;
  }

  void linear(std::size_t k, const ModelLayer& layer, const Values<const T>& dy) {
    const LayerCache<T>& cache = kept_.layers[k];
    const index I = layer.linear->in_features(), O = layer.linear->out_features();
    const Matrix<const T> activated =
        layer.linear->keeps_sums() ? Matrix<const T>{cache.sums.data(), O} : cache.y.matrix();
    Buffer<T> memory;
    Matrix<T> dx;
    if (wanted(layer) && !straight_to_input(k, dy.form, dx)) {
      memory = Buffer<T>(checked_product({count(dy.form), I}) + 1);  // not null where there are none
      dx = {memory.data(), I};
    }
    layer.linear->backward(parameters(layer), count(dy.form), cache.x.matrix(), activated, dy.matrix(), dx,
                           d_parameters(layer), control_);
    hand_down(dy.form, std::move(memory), I);
  }

  void drop_out(const LayerCache<T>& cache, const Values<const T>& dy) {
    if (cache.dropout.probability == 0) {
      d_ = dy;
      return;
    }
    const index columns = dy.columns;
    Buffer<T> memory(checked_product({count(dy.form), columns}) + 1);
    each_rows(count(dy.form), 8 * columns, control_, [&](index first, index end) {
      for (index r = first; r < end; ++r)
        drop(cache.dropout, r * columns, columns, dy.matrix().at(r), memory.data() + r * columns);
    });
    hand_down(dy.form, std::move(memory), columns);
  }

  void normalise(const ModelLayer& layer, const LayerCache<T>& cache, const Values<const T>& dy) {
    const auto& kernel = kernels<T>().pointwise.layer_norm;
    const index rows = count(dy.form), F = dy.columns;
    const auto weights = layer_norm_weights(layer, parameters(layer));
    T* const d = d_parameters(layer);
    constexpr index together = 64;  // columns: whole registers of every set
    const index parts = (F + together - 1) / together;
    if (weights.weight)
      each_rows(parts, 4 * rows * together, control_, [&](index first, index end) {
        kernel.parameter_gradients(F, rows, cache.normal.data(), dy.matrix(), d, weights.bias ? d + F : nullptr,
                                   first * together, std::min(end * together, F));
      });
    if (!wanted(layer)) return hand_down(dy.form, {}, F);
    Buffer<T> memory(checked_product({rows, F}) + 1);
    each_rows(rows, 8 * F, control_, [&](index first, index end) {
      kernel.input_gradient(weights, cache.normal.data(), cache.inverse.data(), dy.matrix(), {memory.data(), F}, first,
                            end);
    });
    hand_down(dy.form, std::move(memory), F);
  }

  void embedding(const ModelLayer& layer, const LayerCache<T>& cache) {
    const index E = layer.as<EmbeddingOptions>()->embedding_dim;
    Buffer<T> picked_values;
    if (cache.by_number) {
      add_rows(d_.data.data, cache.distinct.data(), cache.distinct.size(), E, d_parameters(layer));
    } else {
      const auto dy = picked(steps_, d_, picked_values, control_);
      T* const table = d_parameters(layer);
      for (index v = 0; v < steps_.valid(); ++v) {
        const T* const from = dy.matrix().at(v);
        T* const to = table + cache.labels.data()[v] * E;
        for (index j = 0; j < E; ++j) to[j] += from[j];
      }
    }
    d_ = {};
  }

  void recurrent(std::size_t k, const ModelLayer& layer) {
    const Network& network = *layer.network;
    const LayerCache<T>& cache = kept_.layers[k];
    const index N = kept_.inputs.rows, T_ = kept_.inputs.steps, I = network.input_size();
    const bool by_number = k > 0 && kept_.layers[k - 1].by_number;
    Buffer<T> whole, memory, d_initial[max_states], with_top;
    OutputGradients<T> out;
    out.parameters = parameters(layer);
    if (d_.data.data) out.y = put_back(steps_, d_, whole, control_).data;
    InputGradients<T> in;
    in.parameters = d_parameters(layer);
    for (index s = 0; s < network.num_states(); ++s) {
      const auto at = layer.first_state + static_cast<std::size_t>(s);
      out.final[s] = outputs_.final ? outputs_.final[at] : nullptr;
      in.initial[s] = inputs_.initial ? inputs_.initial[at] : nullptr;
      if (in.initial[s]) continue;
      d_initial[s] =
          Buffer<T>(checked_product({network.num_layers(), network.num_directions(), N, network.state_size(s)}) + 1);
      in.initial[s] = d_initial[s].data();
    }
    if (d_top_.data) {
      with_top = add_top(network, out.final[0]);
      out.final[0] = with_top.data();
      d_top_ = {};
    }
    if (wanted(layer) && k == 0) {
      in.x = inputs_.x;
      written_ = true;
    } else if (wanted(layer)) {
      const index rows = by_number ? kept_.layers[k - 1].distinct.size() : checked_product({T_, N});
      memory = Buffer<T>(checked_product({rows, I}) + 1);
      in.x = by_number ? Rows<T>{memory.data(), 0, I} : steps_.whole(memory.data(), I);
    }
    network.backward(cache.network, out, in, control_);
    d_ = {Form::whole, {in.x.data, in.x.time, in.x.row}, I};
    memory_ = std::move(memory);
  }

  // The gradient by the final h, and that by the top layer's which a LastStep took.
  Buffer<T> add_top(const Network& network, const T* d_final) const {
    const index N = kept_.inputs.rows, P = network.state_size(0), D = network.num_directions();
    const index size = checked_product({network.num_layers(), D, N, P});
    Buffer<T> sum(size + 1);
    if (d_final)
      std::copy_n(d_final, size, sum.data());
    else
      std::fill_n(sum.data(), size, T(0));
    T* const top = sum.data() + (network.num_layers() - 1) * D * N * P;
    for (index d = 0; d < D; ++d)
      for (index n = 0; n < N; ++n)
        for (index j = 0; j < P; ++j) top[(d * N + n) * P + j] += d_top_.at(n)[d * P + j];
    return sum;
  }

  // The gradient by the input, where no layer has written it itself.
  void finish() {
    const index N = kept_.inputs.rows, columns = model_.in_features_.value_or(kept_.inputs.features);
    if (d_.data.data && d_.form == Form::valid) return put_back(steps_, d_.matrix(), columns, inputs_.x, control_);
    for (index t = 0; t < kept_.inputs.steps; ++t)
      for (index n = 0; n < N; ++n)
        if (d_.data.data)
          std::copy_n(d_.data.at(t, n), columns, inputs_.x.at(t, n));
        else
          std::fill_n(inputs_.x.at(t, n), columns, T(0));
  }

  const Model& model_;
  const typename ModelCache<T>::Kept& kept_;
  const Steps& steps_;
  const ModelOutputGradients<T>& outputs_;
  const ModelInputGradients<T>& inputs_;
  Control& control_;
  Values<const T> d_;  // data may be null: zero
  Buffer<T> memory_;   // of d_, unless it is the caller's
  Matrix<const T> d_top_;
  bool written_ = false;
};

template <class T>
void Model::backward(const ModelCache<T>& cache, const ModelOutputGradients<T>& outputs,
                     const ModelInputGradients<T>& inputs, Control& control) const {
  if (!cache.kept_) throw std::invalid_argument("the cache is empty: it is filled by forward");
  BackwardWalk<T>(*this, *cache.kept_, outputs, inputs, control).run();
}

template void Model::backward(const ModelCache<float>&, const ModelOutputGradients<float>&,
                              const ModelInputGradients<float>&, Control&) const;
template void Model::backward(const ModelCache<double>&, const ModelOutputGradients<double>&,
                              const ModelInputGradients<double>&, Control&) const;

}  // namespace rnncore
