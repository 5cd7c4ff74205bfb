// How a call runs, and how the caller may stop it.
#pragma once

namespace rnncore {

// The caller stopped a call before its end (see Control).
struct Stopped {};

// How a call runs. poll is called now and then and may set stop; the call then throws Stopped.
struct Control {
  int threads = 0;
  void (*poll)(void*) = nullptr;
  void* poll_context = nullptr;
  bool stop = false;
};

}  // namespace rnncore
