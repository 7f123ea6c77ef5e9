#include "train/sections.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "model/families.h"
#include "text/new_tokens.h"
#include "train/task.h"

namespace temper {

void InitSection::fields(FieldVisitor& v) {
  v.field("family", family, {.help = "model family, as config.json's model_type"});
  v.field(
      "tokenizer", tokenizer,
      {.help = "a folder whose tokenizer is used; left out: one is trained on the run's data", .path = true});
  v.field("vocab", vocab,
          {.help = "vocabulary of the tokenizer trained on the run's data", .min = 0, .max = 1 << 20});
  v.field("hidden", hidden, {.help = "width of the residual stream", .min = 8, .max = 1 << 16});
  v.field("intermediate", intermediate, {.help = "width inside the MLP", .min = 8, .max = 1 << 20});
  v.field("layers", layers, {.help = "number of blocks", .min = 1, .max = 1000});
  v.field("heads", heads, {.help = "query heads", .min = 1, .max = 1024});
  v.field("kv_heads", kv_heads, {.help = "key/value heads; divides heads", .min = 1, .max = 1024});
  v.field("max_positions", max_positions,
          {.help = "longest sequence", .unit = "tokens", .min = 8, .max = 1 << 24});
  v.field("tied", tied, {.help = "the head is the embedding"});
  v.field("rope_theta", rope_theta, {.help = "base of the rotary angles", .min = 1});
  v.field("norm_eps", norm_eps, {.help = "epsilon of the RMS norms", .min = 0});
}

void InitSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!given()) return;  // no "init" at all
  if (find_family(family) == nullptr)
    problems.push_back(where + ".family: expected one of " + family_names() + ", found \"" + family + "\"");
  if (hidden % heads != 0)
    problems.push_back(fmt::format("{}: hidden {} is not a multiple of heads {}", where, hidden, heads));
  if (heads % kv_heads != 0)
    problems.push_back(fmt::format("{}: heads {} is not a multiple of kv_heads {}", where, heads, kv_heads));
  if (hidden % heads == 0 && (hidden / heads) % 2 != 0) {
    problems.push_back(
        fmt::format("{}: hidden / heads = {} must be even for rotary positions", where, hidden / heads));
  }
}

ModelConfig InitSection::model_config() const {
  ModelConfig c = ModelConfig::from_json({{"model_type", family},
                                          {"vocab_size", std::max<int64_t>(vocab, 1)},
                                          {"hidden_size", hidden},
                                          {"intermediate_size", intermediate},
                                          {"num_hidden_layers", layers},
                                          {"num_attention_heads", heads},
                                          {"num_key_value_heads", kv_heads},
                                          {"head_dim", hidden / heads},
                                          {"max_position_embeddings", max_positions},
                                          {"tie_word_embeddings", tied},
                                          {"rope_theta", rope_theta},
                                          {"rms_norm_eps", norm_eps},
                                          {"bos_token_id", nullptr},
                                          {"eos_token_id", nullptr},
                                          {"pad_token_id", nullptr}},
                                         "model.init");
  c.vocab = vocab;  // 0: the tokenizer's, which is not known yet
  return c;
}

void ModelSection::fields(FieldVisitor& v) {
  v.field("path", path,
          {.help = "a Hugging Face model folder; left out: random weights by \"init\"", .path = true});
  v.field("dtype", dtype, {.help = "compute dtype", .choices = {"auto", "bf16", "f32"}});
  v.field("quantise", quantise,
          {.help = "keep the frozen linears and experts of an adapter run, all but the heads, in 8 or 4 bits",
           .choices = {"none", "int8", "nf4"}});
  if (quantise == "nf4") {
    v.field("double_quantisation", double_quantisation,
            {.help = "the magnitudes of nf4's blocks of 64 in 8 bits too: 4.13 bits a weight, not 4.5"});
  }
  v.field("checkpointing", checkpointing,
          {.help = "recompute blocks in backward to save memory",
           .choices = {"off", "all", "every_2", "every_3", "every_4", "every_8"}});
  v.field(
      "router_aux_loss_coef", router_aux_loss_coef,
      {.help = "weight of the loss that keeps a mixture's experts equally busy; left out: the model's own; "
               "0: none",
       .min = 0});
  v.field(
      "add_tokens", add_tokens,
      {.help = "tokens that the tokenizer does not have yet, as texts or {\"token\", \"special\", \"like\"}; "
               "\"like\": the text whose embeddings' mean the token begins with; left out: the mean of all"});
  if (path.empty()) v.section("init", init, "shapes of a model that starts from random weights");
}

void ModelSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (path.empty() && !init.given()) {
    problems.push_back(where +
                       ": give \"path\", a Hugging Face folder, or \"init\" with at least \"vocab\" or "
                       "\"tokenizer\" for random weights");
  }
  try {
    new_tokens(add_tokens, where + ".add_tokens");
  } catch (const UserError& e) {
    problems.push_back(e.what());
  }
}

QuantFormat ModelSection::quant_format() const {
  return {quant_kind(quantise), double_quantisation};
}

int64_t ModelSection::checkpoint_every() const {
  if (checkpointing == "off") return 0;
  return checkpointing == "all" ? 1 : checkpointing.back() - '0';
}

void DataSection::fields(FieldVisitor& v) {
  v.section("make", make, "problems that are made to train on, in the place of files");
  v.section("make_eval", make_eval, "held-out problems, none of which any \"make\" gives");
  v.field(
      "train", train,
      {.help = "files to train on: JSONL, a JSON array, a .csv or .tsv table, any of them under gzip or zstd",
       .required = !make.on() && (!task || task->needs_train_data()),
       .path = true});
  v.field("eval", eval, {.help = "held-out files, as those of \"train\"", .path = true});
  v.field("eval_share", eval_share,
          {.help = "share of train's records, chosen at random, that are held out and not trained on, in the "
                   "place of eval",
           .min = 0,
           .max = 0.9});
  v.field("template", chat_template,
          {.help = "chat template: auto (the tokenizer's), chatml, or a .jinja file"});
  v.field("format", format.name,
          {.help = "the format of the records; auto: told by their content, or by LLaMA-Factory's "
                   "dataset_info.json beside a file (temper-inspect list format)",
           .choices = data_format_names()});
  v.section("columns", format.columns, "what the files call the columns that are read");
  v.section("tags", format.tags, "what the files' messages call their parts and roles");
  v.field("chat_prompts", chat_prompts,
          {.help = "a prompt that is a string is asked as a user's chat message, and answered as the "
                   "assistant's"});
  v.field("prefix", prefix,
          {.help = "text before every prompt and example, such as a control token that training taught"});
  v.field("max_tokens", max_tokens, {.help = "longest example or prompt", .unit = "tokens", .min = 2});
  v.field("overlong", overlong,
          {.help = "what happens to longer ones; examples are cut from the right, prompts from the left",
           .choices = {"drop", "truncate", "error"}});
  v.field(
      "targets", targets,
      {.help = "sft: which tokens are learnt; auto: completions and assistant turns, all of a text and of "
               "a chat without an assistant turn",
       .choices = {"auto", "all", "assistant", "completion"}});
  v.field(
      "special_tokens", special_tokens,
      {.help = "special tokens that strings (not chats) spell out: parse as tokens, as transformers does; "
               "leave as text; auto: parse, but <s> and </s> only where they open or close the string",
       .choices = {"auto", "parse", "text"}});
  v.choice("order", "kind", order, order_kind, order_registry(), "which records the steps draw");
  v.field("cache", cache,
          {.help = "folder for what is made of large data (where records stand, token ids), so that the next "
                   "start finds it; auto: data in the user's cache folder or in TEMPER_CACHE; \"\": none is "
                   "kept. Results do not depend on it"});
  v.field("cache_from_mb", cache_from_mb,
          {.help = "files of so much together are large: their records are read where they stand, when they "
                   "are drawn. Smaller ones are kept in memory",
           .unit = "MB",
           .min = 0});
  v.field("cache_gb", cache_gb,
          {.help = "most that the cache holds; what was not used for longest goes", .unit = "GB", .min = 1});
  if (task) task->data_fields(v);
}

void DataSection::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto either = [&](bool files, const ProblemSource& made, const char* name, const char* make) {
    if (files && made.on())
      problems.push_back(
          fmt::format("{0}.{1}: stands in the place of {0}.{2}; give one of them", where, make, name));
  };
  either(!train.empty(), make, "train", "make");
  either(!eval.empty(), make_eval, "eval", "make_eval");
  if (eval_share > 0 && (train.empty() || !eval.empty() || make_eval.on()))
    problems.push_back(
        fmt::format("{0}.eval_share: holds out records of {0}.train in the place of {0}.eval and "
                    "{0}.make_eval; give one of the three",
                    where));
}

