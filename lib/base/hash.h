// A fingerprint of content, to tell whether two things are the same. Not for secrets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace temper {

// 128 bits over a sequence of items; items are told apart by their lengths. About 2 GB/s.
class Fingerprint {
 public:
  Fingerprint& add(const void* bytes, size_t size);
  Fingerprint& add(std::string_view text) { return add(text.data(), text.size()); }
  Fingerprint& add(int64_t number) { return add(&number, sizeof(number)); }
  std::string hex() const;  // 32 characters

 private:
  uint64_t a_ = 0x9e3779b97f4a7c15ULL, b_ = 0xc2b2ae3d27d4eb4fULL;
};

// Of a file's content, read piece by piece, so that it does not count as this process's memory. Each lane is
// a bijection of every 8 bytes, so damage within 8 bytes never goes unnoticed. Throws UserError when the file
// cannot be read.
std::string file_fingerprint(const std::string& path);

}  // namespace temper
