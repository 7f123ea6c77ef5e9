#include "run/tensorboard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "run/protobuf.h"

namespace temper {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}();

// tensorflow.Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
ProtoMessage event(double wall_time, int64_t step) {
  ProtoMessage out;
  out.float64(1, wall_time);
  out.integer(2, static_cast<uint64_t>(step));
  return out;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  uint32_t crc = ~0u;
  for (char c : data) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view data) {
  const uint32_t crc = crc32c(data);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

EventWriter::EventWriter(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) user_error("{}: cannot open for writing: {}", path, std::strerror(errno));
  struct stat info {};
  ::fstat(fd_, &info);
  bytes_ = static_cast<uint64_t>(info.st_size);
  if (bytes_ == 0) truncate_to(0);
}

EventWriter::~EventWriter() {
  ::close(fd_);
}

void EventWriter::truncate_to(uint64_t bytes) {
  if (bytes > bytes_) {
    user_error("{}: shorter than its checkpoint says ({} < {} bytes)", path_, bytes_, bytes);
  }
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) {
    user_error("{}: cannot truncate: {}", path_, std::strerror(errno));
  }
  bytes_ = bytes;
  if (bytes > 0) return;
  ProtoMessage version;
  version.float64(1, now());
  version.text(3, "brain.Event:2");
  append(version.bytes);
}

void EventWriter::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values,
                          double wall_time) {
  ProtoMessage summary;
  for (const auto& [tag, number] : values) {
    ProtoMessage value;  // Summary.Value: tag = 1, simple_value = 2
    value.text(1, tag);
    value.float32(2, static_cast<float>(number));
    summary.message(1, value);
  }
  ProtoMessage out = event(wall_time, step);
  out.message(5, summary);
  append(out.bytes);
}

void EventWriter::text(int64_t step, const std::string& tag, const std::string& text, double wall_time) {
  ProtoMessage plugin, metadata, dim, shape, tensor, value, summary;
  plugin.text(1, "text");       // SummaryMetadata.PluginData: plugin_name = 1
  metadata.message(1, plugin);  // SummaryMetadata: plugin_data = 1
  dim.integer(1, 1);            // TensorShapeProto.Dim: size = 1
  shape.message(2, dim);        // TensorShapeProto: dim = 2
  tensor.integer(1, 7);         // TensorProto: dtype = 1 (DT_STRING), tensor_shape = 2, string_val = 8
  tensor.message(2, shape);
  tensor.text(8, text);
  value.text(1, tag);  // Summary.Value: tag = 1, tensor = 8, metadata = 9
  value.message(8, tensor);
  value.message(9, metadata);
  summary.message(1, value);
  ProtoMessage out = event(wall_time, step);
  out.message(5, summary);
  append(out.bytes);
}

// One TFRecord: length (8 bytes), masked CRC of the length, the event, masked CRC of the event.
void EventWriter::append(std::string_view event) {
  ProtoMessage record;
  record.raw(static_cast<uint64_t>(event.size()));
  record.raw(masked_crc32c(record.bytes));
  record.bytes += event;
  record.raw(masked_crc32c(event));
  std::string_view left = record.bytes;
  while (!left.empty()) {
    const ssize_t n = ::write(fd_, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) user_error("{}: cannot write: {}", path_, std::strerror(errno));
    left.remove_prefix(static_cast<size_t>(n));
  }
  bytes_ += record.bytes.size();
}

void EventWriter::sync() {
  if (::fsync(fd_) != 0) user_error("{}: cannot sync: {}", path_, std::strerror(errno));
}

}  // namespace temper
