// temper-generate: completions of a prompt, of a file of prompts, or a chat; or a teacher's drawn tokens.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "adapter/adapter_set.h"
#include "chat.h"
#include "common.h"
#include "complete.h"
#include "field_options.h"
#include "rollout/defaults.h"
#include "rollout/end_ids.h"

using namespace temper;

namespace {

// A chat samples as the model's generation_config.json says, where the command line says nothing else.
void use_sampling_defaults(const std::string& folder, SamplingOptions& sampling, const FieldOptions& typed) {
  Json defaults = sampling_defaults(folder);
  std::string shown;
  for (auto it = defaults.begin(); it != defaults.end();) {
    if (typed.given(it.key())) {
      it = defaults.erase(it);
      continue;
    }
    shown += fmt::format("{}{} {}", shown.empty() ? "" : ", ", it.key(), dump_line(*it));
    ++it;
  }
  if (defaults.empty()) return;
  const std::string path = folder + "/generation_config.json";
  read_fields(sampling, defaults, path, ".");
  log_info("sampling as {} says: {}", path, shown);
}

void run(Settings& s) {
  const int modes = s.prompt.has_value() + s.chat + !s.input.empty();
  if (modes != 1)
    user_error("give exactly one of --prompt TEXT, --chat and --input FILE.jsonl, found {}", modes);
  if (!s.score.empty() && s.input.empty())
    user_error("--score goes with --input: it writes a line a response");
  if (s.write == "completions" && !s.score.empty())
    user_error("--write completions goes without --score, which writes a line a response itself");
  if (s.write != "records" && (s.input.empty() || s.logprobs || !s.cache.output.empty()))
    user_error("--write {} goes with --input, and with none of --logprobs and --teacher-cache", s.write);
  if (!s.decoding.find_skips.empty() && (s.chat || !s.output.empty() || !s.score.empty() ||
                                         !s.environment.empty() || !s.decoding.search.empty()))
    user_error("--find-skips goes with none of --chat, --output, --score, --environment and --search");
  if (s.chat && !s.decoding.search.empty()) user_error("--search goes with --prompt or --input");
  demand_output("--find-skips", s.decoding.find_skips);
  const auto speculation = read_speculation(s.decoding.speculation, "--speculation");
  if (s.chat && (!s.output.empty() || s.n != 1 || !s.prefix.empty()))
    user_error("--chat goes with none of --output, --n and --prefix");
  demand_output("--output", s.output);
  check_cache_options(s.cache, s.input, s.output);
  if (s.threads > 0) at::set_num_threads(static_cast<int>(s.threads));
  const auto tokenizer = Tokenizer::load(tokenizer_folder(s.model.path, s.adapters));
  const auto model = load_model(s.model);
  std::unique_ptr<AdapterSet> adapters;
  const auto entries = adapter_entries(s.adapters);
  if (!entries.empty()) adapters = std::make_unique<AdapterSet>(*model, entries);
  EngineOptions options{.max_batch = s.max_batch, .seed = s.seed, .speculation = speculation.get()};
  std::optional<ChatTemplate> chat;
  if (s.chat || s.choice != "auto" || !tokenizer->chat_template().empty())
    chat = resolve_template(*tokenizer, s.choice);
  if (!s.ignore_end)
    options.end_ids = end_ids(*model, *tokenizer, chat ? &*chat : nullptr, end_ids_of(entries));
  s.cache.encoding.special_tokens = s.special_tokens;
  if (!s.cache.output.empty())
    cache_teacher(s.cache, s.seed, s.input, s.model.path, *model, *tokenizer, chat ? &*chat : nullptr,
                  s.choice);
  else if (s.chat)
    converse(*model, *tokenizer, *chat, s.sampling, options);
  else
    complete(s, *model, adapters.get(), *tokenizer, chat ? &*chat : nullptr, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Writes completions of a prompt, of a file of prompts, or a chat.", "temper-generate"};
  Settings s;
  add_model_options(app, s.model)->required();
  app.add_option("--adapter", s.adapters,
                 "an adapter folder of PEFT or Temper: [NAME=]DIR[@WEIGHT]; several act together, unless a "
                 "line of --input has \"adapter\": NAME")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--prompt", s.prompt, "complete this text");
  app.add_option("--prefix", s.prefix, "text before every prompt, such as a control token");
  app.add_flag("--chat", s.chat, "talk: a line from you, an answer from the model");
  app.add_option("--input", s.input,
                 R"(JSON lines with "prompt", "messages" or "ids"; each gains "completions")");
  app.add_option(
         "--write", s.write,
         "lines of --input: records (each with its \"completions\"), completions: a line an answer, for sft "
         "to learn, or groups: a prompt's answers with their tokens, and rewards with --score, for every "
         "task to learn [records]")
      ->check(CLI::IsMember({"records", "completions", "groups"}));
  app.add_option("--overlong", s.overlong,
                 "a prompt longer than the model reads, or an example than --max-tokens: error, truncate (a "
                 "prompt from the left) or drop; --teacher-cache: as the run's data.overlong [error; "
                 "--teacher-cache: drop]")
      ->check(CLI::IsMember({"drop", "truncate", "error"}));
  app.add_option("--output", s.output, "write there instead of to stdout");
  app.add_option("--n", s.n, "completions of each prompt [1]")->check(CLI::Range(1, 1 << 20));
  app.add_option("--template", s.choice,
                 "chat template: auto (the model's), chatml, or a .jinja file [auto]");
  app.add_option("--special-tokens", s.special_tokens,
                 "special tokens that string prompts spell out, as a run's data.special_tokens [auto]")
      ->check(CLI::IsMember({"auto", "parse", "text"}));
  app.add_option("--seed", s.seed, "names the random streams; the same seed gives the same text [1]");
  app.add_option("--threads", s.threads, "0: all cores [0]")->check(CLI::Range(0, 4096));
  app.add_option("--max-batch", s.max_batch, "sequences decoded together [64]")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--ignore-end", s.ignore_end, "go on to max_new_tokens past the end token");
  app.add_option(
      "--environment", s.environment,
      "who answers what the model writes, in conversations of several turns: a kind, or an object as in "
      "a config");
  app.add_option("--score", s.score,
                 "write scored responses to train on, a line each, or with --write groups a line a prompt: a "
                 "reward's name, or an object as in a config")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_flag("--logprobs", s.logprobs, "JSON lines also hold the ids and their log-probs");
  app.add_flag("--stats", s.stats, "one line of JSON on stderr: tokens, seconds, memory");
  add_decoding_options(app, s.decoding);
  add_cache_options(app, s.cache);
  FieldOptions fields(app, s.sampling, "Sampling");
  return run_app(app, argc, argv, [&] {
    if (s.chat) use_sampling_defaults(s.model.path, s.sampling, fields);
    if (app.count("--overlong") > 0) s.cache.encoding.overlong = s.overlong;
    fields.read();
    run(s);
    return kExitDone;
  });
}
