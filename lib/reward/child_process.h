// A program on the other end of three pipes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

class ChildProcess {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts argv[0] (looked up in PATH unless it has a slash) in the working folder, in a process group of its
  // own, with no descriptor but its three. Throws UserError when it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& argv);
  // Closes its input, gives it a moment to leave, then kills its whole group and reaps it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Queues text for its input. Never blocks.
  void send(std::string_view text) { outgoing_ += text; }
  // Ends its input behind what is queued.
  void close_input();
  // Moves bytes both ways until a line has come, `deadline` has passed or the program's output has ended;
  // appends whole lines, without their ends, to `lines`. False when the output has ended or a line grew past
  // 16 MB.
  bool pump(Clock::time_point deadline, std::vector<std::string>& lines);
  // What it wrote behind the last line end, once its output has ended.
  const std::string& unfinished_line() const { return incoming_; }
  // Kills the whole group at once and reaps it. `how` it ended: "exited with 3", "was killed by signal 11
  // (...)", or why pump() had enough of it.
  std::string kill();
  // The last 4 kB that it wrote to its standard error.
  const std::string& error_tail() const { return error_tail_; }

 private:
  void write_some();
  bool read_lines(std::vector<std::string>& lines);
  void read_errors();
  bool reap(std::chrono::milliseconds patience);
  void close_all();

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;  // our ends, non-blocking
  std::string outgoing_;
  size_t sent_ = 0;  // of outgoing_
  std::string incoming_, error_tail_;
  int status_ = 0;
  bool input_ends_ = false;
  bool flooded_ = false;  // a line grew past the limit
};

}  // namespace temper
