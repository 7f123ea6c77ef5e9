// What each input transform makes of a record and of a step's example.
#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"
#include "inspect/departures.h"
#include "inspect/inspect.h"
#include "runs.h"
#include "task/sft/config.h"
#include "task/sft/rewards.h"
#include "told.h"
#include "train/session.h"

using namespace temper;

namespace {

const char* const kInputsConfig = R"({
  "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 16, "intermediate": 32, "layers": 1, "heads": 2,
                                     "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["records.jsonl"], "eval": ["train.jsonl"], "max_tokens": 120},
  "train": {"steps": 90, "batch_size": 2}, "run": "run" })";

// A session over some records, and its transforms.
struct Fixture {
  explicit Fixture(const std::string& inputs, const std::string& records,
                   const std::vector<std::string>& more = {}) {
    folder.write("records.jsonl", records);
    folder.write("train.jsonl", arithmetic());
    auto sets = more;
    sets.push_back("inputs=[" + inputs + "]");
    load_run_config(config, folder.write("config.json", kInputsConfig), sets);
    config.run = (folder / "run").string();
    ConsoleOptions options;
    options.quiet = true;
    console = std::make_unique<Console>(options);
    session = std::make_unique<Session>(config, RunOptions{"never", nullptr, console.get()});
    transforms = std::make_unique<Inputs>(dynamic_cast<const SftTask&>(*config.task).inputs, *session);
    transforms->records();
  }
  // The examples of all records, as step `at` sees them.
  std::vector<Drawn> step(int64_t at) {
    std::vector<Drawn> drawn;
    for (size_t i = 0; i < session->train_records.size(); ++i) {
      const Record record = session->train_records[i];
      RewardedExample e{session->encoder->supervised(record)};
      transforms->example(static_cast<int64_t>(i), record, e);
      drawn.push_back({std::move(e), static_cast<int64_t>(i)});
    }
    session->state.step = at;
    transforms->step(drawn);
    for (const Drawn& d : drawn) {
      CHECK(d.example.target.size() == d.example.ids.size());
      CHECK((d.example.input.empty() || d.example.input.size() == d.example.ids.size()));
    }
    return drawn;
  }
  // The text, targets in brackets.
  std::string shown(const Example& e) const {
    std::vector<int64_t> part;
    std::string out;
    for (size_t i = 0; i <= e.ids.size(); ++i) {
      if (i > 0 && (i == e.ids.size() || e.target[i] != e.target[i - 1])) {
        const std::string text = session->tokenizer->decode(part, true);
        out += e.target[i - 1] ? "[" + text + "]" : text;
        part.clear();
      }
      if (i < e.ids.size()) part.push_back(e.ids[i]);
    }
    return out;
  }

  TempFolder folder;
  RunConfig config{task_registry()};
  std::unique_ptr<Console> console;
  std::unique_ptr<Session> session;
  std::unique_ptr<Inputs> transforms;
};

// Texts enough for a tokenizer of 280 tokens.
std::string with_columns(const std::string& columns) {
  std::string out, line;
  std::istringstream in(arithmetic());
  while (std::getline(in, line)) out += line.substr(0, line.size() - 1) + ", " + columns + "}\n";
  return out;
}

// The reference of a record: its targets without any transform.
std::vector<int64_t> last_tokens(const Fixture& f, size_t i) {
  const Example e = f.session->encoder->supervised(f.session->train_records[i]);
  return {e.ids.begin() + e.prompt_tokens, e.ids.end()};
}

int changed(const Drawn& d) {
  int count = 0;
  for (size_t i = 0; i < d.example.input.size(); ++i) {
    const bool differs = d.example.input[i] != d.example.ids[i];
    CHECK((!differs || d.example.target[i]));  // the prompt is left alone
    count += differs;
  }
  return count;
}

int total_changed(const std::vector<Drawn>& drawn) {
  return std::accumulate(drawn.begin(), drawn.end(), 0, [](int n, const Drawn& d) { return n + changed(d); });
}

int total_targets(const std::vector<Drawn>& drawn) {
  int count = 0;
  for (const Drawn& d : drawn) count += std::count(d.example.target.begin(), d.example.target.end(), true);
  return count;
}

}  // namespace

