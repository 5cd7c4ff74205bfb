// The list of cells. Twin: python/rnncore/reference/cells/__init__.py
#pragma once

#include "rnncore/cells/cell.hpp"
#include "rnncore/cells/gru.hpp"
#include "rnncore/cells/leaky.hpp"
#include "rnncore/cells/lstm.hpp"
#include "rnncore/cells/mgu.hpp"
#include "rnncore/cells/rnn.hpp"

// Calls MACRO(name, type) for each cell, in their order.
#define RNNCORE_FOR_EACH_CELL(MACRO) \
  MACRO(rnn_tanh, Rnn<Tanh>)         \
  MACRO(rnn_relu, Rnn<Relu>)         \
  MACRO(lstm, Lstm)                  \
  MACRO(lstm_peephole, LstmPeephole) \
  MACRO(gru, Gru)                    \
  MACRO(leaky, Leaky)                \
  MACRO(mgu, Mgu)
