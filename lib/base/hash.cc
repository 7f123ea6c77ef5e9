#include "base/hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace temper {
namespace {

// One round of each lane: a multiplication by an odd constant and a shift that brings the high bits back.
void take(uint64_t& a, uint64_t& b, uint64_t word) {
  a = (a ^ word) * 0xbf58476d1ce4e5b9ULL;
  a ^= a >> 29;
  b = (b ^ word) * 0x94d049bb133111ebULL;
  b ^= b >> 32;
}

}  // namespace

Fingerprint& Fingerprint::add(const void* bytes, size_t size) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  uint64_t a = a_, b = b_;
  take(a, b, size);
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    take(a, b, word);
  }
  uint64_t rest = 0;
  if (size > 0) std::memcpy(&rest, at, size);
  take(a, b, rest);
  a_ = a;
  b_ = b;
  return *this;
}

std::string Fingerprint::hex() const {
  uint64_t a = a_, b = b_;
  take(a, b, 0x6a09e667f3bcc909ULL);
  take(a, b, 0xbb67ae8584caa73bULL);
  return fmt::format("{:016x}{:016x}", a, b);
}

std::string file_fingerprint(const std::string& path) {
  constexpr size_t kPiece = 1 << 20;  // part of the value: pieces are items
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error("{}: cannot open: {}", path, std::strerror(errno));
  Fingerprint out;
  std::vector<char> piece(kPiece);
  size_t filled = 0;
  while (true) {
    const ssize_t n = ::read(fd, piece.data() + filled, kPiece - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int why = errno;
      ::close(fd);
      user_error("{}: cannot read: {}", path, std::strerror(why));
    }
    filled += static_cast<size_t>(n);
    if (n > 0 && filled < kPiece) continue;
    out.add(piece.data(), filled);
    filled = 0;
    if (n == 0) break;
  }
  ::close(fd);
  return out.hex();
}

}  // namespace temper
