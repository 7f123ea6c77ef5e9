// temper-generate: completions of a prompt, of a file of prompts, or a chat.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "adapter/adapter.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "chat.h"
#include "common.h"
#include "data/records.h"
#include "field_options.h"
#include "rollout/engine.h"

using namespace temper;

namespace {

struct Settings {
  std::string model, adapter, prompt, prefix, input, output, choice = "auto", dtype = "auto", device = "cpu";
  bool chat = false, ignore_end = false, logprobs = false, stats = false;
  int64_t n = 1, max_batch = 64, threads = 0;
  uint64_t seed = 1;
  SamplingOptions sampling;
};

Json to_json(const Completion& c, bool logprobs) {
  Json out{{"text", c.text}, {"finish", finish_name(c.finish)}, {"tokens", c.ids.size()}};
  if (logprobs) out["ids"] = c.ids, out["logprobs"] = c.logp;
  return out;
}

std::vector<int64_t> prompt_of(const Record& record, const RecordEncoder& encoder) {
  const auto ids = record.json.find("ids");
  if (ids == record.json.end()) return encoder.prompt(record);
  const auto integer = [](const Json& id) { return id.is_number_integer(); };
  if (!ids->is_array() || !std::all_of(ids->begin(), ids->end(), integer))
    user_error("{}: ids: expected an array of token ids, found {}", record.where(), ids->type_name());
  return ids->get<std::vector<int64_t>>();
}

// Completions of all records: JSON lines with --input or --output, else plain text.
void complete(const Settings& s, Model& model, const Tokenizer& tokenizer, const ChatTemplate* chat,
              const EngineOptions& options) {
  std::vector<Record> records;
  std::vector<GenerateRequest> requests;
  if (s.input.empty())
    records.push_back({Json{{"prompt", s.prompt}}, "--prompt", 1});
  else
    records = read_jsonl({s.input});
  const RecordEncoder encoder(tokenizer, chat,
                              {.max_tokens = model.config().max_positions, .prefix = s.prefix});
  for (const Record& record : records) requests.push_back({prompt_of(record, encoder), s.n, requests.size()});

  Console console;
  EngineProgress last;
  const auto start = std::chrono::steady_clock::now();
  const auto show = [&](const EngineProgress& p) {
    last = p;
    if (!s.input.empty()) console.status(fmt::format("{}/{} done, {} tokens", p.finished, p.total, p.tokens));
  };
  const auto completions = generate(model, tokenizer, requests, s.sampling, options, show);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  console.status("");
  std::string out;
  for (size_t i = 0; i < records.size(); ++i) {
    Json list = Json::array();
    for (const Completion& c : completions[i]) list.push_back(to_json(c, s.logprobs));
    records[i].json["completions"] = list;
    if (!s.input.empty() || !s.output.empty())
      out += dump_line(records[i].json) + "\n";
    else
      for (const Completion& c : completions[i]) out += c.text + "\n";
  }
  if (s.output.empty())
    std::fwrite(out.data(), 1, out.size(), stdout);
  else
    write_file_atomic(s.output, out);
  if (!s.stats) return;
  const Json stats{{"completions", last.finished},
                   {"tokens", last.tokens},
                   {"seconds", seconds.count()},
                   {"peak_bytes", peak_memory_bytes()},
                   {"dtype", dtype_name(model.precision().compute)}};
  std::fprintf(stderr, "%s\n", dump_line(stats).c_str());
}

void run(const Settings& s) {
  const int modes = !s.prompt.empty() + s.chat + !s.input.empty();
  if (modes != 1)
    user_error("give exactly one of --prompt TEXT, --chat and --input FILE.jsonl, found {}", modes);
  if (s.chat && (!s.output.empty() || s.n != 1 || !s.prefix.empty()))
    user_error("--chat goes with none of --output, --n and --prefix");
  const fs::path folder = fs::path(s.output).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    user_error("--output {}: there is no such folder", s.output);
  if (s.threads > 0) at::set_num_threads(static_cast<int>(s.threads));
  const auto tokenizer = Tokenizer::load(s.model);
  const auto model = Model::load(s.model, make_precision(s.dtype, s.device));
  std::unique_ptr<Adapter> adapter;
  if (!s.adapter.empty()) adapter = load_adapter(*model, s.adapter);
  EngineOptions options{.max_batch = s.max_batch, .seed = s.seed};
  if (!s.ignore_end) options.end_ids = end_ids(s.model, *model, *tokenizer);
  std::optional<ChatTemplate> chat;
  if (s.chat || s.choice != "auto" || !tokenizer->chat_template().empty())
    chat = resolve_template(*tokenizer, s.choice);
  if (s.chat)
    converse(*model, *tokenizer, *chat, s.sampling, options);
  else
    complete(s, *model, *tokenizer, chat ? &*chat : nullptr, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Writes completions of a prompt, of a file of prompts, or a chat.", "temper-generate"};
  Settings s;
  app.add_option("--model", s.model, "a Hugging Face folder")->required();
  app.add_option("--adapter", s.adapter, "an adapter folder of PEFT or Temper");
  app.add_option("--prompt", s.prompt, "complete this text");
  app.add_option("--prefix", s.prefix, "text before every prompt, such as a control token");
  app.add_flag("--chat", s.chat, "talk: a line from you, an answer from the model");
  app.add_option("--input", s.input,
                 R"(JSON lines with "prompt", "messages" or "ids"; each gains "completions")");
  app.add_option("--output", s.output, "write there instead of to stdout");
  app.add_option("--n", s.n, "completions of each prompt [1]")->check(CLI::Range(1, 1 << 20));
  app.add_option("--template", s.choice,
                 "chat template: auto (the model's), chatml, or a .jinja file [auto]");
  app.add_option("--seed", s.seed, "names the random streams; the same seed gives the same text [1]");
  app.add_option("--dtype", s.dtype, "auto, bf16 or f32 [auto]");
  app.add_option("--device", s.device, "cpu or cuda [cpu]");
  app.add_option("--threads", s.threads, "0: all cores [0]")->check(CLI::Range(0, 4096));
  app.add_option("--max-batch", s.max_batch, "sequences decoded together [64]")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--ignore-end", s.ignore_end, "go on to max_new_tokens past the end token");
  app.add_flag("--logprobs", s.logprobs, "JSON lines also hold the ids and their log-probs");
  app.add_flag("--stats", s.stats, "one line of JSON on stderr: tokens, seconds, memory");
  FieldOptions fields(app, s.sampling, "Sampling");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitDone : kExitUser;
  }
  return run_app("temper-generate", [&] {
    fields.read();
    run(s);
    return kExitDone;
  });
}
