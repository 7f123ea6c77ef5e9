#include "reward/model_reward.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "adapter/adapter.h"
#include "base/error.h"
#include "base/file.h"
#include "objective/reward/reward_model.h"

namespace temper {
namespace {

// A folder's model with its adapter, if it is an adapter's folder.
struct LoadedModel {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Model> model;
  std::unique_ptr<Adapter> adapter;
};

LoadedModel load(const ModelRewardOptions& o) {
  const std::string where = "reward model";
  if (!fs::is_directory(o.path)) user_error("{}: path: no such folder: {}", where, o.path);
  LoadedModel out;
  const Precision precision = make_precision(o.dtype, o.device);
  Heads heads;
  heads.causal = o.score.verbaliser();
  std::string base = o.path;
  const bool adapted = fs::exists(o.path + "/adapter_config.json");
  if (adapted) {
    const Json config = read_json_file(o.path + "/adapter_config.json");
    const Json named = config.is_object() && config.contains("base_model_name_or_path")
                           ? config["base_model_name_or_path"]
                           : "";
    base = named.is_string() ? named.get<std::string>() : "";
    if (!fs::is_directory(base)) {
      user_error(
          "{}: {} is an adapter of \"{}\", which is not a folder here; merge the two with temper-convert",
          where, o.path, base);
    }
    heads = adapter_heads(o.path);
    if (heads.causal != o.score.verbaliser()) {
      user_error("{}: {} is an adapter {} a score head; mode \"{}\" does not read it", where, o.path,
                 heads.causal ? "without" : "with", o.score.mode);
    }
  }
  const bool own_tokenizer = !adapted || fs::exists(o.path + "/tokenizer_config.json");
  out.tokenizer = Tokenizer::load(own_tokenizer ? o.path : base);
  if (!heads.causal && (adapted || !o.score.pad_token.empty()))
    heads.pad_id = pad_id_of(o.score, *out.tokenizer, where);
  out.model = Model::load(base, precision, heads);
  if (out.tokenizer->vocab_size() > out.model->config().vocab) {
    user_error("{}: {}: the tokenizer has {} tokens, the model's embedding only {}", where, o.path,
               out.tokenizer->vocab_size(), out.model->config().vocab);
  }
  if (adapted) out.adapter = load_adapter(*out.model, o.path);
  out.model->set_trainable([](const std::string&) { return false; });
  return out;
}

// The column of the scores that is the reward.
int64_t find_head(const std::string& head, const ModelConfig& config) {
  if (head.empty()) return 0;
  const auto& names = config.score_names;
  const auto at = std::find(names.begin(), names.end(), head);
  if (at != names.end()) return at - names.begin();
  for (int64_t i = 0; i < config.scores; ++i) {
    if (head == std::to_string(i)) return i;
  }
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  user_error("reward model: head: the model has no score \"{}\"; it has {} of 0 to {}{}", head, config.scores,
             config.scores - 1, known.empty() ? "" : ": " + known);
}

// A completion's places to read; nothing to read when it could not be scored.
struct Scored {
  std::vector<int64_t> prompt, completion, reads;
  std::vector<int64_t> ends = {};  // of steps, in the text, as StepScore::end
};

class ModelReward : public Reward {
 public:
  explicit ModelReward(const ModelRewardOptions& options)
      : options_(options),
        loaded_(load(options)),
        reader_(options.score, *loaded_.tokenizer, "reward model") {
    const ModelConfig& config = loaded_.model->config();
    head_ = options.score.verbaliser() ? 0 : find_head(options.head, config);
    if (options.chat_template != "auto" || !loaded_.tokenizer->chat_template().empty())
      chat_ = std::make_unique<ChatTemplate>(resolve_template(*loaded_.tokenizer, options.chat_template));
    EncodeSettings settings;
    settings.max_tokens = options.max_tokens > 0 ? options.max_tokens : config.max_positions;
    settings.max_tokens -= static_cast<int64_t>(reader_.question().size());
    if (settings.max_tokens < 1) user_error("reward model: max_tokens: the question alone is longer");
    settings.overlong = "drop";
    encoder_ = std::make_unique<RecordEncoder>(*loaded_.tokenizer, chat_.get(), settings);
    max_tokens_ = settings.max_tokens;
  }

