#include "reward/remote/judge.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "reward/columns.h"
#include "reward/model_reward.h"
#include "reward/remote/judge_answer.h"
#include "reward/remote/judge_question.h"

namespace temper {
namespace {

constexpr const char* kYesNo =
    "A question, and an answer to it.\n\nQuestion:\n{prompt}\n\nAnswer:\n{completion}\n\n"
    "Is this answer right? Reply {yes} or {no} alone.";
constexpr const char* kRubric =
    "A question, and an answer to it.\n\nQuestion:\n{prompt}\n\nAnswer:\n{completion}\n\n"
    "How good is this answer? Reply with a number from {min} to {max} alone.";
constexpr const char* kPairwise =
    "A question, and two answers to it.\n\nQuestion:\n{prompt}\n\nAnswer {first}:\n{answer_first}\n\n"
    "Answer {second}:\n{answer_second}\n\nWhich answer is better? Reply {first} or {second} alone.";

bool chat_endpoint(const std::string& url) {
  return url.substr(0, url.find('?')).ends_with("/chat/completions");
}

class Judge : public Reward {
 public:
  explicit Judge(const JudgeOptions& o) : o_(o) {
    std::vector<std::string> texts = o.prompts;
    if (texts.empty()) texts = {o.mode == "yes_no" ? kYesNo : o.mode == "rubric" ? kRubric : kPairwise};
    for (const std::string& text : texts) questions_.emplace_back(text);
    if (o.path.empty()) {
      calls_ = std::make_unique<RemoteCalls>(o.remote, "judge");
      return;
    }
    ModelRewardOptions local;
    local.path = o.path;
    local.score.mode = "verbaliser";
    local.score.question = "";
    local.score.yes = pairwise() ? o.first : o.yes;
    local.score.no = pairwise() ? o.second : o.no;
    local.chat_prompts = o.chat_prompts;
    local.dtype = o.dtype;
    local.device = o.device;
    local.micro_batch_tokens = o.micro_batch_tokens;
    model_ = local.make();
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    // Equal questions are asked once.
    std::vector<std::string> texts;
    std::unordered_map<std::string, size_t> index;
    std::vector<size_t> asked;  // of item, question and order
    for (const RewardItem& item : items) {
      for (const QuestionTemplate& question : questions_) {
        for (const bool swapped : {false, true}) {
          if (swapped && !pairwise()) continue;
          const auto [at, added] = index.try_emplace(filled(question, item, swapped), texts.size());
          if (added) texts.push_back(at->first);
          asked.push_back(at->second);
        }
      }
    }
    const std::vector<Score> opinions = model_ ? ask_model(texts) : ask_endpoint(texts);
    const size_t per_item = questions_.size() * (pairwise() ? 2 : 1);
    std::vector<Score> scores;
    for (size_t i = 0; i < items.size(); ++i) {
      double sum = 0;
      bool known = true;
      Score score;
      for (size_t k = 0; k < per_item; ++k) {
        const Score& opinion = opinions[asked[i * per_item + k]];
        known = known && opinion.value;
        const double value = opinion.value.value_or(0);
        const bool swapped = pairwise() && k % 2 == 1;  // the completion was the second
        sum += !swapped ? value : log_odds() ? -value : 1 - value;
        if (!opinion.text.empty()) score.text += (score.text.empty() ? "" : "\n\n") + opinion.text;
      }
      if (known) score.value = sum / static_cast<double>(per_item);
      scores.push_back(std::move(score));
    }
    return scores;
  }

  std::optional<std::string> check(const Json& columns) const override {
    RewardItem item;
    item.columns = &columns;
    for (const QuestionTemplate& question : questions_) filled(question, item, false);
    return std::nullopt;
  }

  // A folder's model rounds by the texts of a pass, as the reward `model` does.
  bool each_alone() const override { return !model_; }
  bool external() const override { return !model_; }
  void interrupt() override {
    if (calls_) calls_->interrupt();
  }
  std::map<std::string, int64_t> counters() const override {
    return calls_ ? calls_->counters() : model_->counters();
  }
  Json read(const RewardItem& item) const override {
    Json asked = Json::array();
    for (const QuestionTemplate& question : questions_) asked.push_back(filled(question, item, false));
    return {{"questions", asked}};
  }

 private:
  bool pairwise() const { return o_.mode == "pairwise"; }
  bool log_odds() const { return o_.mode != "rubric" && o_.value == "log_odds"; }

