// The private folder of a sandboxed program: whatever it leaves there is measured and removed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace temper {

class SandboxFolder {
 public:
  // A new folder in TMPDIR or /tmp, of mode 0700. Throws UserError when there can be none.
  SandboxFolder();
  ~SandboxFolder();  // removes it; a warning names it when that fails
  SandboxFolder(const SandboxFolder&) = delete;
  SandboxFolder& operator=(const SandboxFolder&) = delete;

  static std::string above();  // TMPDIR or /tmp
  const std::string& path() const { return path_; }
  int descriptor() const { return fd_; }
  // Throws UserError when the disk is full.
  void write(const std::string& name, const std::string& text) const;
  void give_to(uid_t user) const;
  // Whether more lies in it than `bytes` on disk or `entries` files and folders, or folders lie deeper in
  // each other than anybody needs. Read beside a program that changes it, so it is about right.
  bool exceeds(int64_t bytes, int64_t entries) const;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace temper
