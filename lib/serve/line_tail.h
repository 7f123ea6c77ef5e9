// The lines of a file that grows.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace temper {

class LineTail {
 public:
  struct Line {
    std::string text;  // without its end
    uint64_t end;      // the byte behind it
  };
  // Begins behind this byte of the file, which need not be there yet.
  LineTail(std::string path, uint64_t from) : path_(std::move(path)), at_(from) {}
  // Whole lines that have come since, of at most so many bytes unless the first is longer; a torn last line
  // waits until it is whole. Throws UserError when the file cannot be read.
  std::vector<Line> next(size_t most_bytes);
  // Whether the file has become shorter than what was read: a run goes on from an older checkpoint.
  bool cut_back() const;
  void go_to(uint64_t at) { at_ = at; }
  uint64_t at() const { return at_; }

 private:
  std::string path_;
  uint64_t at_;
};

// Where a line begins, at most so many bytes before the file's end; 0 where it is no longer than that.
uint64_t line_near_end(const std::string& path, uint64_t bytes);

}  // namespace temper
