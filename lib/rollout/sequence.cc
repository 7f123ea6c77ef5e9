#include "rollout/sequence.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "rollout/draws.h"

namespace temper {

DecodedSequence::DecodedSequence(size_t request, int64_t sample, std::shared_ptr<const KvRun> prompt,
                                 KvPool& pool, RandomStream random, const Tokenizer& tokenizer,
                                 const TokenDraws& draws)
    : request_(request),
      sample_(sample),
      prompt_(std::move(prompt)),
      own_(pool),
      random_(random),
      tokenizer_(tokenizer),
      draws_(draws),
      sampling_(draws.sampling()),
      mirostat_mu_(2 * sampling_.mirostat_tau) {}

void DecodedSequence::begin_turn(int64_t tokens, std::string own_end) {
  turn_begin_ = length();
  turn_limit_ = tokens;
  own_end_ = std::move(own_end);
  own_end_at_.reset();
  streamed_.clear(), raw_.clear(), sizes_.clear();
  if (constraint_ != nullptr) constrained_.emplace(constraint_);
  stream_.reset(), raw_stream_.reset();
  const bool looks_for_ends = !sampling_.stop.empty() || !own_end_.empty();
  if (looks_for_ends || draws_.watches_text()) stream_.emplace(tokenizer_);
  if (looks_for_ends) raw_stream_.emplace(tokenizer_, /*special=*/true);
}

void DecodedSequence::go_on_from(const std::vector<int64_t>& ids, const std::vector<float>& logp) {
  for (size_t i = 0; i < ids.size(); ++i) {
    out_.ids.push_back(ids[i]);
    out_.logp.push_back(logp[i]);
    out_.logp_full.push_back(logp[i]);
    if (sampling_.penalises()) ++seen_[ids[i]];
    read_text();
  }
}

std::optional<FinishReason> DecodedSequence::accept(const SampledToken& token) {
  out_.ids.push_back(token.id);
  out_.logp.push_back(token.logp);
  out_.logp_full.push_back(token.logp_full);
  if (sampling_.penalises()) ++seen_[token.id];
  if (constrained_) {
    constrained_->accept(token.id);
    if (sampling_.temperature > 0) out_.log_weight = out_.log_weight.value_or(0.0) + token.log_weight;
  }
  const std::vector<int64_t>& ends = draws_.end_ids();
  if (std::find(ends.begin(), ends.end(), token.id) != ends.end()) return FinishReason::kEnd;
  read_text();
  if (const auto stop = find_stop()) {
    streamed_.resize(*stop);
    return FinishReason::kStop;
  }
  own_end_at_ = find_own_end();
  if (own_end_at_) return FinishReason::kStop;
  if (length() == sampling_.max_new_tokens || turn_length() == turn_limit_) return FinishReason::kLength;
  if (--draws_left_ == 0) return FinishReason::kOpen;
  return std::nullopt;
}

int64_t DecodedSequence::room() const {
  const int64_t room = std::min(sampling_.max_new_tokens - length(), turn_limit_ - turn_length());
  return draws_left_ > 0 ? std::min(room, draws_left_) : room;
}

// The text of the newest token.
void DecodedSequence::read_text() {
  if (stream_) streamed_ += stream_->push(out_.ids.back());
  if (!raw_stream_) return;
  raw_ += raw_stream_->push(out_.ids.back());
  sizes_.emplace_back(raw_.size(), streamed_.size());
}

namespace {

// A match that ends in what stands behind the first `old` bytes of the text.
size_t find_new(const std::string& text, size_t old, const std::string& what) {
  return text.find(what, old + 1 > what.size() ? old + 1 - what.size() : 0);
}

}  // namespace

// Where the text is to be cut: before the first stop string that the newest token's text completed, be it in
// the text as it is shown or in the one with special tokens.
std::optional<size_t> DecodedSequence::find_stop() const {
  if (!raw_stream_ || !may_end()) return std::nullopt;
  const auto [raw_before, before] =
      sizes_.size() > 1 ? sizes_[sizes_.size() - 2] : std::pair<size_t, size_t>();
  std::optional<size_t> first;
  for (const std::string& stop : sampling_.stop) {
    const size_t shown = find_new(streamed_, before, stop), raw = find_new(raw_, raw_before, stop);
    if (shown != std::string::npos) first = std::min(first.value_or(shown), shown);
    if (raw != std::string::npos) {
      const size_t at = without_special(raw);
      first = std::min(first.value_or(at), at);
    }
  }
  return first;
}

// The turn's token in which its own end begins, once the newest token's text has completed it.
std::optional<int64_t> DecodedSequence::find_own_end() const {
  if (own_end_.empty()) return std::nullopt;
  const size_t at = find_new(raw_, sizes_.size() > 1 ? sizes_[sizes_.size() - 2].first : 0, own_end_);
  if (at == std::string::npos) return std::nullopt;
  const auto token = std::upper_bound(sizes_.begin(), sizes_.end(), std::pair(at, SIZE_MAX));
  return token - sizes_.begin();
}

// The place of a byte of the raw text in the text without special tokens.
size_t DecodedSequence::without_special(size_t at) const {
  const auto next = std::upper_bound(sizes_.begin(), sizes_.end(), std::pair(at, SIZE_MAX));
  const auto [raw, text] = next == sizes_.begin() ? std::pair<size_t, size_t>() : *std::prev(next);
  return std::min(text + (at - raw), next == sizes_.end() ? text : next->second);
}

PolicyTurn DecodedSequence::end_turn(FinishReason reason) {
  out_.turns.push_back({turn_begin_, length(), reason});
  out_.finish = reason;
  const std::vector<int64_t> ids(out_.ids.begin() + turn_begin_, out_.ids.end());
  if (reason == FinishReason::kStop && !own_end_at_) {
    out_.text = streamed_;
  } else {
    const bool ended = reason == FinishReason::kEnd;
    out_.text = tokenizer_.decode({ids.begin(), ids.end() - (ended ? 1 : 0)}, false);
  }
  PolicyTurn turn{out_.text,  tokenizer_.decode(ids, true),        reason, turn_length(),
                  ids.back(), length() == sampling_.max_new_tokens};
  if (own_end_at_) turn.before_end = tokenizer_.decode({ids.begin(), ids.begin() + *own_end_at_}, false);
  return turn;
}

void DecodedSequence::drop_end() {
  if (!own_end_at_) bug("a turn's own end is taken back that has not ended it");
  const int64_t from = turn_begin_ + *own_end_at_;
  if (sampling_.penalises()) {
    for (int64_t t = from; t < length(); ++t) --seen_[out_.ids[static_cast<size_t>(t)]];
  }
  own_.shorten(std::max<int64_t>(0, own_.length() - from));
  out_.ids.resize(static_cast<size_t>(from));
  out_.logp.resize(out_.ids.size());
  out_.logp_full.resize(out_.ids.size());
  out_.turns.back().end = from;
}

bool DecodedSequence::take_answer(const std::vector<int64_t>& ids) {
  if (length() + static_cast<int64_t>(ids.size()) >= sampling_.max_new_tokens) return false;
  out_.ids.insert(out_.ids.end(), ids.begin(), ids.end());
  constexpr float kGiven = std::numeric_limits<float>::quiet_NaN();
  out_.logp.resize(out_.ids.size(), kGiven);
  out_.logp_full.resize(out_.ids.size(), kGiven);
  if (sampling_.penalises()) {
    for (const int64_t id : ids) seen_.try_emplace(id, 0);
  }
  return true;
}

std::vector<int16_t> DecodedSequence::routes(int64_t virtual_tokens) const {
  const int64_t each = own_.shape().routes;
  const auto& prompt = prompt_->routes();
  std::vector<int16_t> out(prompt.begin() + virtual_tokens * each, prompt.end());
  const size_t whole = out.size() + static_cast<size_t>(length() * each);
  out.insert(out.end(), own_.routes().begin(), own_.routes().end());
  out.resize(whole, -1);
  return out;
}

Completion DecodedSequence::finished(std::optional<Conversation> conversation) {
  out_.conversation = std::move(conversation);
  out_.raw_text = tokenizer_.decode(out_.ids, true);
  return std::move(out_);
}

}  // namespace temper