  std::optional<std::string> check(const Json& columns) const override {
    RewardItem item;
    item.columns = &columns;
    item.completion = "1";
    const Record record = record_of(item);
    try {
      if (!encode(record, item).reads.empty()) return std::nullopt;
    } catch (const UserError& error) {
      user_error("reward model: {}", without_place(record, error.what()));
    }
    return fmt::format("the prompt leaves no room for an answer in the {} tokens that the reward model reads",
                       max_tokens_);
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    const at::NoGradGuard no_grad;
    std::vector<Scored> all;
    for (const RewardItem& item : items) {
      try {
        all.push_back(encode(record_of(item), item));
      } catch (const UserError&) {  // a template that cannot write this answer down
        all.emplace_back();
      }
      if (all.back().reads.empty()) ++unscored_;
    }
    std::vector<double> rows;  // scores in order of reads
    for (size_t first = 0; first < all.size();) first = score_batch(all, first, rows);
    return combine(all, rows);
  }

  bool scores_steps() const override { return !options_.aggregate.empty(); }

  // Not each_alone(): the rounding of a row depends on the rows of its pass.

  std::map<std::string, int64_t> counters() const override { return {{"unscored", unscored_}}; }

 private:
  static std::string without_place(const Record& record, std::string text) {
    const std::string place = record.where() + ": ";
    return text.starts_with(place) ? text.substr(place.size()) : text;
  }

  // The prompt as the record has it, else as the policy saw it, and the completion in the same form.
  Record record_of(const RewardItem& item) const {
    const Json& columns = item.columns != nullptr ? *item.columns : Json();
    Record out;
    out.json = Json::object();
    for (const char* key : {"prompt", "tools", "chat_template_kwargs"}) {
      if (has_column(columns, key)) out.json[key] = columns[key];
    }
    if (!has_column(columns, "prompt") && columns.contains("messages") && columns["messages"].is_array()) {
      Json messages = columns["messages"];
      if (!messages.empty() && messages.back().is_object() &&
          messages.back().value("role", "") == "assistant")
        messages.erase(messages.size() - 1);
      out.json["prompt"] = messages;
    }
    if (!out.json.contains("prompt")) out.json["prompt"] = item.prompt;
    Json& prompt = out.json["prompt"];
    if (options_.chat_prompts && prompt.is_string())
      prompt = Json::array({{{"role", "user"}, {"content", prompt}}});
    const bool chat = prompt.is_array();  // a new column may move it
    out.json["completion"] = item.completion;
    if (chat) out.json["completion"] = Json::array({{{"role", "assistant"}, {"content", item.completion}}});
    return out;
  }

  Scored encode(const Record& record, const RewardItem& item) const {
    if (!options_.aggregate.empty()) {
      std::vector<int64_t> ends;
      Steps steps = encoder_->steps(record, split(item.completion, ends), options_.score.separator);
      return {std::move(steps.prompt), std::move(steps.completion), std::move(steps.ends), std::move(ends)};
    }
    Answer answer;
    if (item.truncated || item.completion.empty()) {  // no end token
      answer.prompt = encoder_->prompt(record);
      if (answer.prompt.empty()) return {};
      answer.completion = loaded_.tokenizer->encode(item.completion);
      if (static_cast<int64_t>(answer.prompt.size() + answer.completion.size()) > max_tokens_) return {};
    } else {
      answer = encoder_->answer(record);
      if (answer.completion.empty()) return {};
    }
    answer.completion.insert(answer.completion.end(), reader_.question().begin(), reader_.question().end());
    const int64_t at = reader_.position(*loaded_.model, answer.prompt, answer.completion);
    return {std::move(answer.prompt), std::move(answer.completion), {at}};
  }

  // The steps of a completion: what stands between separators; a blank one is none. ends: of each, behind its
  // separator.
  std::vector<std::string> split(const std::string& text, std::vector<int64_t>& ends) const {
    std::vector<std::string> out;
    const std::string& separator = options_.score.separator;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(separator, at), text.size());
      const std::string step = text.substr(at, end - at);
      at = end + separator.size();
      if (step.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      out.push_back(step);
      ends.push_back(static_cast<int64_t>(std::min(at, text.size())));
    }
    if (out.empty()) {
      out.emplace_back();
      ends.push_back(static_cast<int64_t>(text.size()));
    }
    return out;
  }