TEST_CASE("conditional: a control token by the reward, gone for the dropped share of draws") {
  Fixture f(R"({"kind": "conditional", "drop": 0.25})", with_columns("\"reward\": 1"));
  int with = 0, without = 0;
  for (int64_t step = 0; step < 25; ++step) {
    for (const Drawn& d : f.step(step)) {
      const std::string text = f.shown(d.example);
      const bool good = has(text, "<|good|>");
      (good ? with : without) += 1;
      CHECK(has(text, good ? "<|good|>Add" : "Add"));
      CHECK(d.example.target[d.example.prompt_tokens]);
      CHECK_FALSE(d.example.target[d.example.prompt_tokens - 1]);
    }
  }
  CHECK(without / 400.0 == doctest::Approx(0.25).epsilon(0.25));
  CHECK(with + without == 400);
  CHECK(f.session->banned == std::vector<std::string>{"<|good|>", "<|bad|>"});
  CHECK(f.session->eval_records[0].prefix == "<|good|>");
  Fixture bad(R"({"kind": "conditional", "drop": 0})", with_columns("\"reward\": -0.1"));
  for (const Drawn& d : bad.step(0)) CHECK(has(bad.shown(d.example), "<|bad|>Add"));
  // A verifier's rewards are 0 and 1.
  Fixture wrong(R"({"kind": "conditional", "drop": 0})", with_columns("\"reward\": 0"));
  for (const Drawn& d : wrong.step(0)) CHECK(has(wrong.shown(d.example), "<|bad|>Add"));
  CHECK_THROWS_WITH_AS(Fixture(R"({"kind": "filter"})", with_columns("\"reward\": 0")),
                       doctest::Contains("has reward of at least 0.5"), UserError);
}

namespace {

// Two texts of three sentences, the first with a reward that is null.
std::string segment_lines() {
  return R"({"text": "One is 1. Two is 2! So", "segments": [{"text": "One is 1.", "reward": 1},
             {"text": " Two is 2!", "reward": 0}, {"text": " So", "reward": 0.5}]})"
         "\n"
         R"({"text": "Add 1. Add 2.", "segments": [{"text": "Add 1.", "reward": null}, {"text": " Add 2.", "reward": 0}]})"
         "\n";
}

std::string on_lines(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '\n'), text.end());
  for (size_t at = text.find("}{"); at != std::string::npos; at = text.find("}{"))
    text.replace(at, 2, "}\n{");
  return text + "\n";
}

}  // namespace

TEST_CASE("conditional: a control token before each segment, and no other token changes") {
  const std::string entry = R"({"kind": "conditional", "column": "segments", "drop": 0})";
  TempFolder beside;
  const auto sets = [&](const std::string& records) {
    return std::vector<std::string>{"data.train=[\"" + beside.write("a.jsonl", records) + "\", \"" +
                                        beside.write("b.jsonl", arithmetic()) + "\"]",
                                    "data.weights=[0.5, 0.5]", "data.max_tokens=200", "model.init.vocab=288"};
  };
  Fixture f(entry, "{}\n", sets(on_lines(segment_lines())));
  const auto drawn = f.step(0);
  const auto shown = [](const Fixture& fixture, const Drawn& d) {
    std::string text = fixture.shown(d.example);
    text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
    return text;
  };
  CHECK(has(shown(f, drawn[0]), "<|good|>[Oneis1.]<|bad|>[Twois2!]<|good|>[So"));
  CHECK(has(shown(f, drawn[1]), "Add1.]<|bad|>[Add2."));
  CHECK_FALSE(has(shown(f, drawn[1]), "good"));
  // Without the control tokens the ids are those of the text.
  for (size_t i = 0; i < 2; ++i) {
    std::vector<int64_t> ids;
    for (size_t t = 0; t < drawn[i].example.ids.size(); ++t) {
      if (drawn[i].example.target[t]) ids.push_back(drawn[i].example.ids[t]);
    }
    Record plain = f.session->train_records[i];
    plain.prefix.clear();
    CHECK(ids == f.session->encoder->supervised(plain).ids);
  }
  // Each control token is dropped on its own.
  Fixture half(R"({"kind": "conditional", "column": "segments", "drop": 0.5})", "{}\n",
               sets(on_lines(segment_lines())));
  std::map<std::string, int> seen;
  for (int64_t step = 0; step < 64; ++step) {
    const std::string text = shown(half, half.step(step)[0]);
    std::string kinds;
    for (const char* part : {"One", "Two", "So"}) {
      const size_t at = text.find(part);
      REQUIRE(at != std::string::npos);
      kinds += text.substr(0, at).ends_with("|>[") ? "+" : "-";
    }
    ++seen[kinds];
  }
  CHECK(seen.size() == 8);
  // What is too long with them is cut.
  auto narrow = sets(on_lines(segment_lines()));
  narrow.push_back("data.max_tokens=24");
  Fixture cut(entry, "{}\n", narrow);
  for (const Drawn& d : cut.step(0)) CHECK(d.example.ids.size() <= 24);
  for (const auto& [segments, what] : {
           std::pair(R"([{"text": "Two", "reward": 1}])", "put together, are not what is learnt"),
           {R"([{"text": "One", "reward": "x"}])", "a.jsonl:1: \"segments\""},
           {R"([3])", "a.jsonl:1: \"segments\""},
       }) {
    CHECK_THROWS_WITH_AS(
        Fixture(entry, "{}\n", sets(std::string(R"({"text": "One", "segments": )") + segments + "}\n"))
            .step(0),
        doctest::Contains(what), UserError);
  }
}

