// Spans and matches come in order and lie within their text.
#pragma once

#include "fuzz.h"

namespace temper::fuzz {

template <class Spans>
void check_spans(const Spans& spans, size_t size) {
  size_t last = 0;
  for (const auto& [begin, end] : spans) {
    promise(begin >= last && end >= begin && end <= size, "a span out of order or out of its text");
    last = end;
  }
}

}  // namespace temper::fuzz