int64_t DataSection::held_out(int64_t records) const {
  if (eval_share == 0) return 0;
  const int64_t out = std::max<int64_t>(1, std::llround(eval_share * static_cast<double>(records)));
  if (out >= records)
    user_error("data.eval_share: {} of {} records leave nothing to train on", eval_share, records);
  return out;
}

Records DataSection::take_held_out(Records& train, uint64_t seed) const {
  const auto all = static_cast<int64_t>(train.size()), count = held_out(all);
  std::vector<bool> chosen(train.size(), false);
  const std::vector<int64_t> order = RandomStream(seed, "held out").permutation(all);
  for (int64_t i = 0; i < count; ++i) chosen[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
  return train.take(chosen);
}

std::vector<Record> DataSection::read(const std::vector<std::string>& files) const {
  return read_data(files, format);
}

DataCache DataSection::data_cache(DataCache::Watch watch) const {
  return DataCache(cache == "auto" ? default_data_cache() : cache, static_cast<uint64_t>(cache_gb) << 30,
                   std::move(watch));
}

Records DataSection::open(const std::vector<std::string>& files, const DataCache& cache) const {
  if (data_bytes(files) < static_cast<uint64_t>(cache_from_mb) * 1'000'000) return read(files);
  std::vector<std::shared_ptr<const RecordSource>> sources;
  for (const std::string& file : files)
    for (auto& source : open_source(file, format, cache)) sources.push_back(std::move(source));
  return Records(std::move(sources));
}

std::vector<Record> DataSection::called(std::vector<Record> made) const {
  for (Record& record : made) record.json = mapped(record, format);
  return made;
}

Records DataSection::train_records(const DataCache& cache) const {
  return make.on() ? called(make_problems(make, false, train_field())) : open(train, cache);
}

Records DataSection::eval_records(const DataCache& cache) const {
  return make_eval.on() ? called(make_problems(make_eval, true, eval_field())) : open(eval, cache);
}

EncodeSettings DataSection::encoding() const {
  EncodeSettings out;
  out.max_tokens = max_tokens;
  out.overlong = overlong;
  out.targets = targets;
  out.special_tokens = special_tokens;
  out.prefix = prefix;
  return out;
}

namespace {

// String prompts as a user's message and string answers to them as the assistant's. Answers that are chats
// stay: the prompt beside them is what they begin with. Steps and labelled completions stay strings, which
// the encoder puts into a chat itself.
void as_chat(Json& record) {
  const auto message = [](const char* role, Json& value) {
    if (value.is_string()) value = Json::array({{{"role", role}, {"content", value}}});
  };
  const auto each = [&](const char* role, const char* column) {
    if (!record.contains(column) || !record[column].is_array()) return;
    for (Json& value : record[column]) message(role, value);
  };
  for (const char* answer : {"chosen", "rejected"}) {
    if (record.contains(answer) && record[answer].is_array()) return;
  }
  if (record.contains("prompts")) {
    each("user", "prompts");
    each("assistant", "completions");
  }
  if (!record.contains("prompt") || !record["prompt"].is_string()) return;
  message("user", record["prompt"]);
  for (const char* answer : {"completion", "chosen", "rejected"}) {
    if (record.contains(answer)) message("assistant", record[answer]);
  }
  each("assistant", "demonstrations");
  if (record.contains("ratings") && record["ratings"].is_array()) each("assistant", "completions");
}

}  // namespace

void DataSection::adapt(Records& records) const {
  if (chat_prompts) records.change([](Record& record) { as_chat(record.json); }, "chat_prompts");
}

void RolloutSection::fields(FieldVisitor& v) {
  v.field("group_size", group_size, {.help = "completions a prompt", .min = 1, .max = 4096});
  v.field("max_batch", max_batch, {.help = "sequences decoded together", .min = 1, .max = 4096});
  v.field(
      "longest_first", longest_first,
      {.help =
           "of more sequences than max_batch, those begin first whose prompts had the longest completions "
           "the "
           "last time, so that few are left to decode alone in the end; false: in the order they are drawn"});
  v.choice("speculation", "kind", speculation, speculation_kind, speculation_registry(),
           "drafts that make decoding faster and leave its distribution as it is");
  SamplingOptions::fields(v);
}

void TrainSection::fields(FieldVisitor& v) {
  const StepUnit unit = task ? task->step_unit() : StepUnit();
  v.field("steps", given_steps,
          {.help = "steps of the run (rl: rollout batches); left out: what epochs say, or 100", .min = 1});
  v.field("epochs", epochs,
          {.help = "passes over the training records, in the place of steps, which the resolved config has",
           .min = 1e-6,
           .max = 1e6});
  constexpr int64_t kSteps = 100;
  steps = given_steps.value_or(kSteps);
  v.field("batch_size", given_batch,
          {.help = fmt::format("{} an optimizer step; left out: {}", unit.what,
                               unit.field.empty() ? std::to_string(unit.count) : unit.field),
           .min = 1});
  batch_size = given_batch.value_or(unit.count);
  v.field("micro_batch_tokens", micro_batch_tokens,
          {.help = "tokens of one forward and backward pass; memory, never results, depends on it",
           .unit = "tokens",
           .min = 1});
  if (!task) return;
  task->train_fields(v);
  if (task->shares_prompts()) {
    v.field("share_prompts", share_prompts,
            {.help = "compute a group's prompt once; results do not depend on it"});
  }
}

void TrainSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (given_steps && epochs)
    problems.push_back(fmt::format("{0}.epochs: stands in the place of {0}.steps; give one of them", where));
}