TEST_CASE("a reward for each token: of its segment, and what has none is not learnt") {
  TempFolder beside;
  Fixture f(R"({"kind": "neftune"})", "{}\n",
            {"data.train=[\"" + beside.write("a.jsonl", on_lines(segment_lines())) + "\", \"" +
                 beside.write("b.jsonl", arithmetic()) + "\"]",
             "data.weights=[0.5, 0.5]", "model.init.vocab=288"});
  const auto rewarded = [&](size_t i, bool left) {
    const Record& record = f.session->train_records[i];
    RewardedExample e{f.session->encoder->supervised(record)};
    CHECK(set_rewards(*f.session->tokenizer, record, "segments", "test", e) == left);
    REQUIRE(e.reward.size() == e.ids.size());
    std::map<double, std::string> text;  // learnt, by reward
    for (size_t t = 0; t < e.ids.size(); ++t) {
      if (e.target[t]) text[e.reward[t]] += f.session->tokenizer->decode({e.ids[t]}, false);
    }
    return text;
  };
  const auto first = rewarded(0, true);
  CHECK(first.size() == 3);
  CHECK(has(first.at(1), "One"));
  CHECK(has(first.at(1), "1."));
  CHECK(has(first.at(0), "Two"));
  CHECK_FALSE(has(first.at(0), "So"));
  CHECK(has(first.at(0.5), "So"));
  const auto second = rewarded(1, true);
  CHECK(second.size() == 1);
  CHECK(has(second.at(0), "Add"));
  CHECK(has(second.at(0), "2."));
  Record unknown = f.session->train_records[1];
  unknown.json["segments"][1]["reward"] = nullptr;
  RewardedExample e{f.session->encoder->supervised(unknown)};
  CHECK_FALSE(set_rewards(*f.session->tokenizer, unknown, "segments", "test", e));
  // What is put in between has the reward of its place.
  RewardedExample number{f.session->encoder->supervised(f.session->train_records[2])};
  Record scored = f.session->train_records[2];
  scored.json["reward"] = 0.25;
  CHECK(set_rewards(*f.session->tokenizer, scored, "reward", "test", number));
  insert_tokens(number, 2, {1, 2, 3});
  CHECK(number.reward == std::vector<double>(number.ids.size(), 0.25));
  erase_tokens(number, 1, 4);
  CHECK(number.reward.size() == number.ids.size());
}

TEST_CASE("masked_thought: the share of changed tokens rises to its end, and labels stay") {
  Fixture f(R"({"kind": "masked_thought"})", arithmetic());
  CHECK(total_changed(f.step(0)) == 0);
  double early = 0, late = 0, targets = 0;
  for (int64_t i = 0; i < 10; ++i) {
    const auto first = f.step(20 + i), last = f.step(80 + i);
    early += total_changed(first);
    late += total_changed(last);
    targets += total_targets(last);
    CHECK(first[0].example.ids == last[0].example.ids);
  }
  CHECK(late / targets == doctest::Approx(0.4).epsilon(0.15));
  CHECK(early / targets == doctest::Approx(0.4 * 24.5 / 61).epsilon(0.3));
  CHECK(f.step(85)[3].example.input == f.step(85)[3].example.input);
  Fixture mask(R"({"kind": "masked_thought", "token": "<|endoftext|>", "rise": 0, "probability": 1})",
               arithmetic());
  const int64_t id = *mask.session->tokenizer->id("<|endoftext|>");
  for (const Drawn& d : mask.step(0)) {
    for (size_t t = 0; t < d.example.ids.size(); ++t)
      CHECK(d.example.input[t] == (d.example.target[t] ? id : d.example.ids[t]));
  }
  CHECK_THROWS_WITH_AS(Fixture(R"({"kind": "masked_thought", "token": "[mask]"})", arithmetic()),
                       doctest::Contains("no token \"[mask]\""), UserError);
}

