#include "eval/partial.h"

#include "base/error.h"
#include "base/json.h"
#include "eval/batch_size.h"
#include "rollout/tiny_model.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

Completion said_in_part(const std::string& text) {
  Completion c;
  c.ids = {1, 2, 3};
  c.text = text;
  c.raw_text = text + "<end>";
  c.finish = FinishReason::kLength;
  c.turns = {{0, 3, FinishReason::kLength}};
  c.conversation.emplace();
  c.conversation->messages = Json::array({{{"role", "assistant"}, {"content", text}}});
  c.conversation->rewards = {0.5, std::nullopt};
  c.conversation->figures = {{"tool_calls", 2}};
  return c;
}

const Json kSettings = {{"sampling", {{"top_p", 0.9}}}, {"n", 2}};

}  // namespace

TEST_CASE("partial: what is there is not generated again, and the end is the same") {
  TempFolder folder;
  const std::string output = folder.text("out.jsonl");
  const std::vector<GenerateRequest> requests = {{{1}, 2, 0}, {{2}, 2, 1}, {{3}, 2, 2}};
  std::vector<uint64_t> asked;
  size_t limit = 1;  // requests that end before it stops
  const auto run = [&](const std::vector<GenerateRequest>& some, const EndedRequest& ended) {
    std::vector<std::vector<Completion>> out;
    for (size_t i = 0; i < some.size(); ++i) {
      asked.push_back(some[i].stream_index);
      const std::string words = "answer to " + std::to_string(some[i].prompt[0]);
      out.push_back({said_in_part(words), said_in_part(words + ", too")});
      if (out.size() > limit) throw Interrupted(2);
      ended(i, out.back());
    }
    return out;
  };
  const auto generated = [&] {
    PartialCompletions partial(output, kSettings);
    auto out = generate_missing(requests, &partial, 0, run);
    partial.remove();
    return out;
  };
  CHECK_THROWS_AS(generated(), Interrupted);
  CHECK(fs::exists(output + ".partial"));
  CHECK(asked == std::vector<uint64_t>{0, 1});
  // A torn line at the end is passed over.
  std::ofstream(output + ".partial", std::ios::app) << R"({"part":0,"request":1,"comp)";
  limit = 9;
  asked.clear();
  const auto gone_on = generated();
  CHECK(asked == std::vector<uint64_t>{1, 2});
  CHECK_FALSE(fs::exists(output + ".partial"));
  const auto whole = generate_missing(requests, nullptr, 0, run);
  REQUIRE(gone_on.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t s = 0; s < 2; ++s) CHECK(to_json(gone_on[i][s]).dump() == to_json(whole[i][s]).dump());
  }
  CHECK(gone_on[0][1].conversation->score() == 0.5);

  // Another part has its own.
  PartialCompletions(output, kSettings).add(1, 0, whole[0]);
  const PartialCompletions again(output, kSettings);
  CHECK(again.find(0, 0) == nullptr);
  REQUIRE(again.find(1, 0) != nullptr);
  CHECK(again.find(1, 0)->size() == 2);
  CHECK(again.found() == 1);
}

TEST_CASE("partial: other settings and other files") {
  TempFolder folder;
  const std::string output = folder.text("out.jsonl");
  { PartialCompletions partial(output, kSettings); }
  const auto error = [&](const Json& settings) {
    try {
      PartialCompletions partial(output, settings);
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(error(kSettings).empty());
  Json other = kSettings;
  other["sampling"]["top_p"] = 1.0;
  CHECK(error(other).find("sampling.top_p was 0.9, is 1.0") != std::string::npos);
  other = kSettings;
  other["seed"] = 3;
  CHECK(error(other).find("seed was none, is 3") != std::string::npos);
  other = kSettings;
  other.erase("n");
  CHECK(error(other).find("n was 2, is none") != std::string::npos);
  folder.write("out.jsonl.partial", "my notes");
  CHECK(error(kSettings).find("not the beginnings of an evaluation") != std::string::npos);
  CHECK(folder.read("out.jsonl.partial") == "my notes");
  folder.write("out.jsonl.partial", dump_line({{"settings", kSettings}}) + "\n{\"part\":0}\n");
  CHECK(error(kSettings).find("not the beginnings of an evaluation") != std::string::npos);
}

TEST_CASE("partial: how many decode together") {
  const auto model =
      tiny_model("llama");  // 2 layers, 2 heads of keys and values of 8 numbers: 256 bytes a token
  std::vector<GenerateRequest> requests = {{std::vector<int64_t>(9, 1), 1, 0},
                                           {std::vector<int64_t>(5, 1), 1, 1}};
  const int64_t sequence = 256 * (10 + 9 + 1);
  CHECK(batch_in_memory(*model, requests, 10, 64, int64_t{1} << 40) == 2);  // all there are
  requests[0].samples = 99;
  CHECK(batch_in_memory(*model, requests, 10, 64, int64_t{1} << 40) == 64);
  requests = std::vector<GenerateRequest>(40, {std::vector<int64_t>(9, 1), 1, 0});
  CHECK(batch_in_memory(*model, requests, 10, 64, 2 * 7 * sequence) == 7);
  CHECK(batch_in_memory(*model, requests, 10, 64, 1) == 1);
  CHECK(batch_in_memory(*model, requests, 10, 64, 0) == 40);
  CHECK(batch_in_memory(*model, {}, 10, 64, 1000) == 1);
  CHECK(free_bytes(at::kCPU) > (1 << 20));
}
