#include "eval/choices.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "data/benchmarks.h"
#include "tensor/packed.h"

namespace temper {
namespace {

constexpr const char* kSpace = " \t\r\n";

// A choice behind a prompt, as ids; the last `targets` of them are the choice's.
struct Continued {
  std::vector<int64_t> ids;
  int64_t targets = 0;
};

// Where the log-prob of a choice goes.
struct AskedChoices {
  std::vector<Continued> choices;
  size_t question = 0;
  double ChoiceScore::*place = nullptr;
};

Continued continued(const RecordEncoder& encoder, const Record& record, const Json& prompt,
                    const std::string& choice) {
  Record answer{record.json, record.file, record.line, record.prefix};
  for (const char* other : {"messages", "chosen", "rejected", "text", "label", "completions"})
    answer.json.erase(other);
  answer.json["prompt"] = prompt;
  answer.json["unfinished"] = {"completion"};  // no end token
  if (prompt.is_string()) {
    const std::string words = prompt.get<std::string>();
    const size_t end = words.find_last_not_of(kSpace);
    const std::string space = end == std::string::npos ? "" : words.substr(end + 1);
    answer.json["prompt"] = words.substr(0, words.size() - space.size());
    const bool begun = !space.empty() || words.empty() || choice.find_first_of(kSpace) == 0;
    answer.json["completion"] = (begun ? space : " ") + choice;
  } else {
    answer.json["completion"] = Json::array({{{"role", "assistant"}, {"content", choice}}});
  }
  const Answer encoded = encoder.answer(answer);
  Continued out{encoded.prompt, 0};
  if (encoded.prompt.empty() && encoded.completion.empty())
    user_error("{}: with its choice the prompt is too long", record.where());
  // What a chat's template puts before and behind the words is no target; behind them nothing is read.
  size_t end = encoded.completion.size();
  while (end > 0 && !encoded.target[end - 1]) --end;
  for (size_t i = 0; i < end; ++i) {
    out.targets += encoded.target[i] ? 1 : 0;
    out.ids.push_back(encoded.completion[i]);
  }
  const bool together = std::all_of(
      encoded.target.begin() + static_cast<std::ptrdiff_t>(end - static_cast<size_t>(out.targets)),
      encoded.target.begin() + static_cast<std::ptrdiff_t>(end), [](bool t) { return t; });
  if (out.targets == 0 || !together || static_cast<int64_t>(out.ids.size()) == out.targets)
    user_error("{}: the choice \"{}\" has no tokens behind a prompt that has", record.where(), choice);
  return out;
}

// What is asked alone, where the record says so; null: it does not.
Json question_of(const Record& record) {
  return has_column(record.json, "question") && record.json["question"].is_string() ? record.json["question"]
                                                                                    : Json(nullptr);
}

Json in_form_of(const Json& prompt, const std::string& words) {
  if (prompt.is_string()) return words;
  return Json::array({{{"role", "user"}, {"content", words}}});
}

// The prompt without the list of its choices.
Json text_prompt(const Record& record) {
  const Json &prompt = record.json["prompt"], question = question_of(record);
  if (question.is_null()) return prompt;
  const std::string words = question.get<std::string>();
  return in_form_of(prompt, prompt.is_string() ? "Question: " + words + "\nAnswer:" : words);
}

Json letter_prompt(const Record& record, const ChoiceQuestion& question) {
  const Json &prompt = record.json["prompt"], asked = question_of(record);
  if (!asked.is_null()) return in_form_of(prompt, lettered(asked, question.choices));
  if (prompt.is_string()) return lettered(prompt, question.choices);
  Record out{{{"prompt", prompt}}, record.file, record.line};
  append_words(out, lettered("", question.choices));
  return out.json["prompt"];
}

std::vector<AskedChoices> asked(const RecordEncoder& encoder, const Record& record, size_t place,
                                const ChoiceOptions& options) {
  const ChoiceQuestion question = choice_question(record);
  std::vector<AskedChoices> out;
  const auto add = [&](const Json& prompt, double ChoiceScore::*of, bool letters) {
    AskedChoices a{{}, place, of};
    for (size_t i = 0; i < question.choices.size(); ++i)
      a.choices.push_back(
          continued(encoder, record, prompt, letters ? choice_letter(i) : question.choices[i]));
    out.push_back(std::move(a));
  };
  if (options.text) {
    add(text_prompt(record), &ChoiceScore::logp, false);
    if (!options.prior.empty()) add(options.prior, &ChoiceScore::prior, false);
  }
  if (options.letters) add(letter_prompt(record, question), &ChoiceScore::letter, true);
  return out;
}

// How many ids all choices begin with, at least one left for each, and never into their targets.
int64_t in_common(const std::vector<Continued>& choices) {
  auto common = static_cast<int64_t>(choices.front().ids.size());
  for (const Continued& c : choices) {
    const auto& first = choices.front().ids;
    const auto end = std::mismatch(first.begin(), first.end(), c.ids.begin(), c.ids.end()).first;
    common = std::min(
        {common, static_cast<int64_t>(end - first.begin()), static_cast<int64_t>(c.ids.size()) - c.targets});
  }
  return common;
}

int64_t packed_tokens(const AskedChoices& a) {
  const int64_t common = in_common(a.choices);
  int64_t out = common;
  for (const Continued& c : a.choices) out += static_cast<int64_t>(c.ids.size()) - common;
  return out;
}

void run_pass(Model& model, const std::vector<const AskedChoices*>& pass,
              std::vector<std::vector<ChoiceScore>>& scores) {
  Packer packer;
  std::vector<double*> places;
  for (const AskedChoices* a : pass) {
    const int64_t common = in_common(a->choices);
    const auto& first = a->choices.front().ids;
    const int64_t prompt = packer.add_segment({first.begin(), first.begin() + common});
    for (size_t i = 0; i < a->choices.size(); ++i) {
      const Continued& c = a->choices[i];
      const int64_t segment = packer.add_segment({c.ids.begin() + common, c.ids.end()}, prompt);
      const auto length = static_cast<int64_t>(c.ids.size()) - common;
      packer.add_targets(segment, length - c.targets, length, static_cast<int64_t>(places.size()));
      ChoiceScore& score = scores[a->question][i];
      if (a->place == &ChoiceScore::logp) score.tokens = c.targets;
      places.push_back(&(score.*(a->place)));
    }
  }
  const at::Device device = model.precision().device;
  const auto sequences = static_cast<int64_t>(places.size());
  const Targets targets = packer.targets_on(device, sequences);
  const at::NoGradGuard guard;
  const at::Tensor logp = model_logp(model, packer.tokens_on(device), targets).logp.cpu().to(at::kDouble);
  const at::Tensor of = targets.sequence.cpu();
  for (double* place : places) *place = 0;
  for (int64_t m = 0; m < logp.size(0); ++m)
    *places[static_cast<size_t>(of.const_data_ptr<int64_t>()[m])] += logp.const_data_ptr<double>()[m];
}

int64_t characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

ChoiceQuestion choice_question(const Record& record) {
  const auto choices = record.json.find("choices"), answer = record.json.find("answer");
  ChoiceQuestion out;
  const auto text = [](const Json& item) {
    return item.is_string() && !item.get_ref<const std::string&>().empty();
  };
  if (!has_column(record.json, "prompt") || choices == record.json.end() || !choices->is_array() ||
      choices->size() < 2 || choices->size() > 26 || !std::all_of(choices->begin(), choices->end(), text))
    user_error(
        "{}: expected a question with \"prompt\", \"choices\" (2 to 26 texts) and \"answer\"; --format reads "
        "benchmarks' own files",
        record.where());
  out.choices = choices->get<std::vector<std::string>>();
  out.right = out.choices.size();
  if (answer != record.json.end() && answer->is_number_integer() && *answer >= 0)
    out.right = answer->get<size_t>();
  if (answer != record.json.end() && answer->is_string()) {
    const auto found = std::find(out.choices.begin(), out.choices.end(), answer->get<std::string>());
    out.right = static_cast<size_t>(found - out.choices.begin());
    for (size_t i = 0; found == out.choices.end() && i < out.choices.size(); ++i)
      if (*answer == choice_letter(i)) out.right = i;
  }
  if (out.right >= out.choices.size())
    user_error(
        "{}: answer: expected one of the {} choices as its number from 0, its words or its letter, found {}",
        record.where(), out.choices.size(),
        answer == record.json.end() ? "none" : dump_line(*answer).substr(0, 40));
  return out;
}

std::vector<std::string> choice_measures(const ChoiceOptions& options) {
  std::vector<std::string> out;
  if (options.text) out = {"acc", "acc_norm", "acc_bytes", "acc_tokens"};
  if (options.text && !options.prior.empty()) out.push_back("acc_mutual_info");
  if (options.letters) out.push_back("acc_letters");
  return out;
}

size_t picked(const std::vector<ChoiceScore>& scores, const std::string& measure) {
  const auto value = [&](const ChoiceScore& s) {
    if (measure == "acc") return s.logp;
    if (measure == "acc_norm") return s.logp / static_cast<double>(s.characters);
    if (measure == "acc_bytes") return s.logp / static_cast<double>(s.bytes);
    if (measure == "acc_tokens") return s.logp / static_cast<double>(s.tokens);
    if (measure == "acc_mutual_info") return s.logp - s.prior;
    if (measure == "acc_letters") return s.letter;
    bug("picked: no measure {}", measure);
  };
  size_t best = 0;
  for (size_t i = 1; i < scores.size(); ++i)
    if (value(scores[i]) > value(scores[best])) best = i;
  return best;
}

std::vector<std::vector<ChoiceScore>> score_choices(Model& model, const RecordEncoder& encoder,
                                                    const std::vector<Record>& records,
                                                    const ChoiceOptions& options, int64_t pass_tokens,
                                                    const std::function<void(size_t done)>& on_pass) {
  std::vector<std::vector<ChoiceScore>> scores;
  std::vector<AskedChoices> all;
  for (size_t i = 0; i < records.size(); ++i) {
    scores.emplace_back();
    for (const std::string& choice : choice_question(records[i]).choices)
      scores.back().push_back({0, 0, 0, 0, characters(choice), static_cast<int64_t>(choice.size())});
    for (AskedChoices& a : asked(encoder, records[i], i, options)) all.push_back(std::move(a));
  }
  std::vector<const AskedChoices*> pass;
  int64_t tokens = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    pass.push_back(&all[i]);
    tokens += packed_tokens(all[i]);
    if (i + 1 < all.size() && tokens + packed_tokens(all[i + 1]) <= pass_tokens) continue;
    run_pass(model, pass, scores);
    pass.clear();
    tokens = 0;
    if (on_pass) on_pass(all[i].question + 1);
  }
  return scores;
}

EvalResult choice_result(const std::vector<Record>& records,
                         const std::vector<std::vector<ChoiceScore>>& scores, const ChoiceOptions& options) {
  EvalResult out;
  out.reward_names = choice_measures(options);
  out.transformed.assign(out.reward_names.size(), false);
  out.outcomes.resize(out.reward_names.size());
  out.prompts = static_cast<int64_t>(records.size());
  for (size_t p = 0; p < records.size(); ++p) {
    const ChoiceQuestion question = choice_question(records[p]);
    const size_t chosen = picked(scores[p], out.reward_names.front());
    EvalSample sample;
    sample.prompt = static_cast<int64_t>(p);
    sample.completion.text = sample.completion.raw_text = question.choices[chosen];
    sample.completion.finish = FinishReason::kEnd;
    sample.completion.turns = {{0, scores[p][chosen].tokens, FinishReason::kEnd}};
    for (const std::string& measure : out.reward_names) {
      const double right = picked(scores[p], measure) == question.right ? 1.0 : 0.0;
      sample.score.parts.emplace_back(right);
      sample.score.counted.emplace_back(right);
    }
    sample.score.total = sample.score.parts.front().value;
    sample.correct = *sample.score.total > 0;
    sample.answer = choice_letter(chosen);
    out.tokens += scores[p][chosen].tokens;
    out.samples.push_back(std::move(sample));
  }
  return out;
}

std::vector<Figure> choice_figures(const EvalResult& result, const std::vector<size_t>& prompts,
                                   double level) {
  std::vector<Figure> out;
  for (size_t r = 0; r < result.reward_names.size(); ++r) {
    std::vector<double> right;
    for (const size_t p : prompts) right.push_back(result.samples[p].score.parts[r].value.value());
    if (right.empty()) continue;
    out.push_back({result.reward_names[r], mean(right), share_interval(right, 1, level),
                   static_cast<int64_t>(right.size())});
  }
  return out;
}

}  // namespace temper
