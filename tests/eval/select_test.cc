#include <cmath>
#include <fstream>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "eval/select/pairs.h"
#include "eval/select/selected.h"
#include "eval/select/selectors.h"
#include "reward/model_reward.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

SelectorEntry entry_of(const std::string& text) {
  return std::move(read_selectors({text}, "--select").at(0));
}

std::vector<Choice> chosen(const std::string& text, const std::vector<Ballot>& ballots) {
  return entry_of(text).options->make()->choose(ballots, {});
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) out.push_back(line);
  return out;
}

// "answer:score", "-" for none of either.
Ballot ballot(const std::vector<std::string>& candidates) {
  Ballot out;
  for (const std::string& text : candidates) {
    const size_t colon = text.find(':');
    const std::string answer = text.substr(0, colon), score = text.substr(colon + 1);
    Candidate c{text, {}, {}};
    if (answer != "-") c.answer = answer;
    c.scores["total"] = score == "-" ? std::nullopt : std::optional(std::stod(score));
    out.candidates.push_back(std::move(c));
  }
  return out;
}

// Prefers, with a chance, the candidate whose text is nearer to the front of the alphabet.
struct ChancyJudge : RewardOptions {
  double accuracy = 1;
  void fields(FieldVisitor&) override {}
  class Judge : public Reward {
   public:
    explicit Judge(double accuracy) : accuracy_(accuracy), random_(7, "judge") {}
    std::vector<Score> score(const std::vector<RewardItem>& items) override {
      std::vector<Score> out;
      for (const RewardItem& item : items) {
        const bool better = item.completion < (*item.columns)["reference"].get<std::string>();
        out.emplace_back((random_.uniform() < accuracy_) == better ? 1.0 : 0.0);
      }
      return out;
    }

   private:
    double accuracy_;
    RandomStream random_;
  };
  std::unique_ptr<Reward> make() const override { return std::make_unique<Judge>(accuracy); }
};

// A reward model whose scores are the numbers behind the colons of the texts; "-": it cannot tell.
struct TextScores : ModelRewardOptions {
  mutable std::vector<std::string> asked = {};  // all texts that were scored
  class Scores : public Reward {
   public:
    explicit Scores(std::vector<std::string>& asked) : asked_(asked) {}
    std::vector<Score> score(const std::vector<RewardItem>& items) override {
      std::vector<Score> out;
      for (const RewardItem& item : items) {
        asked_.push_back(item.completion);
        const std::string number = item.completion.substr(item.completion.find(':') + 1);
        out.push_back(number == "-" ? Score() : Score(std::stod(number)));
      }
      return out;
    }

   private:
    std::vector<std::string>& asked_;
  };
  std::unique_ptr<Reward> make() const override { return std::make_unique<Scores>(asked); }
};

}  // namespace

TEST_CASE("select: choices equal those of the oracle") {
  const std::map<std::string, std::string> selectors = {
      {"majority", "majority"},
      {"weighted", "weighted"},
      {"weighted_probability", R"({"kind": "weighted", "weight": "probability"})"},
      {"weighted_clusters", R"({"kind": "weighted", "weight": "probability", "clusters": 2})"},
      {"best", "best"},
      {"best_of_majority", R"({"kind": "best_of_majority", "share": 0.25})"},
      {"best_of_majority_2", R"({"kind": "best_of_majority", "share": 0.1, "submit": 2})"},
      {"mbr_rouge", "mbr"},
      {"mbr_bleu", R"({"kind": "mbr", "utility": "bleu"})"},
      {"mbr_chrf", R"({"kind": "mbr", "utility": {"kind": "chrf"}})"},
      {"mbr_evidence", R"({"kind": "mbr", "evidence": 2})"}};
  std::map<std::string, size_t> cases;
  for (const std::string& line : lines_of(test_file("eval/golden/selectors.jsonl"))) {
    CAPTURE(line);
    const Json row = parse_json(line, "selectors.jsonl");
    Ballot b;
    for (const Json& c : row["candidates"]) {
      Candidate candidate{c["text"], {}, {}};
      if (!c["answer"].is_null()) candidate.answer = c["answer"].get<std::string>();
      candidate.scores["total"] =
          c["score"].is_null() ? std::nullopt : std::optional(c["score"].get<double>());
      b.candidates.push_back(std::move(candidate));
    }
    // A second ballot, which has what every selector reads.
    const std::vector<Ballot> ballots = {b, ballot({"1:1", "1:1", "1:1"})};
    for (const auto& [name, wanted] : row["chosen"].items()) {
      CAPTURE(name);
      CHECK(chosen(selectors.at(name), ballots).at(0) == wanted.get<Choice>());
      ++cases[name];
    }
  }
  for (const auto& [name, selector] : selectors) CHECK_MESSAGE(cases[name] >= 40, name);
}