TEST_CASE("bash: some response tokens are read as the model's own, at every place its own prediction") {
  Fixture f(R"({"kind": "bash", "probability": 1, "rise": 0, "temperature": 0})", arithmetic());
  const auto drawn = f.step(0);
  for (const Drawn& d : drawn) {
    Packer packer;
    packer.add_segment(d.example.ids);
    const at::Tensor best =
        f.session->model->logits(f.session->model->hidden(packer.tokens_on(at::kCPU))).argmax(1);
    for (size_t t = 1; t < d.example.ids.size(); ++t) {
      const int64_t expected =
          d.example.target[t] ? best[static_cast<int64_t>(t) - 1].item<int64_t>() : d.example.ids[t];
      CHECK(d.example.input[t] == expected);
    }
  }
  // At its full probability from the first step on, unless it is told to rise.
  Fixture whole(R"({"kind": "bash", "probability": 1, "temperature": 0})", arithmetic());
  const auto first = whole.step(0);
  for (size_t i = 0; i < drawn.size(); ++i) CHECK(first[i].example.input == drawn[i].example.input);
  Fixture rising(R"({"kind": "bash", "probability": 1, "rise": 0.5})", arithmetic());
  CHECK(total_changed(rising.step(0)) == 0);
  Fixture half(R"({"kind": "bash", "probability": 0.5})", arithmetic());
  const auto some = half.step(3);
  CHECK(total_changed(some) / static_cast<double>(total_targets(some)) == doctest::Approx(0.5).epsilon(0.35));
}

TEST_CASE("rac: prompt, own answer, marker, and the loss on the reference alone") {
  Fixture f(R"({"kind": "rac", "column": "own", "marker": " no: "})", with_columns("\"own\": \"forty\""));
  const std::string text = f.shown(f.step(0)[1].example);
  CHECK(has(text, "Add 2 and 1:"));
  CHECK(text.find("forty") < text.find("no:"));
  CHECK(text.find("no:") < text.find("["));
  CHECK(has(text.substr(text.find("[")), "3"));
  Fixture generated(R"({"kind": "rac", "max_new_tokens": 6})", arithmetic());
  const auto one = generated.step(0), again = generated.step(0), later = generated.step(1);
  bool differs = false;
  for (size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].example.ids == again[i].example.ids);
    differs = differs || one[i].example.ids != later[i].example.ids;
    const auto marker = generated.session->tokenizer->encode("\nCorrected answer: ");
    const auto& ids = one[i].example.ids;
    const auto reference = ids.begin() + one[i].example.prompt_tokens;
    CHECK(std::equal(marker.rbegin(), marker.rend(), std::make_reverse_iterator(reference)));
    CHECK(std::vector<int64_t>(reference, ids.end()) == last_tokens(generated, i));
  }
  CHECK(differs);
  // A long own answer is cut so that the reference fits.
  std::string words;
  for (int i = 0; i < 300; ++i) words += "many ";
  Fixture longer(R"({"kind": "rac", "column": "own"})", with_columns("\"own\": \"" + words + "\""));
  CHECK(longer.step(0)[0].example.ids.size() == 120);
}

TEST_CASE("leti: token, feedback of failures, prompt and solution, all learnt but the token") {
  Fixture good(R"({"kind": "leti"})", with_columns("\"reward\": 1"));
  const std::string success = good.shown(good.step(0)[0].example);
  CHECK(has(success, "<|good|>"));
  CHECK(success.find("[") < success.find("Add"));
  CHECK_FALSE(has(success, "feedback"));
  Fixture bad(R"({"kind": "leti"})", with_columns("\"reward\": 0, \"feedback\": \"too small\""));
  const std::string failure = bad.shown(bad.step(0)[0].example);
  CHECK(has(failure, "<|bad|>"));
  const size_t open = failure.find("<|lang_feedback|>"), words = failure.find("too small"),
               close = failure.find("<|/lang_feedback|>"), prompt = failure.find("Add");
  CHECK(failure.find("[") < open);
  CHECK(open < words);
  CHECK(words < close);
  CHECK(close < prompt);
  CHECK_THROWS_WITH_AS(Fixture(R"({"kind": "leti"})", with_columns("\"reward\": 0")),
                       doctest::Contains("records.jsonl:1: has no column \"feedback\""), UserError);
}

