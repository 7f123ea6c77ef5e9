// Training a SentencePiece BPE tokenizer, and writing it as files that Temper, SentencePiece and transformers
// read alike.
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_sentencepiece_model.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// Their ids are their places here.
constexpr const char* kSpecial[] = {"<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"};
constexpr int64_t kSmallest = std::size(kSpecial) + 256 + 1;

constexpr const char* kTemplate =
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}\n"
    "{%- if message['role'] == 'assistant' -%}\n"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}\n"
    "{%- else -%}\n"
    "{{- message['content'] + '<|im_end|>\\n' -}}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n";

// Lines without what the trainer cannot take (tabs are its own mark; line ends are byte tokens) and without
// special tokens written out, which the model never sees as text.
std::vector<std::string> training_lines(const std::vector<std::string>& texts) {
  std::vector<std::string> lines;
  for (const std::string& text : texts) {
    std::string clean = is_valid_utf8(text) ? text : replace_invalid_utf8(text);
    for (const char* special : kSpecial) {
      for (size_t at; (at = clean.find(special)) != std::string::npos;)
        clean.replace(at, std::string_view(special).size(), "\n");
    }
    size_t begin = 0;
    while (begin < clean.size()) {
      const size_t end = std::min(clean.find_first_of(std::string_view("\n\r\t\0", 4), begin), clean.size());
      if (end > begin) lines.push_back(clean.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return lines;
}

class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ >= lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t at_ = 0;
};

std::string train_model(const std::vector<std::string>& lines, int64_t vocab_size) {
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},  // so that text after a special token is encoded as any other
      {"remove_extra_whitespaces", "false"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"character_coverage", "0.9995"},
      {"max_sentence_length", "1073741824"},
      {"num_threads", "1"},
      {"unk_id", "0"},
      {"unk_piece", kSpecial[0]},
      {"pad_id", "1"},
      {"pad_piece", kSpecial[1]},
      {"bos_id", "-1"},
      {"control_symbols", kSpecial[2]},
      {"eos_id", "3"},
      {"eos_piece", kSpecial[3]},
      {"minloglevel", "2"},
  };
  LineIterator iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (status.ok()) return model;
  std::string why = status.ToString();
  const size_t reason = why.find("Vocabulary size");
  if (reason != std::string::npos) why = why.substr(reason);
  std::replace(why.begin(), why.end(), '\n', ' ');
  user_error("tokenizer training: vocab_size {} does not suit the {} lines of text: {}", vocab_size,
             lines.size(), why.substr(0, 200));
}

// Every pair of pieces that makes a piece, best score first: what a list of merges must say to act as the
// scores do.
Json merges_of(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == SentencePieceModel::kNormal) ids.emplace(model.pieces[id].text, id);
  }
  std::vector<size_t> order;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == SentencePieceModel::kNormal) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return model.pieces[a].score > model.pieces[b].score; });
  Json merges = Json::array();
  for (const size_t id : order) {
    const std::string_view piece = model.pieces[id].text;
    std::vector<std::pair<size_t, size_t>> splits;
    for (size_t at = utf8_length(static_cast<unsigned char>(piece[0])); at < piece.size();
         at += utf8_length(static_cast<unsigned char>(piece[at]))) {
      const auto left = ids.find(piece.substr(0, at)), right = ids.find(piece.substr(at));
      if (left != ids.end() && right != ids.end()) splits.emplace_back(left->second, right->second);
    }
    std::sort(splits.begin(), splits.end());
    for (const auto& [left, right] : splits)
      merges.push_back({model.pieces[left].text, model.pieces[right].text});
  }
  return merges;
}

Json added_token(size_t id) {
  return {{"id", id},        {"content", kSpecial[id]}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false},     {"special", true}};
}

// Pieces have a space only as their first character, so the text may be cut there, which makes words that a
// cache knows.
std::string tokenizer_json(const SentencePieceModel& model) {
  // Written by hand: a JSON object of this library looks its keys up one by one.
  std::string vocab;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    vocab += fmt::format("{}\n      {}: {}", id > 0 ? "," : "", Json(model.pieces[id].text).dump(), id);
  }
  Json root = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  for (size_t id = 0; id < std::size(kSpecial); ++id) root["added_tokens"].push_back(added_token(id));
  root["normalizer"] = nullptr;
  root["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", "never"}, {"split", true}};
  root["post_processor"] = nullptr;
  Json steps = Json::array();
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  root["decoder"] = {{"type", "Sequence"}, {"decoders", steps}};
  root["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", kSpecial[0]},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", true},
                   {"byte_fallback", true},
                   {"ignore_merges", false},
                   {"vocab", "VOCAB"},
                   {"merges", merges_of(model)}};
  std::string text = root.dump(2);
  const std::string place = "\"VOCAB\"";
  return text.replace(text.find(place), place.size(), "{" + vocab + "\n    }");
}

}  // namespace

void train_sentencepiece(const std::vector<std::string>& texts, int64_t vocab_size,
                         const std::string& folder) {
  if (vocab_size < kSmallest || vocab_size > 1'000'000) {
    user_error(
        "tokenizer training: vocab_size must be from {} (special tokens, 256 bytes, text) to 1000000, found "
        "{}",
        kSmallest, vocab_size);
  }
  const std::vector<std::string> lines = training_lines(texts);
  if (lines.empty()) user_error("tokenizer training: the texts are empty");
  const std::string file = train_model(lines, vocab_size);
  const SentencePieceModel model = parse_sentencepiece(file, "tokenizer training");

  Json decoder = Json::object();
  for (size_t id = 0; id < std::size(kSpecial); ++id) {
    decoder[std::to_string(id)] = added_token(id);
    decoder[std::to_string(id)].erase("id");
  }
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"bos_token", nullptr},
                       {"eos_token", kSpecial[3]},
                       {"pad_token", kSpecial[1]},
                       {"unk_token", kSpecial[0]},
                       {"additional_special_tokens", Json::array({kSpecial[2]})},
                       {"add_bos_token", false},
                       {"add_eos_token", false},
                       {"clean_up_tokenization_spaces", false},
                       {"added_tokens_decoder", decoder},
                       {"chat_template", kTemplate}};
  const Json map = {{"eos_token", kSpecial[3]},
                    {"pad_token", kSpecial[1]},
                    {"unk_token", kSpecial[0]},
                    {"additional_special_tokens", Json::array({kSpecial[2]})}};

  std::error_code error;
  fs::create_directories(folder, error);
  if (error) user_error("{}: cannot create the folder: {}", folder, error.message());
  write_file_atomic(folder + "/tokenizer.model", file);
  write_file_atomic(folder + "/tokenizer.json", tokenizer_json(model) + "\n");
  write_file_atomic(folder + "/tokenizer_config.json", config.dump(2) + "\n");
  write_file_atomic(folder + "/special_tokens_map.json", map.dump(2) + "\n");
}

}  // namespace temper
