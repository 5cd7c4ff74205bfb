// SHA-256 (FIPS 180-4), written here since the library is to need no other at run time. Python's hashlib judges it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace rnncore {

class Sha256 {
 public:
  void update(const void* data, std::size_t bytes);
  void update(const std::string& text) { update(text.data(), text.size()); }
  std::string hexdigest();  // of all updates; the object is used up

 private:
  void block(const unsigned char* data);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> waiting_ = {};  // the beginning of a block
  std::uint64_t bytes_ = 0;
};

}  // namespace rnncore
