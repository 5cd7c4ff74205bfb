// Dot-product attention (Luong et al. 2015): every query weighs the keys of its row by a softmax of their products.
// Sizes: T queries, S keys, N rows, E features. Twin: python/rnncore/reference/attention.py
#pragma once

#include "rnncore/arrays.hpp"
#include "rnncore/buffer.hpp"
#include "rnncore/control.hpp"

namespace rnncore {

template <class T>
struct Attention {
  index queries = 0, keys = 0, rows = 0, features = 0;
  const index* lengths = nullptr;  // [N] in 0..S, the keys of a row that count; null: all
  Rows<const T> query, key;        // (T, N, E), (S, N, E)
  T* weights = nullptr;            // [N, T, S], zero past a row's length

  index length(index row) const { return lengths ? lengths[row] : keys; }
};

// weights = softmax of the products, context (T, N, E) = the keys weighed by them; zero where no key counts.
template <class T>
void attend(const Attention<T>&, Rows<T> context, Control&);

// From d_context to d_query and d_key, all of which are written.
template <class T>
void attend_backward(const Attention<T>&, Rows<const T> d_context, Rows<T> d_query, Rows<T> d_key, Control&);

}  // namespace rnncore