  std::string filled(const QuestionTemplate& question, const RewardItem& item, bool swapped) const {
    return question.fill([&](const std::string& name) -> std::string {
      if (name == "prompt") return prompt_text(item);
      if (name == "completion") return item.completion;
      if (name == "conversation") return conversation_text(item);
      if (name == "min") return fmt::format("{}", o_.min);
      if (name == "max") return fmt::format("{}", o_.max);
      if (name == "yes") return o_.yes;
      if (name == "no") return o_.no;
      if (name == "first") return o_.first;
      if (name == "second") return o_.second;
      if (pairwise() && (name == "answer_first" || name == "answer_second")) {
        if ((name == "answer_first") != swapped) return item.completion;
        return column_text(item.columns, o_.reference, "reward judge: reference");
      }
      return column_text(item.columns, name == "reference" ? o_.reference : name,
                         fmt::format("reward judge: {{{}}}", name));
    });
  }

  std::string request(const std::string& question) const {
    const bool chat = chat_endpoint(o_.remote.http.url);
    Json out = Json::object();
    if (!o_.model.empty()) out["model"] = o_.model;
    if (chat) {
      out["messages"] = Json::array();
      if (!o_.system.empty()) out["messages"].push_back({{"role", "system"}, {"content", o_.system}});
      out["messages"].push_back({{"role", "user"}, {"content", question}});
    } else {
      out["prompt"] = question;
    }
    out["max_tokens"] = o_.max_tokens;
    out["temperature"] = o_.temperature;
    if (o_.mode != "rubric" && o_.top_logprobs > 0) {
      if (chat) {
        out["logprobs"] = true;
        out["top_logprobs"] = o_.top_logprobs;
      } else {
        out["logprobs"] = o_.top_logprobs;
      }
    }
    for (const auto& [key, value] : o_.body.items()) {
      if (value.is_null())
        out.erase(key);
      else
        out[key] = value;
    }
    return dump_line(out);
  }

  std::vector<Score> ask_endpoint(const std::vector<std::string>& texts) {
    std::vector<Score> opinions(texts.size());
    calls_->post(
        texts.size(), [&](size_t i) { return request(texts[i]); },
        [&](size_t i, const std::string* text) {
          const auto reply = text != nullptr ? read_judge_reply(*text) : std::nullopt;
          if (text != nullptr && !reply)
            calls_->malformed("no JSON {\"choices\": [{\"message\" or \"text\"}]}: " + calls_->quoted(*text));
          if (reply) {
            opinions[i] = read_value(*reply);
            opinions[i].text = reply->text;
            if (!opinions[i].value)
              calls_->malformed("nothing to read in the judge's words: " + calls_->quoted(reply->text));
          }
          calls_->scored(!opinions[i].value);
          return reply.has_value();
        });
    return opinions;
  }

  std::optional<double> read_value(const JudgeReply& reply) const {
    if (o_.mode == "rubric") {
      const auto number =
          o_.field.empty() ? last_number(reply.text, o_.max) : field_number(reply.text, o_.field);
      if (!number || !(*number >= o_.min && *number <= o_.max)) return std::nullopt;
      return (*number - o_.min) / (o_.max - o_.min);
    }
    const std::string& yes = pairwise() ? o_.first : o_.yes;
    const std::string& no = pairwise() ? o_.second : o_.no;
    if (const auto odds = word_log_odds(reply, yes, no)) return log_odds() ? *odds : share(*odds);
    const auto said = log_odds() ? std::nullopt : said_word(reply.text, yes, no);
    return said ? std::optional(*said ? 1.0 : 0.0) : std::nullopt;
  }

  std::vector<Score> ask_model(const std::vector<std::string>& texts) {
    std::vector<Json> records;
    for (const std::string& text : texts) records.push_back({{"prompt", text}});
    std::vector<RewardItem> items(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) items[i].columns = &records[i];
    std::vector<Score> opinions = model_->score(items);
    if (log_odds()) return opinions;
    for (Score& opinion : opinions)
      if (opinion.value) opinion.value = share(*opinion.value);
    return opinions;
  }

  static double share(double odds) { return 1 / (1 + std::exp(-odds)); }