void LossFiles::fields(FieldVisitor& v) {
  v.field("name", name, {.help = "the figures are loss/<name> and perplexity/<name>", .required = true});
  v.field("files", files,
          {.help = "JSONL files of texts, completions or chats; targets as data.targets",
           .required = true,
           .path = true});
}

void EvalSection::fields(FieldVisitor& v) {
  v.field("every", every,
          {.help = "steps between evaluations, also before the first and after the last; 0: none",
           .unit = "steps",
           .min = 0});
  v.field("samples", samples, {.help = "completions a prompt", .min = 1, .max = 1024});
  v.field("limit", limit, {.help = "evaluate the first so many records; 0: all", .min = 0});
  v.field("max_new_tokens", max_new_tokens,
          {.help = "longest completion; 0: rollout's, or 256", .unit = "tokens", .min = 0});
  v.field("temperature", temperature, {.help = "0: greedy", .min = 0, .max = 100});
  v.field(
      "patience", patience,
      {.help =
           "the run ends when so many evaluations in a row were no better than the best before them; 0: it "
           "goes on to its last step",
       .unit = "evaluations",
       .min = 0});
  v.list("losses", losses, "held-out files whose loss is measured beside the task's figures, each its own");
}

void EvalSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (patience > 0 && every == 0)
    problems.push_back(
        fmt::format("{0}.patience: counts evaluations, of which there are none; set {0}.every", where));
  std::set<std::string> names;
  for (size_t i = 0; i < losses.size(); ++i) {
    const std::string entry = fmt::format("{}.losses.{}", where, i);
    if (losses[i].name.empty()) problems.push_back(entry + ".name: is empty; it names the figure");
    if (losses[i].files.empty()) problems.push_back(entry + ".files: name at least one file");
    if (!losses[i].name.empty() && !names.insert(losses[i].name).second)
      problems.push_back(fmt::format("{}.name: \"{}\" is there twice; files of one figure stand in one list",
                                     entry, losses[i].name));
  }
}

void DistSection::fields(FieldVisitor& v) {
  v.field(
      "backend", backend,
      {.help = "with several ranks; nccl: tensors of GPUs go from GPU to GPU, each rank having one of its "
               "own; gloo: through the hosts",
       .choices = {"gloo", "nccl"}});
  v.field("shard", shard,
          {.help = "with several ranks; state: each rank keeps the optimizer state, and with bf16 the fp32 "
                   "masters, of a part of the parameters",
           .choices = {"none", "state"}});
}

void CheckpointSection::fields(FieldVisitor& v) {
  v.field(
      "every", every,
      {.help = "steps between checkpoints; 0: only at the end or on a signal", .unit = "steps", .min = 0});
  v.field("keep", keep, {.help = "newest checkpoints kept", .min = 1});
  v.field("best", best, {.help = "also keep the checkpoint with the best evaluation"});
  v.field("final", final_weights,
          {.help = "whose weights final/ has: those of the last step, or of the best evaluation (with best)",
           .choices = {"last", "best"}});
}

void CheckpointSection::check(std::vector<std::string>& problems, const std::string& where) const {
  if (final_weights == "best" && !best)
    problems.push_back(
        fmt::format("{0}.final: the best evaluation's weights are not kept; set {0}.best to true", where));
}

}  // namespace temper
