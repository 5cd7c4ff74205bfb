// What a cell says of itself, for whoever builds a network of it: names, sizes, options. It stands in cells/<name>.hpp.
#pragma once

namespace rnncore {

inline constexpr int max_gates = 4, max_states = 4, max_vectors = 4, max_options = 4;  // of a cell

// A number that a cell takes, the same for all its units.
struct CellOption {
  const char* name;
  double value;  // where none is given
  double least, most;
  bool flag;  // 0 or 1
};

// A parameter of a cell that has one element for each hidden unit.
struct CellVector {
  const char* name;
  int option;  // the flag without which it is no parameter, or -1
};

// All that a cell says of itself: see cells/cell.hpp.
struct CellDescription {
  const char* name;
  int gates, states, cached, vectors, options;
  bool can_project;               // its output may be projected
  const char* const* gate_names;  // by block of rows of the weights
  const char* const* state_names;
  const char* const* cached_names;  // what it keeps of each step and unit
  const CellVector* vector;
  const CellOption* option;
};

}  // namespace rnncore
