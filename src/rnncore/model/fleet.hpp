// Many models that need nothing of each other: threads share them, each model is one thread's.
#pragma once

#include <functional>

#include "rnncore/arrays.hpp"
#include "rnncore/control.hpp"

namespace rnncore {

// work(k, control) for k in 0..count - 1. A worker that is done with one takes the next that nobody has begun; what work calls with
// its control runs on one thread. Throws Stopped as a call of one model does: some are done then.
void each_model(index count, Control& control, const std::function<void(index, Control&)>& work);

}  // namespace rnncore
