#include "data/source/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace temper {
namespace {

constexpr size_t kChunk = 1 << 18;  // bytes that are unpacked at a time
constexpr std::string_view kGzip = "\x1f\x8b", kZstd = "\x28\xb5\x2f\xfd";

// Hands on what was unpacked, within the bounds.
class UnpackedChunks {
 public:
  using Take = std::function<void(std::string_view)>;
  UnpackedChunks(uint64_t packed, const std::string& where, const Take& take)
      : packed_(packed), most_(most_unpacked(packed)), where_(where), take_(take) {}

  char* chunk() { return chunk_.get(); }
  void take(size_t bytes) {
    if (bytes_ + bytes > most_) {
      user_error(
          "{}: its {} bytes unpack to more than {} MiB, the most that is read of them ({} times the file, at "
          "least {} MiB, at most {} MiB); if that is meant, unpack it first",
          where_, packed_, most_ >> 20, kUnpackedRatio, kUnpackedAlways >> 20, kUnpackedMost >> 20);
    }
    bytes_ += bytes;
    take_({chunk_.get(), bytes});
  }

 private:
  uint64_t packed_, most_;
  const std::string& where_;
  const Take& take_;
  std::unique_ptr<char[]> chunk_ = std::make_unique<char[]>(kChunk);
  uint64_t bytes_ = 0;  // so far
};

[[noreturn]] void cut_short(const std::string& where, const char* kind) {
  user_error("{}: {} that is cut short: fetch or copy the file again", where, kind);
}

[[noreturn]] void damaged(const std::string& where, const char* kind, const char* why) {
  user_error("{}: damaged {} ({}): fetch or copy the file again", where, kind, why);
}

void gunzip(std::string_view bytes, const std::string& where, const UnpackedChunks::Take& take) {
  z_stream stream = {};
  constexpr int kGzipBits = 16 + MAX_WBITS;
  if (inflateInit2(&stream, kGzipBits) != Z_OK) bug("inflateInit2");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> close(&stream, inflateEnd);
  UnpackedChunks out(bytes.size(), where, take);
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
}

void unzstd(std::string_view bytes, const std::string& where, const UnpackedChunks::Take& take) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  if (stream == nullptr) bug("ZSTD_createDStream");
  UnpackedChunks out(bytes.size(), where, take);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (size_t more = 1, before = 0; more != 0 || in.pos < in.size; before = in.pos) {
    ZSTD_outBuffer part{out.chunk(), kChunk, 0};
    more = ZSTD_decompressStream(stream.get(), &part, &in);
    if (ZSTD_isError(more)) damaged(where, "zstd", ZSTD_getErrorName(more));
    out.take(part.pos);
    if (more != 0 && part.pos < part.size && in.pos == before && in.pos == in.size) cut_short(where, "zstd");
  }
}

}  // namespace

uint64_t most_unpacked(uint64_t packed_bytes) {
  return std::min(kUnpackedMost, std::max(kUnpackedAlways, packed_bytes * kUnpackedRatio));
}

bool is_compressed(std::string_view begin) {
  return begin.starts_with(kGzip) || begin.starts_with(kZstd);
}

bool decompress(std::string_view bytes, const std::string& where, const UnpackedChunks::Take& take) {
  if (bytes.starts_with(kGzip))
    gunzip(bytes, where, take);
  else if (bytes.starts_with(kZstd))
    unzstd(bytes, where, take);
  else
    return false;
  return true;
}

std::optional<std::string> decompressed(std::string_view bytes, const std::string& where) {
  std::string out;
  if (!decompress(bytes, where, [&](std::string_view piece) { out += piece; })) return std::nullopt;
  return out;
}

}  // namespace temper
