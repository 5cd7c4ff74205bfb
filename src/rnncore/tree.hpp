// A recursive network: one cell at every node of trees, which takes the node's input and the states of its children.
// Twin: python/rnncore/reference/trees.py
#pragma once

#include <string>
#include <vector>

#include "rnncore/buffer.hpp"
#include "rnncore/control.hpp"
#include "rnncore/forest.hpp"

namespace rnncore {

// What backward needs of a forward call. It refers to x, and keeps everything else, by slot.
template <class T>
struct TreeCache {
  Forest forest;
  Matrix<const T> x;
  Buffer<T> gates, forget, children_h, h, c;
};

class Tree {
 public:
  // One matrix or vector of the flat parameters: weight_ih, weight_hh, bias.
  struct Part {
    std::string name;
    index offset, rows, columns;  // columns is 0 of a vector
  };

  // cell is "lstm" or "rnn"; std::invalid_argument for sizes out of range and unknown names.
  Tree(const std::string& cell, bool binary, index input_size, index hidden_size, bool bias);

  bool lstm() const { return lstm_; }
  bool binary() const { return binary_; }
  index input_size() const { return input_size_; }
  index hidden_size() const { return hidden_size_; }
  index parameter_count() const { return parameter_count_; }
  const std::vector<Part>& layout() const { return layout_; }

  // x (nodes, I) to h and, of the LSTM, c (nodes, H), both by node. The cache may be null.
  template <class T>
  void forward(const T* parameters, const Forest&, Matrix<const T> x, T* h, T* c, TreeCache<T>* cache, Control&) const;
  // From dh and dc (nodes, H), each of which may be null, to dx, unless its data is null, and d_parameters, which it
  // adds to.
  template <class T>
  void backward(const T* parameters, const TreeCache<T>&, const T* dh, const T* dc, Matrix<T> dx, T* d_parameters,
                Control&) const;

 private:
  template <class T>
  struct Weights;
  template <class T>
  class Forward;
  template <class T>
  class Backward;

  bool forgets_by_child() const { return lstm_ && !binary_; }  // U_f h_k is a product of its own
  index x_gates() const { return lstm_ ? 4 : 1; }
  index h_gates() const { return lstm_ ? (binary_ ? 5 : 3) : 1; }  // of the product with the children's h
  index children_width() const { return (binary_ ? 2 : 1) * hidden_size_; }
  int useful_threads(int asked, const Forest&) const;

  bool lstm_, binary_, bias_;
  index input_size_, hidden_size_, parameter_count_ = 0;
  std::vector<Part> layout_;
};

}  // namespace rnncore