  // One forward pass over as many as fit, from `first`; neighbours share their prompt. Returns the next.
  size_t score_batch(const std::vector<Scored>& all, size_t first, std::vector<double>& scores) {
    Packer packer;
    std::vector<int64_t> rows;
    int64_t prompt = -1, prompt_begin = 0;
    const std::vector<int64_t>* shared = nullptr;
    size_t i = first;
    for (; i < all.size(); ++i) {
      const Scored& s = all[i];
      if (s.reads.empty()) continue;
      const bool shares = shared != nullptr && *shared == s.prompt;
      const auto more = static_cast<int64_t>(s.completion.size() + (shares ? 0 : s.prompt.size()));
      if (!rows.empty() && packer.tokens() + more > options_.micro_batch_tokens) break;
      if (!shares) {
        prompt_begin = packer.tokens();
        prompt = packer.add_segment(s.prompt);
        shared = &s.prompt;
      }
      const auto length = static_cast<int64_t>(s.prompt.size());
      const int64_t begin = packer.tokens();
      if (!s.completion.empty()) packer.add_segment(s.completion, prompt);
      for (const int64_t at : s.reads) rows.push_back(at < length ? prompt_begin + at : begin + at - length);
    }
    if (rows.empty()) return i;
    const auto device = loaded_.model->precision().device;
    const at::Tensor hidden = loaded_.model->hidden(packer.tokens_on(device));
    const at::Tensor read = reader_(*loaded_.model, hidden, at::tensor(rows, at::kLong).to(device))
                                .select(1, head_)
                                .to(at::kCPU, at::kDouble)
                                .contiguous();
    scores.insert(scores.end(), read.const_data_ptr<double>(), read.const_data_ptr<double>() + read.numel());
    return i;
  }

  std::vector<Score> combine(const std::vector<Scored>& all, std::vector<double> rows) const {
    if (!options_.aggregate.empty()) {
      std::vector<int64_t> solution;
      for (size_t i = 0; i < all.size(); ++i)
        solution.insert(solution.end(), all[i].reads.size(), static_cast<int64_t>(i));
      const at::Tensor one =
          objective::aggregate_steps(options_.aggregate, at::tensor(rows, at::kDouble),
                                     at::tensor(solution, at::kLong), static_cast<int64_t>(all.size()));
      std::vector<Score> out(all.size());
      size_t next = 0;
      for (size_t i = 0; i < all.size(); ++i) {
        if (all[i].reads.empty()) continue;
        out[i] = one[static_cast<int64_t>(i)].item<double>();
        for (const int64_t end : all[i].ends) out[i].steps.push_back({end, told(rows[next++])});
      }
      return out;
    }
    std::vector<Score> out;
    size_t next = 0;
    for (const Scored& s : all) out.push_back(s.reads.empty() ? std::nullopt : std::optional(rows[next++]));
    return out;
  }

  double told(double score) const {
    return options_.step_scores == "score" ? score : 1 / (1 + std::exp(-score));
  }

  ModelRewardOptions options_;
  LoadedModel loaded_;
  ScoreReader reader_;
  std::unique_ptr<ChatTemplate> chat_;
  std::unique_ptr<RecordEncoder> encoder_;
  int64_t head_ = 0, max_tokens_ = 0, unscored_ = 0;
};

}  // namespace

void ModelRewardOptions::fields(FieldVisitor& v) {
  v.field("path", path,
          {.help = "a sequence-classification folder, a causal one (verbaliser), or an adapter of either",
           .required = true,
           .path = true});
  score.fields(v);
  if (!score.verbaliser())
    v.field("head", head, {.help = "which score, by name or number; empty: the first"});
  v.field("aggregate", aggregate,
          {.help = "how the scores of a completion's steps become one; empty: it is scored as a whole",
           .choices = {"", "min", "product", "mean", "last"}});
  if (!aggregate.empty()) {
    v.field("step_scores", step_scores,
            {.help = "what algorithm.process is told of each step: the probability that it is right, "
                     "sigmoid(score), or the score",
             .choices = {"probability", "score"}});
  }
  v.field("template", chat_template,
          {.help = "chat template of the scoring model: auto (its tokenizer's), chatml, or a .jinja file"});
  v.field("chat_prompts", chat_prompts,
          {.help = "a prompt that is a string is shown to it as a user's chat message"});
  v.field("max_tokens", max_tokens,
          {.help = "a longer prompt and completion get no score; 0: as many as the model has positions for",
           .unit = "tokens",
           .min = 0});
  v.field("micro_batch_tokens", micro_batch_tokens,
          {.help = "tokens of one forward pass", .unit = "tokens", .min = 1});
  v.field("dtype", dtype, {.help = "compute dtype", .choices = {"auto", "bf16", "f32"}});
  v.field("device", device, {.help = "cpu or cuda"});
}

void ModelRewardOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (score.verbaliser() && !aggregate.empty())
    problems.push_back(where + ".aggregate: a verbaliser scores whole answers; leave it out");
  if (!aggregate.empty() && score.separator.empty())
    problems.push_back(where + ".separator: steps need one, such as \"\\n\"");
}

std::unique_ptr<Reward> ModelRewardOptions::make() const {
  return std::make_unique<ModelReward>(*this);
}

}  // namespace temper
