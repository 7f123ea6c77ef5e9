// A TensorBoard events file: TFRecords (length, masked CRC-32C) of Event protocol buffers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace temper {

// Appends to a file that is created when missing. Every write is whole records in one call. Throws UserError.
class EventWriter {
 public:
  explicit EventWriter(const std::string& path);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // One event with all the scalars. wall_time: seconds since 1970.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values, double wall_time);
  void text(int64_t step, const std::string& tag, const std::string& text, double wall_time);

  uint64_t bytes() const { return bytes_; }
  void truncate_to(uint64_t bytes);  // 0 starts the file anew
  void sync();

 private:
  void append(std::string_view event);

  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) and its TFRecord mask: rotate right by 15, add
// 0xa282ead8.
uint32_t crc32c(std::string_view data);
uint32_t masked_crc32c(std::string_view data);

}  // namespace temper
