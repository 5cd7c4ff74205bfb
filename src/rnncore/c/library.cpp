// The C face of the library itself.
#include "rnncore/c/error.hpp"
#include "rnncore/dispatch.hpp"
#include "rnncore/rnncore.h"

extern "C" {

const char* rnncore_version(void) { return RNNCORE_VERSION; }

const char* rnncore_last_error(void) { return rnncore::c::last_error(); }

const char* rnncore_instruction_set(void) {
  const char* text = nullptr;
  rnncore::c::guarded([&] {
    static const std::string name = rnncore::instruction_set();
    text = name.c_str();
    return RNNCORE_OK;
  });
  return text;
}

const void* rnncore_kernels(void) { return &rnncore::dispatcher(); }

}  // extern "C"
