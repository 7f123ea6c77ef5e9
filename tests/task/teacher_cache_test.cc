// A teacher's drawn tokens: what they are the expectation of, and what a file of them holds.
#include "task/distill/teacher_cache.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <fstream>
#include <map>

#include "base/error.h"
#include "objective/distill/distill.h"
#include "temp_folder.h"
#include "tensor/gather_logp.h"
#include "test.h"
#include "train/micro_batch.h"

using namespace temper;

namespace {

// A random little model, the tokenizer that its data gave, and that data's examples.
struct Setting {
  TempFolder folder;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  std::vector<Example> examples;
  CacheIdentity identity;

  Setting() {
    std::vector<std::string> texts;
    for (int i = 0; i < 12; ++i) texts.push_back(fmt::format("Add {} and {}: {}", i, 2 * i, 3 * i));
    train_sentencepiece(texts, 280, (folder / "model").string());
    tokenizer = Tokenizer::load((folder / "model").string());
    ModelConfig shape;
    shape.family = "llama";
    shape.vocab = tokenizer->vocab_size() + 3;  // a padded head
    shape.hidden = 16;
    shape.intermediate = 32;
    shape.layers = 1;
    shape.heads = 2;
    shape.kv_heads = 1;
    shape.head_dim = 8;
    shape.max_positions = 64;
    shape.tied = false;
    model = Model::initialise(shape, {at::kFloat, at::kCPU}, 3);
    const EncodeSettings settings;
    const RecordEncoder encoder(*tokenizer, nullptr, settings);
    for (size_t i = 0; i < texts.size(); ++i) {
      const Json json = i % 2 == 0
                            ? Json{{"text", texts[i]}}
                            : Json{{"prompt", texts[i].substr(0, 8)}, {"completion", texts[i].substr(8)}};
      examples.push_back(encoder.supervised({json, "data", static_cast<int64_t>(i) + 1}));
    }
    identity = cache_identity(*tokenizer, examples, {"data"}, settings, "auto");
  }
  std::string write(const std::string& name, const CacheSettings& settings) {
    const std::string path = (folder / name).string();
    write_teacher_cache(path, *model, folder.path().string(), examples, identity, settings, [](int64_t) {});
    return path;
  }
};

std::vector<float> some_logits(int64_t vocab) {
  RandomStream random(5, "logits");
  std::vector<float> out(vocab);
  for (float& z : out) z = static_cast<float>(2 * random.normal());
  return out;
}

}  // namespace

TEST_CASE("the loss of drawn tokens and its gradient are unbiased: their mean is the dense cross entropy") {
  const int64_t vocab = 37, draws = 10, tries = 20000;
  const std::vector<float> teacher = some_logits(vocab);
  const at::Tensor z = at::tensor(teacher).to(at::kDouble), t = at::softmax(z, 0);
  const at::Tensor student = at::randn({vocab}, at::detail::createCPUGenerator(2), at::kDouble);
  const at::Tensor logp = at::log_softmax(student, 0);
  objective::DistillOptions forward;
  forward.beta = 0;
  const at::Tensor leaf = student.clone().requires_grad_();
  const at::Tensor divergence = forward(leaf.unsqueeze(0), z.unsqueeze(0)).sum();
  const double entropy = -(t * t.log()).sum().item<double>();
  const double dense = divergence.item<double>() + entropy;
  const at::Tensor dense_gradient = torch::autograd::grad({divergence}, {leaf})[0];
  for (const double tau : {1.0, 0.7, 1.3}) {
    CAPTURE(tau);
    at::Tensor mean = at::zeros({vocab}, at::kDouble), square = at::zeros_like(mean);
    double loss = 0, loss_square = 0;
    for (int64_t i = 0; i < tries; ++i) {
      RandomStream random(1, "test", 0, static_cast<uint64_t>(i));
      at::Tensor weight = at::zeros({vocab}, at::kDouble);
      int64_t count = 0;
      for (const DrawnToken& d : draw_tokens(teacher.data(), vocab, draws, tau, random)) {
        weight[d.token] += static_cast<double>(d.count) / draws * d.weight;
        count += d.count;
        if (tau == 1) CHECK(d.weight == 1.0f);
      }
      REQUIRE(count == draws);
      const double value = objective::sampled_cross_entropy(logp, weight).item<double>();
      const at::Tensor gradient = weight.sum() * logp.exp() - weight;
      loss += value;
      loss_square += value * value;
      mean += gradient;
      square += gradient.square();
    }
    const auto error = [&](double sum, double squares) {
      return std::sqrt((squares / tries - (sum / tries) * (sum / tries)) / tries);
    };
    CHECK(std::abs(loss / tries - dense) < 4.5 * error(loss, loss_square));
    CHECK(error(loss, loss_square) < 0.02);
    const at::Tensor far = (mean / tries - dense_gradient).abs() /
                           ((square / tries - (mean / tries).square()) / tries + 1e-12).sqrt();
    CHECK(far.max().item<double>() < 4.5);
  }
}