TEST_CASE("select: ties, a single candidate, nothing to read") {
  CHECK(chosen("majority", {ballot({"2:0", "1:0", "1:0", "2:0"})}) == std::vector<Choice>{{0}});
  CHECK(chosen("best", {ballot({"2:1", "1:3", "5:3"})}) == std::vector<Choice>{{1}});
  for (const char* kind : {"majority", "weighted", "best", "best_of_majority", "mbr"})
    CHECK(chosen(kind, {ballot({"4:1"})}) == std::vector<Choice>{{0}});
  // A ballot without an answer has no choice; none at all is an error.
  CHECK(chosen("majority", {ballot({"-:1"}), ballot({"4:1"})}) == std::vector<Choice>{{}, {0}});
  CHECK(has(problem([] { chosen("majority", {ballot({"-:1", "-:2"})}); }), "no answer can be read"));
  CHECK(has(problem([] {
              chosen("best", {ballot({"1:-", "1:-"})});
            }),
            "by total: it is null for every completion"));
  CHECK(has(problem([] { chosen(R"({"kind": "best", "by": "prm"})", {ballot({"1:1"})}); }),
            "no reward is called \"prm\"; there are: total"));
  CHECK(has(problem([] {
              chosen(R"({"kind": "mbr", "evidence": 2})", {ballot({"1:1", "2:1"})});
            }),
            "evidence 2: leaves none of 2 candidates"));
}

TEST_CASE("select: bad command lines") {
  CHECK(has(problem([] { read_selectors({"majorty"}, "--select"); }), "majority"));
  CHECK(has(problem([] {
              read_selectors({"best", "best"}, "--select");
            }),
            "two selectors are called \"best\""));
  CHECK(read_selectors({"best", R"({"kind": "best", "name": "rm"})"}, "--select").at(1).name == "rm");
  CHECK(has(problem([] { read_selectors({"knockout"}, "--select"); }), "judge"));
  CHECK(has(problem([] {
              read_selectors({R"({"kind": "knockout", "judge": {"kind": "judge", "path": "x"}})"},
                             "--select");
            }),
            "expected \"pairwise\""));
}

TEST_CASE("select: knockout finds the best with a perfect judge, whatever the number of candidates") {
  KnockoutOptions options;
  options.judge = std::make_unique<ChancyJudge>();
  const auto selector = options.make();
  CHECK(selector->asks());
  for (size_t n = 1; n <= 9; ++n) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < n; ++i) texts.push_back(std::string(1, static_cast<char>('b' + i)) + ":1");
    texts[n / 2][0] = 'a';
    CHECK(selector->choose({ballot(texts)}, {}) == std::vector<Choice>{{n / 2}});
  }
}

TEST_CASE("select: a reward model compares by its scores of the two") {
  TextScores scores;
  const std::vector<Ballot> ballots = {ballot({"a:0.5", "b:2", "c:-", "d:-1000", "e:2"}),
                                       ballot({"f:3", "g:1"})};
  const std::vector<CandidatePair> pairs = {{0, 0, 1}, {0, 1, 0}, {0, 1, 4}, {0, 2, 3}, {0, 3, 1}, {1, 0, 1}};
  CandidateJudge judge = pair_judge(scores);
  const auto said = judge.compare(ballots, pairs, {});
  CHECK(*said[0] == doctest::Approx(1 / (1 + std::exp(1.5))).epsilon(1e-12));
  CHECK(*said[0] + *said[1] == doctest::Approx(1).epsilon(1e-12));
  CHECK(*said[2] == 0.5);
  CHECK_FALSE(said[3]);
  CHECK(*said[4] == 0);
  CHECK(*said[5] == doctest::Approx(1 / (1 + std::exp(-2.0))).epsilon(1e-12));
  CHECK(scores.asked.size() == 7);  // each once
  scores.asked.clear();
  CHECK(first_wins(judge, ballots, pairs, 9, {}) == std::vector<bool>{false, true, true, true, false, true});
  CHECK(scores.asked.size() == 7);  // asking again says the same

  KnockoutOptions options;
  options.judge = std::make_unique<TextScores>();
  for (size_t n = 1; n <= 9; ++n) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < n; ++i) texts.push_back(fmt::format("a:{}", static_cast<double>(i) * 0.25 - 1));
    texts[n / 2] = "a:7";
    CHECK(options.make()->choose({ballot(texts)}, {}) == std::vector<Choice>{{n / 2}});
  }
}

TEST_CASE("select: knockout fails no more often than its bound says") {
  // Half of the candidates are right, the judge prefers a right one in 7 of 10 comparisons (arXiv 2411.19477,
  // theorem 1): fail <= (1 - p_gen)^N + ceil(log2 N) exp(-2 K (p_comp - 1/2)^2).
  constexpr size_t kBallots = 400, kN = 8;
  constexpr int64_t kTimes = 25;
  std::vector<Ballot> ballots;
  RandomStream random(3, "test");
  for (size_t b = 0; b < kBallots; ++b) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < kN; ++i) texts.push_back(random.uniform() < 0.5 ? "a:1" : "b:1");
    ballots.push_back(ballot(texts));
  }
  KnockoutOptions options;
  auto judge = std::make_unique<ChancyJudge>();
  judge->accuracy = 0.7;
  options.judge = std::move(judge);
  options.times = kTimes;
  const auto choices = options.make()->choose(ballots, {});
  size_t wrong = 0;
  for (size_t b = 0; b < kBallots; ++b)
    wrong += ballots[b].candidates[choices[b].at(0)].text == "b:1" ? 1 : 0;
  const double bound = std::pow(0.5, kN) + 3 * std::exp(-2.0 * kTimes * 0.04);
  CHECK(static_cast<double>(wrong) / kBallots <= bound);
  // One comparison a pair fails more often.
  options.times = 1;
  const auto once = options.make()->choose(ballots, {});
  size_t wrong_once = 0;
  for (size_t b = 0; b < kBallots; ++b)
    wrong_once += ballots[b].candidates[once[b].at(0)].text == "b:1" ? 1 : 0;
  CHECK(wrong_once > wrong);
}