TEST_CASE("inputs that read rewards leave a file without any as it is") {
  const std::string scored = with_columns("\"reward\": 0, \"feedback\": \"too small\""),
                    plain = "{\"text\": \"plain words\"}\n{\"text\": \"more words\", \"reward\": null}\n";
  for (const std::string kind : {"leti", "conditional", "filter"}) {
    CAPTURE(kind);
    const std::string entry = "{\"kind\": \"" + kind + "\", " +
                              (kind == "filter" ? "\"min\": 0.5}"
                               : kind == "leti" ? "\"threshold\": 0.5}"
                                                : "\"drop\": 0, \"threshold\": 0.5}");
    TempFolder beside;
    const std::string file = beside.write("plain.jsonl", plain);
    const auto both = [&](const std::string& first) {
      return std::vector<std::string>{"data.train=[\"" + first + "\", \"" + file + "\"]",
                                      "data.weights=[0.5, 0.5]", "model.init.vocab=300"};
    };
    const std::string records =
        beside.write("scored.jsonl", kind == "filter" ? with_columns("\"reward\": 1") : scored);
    Fixture f(entry, "{}\n", both(records));
    const auto drawn = f.step(0);
    REQUIRE(drawn.size() == 18);
    CHECK(has(f.shown(drawn[17].example), "[more words"));
    for (const char* mark : {"<|good|>", "<|bad|>", "feedback"})
      CHECK_FALSE(has(f.shown(drawn[17].example), mark));
    if (kind != "filter") CHECK(has(f.shown(drawn[0].example), "<|bad|>"));
    CHECK_THROWS_WITH_AS(Fixture(entry, "{}\n", both(beside.write("other.jsonl", with_columns("\"x\": 1")))),
                         doctest::Contains("other.jsonl:1: has no column \"reward\", which inputs."),
                         UserError);
  }
}

TEST_CASE("ilf: the refinement of the best score, or reward, becomes the completion") {
  const std::string columns = R"("refinements": ["one", "two", "three"], "scores": [0.1, 0.9, 0.3])";
  Fixture f(R"({"kind": "ilf"})", with_columns(columns));
  for (const Record& r : f.session->train_records) CHECK(r.json["completion"] == "two");
  Fixture by_reward(R"({"kind": "ilf", "scores": ""})", with_columns(columns),
                    {R"(rewards=[{"kind": "contains", "texts": ["three"]}])"});
  for (const Record& r : by_reward.session->train_records) CHECK(r.json["completion"] == "three");
  CHECK_THROWS_WITH_AS(Fixture(R"({"kind": "ilf", "scores": ""})", with_columns(columns)),
                       doctest::Contains("inputs.ilf"), UserError);
  CHECK_THROWS_WITH_AS(
      Fixture(R"({"kind": "ilf"})", with_columns(R"("refinements": ["one"], "scores": [0.1, 0.9])")),
      doctest::Contains("records.jsonl:1: 1 refinements but 2 scores"), UserError);
  CHECK_THROWS_WITH_AS(Fixture(R"({"kind": "ilf"})", arithmetic()),
                       doctest::Contains("records.jsonl:1: has no column \"refinements\""), UserError);
}

TEST_CASE("transforms follow one another") {
  Fixture f(R"({"kind": "masked_thought", "rise": 0}, {"kind": "rac", "column": "own"},
               {"kind": "conditional", "drop": 0.5})",
            with_columns("\"own\": \"forty\", \"reward\": 1"));
  const auto drawn = f.step(4);
  CHECK(total_changed(drawn) > 0);
  for (const Drawn& d : drawn) {
    CHECK(d.example.target[d.example.prompt_tokens]);
    CHECK(d.example.prompt_tokens ==
          std::find(d.example.target.begin(), d.example.target.end(), true) - d.example.target.begin());
  }
}

TEST_CASE("what departs from its source is listed, and nothing else is named") {
  int count = 0;
  for (const std::string& id : names_with_departures()) {
    CAPTURE(id);
    const size_t slash = id.find('/');
    const Json entry = inspect_list(id.substr(0, slash), id.substr(slash + 1));
    CHECK(entry["departures"].size() == departures_of(id.substr(0, slash), id.substr(slash + 1)).size());
    for (const Json& line : entry["departures"]) CHECK(line.get<std::string>().back() == '.');
    ++count;
  }
  CHECK(count > 15);
  CHECK(inspect_list("adapter", "lora")["departures"].empty());
  CHECK(inspect_list("adapter", "increlora")["departures"].size() == 3);
}
