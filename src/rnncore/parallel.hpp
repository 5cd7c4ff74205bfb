// Threads, behind one function: parallel.cpp is the only file that knows OpenMP.
#pragma once

#include <functional>

#include "rnncore/arrays.hpp"

namespace rnncore {

struct Team;  // kernels/table.hpp

// The number of threads of a call: its own argument if positive, then set_num_threads, then RNNCORE_NUM_THREADS, then OpenMP's.
int thread_count(int asked);
int get_num_threads();
void set_num_threads(int threads);  // 0: as if never set
bool has_threads();

// The work between two looks whether the caller wants to stop, in multiply-adds of one product (see Team); returns what it was.
// For tests, which cut small products so: results are the same bits.
index set_piece(index multiply_adds);

// Runs work(team) on each of up to `threads` workers; prepare(team) comes before, on the calling thread, and sets what they share.
// The pieces of a call that stops early are told by `poll` setting *stop. An exception of a worker is rethrown here.
void parallel(int threads, const std::function<void(Team&)>& prepare, const std::function<void(const Team&)>& work,
              void (*poll)(void*) = nullptr, void* poll_context = nullptr, const bool* stop = nullptr);

}  // namespace rnncore