TEST_CASE("select: verification, the close ones voted on or compared") {
  // The verifier believes in texts with a "y", so the first three are close.
  const std::vector<Ballot> ballots = {ballot({"zy:1", "cy:1", "zy:2", "a:1", "b:1"})};
  const std::string verifier = R"("verifier": {"kind": "regex", "pattern": "y"})";
  CHECK(chosen("{\"kind\": \"verify\", " + verifier + "}", ballots) == std::vector<Choice>{{0}});
  VerifyOptions options;
  read_fields(options, parse_json("{" + verifier + "}", "t"), "t", ".");
  options.judge = std::make_unique<ChancyJudge>();
  CHECK(options.make()->choose(ballots, {}) == std::vector<Choice>{{1}});
  options.margin = 1;  // all are close
  CHECK(options.make()->choose(ballots, {}) == std::vector<Choice>{{3}});
}

TEST_CASE("select: figures of choices") {
  Json five = {{"answer", 5}};
  const std::vector<EvalPrompt> prompts = {{{1}, "2 + 3", &five}, {{2}, "1 + 4", &five}, {{3}, "?", &five}};
  EvalResult result;
  result.prompts = 3;
  result.reward_names = {"rm"};
  const auto add = [&](int64_t prompt, int64_t sample, const std::string& answer, std::optional<bool> correct,
                       double score) {
    EvalSample s;
    s.prompt = prompt;
    s.sample = sample;
    s.completion.text = answer;
    s.answer = answer;
    s.correct = correct;
    s.score.total = score;
    s.score.parts = {Score(score)};
    s.score.counted = {score};
    result.samples.push_back(std::move(s));
  };
  // The vote is right at the first prompt and wrong at the second, where the reward is right; the third
  // cannot be judged.
  const std::vector<std::tuple<std::string, bool, double>> first = {
      {"5", true, 0}, {"5", true, 1}, {"6", false, 2}, {"7", false, 0}};
  const std::vector<std::tuple<std::string, bool, double>> second = {
      {"6", false, 0}, {"6", false, 0}, {"5", true, 3}, {"4", false, 1}};
  for (int64_t i = 0; i < 4; ++i) {
    const auto& [a, c, s] = first[static_cast<size_t>(i)];
    add(0, i, a, c, s);
  }
  for (int64_t i = 0; i < 4; ++i) {
    const auto& [a, c, s] = second[static_cast<size_t>(i)];
    add(1, i, a, c, s);
  }
  for (int64_t i = 0; i < 4; ++i) add(2, i, "5", std::nullopt, 0);
  const auto ballots = ballots_of(result, prompts);
  REQUIRE(ballots.size() == 3);
  CHECK(ballots[1].candidates[2].scores.at("rm") == 3.0);
  const auto run = [&](const std::string& text) {
    std::map<std::string, Figure> out;
    EvalOptions options;
    options.samples = 4;
    result.figures.clear();
    for (EvalSample& sample : result.samples) sample.selected_by.clear();
    select_answers(read_selectors({text}, "--select"), prompts, options, result, {});
    for (const Figure& f : result.figures) out[f.name] = f;
    return out;
  };
  const auto majority = run("majority");
  CHECK(majority.at("select/majority").value == doctest::Approx(0.5));
  CHECK(majority.at("select/majority").count == 2);
  CHECK(majority.at("select/majority").interval.low < 0.5);
  CHECK(majority.at("select/majority").interval.high > 0.5);
  CHECK(majority.at("select/majority@2").value == doctest::Approx((0.5 + 0.5) / 2));  // 5, 6 and 6, 5
  CHECK(majority.count("select/majority@4") == 0);
  CHECK(result.samples[0].selected_by == std::vector<std::string>{"majority"});
  CHECK(result.samples[1].selected_by.empty());
  CHECK(result.sample_json(result.samples[0], prompts)["selected_by"] == Json::array({"majority"}));
  const auto best = run(R"({"kind": "best", "by": "rm", "name": "rm"})");
  CHECK(best.at("select/rm").value == doctest::Approx(0.5));
  CHECK(best.at("select/rm@2").value == doctest::Approx((0.5 + 0.5) / 2));
  CHECK(run(R"({"kind": "best_of_majority", "submit": 2})").at("select/best_of_majority").value ==
        doctest::Approx(1.0));
}
