#include "rnncore/caches.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace rnncore {
namespace {

constexpr index kilobyte = 1024;
constexpr Caches usual{32 * kilobyte, 512 * kilobyte, 0};  // where nobody says

// What the C library knows, or else the kernel: 0 if neither.
index size_of([[maybe_unused]] int name, const std::string& level) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  if (const long bytes = sysconf(name); bytes > 0) return bytes;
#endif
  for (const char number : std::string("0123")) {
    const std::string folder = std::string("/sys/devices/system/cpu/cpu0/cache/index") + number + "/";
    std::string found, type;
    index size = 0;
    std::ifstream(folder + "level") >> found;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;  // "48K"
    if (found == level && type != "Instruction") return size * kilobyte;
  }
  return 0;
}

Caches given(const std::string& text) {
  index sizes[3];
  const char* at = text.c_str();
  for (int i = 0; i < 3; ++i) {
    char* end = nullptr;
    sizes[i] = std::strtol(at, &end, 10);
    const bool closed = *end == (i < 2 ? ',' : '\0');
    if (end == at || !closed || sizes[i] < (i < 2 ? 1 : 0) || sizes[i] > index(1) << 30)
      throw std::invalid_argument("RNNCORE_CACHES is '" + text +
                                  "', expected the sizes of three caches in KB, such as 48,2048,32768");
    at = end + 1;
  }
  return {sizes[0] * kilobyte, sizes[1] * kilobyte, sizes[2] * kilobyte};
}

Caches read() {
  if (const char* text = std::getenv("RNNCORE_CACHES"); text && *text) return given(text);
#ifdef _SC_LEVEL1_DCACHE_SIZE
  constexpr int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
#else
  constexpr int names[] = {0, 0, 0};
#endif
  const Caches found{size_of(names[0], "1"), size_of(names[1], "2"), size_of(names[2], "3")};
  return found.first > 0 && found.second > 0 ? found : usual;
}

}  // namespace

const Caches& caches() {
  static const Caches sizes = read();
  return sizes;
}

}  // namespace rnncore
