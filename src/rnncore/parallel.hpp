// Threads, behind one function: parallel.cpp is the only file that knows OpenMP.
#pragma once

#include <functional>

#include "rnncore/arrays.hpp"
#include "rnncore/control.hpp"

namespace rnncore {

struct Team;  // kernels/table.hpp

// The number of threads of a call: its own argument if positive, then set_num_threads, then RNNCORE_NUM_THREADS, then
// OpenMP's.
int thread_count(int asked);
int get_num_threads();
void set_num_threads(int threads);  // 0: as if never set
bool has_threads();

// The work between two looks whether the caller wants to stop, in multiply-adds of one product (see Team); returns what
// it was. For tests, which cut small products so: results are the same bits.
index set_piece(index multiply_adds);

// Runs work(team) on each of up to `threads` workers; prepare(team) comes before, on the calling thread, and sets what
// they share. An exception of a worker is rethrown here; Stopped is thrown where control.poll has set control.stop.
void parallel(
    int threads, Control& control, const std::function<void(const Team&)>& work,
    const std::function<void(Team&)>& prepare = [](Team&) {});

}  // namespace rnncore
