// What a program that was run has to say, short enough to be kept with its score.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reward/sandbox.h"

namespace temper {

// The first and the last 2048 bytes of a text that is longer than both, with a line between them that counts
// what is left out; valid UTF-8.
std::string head_and_tail(std::string_view text);

// How it ended, unless well, and the head and tail of its standard output and of its standard error, each
// under a line that says which, where it wrote any. Paths in its folder are given from there. without: what
// is taken out of both.
std::string program_text(const SandboxResult& result, const std::vector<std::string>& without = {});

}  // namespace temper
