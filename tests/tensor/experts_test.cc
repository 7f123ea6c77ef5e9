// Mixtures of experts: each operation against its plain twin.
#include "tensor/experts/experts.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/error.h"
#include "tensor/compare.h"

using namespace temper;
using at::Tensor;

namespace {

// k distinct experts a token, drawn unevenly; the experts in `never` are not chosen.
Tensor choices(int64_t tokens, int64_t k, int64_t experts, const std::vector<int64_t>& never = {}) {
  Tensor score = random({tokens, experts}) + at::arange(experts) * 0.3;
  for (const int64_t e : never) score.select(1, e).fill_(-1e9);
  return std::get<1>(score.topk(k, 1));
}

struct Threads {
  explicit Threads(int n) : before(at::get_num_threads()) { at::set_num_threads(n); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("sort_by_expert keeps the order of tokens inside an expert") {
  const Tensor experts = at::tensor({2, 0, 0, 3, 2, 3, 0, 2}, at::kLong).reshape({4, 2});
  const ExpertRows rows = sort_by_expert(experts, 5);
  CHECK(rows.begin == std::vector<int64_t>{0, 3, 3, 6, 8, 8});
  CHECK(at::equal(rows.token, at::tensor({0, 1, 3, 0, 2, 3, 1, 2}, at::kLong)));
  CHECK(at::equal(rows.place, at::tensor({3, 0, 1, 6, 4, 7, 2, 5}, at::kLong).reshape({4, 2})));
  CHECK(rows.count(1) == 0);
  const ExpertRows none = sort_by_expert(at::empty({0, 2}, at::kLong), 3);
  CHECK(none.begin == std::vector<int64_t>{0, 0, 0, 0});
  CHECK(none.place.sizes() == at::IntArrayRef({0, 2}));
  CHECK_THROWS_WITH(sort_by_expert(experts, 3), "sort_by_expert: token 1 chose expert 3 of 3");
}

TEST_CASE("gather_rows and combine_rows equal the plain forms") {
  for (const int64_t width : {32, 19}) {
    const ExpertRows rows = sort_by_expert(choices(37, 3, 6), 6);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const double tolerance = dtype == at::kFloat ? 2e-6 : 1e-2;
      compare([&](const auto& x) { return gather_rows(x[0], rows); },
              [&](const auto& x) { return reference::gather_rows(x[0], rows); },
              {random({37, width}).to(dtype)}, tolerance);
      compare([&](const auto& x) { return combine_rows(x[0], x[1], rows); },
              [&](const auto& x) { return reference::combine_rows(x[0], x[1], rows); },
              {random({111, width}).to(dtype), random({37, 3})}, tolerance);
    }
  }
}

TEST_CASE("combining what was gathered gives the tokens back") {
  const ExpertRows rows = sort_by_expert(choices(20, 4, 5), 5);
  const Tensor x = random({20, 24}), w = at::softmax(random({20, 4}), 1);
  CHECK(worst(combine_rows(gather_rows(x, rows), w, rows), x) < 1e-6);
}

TEST_CASE("grouped_linear equals one product an expert: values, gradients, zeros for unused experts") {
  // 700 tokens: more than one block of rows; 1100 outputs: more than one of columns.
  for (const int64_t tokens : {0, 1, 5, 700}) {
    CAPTURE(tokens);
    const int64_t experts = 5, in = 24, out = tokens > 100 ? 1100 : 31;
    const ExpertRows rows = sort_by_expert(choices(tokens, 2, experts, {1}), experts);
    const Tensor w = random({experts, out, in}), b = random({experts, out}), x = random({2 * tokens, in});
    for (const bool bias : {false, true}) {
      const auto fast = [&](const auto& t) {
        return bias ? grouped_linear(t[0], rows, t[1].detach(), t[1], t[2].detach(), t[2])
                    : grouped_linear(t[0], rows, t[1].detach(), t[1]);
      };
      const auto slow = [&](const auto& t) {
        return bias ? reference::grouped_linear(t[0], rows, t[1], t[2])
                    : reference::grouped_linear(t[0], rows, t[1]);
      };
      if (tokens == 0) {
        CHECK(fast(Tensors{x, w, b}).sizes() == at::IntArrayRef({0, out}));
        continue;
      }
      Tensors inputs = {x, w};
      if (bias) inputs.push_back(b);
      compare(fast, slow, inputs, 2e-6);
    }
    if (tokens == 0) continue;
    const Tensor dw = gradients([&](const auto& t) { return grouped_linear(x, rows, t[0].detach(), t[0]); },
                                {w}, at::ones({2 * tokens, out}))[0];
    CHECK(rows.count(1) == 0);
    for (int64_t e = 0; e < experts; ++e) CHECK((dw[e].abs().max().item<float>() > 0) == (rows.count(e) > 0));
  }
}

TEST_CASE("grouped_linear in bf16: gradients reach fp32 masters") {
  const int64_t experts = 4;
  const ExpertRows rows = sort_by_expert(choices(60, 2, experts), experts);
  const Tensor master = random({experts, 48, 64}), bias_master = random({experts, 48});
  compare(
      [&](const auto& t) {
        return grouped_linear(t[0], rows, t[1].detach().to(at::kBFloat16), t[1],
                              t[2].detach().to(at::kBFloat16), t[2]);
      },
      [&](const auto& t) { return reference::grouped_linear(t[0].to(at::kFloat), rows, t[1], t[2]); },
      {random({120, 64}).to(at::kBFloat16), master, bias_master}, 2e-2);
}

TEST_CASE("grouped_linear's bytes do not depend on threads") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const ExpertRows rows = sort_by_expert(choices(300, 2, 3), 3);
    const Tensor x = random({600, 100}).to(dtype), w = random({3, 1100, 100}), weights = random({600, 1100});
    const auto run = [&](int threads) {
      const Threads with(threads);
      return gradients(
          [&](const auto& t) { return grouped_linear(t[0], rows, t[1].detach().to(dtype), t[1]); }, {x, w},
          weights);
    };
    const Tensors one = run(1), three = run(3);
    CHECK(at::equal(one[0], three[0]));
    CHECK(at::equal(one[1], three[1]));
  }
}

