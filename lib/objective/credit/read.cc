#include "objective/credit/read.h"

#include <ATen/ATen.h>

#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "objective/columns.h"

namespace temper::objective {
namespace {

int64_t place(const Json& value, const std::string& where, int64_t low, int64_t high) {
  if (!value.is_number_integer() || value.get<int64_t>() < low || value.get<int64_t>() > high)
    user_error("{}: expected a token from {} to {}, found {}", where, low, high, value.dump().substr(0, 40));
  return value.get<int64_t>();
}

// f(i, its object, its path, first token, tokens) of each of input["sequences"].
template <typename F>
void for_each_sequence(const Json& input, const at::Tensor& sequence, const F& f) {
  const auto count = static_cast<int64_t>(input["sequences"].size());
  const at::Tensor lengths = at::bincount(sequence, {}, count).contiguous();
  int64_t first = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = lengths.const_data_ptr<int64_t>()[i];
    f(i, input["sequences"][i], fmt::format("sequences.{}", i), first, length);
    first += length;
  }
}

at::Tensor integers(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

}  // namespace

ProcessScores read_process(const Json& input, const at::Tensor& sequence) {
  std::vector<double> score;
  std::vector<int64_t> owner, token, known, easy;
  for_each_sequence(
      input, sequence, [&](int64_t i, const Json& s, const std::string& path, int64_t first, int64_t length) {
        const Json& steps = s["steps"];
        if (!steps.is_array() && !steps.is_null())
          user_error("{}.steps: expected an array of [token, score], or null", path);
        const Json& outcome = s.contains("easy") ? s["easy"] : Json(true);
        if (!outcome.is_boolean()) user_error("{}.easy: expected true or false", path);
        easy.push_back(outcome.get<bool>() ? 1 : 0);
        known.push_back(steps.is_array() ? 1 : 0);
        int64_t low = 0;
        for (size_t k = 0; steps.is_array() && k < steps.size(); ++k) {
          const std::string where = fmt::format("{}.steps.{}", path, k);
          if (!steps[k].is_array() || steps[k].size() != 2)
            user_error("{}: expected [token, score], found {}", where, steps[k].dump().substr(0, 40));
          low = place(steps[k][0], where, low, length - 1);
          owner.push_back(i);
          token.push_back(first + low);
          score.push_back(finite_number(steps[k][1], where));
        }
      });
  return {at::tensor(score, at::kDouble), integers(owner), integers(token), integers(known).to(at::kBool),
          integers(easy).to(at::kBool)};
}

Turns read_turns(const Json& input, const at::Tensor& sequence) {
  std::vector<double> reward;
  std::vector<int64_t> owner, of_token(sequence.size(0), -1);
  Turns out;
  for_each_sequence(input, sequence,
                    [&](int64_t i, const Json& s, const std::string& path, int64_t first, int64_t length) {
                      const Json& turns = s["turns"];
                      if (!turns.is_array()) user_error("{}.turns: expected an array of objects", path);
                      int64_t low = 0;
                      for (size_t t = 0; t < turns.size(); ++t) {
                        const std::string where = fmt::format("{}.turns.{}", path, t);
                        for (const char* key : {"state", "reward", "begin", "end"})
                          if (!turns[t].is_object() || !turns[t].contains(key))
                            user_error("{}: \"{}\" is missing", where, key);
                        if (!turns[t]["state"].is_string()) user_error("{}.state: expected a text", where);
                        const int64_t begin = place(turns[t]["begin"], where + ".begin", low, length);
                        low = place(turns[t]["end"], where + ".end", begin, length);
                        for (int64_t m = begin; m < low; ++m)
                          of_token[first + m] = static_cast<int64_t>(owner.size());
                        owner.push_back(i);
                        out.state.push_back(turns[t]["state"]);
                        reward.push_back(turns[t]["reward"].is_null()
                                             ? std::numeric_limits<double>::quiet_NaN()
                                             : finite_number(turns[t]["reward"], where + ".reward"));
                      }
                    });
  out.reward = at::tensor(reward, at::kDouble);
  out.sequence = integers(owner);
  out.turn = integers(of_token);
  return out;
}

}  // namespace temper::objective
