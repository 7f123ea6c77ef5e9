// A teacher's distributions as tokens drawn from them, in a file: random-sampling distillation, arXiv
// 2503.16870. At every target position `draws` tokens are drawn with replacement from q =
// softmax(logits)^tau, normalised; the loss needs their counts c and, where tau is not 1, the weights t / q
// of the teacher's t = softmax(logits): the expectation of sum c / draws * t / q * f(token) is that of f
// under t.
//
// The file: 8 bytes "TMPRTCH1", the length of the header (uint64), the header (JSON), the entries, and at the
// end, for each example and once more for the end, where its entries begin (uint64, in bytes from the first
// entry). An entry is a token id in the low `id_bits` of 24 bits and its count less 1 above; a token drawn
// more often than the count can say has several entries. So the vocabulary may have up to 2^23 tokens; one of
// 2^17 leaves counts up to 128. With tau not 1 the weight follows, as fp32. A position's entries end where
// the counts add up to `draws`. Positions are by example, in the order of the data, so that nothing depends
// on how batches are packed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "data/records.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace temper {

struct DrawnToken {
  int64_t token = 0, count = 0;
  float weight = 1.0f;  // t / q
};
// `draws` draws from logits [vocab], in the order of ids.
std::vector<DrawnToken> draw_tokens(const float* logits, int64_t vocab, int64_t draws, double tau,
                                    RandomStream& random);

// What must be the same when a cache is written and when it is read.
struct CacheIdentity {
  int64_t tokens = 0;     // of the tokenizer; draws are among these, whatever rows a head is padded with
  std::string tokenizer;  // fingerprint of the vocabulary
  std::string examples;   // fingerprint of the examples' ids and targets
  int64_t count = 0, positions = 0;  // examples, target positions of all
  std::vector<std::string> files;    // for people
  std::string encoding;              // what decides how the data becomes examples, for people
};
CacheIdentity cache_identity(const Tokenizer& tokenizer, const std::vector<Example>& examples,
                             const std::vector<std::string>& files, const EncodeSettings& settings,
                             const std::string& chat_template);

struct CacheSettings {
  int64_t draws = 50;
  double tau = 1.0;
  uint64_t seed = 1;
};
// Draws at every target of every example and writes `path` as a FileStream does; returns its bytes.
// `model_path` goes into the header. on_progress(examples done). Throws UserError for a vocabulary of more
// than 2^23 tokens.
uint64_t write_teacher_cache(const std::string& path, Model& model, const std::string& model_path,
                             const std::vector<Example>& examples, const CacheIdentity& identity,
                             const CacheSettings& settings, const std::function<void(int64_t)>& on_progress);

class TeacherCache {
 public:
  // Maps the file. Throws UserError when it is none, is cut short, or does not hold together.
  explicit TeacherCache(const std::string& path);
  // Throws UserError, one line that says which, unless the cache was made for these examples and this
  // tokenizer.
  void check(const CacheIdentity& identity) const;
  const Json& header() const { return header_; }

  // The positions of some examples, one after the other: token [M, D] int64 and weight [M, D] fp32, count /
  // draws * t / q; D is the largest number of entries of a position, and what a position lacks weighs 0.
  struct Rows {
    at::Tensor token, weight;
  };
  Rows rows(const std::vector<int64_t>& examples) const;

 private:
  MappedFile file_;
  Json header_;
  int64_t draws_ = 0, id_bits_ = 0, entry_bytes_ = 0, tokens_ = 0, examples_ = 0;
  const uint8_t* entries_ = nullptr;
  const uint8_t* offsets_ = nullptr;
  uint64_t bytes_ = 0;  // of all entries
};

}  // namespace temper