  JudgeOptions o_;
  std::vector<QuestionTemplate> questions_;
  std::unique_ptr<RemoteCalls> calls_;  // of an endpoint
  std::unique_ptr<Reward> model_;       // of a folder
};

}  // namespace

void JudgeOptions::fields(FieldVisitor& v) {
  v.field("mode", mode,
          {.help = "yes_no: how likely Yes is; rubric: a number from min to max; pairwise: whether the "
                   "completion is better than the record's reference, asked in both orders",
           .choices = {"yes_no", "rubric", "pairwise"}});
  v.field("url", remote.http.url,
          {.help = "an OpenAI-style endpoint that ends with /chat/completions or /completions"});
  v.field("path", path,
          {.help = "instead of url: a causal model's folder, whose log-odds of the two words are read",
           .path = true});
  v.field("model", model, {.help = "the model's name for the endpoint"});
  v.field("system", system, {.help = "the system message; empty: none"});
  v.field("prompts", prompts,
          {.help = "the questions, whose scores are averaged; {prompt}, {completion}, {conversation} (all "
                   "turns), {reference} and every column stand for their texts, {yes}, {no}, {min}, {max}, "
                   "{first} and {second} for these "
                   "fields, {answer_first} and {answer_second} for the two answers of pairwise; empty: one "
                   "of Temper's own"});
  v.field("reference", reference,
          {.help = "the column that {reference} is, and that pairwise compares with"});
  v.field("yes", yes, {.help = "the word of a good answer (yes_no)"});
  v.field("no", no, {.help = "the word of a bad one (yes_no)"});
  v.field("first", first, {.help = "the word for the first answer (pairwise)"});
  v.field("second", second, {.help = "the word for the second (pairwise)"});
  v.field("value", value,
          {.help = "of yes_no and pairwise: the probability of the first word beside the second, or its "
                   "log-odds; a server that tells no log-probabilities gives 1 or 0, and null as log-odds",
           .choices = {"probability", "log_odds"}});
  v.field("min", min, {.help = "the number that is scored 0 (rubric)"});
  v.field("max", max, {.help = "the number that is scored 1 (rubric)"});
  v.field(
      "field", field,
      {.help = "the key of the answer's JSON object that holds the number (rubric); empty: the last number "
               "of the answer"});
  v.field("max_tokens", max_tokens, {.help = "of an answer", .unit = "tokens", .min = 1});
  v.field("temperature", temperature, {.help = "of the endpoint's sampling", .min = 0, .max = 2});
  v.field("top_logprobs", top_logprobs,
          {.help = "likeliest tokens asked for at each place; 0: none, the word alone counts",
           .min = 0,
           .max = 20});
  v.field("body", body,
          {.help = "further fields of the request, over those above; null leaves one out: {\"max_tokens\": "
                   "null, \"max_completion_tokens\": 500}"});
  remote.fields(v);
  v.field("chat_prompts", chat_prompts, {.help = "path: questions are shown as a user's chat message"});
  v.field("dtype", dtype, {.help = "path: compute dtype", .choices = {"auto", "bf16", "f32"}});
  v.field("device", device, {.help = "path: cpu or cuda"});
  v.field("micro_batch_tokens", micro_batch_tokens,
          {.help = "path: tokens of one forward pass", .unit = "tokens", .min = 1});
}

void JudgeOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  remote.check(problems, where);
  const std::string& url = remote.http.url;
  if (url.empty() == path.empty())
    problems.push_back(where + ": expected either url, an endpoint, or path, a model's folder");
  if (!url.empty() && !url.substr(0, url.find('?')).ends_with("/completions"))
    problems.push_back(where + ".url: expected it to end with /chat/completions or /completions");
  if (!path.empty() && mode == "rubric")
    problems.push_back(where + ".mode: a folder's model writes no numbers here; rubric needs url");
  if (!(min < max)) problems.push_back(where + ".max: expected more than min");
  if (!body.is_object()) problems.push_back(where + ".body: expected an object");
  const std::string& a = mode == "pairwise" ? first : yes;
  const std::string& b = mode == "pairwise" ? second : no;
  if (mode != "rubric" && (a.empty() || b.empty() || a == b))
    problems.push_back(where + (mode == "pairwise" ? ".second" : ".no") + ": expected two different words");
  if (value == "log_odds" && mode != "rubric" && path.empty() && top_logprobs == 0)
    problems.push_back(where + ".top_logprobs: log_odds are read of these; expected at least 1");
  for (const std::string& text : prompts) {
    const QuestionTemplate question(text);
    const bool shows = mode == "pairwise" ? question.names("answer_first") && question.names("answer_second")
                                          : question.names("completion") || question.names("conversation");
    if (!shows)
      problems.push_back(
          where + ".prompts: each must show " +
          (mode == "pairwise" ? "{answer_first} and {answer_second}" : "{completion} or {conversation}"));
  }
}

std::unique_ptr<Reward> JudgeOptions::make() const {
  return std::make_unique<Judge>(*this);
}

}  // namespace temper
