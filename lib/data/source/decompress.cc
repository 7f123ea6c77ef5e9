#include "data/source/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace temper {
namespace {

constexpr size_t kChunk = 1 << 18;  // bytes that are unpacked at a time

// What was unpacked, within the bounds.
class Unpacked {
 public:
  Unpacked(uint64_t packed, const std::string& where)
      : packed_(packed), most_(most_unpacked(packed)), where_(where) {}

  char* chunk() { return chunk_.get(); }
  void take(size_t bytes) {
    if (text_.size() + bytes > most_) {
      user_error(
          "{}: its {} bytes unpack to more than {} MiB, the most that is read of them ({} times the file, at "
          "least {} MiB, at most {} MiB); if that is meant, unpack it first",
          where_, packed_, most_ >> 20, kUnpackedRatio, kUnpackedAlways >> 20, kUnpackedMost >> 20);
    }
    text_.append(chunk_.get(), bytes);
  }
  std::string text() { return std::move(text_); }

 private:
  uint64_t packed_, most_;
  const std::string& where_;
  std::unique_ptr<char[]> chunk_ = std::make_unique<char[]>(kChunk);
  std::string text_;
};

[[noreturn]] void cut_short(const std::string& where, const char* kind) {
  user_error("{}: {} that is cut short: fetch or copy the file again", where, kind);
}

[[noreturn]] void damaged(const std::string& where, const char* kind, const char* why) {
  user_error("{}: damaged {} ({}): fetch or copy the file again", where, kind, why);
}

std::string gunzip(std::string_view bytes, const std::string& where) {
  z_stream stream = {};
  constexpr int kGzip = 16 + MAX_WBITS;
  if (inflateInit2(&stream, kGzip) != Z_OK) bug("inflateInit2");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> close(&stream, inflateEnd);
  Unpacked out(bytes.size(), where);
  size_t at = 0;  // handed over
  for (int state = Z_OK; state != Z_STREAM_END || at < bytes.size() || stream.avail_in > 0;) {
    if (state == Z_STREAM_END && inflateReset(&stream) != Z_OK) bug("inflateReset");  // the next member
    if (stream.avail_in == 0) {
      const size_t part = std::min<size_t>(bytes.size() - at, 1 << 30);
      if (part == 0) cut_short(where, "gzip");
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + at));
      stream.avail_in = static_cast<uInt>(part);
      at += part;
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.chunk());
    stream.avail_out = kChunk;
    state = inflate(&stream, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
      damaged(where, "gzip", stream.msg == nullptr ? "unknown" : stream.msg);
    out.take(kChunk - stream.avail_out);
  }
  return out.text();
}

std::string unzstd(std::string_view bytes, const std::string& where) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  if (stream == nullptr) bug("ZSTD_createDStream");
  Unpacked out(bytes.size(), where);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (size_t more = 1, before = 0; more != 0 || in.pos < in.size; before = in.pos) {
    ZSTD_outBuffer part{out.chunk(), kChunk, 0};
    more = ZSTD_decompressStream(stream.get(), &part, &in);
    if (ZSTD_isError(more)) damaged(where, "zstd", ZSTD_getErrorName(more));
    out.take(part.pos);
    if (more != 0 && part.pos < part.size && in.pos == before && in.pos == in.size) cut_short(where, "zstd");
  }
  return out.text();
}

}  // namespace

uint64_t most_unpacked(uint64_t packed_bytes) {
  return std::min(kUnpackedMost, std::max(kUnpackedAlways, packed_bytes * kUnpackedRatio));
}

std::optional<std::string> decompressed(std::string_view bytes, const std::string& where) {
  if (bytes.starts_with("\x1f\x8b")) return gunzip(bytes, where);
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) return unzstd(bytes, where);
  return std::nullopt;
}

}  // namespace temper
