#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "base/output.h"
#include "task/distill/teacher_cache.h"
#include "tensor/logits.h"
#include "train/micro_batch.h"

namespace temper {
namespace {

constexpr int64_t kTokensAtATime = 2048;

std::string weights_fingerprint(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  Fingerprint out;
  for (const std::string& file : files) {
    const MappedFile mapped(file);
    out.add(mapped.data(), mapped.size());
  }
  return out.hex();
}

// Writes entries of a position. A count that does not fit is spread over several entries.
void append(const std::vector<DrawnToken>& drawn, int64_t id_bits, bool weights, std::string& out) {
  const int64_t most = int64_t{1} << (24 - id_bits);
  for (const DrawnToken& d : drawn) {
    for (int64_t left = d.count; left > 0; left -= most) {
      const auto word = static_cast<uint32_t>(d.token | (std::min(left, most) - 1) << id_bits);
      for (int shift = 0; shift < 24; shift += 8) out += static_cast<char>(word >> shift & 255);
      if (!weights) continue;
      char bytes[sizeof(float)];
      std::memcpy(bytes, &d.weight, sizeof(float));
      out.append(bytes, sizeof(float));
    }
  }
}

}  // namespace

std::vector<DrawnToken> draw_tokens(const float* logits, int64_t vocab, int64_t draws, double tau,
                                    RandomStream& random) {
  const vec::Floats scale(static_cast<float>(tau)), top(*std::max_element(logits, logits + vocab));
  std::vector<float> mass(vocab);  // q up to a factor
  vec::for_each(vocab, [&](int64_t i, int64_t n) {
    vec::store(mass.data() + i, ((vec::load(logits + i, n) - top) * scale).exp_u20(), n);
  });
  double total = 0;
  for (const float q : mass) total += q;
  if (!std::isfinite(total)) user_error("the teacher's logits are not finite: its weights are broken");
  std::vector<double> uniform(draws);
  for (double& u : uniform) u = random.uniform() * total;
  std::sort(uniform.begin(), uniform.end());
  std::vector<DrawnToken> out;
  double reached = 0;
  size_t next = 0;
  int64_t last = 0;  // with some probability, for a draw that rounding left over
  for (int64_t i = 0; i < vocab && next < uniform.size(); ++i) {
    if (mass[i] > 0) last = i;
    reached += mass[i];
    const size_t before = next;
    while (next < uniform.size() && uniform[next] < reached) ++next;
    if (next > before) out.push_back({i, static_cast<int64_t>(next - before), 1.0f});
  }
  if (next < uniform.size()) out.push_back({last, static_cast<int64_t>(uniform.size() - next), 1.0f});
  if (tau != 1) {
    const double lse = log_sum_exp(logits, vocab);
    for (DrawnToken& d : out)
      d.weight = static_cast<float>(std::exp(logits[d.token] - lse) * total / mass[d.token]);
  }
  return out;
}

uint64_t write_teacher_cache(const std::string& path, Model& model, const std::string& model_path,
                             const std::vector<Example>& examples, const CacheIdentity& identity,
                             const CacheSettings& settings, const std::function<void(int64_t)>& on_progress) {
  at::NoGradGuard guard;
  const int64_t vocab = identity.tokens, width = model.config().vocab;
  if (width < vocab)
    user_error("{}: the tokenizer has {} tokens, the model's embedding only {}", model_path, vocab, width);
  int64_t id_bits = 1;
  while ((int64_t{1} << id_bits) < vocab) ++id_bits;
  if (id_bits > 23) user_error("{}: a cache holds ids below {}, the tokenizer has {}", path, 1 << 23, vocab);
  const bool weights = settings.tau != 1;
  const Json header{{"model", model_path},
                    {"model_hash", weights_fingerprint(model_path)},
                    {"tokenizer_hash", identity.tokenizer},
                    {"data_hash", identity.examples},
                    {"files", identity.files},
                    {"encoding", identity.encoding},
                    {"examples", identity.count},
                    {"positions", identity.positions},
                    {"tokens", vocab},
                    {"draws", settings.draws},
                    {"tau", settings.tau},
                    {"seed", settings.seed},
                    {"dtype", dtype_name(model.precision().compute)},
                    {"id_bits", id_bits},
                    {"entry_bytes", weights ? 7 : 3}};
  const std::string text = dump_line(header);
  FileStream out(path);
  out.write("TMPRTCH1", 8);
  const uint64_t length = text.size();
  out.write(&length, sizeof(length));
  out.write(text.data(), text.size());
  const uint64_t start = out.bytes();

  const std::vector<int64_t> no_prompt;
  std::vector<Sequence> sequences;
  for (size_t i = 0; i < examples.size(); ++i)
    sequences.push_back({&no_prompt, &examples[i].ids, &examples[i].target, static_cast<int64_t>(i)});
  std::vector<uint64_t> offsets = {0};
  for (const MicroBatch& batch :
       cut_into_micro_batches(sequences, kTokensAtATime, false, model.precision().device)) {
    const at::Tensor hidden = model.hidden(batch.tokens);
    const int64_t targets = batch.targets.source.size(0), rows = default_chunk_rows(width);
    const at::Tensor order = batch.targets.sequence.cpu();
    const int64_t* sequence = order.const_data_ptr<int64_t>();
    std::vector<int64_t> position(targets);  // of its example
    for (int64_t m = 0; m < targets; ++m)
      position[m] = m > 0 && sequence[m] == sequence[m - 1] ? position[m - 1] + 1 : 0;
    std::vector<std::string> entries(batch.sequences.size());
    for (int64_t first = 0; first < targets; first += rows) {
      const int64_t n = std::min(rows, targets - first);
      at::Tensor logits =
          model.logits(hidden.index_select(0, batch.targets.source.narrow(0, first, n))).cpu().contiguous();
      float* values = logits.mutable_data_ptr<float>();
      std::vector<std::vector<DrawnToken>> drawn(n);
      at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t m = first + r;
          RandomStream random(settings.seed, "teacher-cache",
                              static_cast<uint64_t>(batch.sequences[sequence[m]]),
                              static_cast<uint64_t>(position[m]));
          drawn[r] = draw_tokens(values + r * width, vocab, settings.draws, settings.tau, random);
        }
      });
      for (int64_t r = 0; r < n; ++r) append(drawn[r], id_bits, weights, entries[sequence[first + r]]);
    }
    for (const std::string& bytes : entries) {
      out.write(bytes.data(), bytes.size());
      offsets.push_back(out.bytes() - start);
    }
    on_progress(static_cast<int64_t>(offsets.size()) - 1);
  }
  out.write(offsets.data(), offsets.size() * sizeof(uint64_t));
  out.commit();
  return out.bytes();
}

}  // namespace temper