TEST_CASE("a cache gives back what was drawn, whoever was drawn with whom, for any count of draws") {
  Setting s;
  for (const CacheSettings& settings :
       {CacheSettings{50, 1.0, 7}, CacheSettings{100000, 1.0, 7}, CacheSettings{50, 0.8, 7}}) {
    CAPTURE(settings.draws);
    CAPTURE(settings.tau);
    const std::string path = s.write("cache", settings);
    const TeacherCache cache(path);
    cache.check(s.identity);
    CHECK(cache.header()["positions"] == s.identity.positions);
    std::vector<int64_t> all, some = {3, 0, 11};
    for (size_t i = 0; i < s.examples.size(); ++i) all.push_back(static_cast<int64_t>(i));
    const TeacherCache::Rows rows = cache.rows(all);
    CHECK(rows.token.size(0) == s.identity.positions);
    CHECK(rows.token.max().item<int64_t>() < s.tokenizer->vocab_size());
    if (settings.tau == 1) CHECK((rows.weight.sum(1) - 1).abs().max().item<double>() < 1e-5);
    // A few examples give their own rows, wherever they stand.
    const auto positions = [&](int64_t example) {
      const Example& e = s.examples[example];
      return std::count(e.target.begin() + 1, e.target.end(), true);
    };
    const TeacherCache::Rows few = cache.rows(some);
    int64_t next = 0;
    for (const int64_t example : some) {
      int64_t first = 0;
      for (int64_t i = 0; i < example; ++i) first += positions(i);
      for (int64_t k = 0; k < positions(example); ++k, ++next) {
        const auto sums = [](const TeacherCache::Rows& r, int64_t row) {
          return at::zeros({400}, at::kFloat).index_add_(0, r.token[row], r.weight[row]);
        };
        CHECK(at::equal(sums(few, next), sums(rows, first + k)));
      }
    }
    CHECK(next == few.token.size(0));
  }
}

TEST_CASE("with many draws a cache's loss is the teacher's cross entropy") {
  Setting s;
  const TeacherCache cache(s.write("cache", {200000, 1.0, 1}));
  std::vector<int64_t> all;
  std::vector<Sequence> sequences;
  const std::vector<int64_t> none;
  for (size_t i = 0; i < s.examples.size(); ++i) {
    all.push_back(static_cast<int64_t>(i));
    sequences.push_back({&none, &s.examples[i].ids, &s.examples[i].target, static_cast<int64_t>(i)});
  }
  const MicroBatch batch = cut_into_micro_batches(sequences, 1 << 20, false, at::kCPU).at(0);
  const at::Tensor hidden = s.model->hidden(batch.tokens).detach();
  const at::Tensor head = s.model->head().compute.detach();
  const int64_t tokens = s.tokenizer->vocab_size();
  const at::Tensor teacher =
      at::matmul(hidden.index_select(0, batch.targets.source), head.t()).narrow(1, 0, tokens);
  const at::Tensor other = at::randn({tokens, 16}, at::detail::createCPUGenerator(4), at::kFloat);
  const TeacherCache::Rows rows = cache.rows(all);
  const at::Tensor sampled = objective::sampled_cross_entropy(
      gather_logp(hidden, other, other, batch.targets.source, rows.token), rows.weight);
  const at::Tensor student =
      at::log_softmax(at::matmul(hidden.index_select(0, batch.targets.source), other.t()), -1);
  const at::Tensor dense = -(at::softmax(teacher, -1) * student).sum(-1);
  CHECK((sampled - dense).abs().max().item<double>() < 0.05);
  CHECK(std::abs((sampled - dense).mean().item<double>()) < 0.003);
}

TEST_CASE("a cache of another tokenizer, other data or a torn file is refused in one line") {
  Setting s;
  const std::string path = s.write("cache", {});
  const auto refused = [&](const CacheIdentity& identity, const char* text) {
    CHECK_THROWS_WITH_AS(TeacherCache(path).check(identity), doctest::Contains(text), UserError);
  };
  CacheIdentity other = s.identity;
  other.tokenizer = "0";
  refused(other, "tokenizer");
  other = s.identity;
  other.examples = "0";
  refused(other, "data.train");
  other.encoding = "max_tokens 5";
  refused(other, "max_tokens 5");

  std::ostringstream whole;
  whole << std::ifstream(path, std::ios::binary).rdbuf();
  const std::string bytes = whole.str();
  for (const size_t size : {size_t{0}, size_t{9}, size_t{100}, bytes.size() - 1, bytes.size() - 8}) {
    CAPTURE(size);
    const std::string cut = s.folder.write("cut", bytes.substr(0, size));
    CHECK_THROWS_AS(TeacherCache{cut}, UserError);
  }
  std::string wrong = bytes;  // entries that do not add up
  const size_t header = *reinterpret_cast<const uint64_t*>(bytes.data() + 8);
  for (size_t i = 0; i < 60; ++i) wrong[16 + header + i] = '\xff';
  const std::string torn = s.folder.write("torn", wrong);
  CHECK_THROWS_AS(TeacherCache(torn).rows({0}), UserError);
}
