// The "decoder" of tokenizer.json, written once, as a stream: decoding everything is pushing everything.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace temper {

// A step takes a sequence of strings, each in one or more whole-character parts, and hands on another one.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void part(std::string_view text) = 0;  // the next part of the current string
  virtual void end_string() = 0;                 // the current string is complete
  virtual void finish() = 0;                     // there are no more strings

  DecodeStep* next = nullptr;
};

// Makes a fresh chain of steps that ends in `sink`.
struct DecodeChain {
  std::vector<std::unique_ptr<DecodeStep>> steps;
  DecodeStep* first;  // the sink when there are no steps
};
using Decoder = std::function<DecodeChain(DecodeStep& sink)>;

// Throws UserError that names the type when it is not one of: ByteLevel, ByteFallback, Fuse, Strip, Replace,
// Metaspace, BPEDecoder, Sequence. null: no decoder, strings are joined by spaces.
Decoder make_decoder(const JsonPart* part);

// Byte tokens and byte-level text: bytes in, whole characters out.
class Utf8Assembler {
 public:
  // What `bytes` complete; an invalid part reads as U+FFFD, a tail that may still become a character is kept.
  std::string push(std::string_view bytes);
  std::string finish();  // the tail, as U+FFFD

 private:
  std::string tail_;
};

}  // namespace temper