TEST_CASE("a frozen expert's weight gets no gradient, its input does") {
  const ExpertRows rows = sort_by_expert(choices(9, 2, 3), 3);
  const Tensor w = random({3, 8, 16}), x = random({18, 16}).requires_grad_();
  torch::autograd::backward({grouped_linear(x, rows, w, w).sum()}, {});
  CHECK(x.grad().defined());
  CHECK(!w.grad().defined());
}

TEST_CASE("grouped_quantised_linear equals the product with what the codes stand for") {
  using Kind = QuantFormat::Kind;
  for (const QuantFormat& format : {QuantFormat{Kind::kInt8}, QuantFormat{Kind::kNf4, true}}) {
    for (const int64_t tokens : {0, 3, 120}) {
      const int64_t experts = 4, in = 33, out = 41;  // blocks of 64 cross rows and experts
      const ExpertRows rows = sort_by_expert(choices(tokens, 2, experts, {2}), experts);
      const auto weights = std::make_shared<QuantisedMatrix>(quantise(random({experts * out, in}), format));
      const Tensor stacked = reference::dequantise(*weights, at::kFloat).view({experts, out, in});
      const Tensor bias = random({experts, out}), x = random({2 * tokens, in});
      const auto fast = [&](const auto& t) { return grouped_quantised_linear(t[0], rows, weights, bias); };
      if (tokens == 0) {
        CHECK(fast(Tensors{x}).sizes() == at::IntArrayRef({0, out}));
        continue;
      }
      compare(
          fast, [&](const auto& t) { return reference::grouped_linear(t[0], rows, stacked, bias); }, {x},
          3e-6);
    }
  }
}

TEST_CASE("experts: shapes that do not fit are an error") {
  const ExpertRows rows = sort_by_expert(choices(4, 1, 3), 3);
  const Tensor two = random({2, 8, 16}), three = random({3, 8, 16});
  CHECK_THROWS_WITH(grouped_linear(random({4, 16}), rows, two, two),
                    "grouped_linear: weights of 2 experts, rows of 3");
  CHECK_THROWS_WITH(grouped_linear(random({5, 16}), rows, three, three),
                    "grouped_linear: 5 rows, 4 were sorted");
  CHECK_THROWS_WITH(combine_rows(random({4, 16}), random({4, 2}), rows),
                    "combine_rows: weights [4, 2] and 4 rows for the choices [4, 1]");
}
