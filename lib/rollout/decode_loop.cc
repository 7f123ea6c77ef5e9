#include "rollout/decode_loop.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "rollout/speculate/verify.h"

namespace temper {

DecodeLoop::DecodeLoop(Model& model, const Tokenizer& tokenizer, const EngineOptions& options,
                       DecodeEvents events)
    : model_(model),
      tokenizer_(tokenizer),
      options_(options),
      events_(std::move(events)),
      pool_(kv_shape(model, options.keep_routes)),
      nothing_(pool_) {}

void DecodeLoop::keep_prompts(int64_t tokens) {
  // A state does not go back to where two prompts part, and virtual tokens are looked for in a whole prompt.
  if (model_.config().has_states() || !model_.virtual_ids().empty() || pool_.has_arena()) return;
  kept_.emplace(pool_, tokens);
}

void DecodeLoop::add(size_t number, const GenerateRequest& request, const TokenDraws& draws,
                     std::shared_ptr<const Constraint> constraint) {
  if (request.samples <= 0) return;
  entries_.emplace(number, Entry{&request, &draws, std::move(constraint), request.samples});
  waiting_.push_back(number);
}

void DecodeLoop::drop(size_t number) {
  if (entries_.erase(number) == 0) return;
  std::erase(waiting_, number);
  std::erase_if(ready_, [&](const Ready& r) { return r.request == number; });
  const auto leaves = [&](const Sequence& s) {
    if (s.request() != number) return false;
    if (speculator_ != nullptr) speculator_->ended(s);
    return true;
  };
  std::erase_if(active_, [&](const auto& s) { return leaves(*s); });
  std::erase_if(asking_, [&](const Asking& a) { return leaves(*a.sequence); });
}

void DecodeLoop::end(size_t number) {
  const auto found = entries_.find(number);
  if (found == entries_.end()) return;
  const auto tell = [&](int64_t place, Completion&& completion) {
    if (events_.on_completion) events_.on_completion(number, place, std::move(completion));
  };
  const int64_t samples = found->second.request->samples;
  int64_t begun = samples;
  if (std::find(waiting_.begin(), waiting_.end(), number) != waiting_.end()) begun = 0;
  for (const Ready& r : ready_) {
    if (r.request == number) begun = r.next_sample;
  }
  for (int64_t place = begun; place < samples; ++place) tell(place, {});
  for (const auto& s : active_) {
    if (s->request() != number) continue;
    s->end_turn(FinishReason::kLength);
    tell(s->sample(), s->finished(std::nullopt));
  }
  drop(number);
}

void DecodeLoop::step() {
  at::NoGradGuard no_grad;
  hear_answers(steps_);
  admit();
  // Nobody is left who could decode meanwhile.
  if (active_.empty() && !asking_.empty()) hear_answers(asking_.front().due);
  if (!active_.empty()) decode();
}

// Fills the free places of the batch: samples of computed prompts first, then the next prompts. First tokens
// are drawn at once.
void DecodeLoop::admit() {
  while (free_places() > 0 && (!ready_.empty() || !waiting_.empty())) {
    if (ready_.empty()) prefill();
    std::vector<Sequence*> fresh, going_on;
    std::vector<at::Tensor> last;
    while (free_places() > 0 && !ready_.empty()) {
      Ready& ready = ready_.front();
      active_.push_back(start(ready));
      if (active_.back()->ids().empty()) {
        fresh.push_back(active_.back().get());
        last.push_back(ready.last);
      } else {
        going_on.push_back(active_.back().get());
      }
      if (ready.next_sample == entry(ready.request).request->samples) ready_.pop_front();
    }
    read_given(going_on);
    if (!fresh.empty()) sample(at::cat(last), fresh);
  }
}

// Those that wait for answers keep their places, and so their keys and values within the batch's memory.
int64_t DecodeLoop::free_places() const {
  return options_.max_batch - static_cast<int64_t>(active_.size() + asking_.size());
}

void DecodeLoop::begin_turn(Sequence& s) const {
  Respondent* respondent = options_.respondent;
  if (respondent == nullptr)
    s.begin_turn(std::numeric_limits<int64_t>::max(), {});
  else
    s.begin_turn(respondent->turn_tokens(s.request(), s.sample()),
                 respondent->turn_end(s.request(), s.sample()));
}

std::unique_ptr<DecodedSequence> DecodeLoop::start(Ready& ready) {
  const Entry& of = entry(ready.request);
  const GenerateRequest& request = *of.request;
  const int64_t place = ready.next_sample++;
  const BegunSample* begun = request.begun.empty() ? nullptr : &request.begun[static_cast<size_t>(place)];
  const int64_t sample = begun == nullptr ? place : begun->sample;
  // The stream's name holds all that the sequence is, and nothing of the batch.
  const RandomStream random(request.seed.value_or(options_.seed), fmt::format("rollout sample {}", sample),
                            options_.step, request.stream_index);
  auto sequence =
      std::make_unique<Sequence>(ready.request, place, ready.prompt, pool_, random, tokenizer_, *of.draws);
  if (of.draws->sampling().penalises()) {
    for (const int64_t id : request.prompt) sequence->seen()[id] = 0;
  }
  sequence->constrain(of.constraint);
  begin_turn(*sequence);
  sequence->draw_at_most(options_.step_tokens);
  if (begun != nullptr) sequence->go_on_from(begun->ids, begun->logp);
  return sequence;
}

// Computes as many waiting prompts as the free places and the token budget allow, at least one.
void DecodeLoop::prefill() {
  std::vector<std::vector<int64_t>> prompts;
  std::vector<Ready> ready;
  std::vector<size_t> unknown;  // places in `ready` of those that are read from their beginning
  int64_t places = free_places(), tokens = 0;
  const std::vector<int64_t> in_front = model_.virtual_ids();
  while (!waiting_.empty() && places > 0) {
    const GenerateRequest& request = *entry(waiting_.front()).request;
    const auto length = static_cast<int64_t>(in_front.size() + request.prompt.size());
    if (!ready.empty() && tokens + length > kPrefillTokens) break;
    std::shared_ptr<KvRun> known = kept_ ? kept_->begin_of(request.prompt) : nullptr;
    if (known != nullptr) {
      ready.push_back(read_behind(waiting_.front(), request.prompt, std::move(known)));
    } else {
      unknown.push_back(ready.size());
      ready.push_back({waiting_.front(), nullptr, {}});
      prompts.push_back(in_front);
      prompts.back().insert(prompts.back().end(), request.prompt.begin(), request.prompt.end());
    }
    tokens += length;
    places -= request.samples;
    waiting_.pop_front();
  }
  std::vector<ReadPrompt> read;
  if (!prompts.empty()) read = read_prompts(model_, pool_, prompts);
  for (size_t i = 0; i < read.size(); ++i) {
    const at::Tensor last = read[i].hidden.narrow(0, read[i].hidden.size(0) - 1, 1);
    Ready& of = ready[unknown[i]];
    of.prompt = std::move(read[i].run);
    of.last = last.clone();  // a copy: the pass is not kept
    if (events_.on_prompt) events_.on_prompt(of.request, 0);
  }
  for (Ready& r : ready) {
    if (kept_) kept_->keep(entry(r.request).request->prompt, r.prompt);
    ready_.push_back(std::move(r));
  }
}

// The rest of a prompt of which `known` holds the beginning.
DecodeLoop::Ready DecodeLoop::read_behind(size_t request, const std::vector<int64_t>& prompt,
                                          std::shared_ptr<KvRun> known) {
  if (events_.on_prompt) events_.on_prompt(request, known->length());
  TokensToRead tokens;
  at::Tensor hidden;
  while (known->length() < static_cast<int64_t>(prompt.size())) {
    tokens.add(prompt[static_cast<size_t>(known->length())], nothing_, *known);
    const bool whole = known->length() == static_cast<int64_t>(prompt.size());
    if (whole || tokens.size() == kPrefillTokens) hidden = tokens.hidden(model_);
  }
  return {request, std::move(known), hidden.narrow(0, hidden.size(0) - 1, 1).clone()};
}

void DecodeLoop::decode() {
  std::vector<Sequence*> sequences;
  for (const auto& s : active_) sequences.push_back(s.get());
  ++steps_;
  progress_.passes += static_cast<int64_t>(sequences.size());
  if (speculator_ != nullptr) return speculate(sequences);
  TokensToRead tokens;
  for (Sequence* s : sequences) read_next(*s, tokens);
  if (recorded_ != nullptr) {
    if (const auto drawn = recorded_step(tokens, sequences)) {
      for (size_t i = 0; i < sequences.size(); ++i) accept(*sequences[i], (*drawn)[i]);
      return let_ended_go();
    }
  }
  sample(tokens.hidden(model_), sequences);
}

void DecodeLoop::speculate(const std::vector<Sequence*>& sequences) {
  const SpeculationCount count =
      speculative_step(model_, *speculator_, sequences,
                       [this](Sequence& s, const SampledToken& token) { return accept(s, token); });
  progress_.drafted += count.drafted;
  progress_.accepted += count.accepted;
  let_ended_go();
}

// The sequence's first token that is not in the cache yet, to be read by the next pass.
void DecodeLoop::read_next(Sequence& s, TokensToRead& tokens) {
  tokens.add(s.ids()[static_cast<size_t>(s.own().length())], s.prompt(), s.own());
}

// The answers that are due up to a step, in the order in which their turns ended. Their tokens but the last
// are read at once; the last is read by the next step, which draws what follows it.
void DecodeLoop::hear_answers(int64_t step) {
  std::vector<Sequence*> heard;
  while (!asking_.empty() && asking_.front().due <= step) {
    std::unique_ptr<Sequence> s = std::move(asking_.front().sequence);
    asking_.pop_front();
    const std::vector<int64_t> answer = options_.respondent->answer(s->request(), s->sample());
    const Joint joint = options_.respondent->joint(s->request(), s->sample());
    if (answer.empty() && !joint.open) {
      finish(*s);
      continue;
    }
    if (joint.drops_end) s->drop_end();
    if (!s->take_answer(answer)) {
      s->cut_short();
      finish(*s);
      continue;
    }
    begin_turn(*s);
    heard.push_back(s.get());
    // Beside the other samples of its prompt, whose keys and values are then read once for all of them.
    const auto place = std::find_if(active_.rbegin(), active_.rend(), [&](const auto& a) {
                         return &a->prompt() == &s->prompt();
                       }).base();
    active_.insert(place, std::move(s));
  }
  read_given(heard);
}

void DecodeLoop::read_given(const std::vector<Sequence*>& sequences) {
  TokensToRead tokens;
  for (Sequence* s : sequences) {
    const auto last = static_cast<int64_t>(s->ids().size()) - 1;
    while (s->own().length() < last) {
      read_next(*s, tokens);
      if (tokens.size() == kPrefillTokens) tokens.hidden(model_);
    }
  }
  if (!tokens.empty()) tokens.hidden(model_);
}

// The step as recorded work; nothing when it cannot be recorded, and then no later one is tried.
std::optional<std::vector<SampledToken>> DecodeLoop::recorded_step(const TokensToRead& tokens,
                                                                   const std::vector<Sequence*>& sequences) {
  std::vector<StepRow> step;
  std::vector<RandomStream> random;
  for (size_t i = 0; i < sequences.size(); ++i) {
    random.push_back(sequences[i]->random());
    step.push_back({tokens.ids()[i], tokens.positions()[i], tokens.rows()[i], random.back().uniform(),
                    sequences[i]->may_end()});
  }
  try {
    auto drawn = recorded_->run(step);
    for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->random() = random[i];
    return drawn;
  } catch (const CannotRecord& e) {
    log_warning("decoding steps cannot be recorded, and so are slower: {}", e.what());
    recorded_ = nullptr;
    return std::nullopt;
  }
}

// Draws the next token of each sequence from its row of hidden states and lets the finished ones go.
void DecodeLoop::sample(const at::Tensor& hidden, const std::vector<Sequence*>& sequences) {
  std::vector<std::exception_ptr> failures;
  const std::vector<SampledToken> tokens =
      draw_tokens(model_.logits(hidden), sequences, events_.on_failure ? &failures : nullptr);
  std::map<size_t, std::exception_ptr> failed;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (!failures.empty() && failures[i])
      failed.emplace(sequences[i]->request(), failures[i]);
    else
      accept(*sequences[i], tokens[i]);
  }
  let_ended_go();
  for (const auto& [request, why] : failed) {
    drop(request);
    events_.on_failure(request, why);
  }
}

// Whether the turn goes on.
bool DecodeLoop::accept(Sequence& s, const SampledToken& token) {
  const std::optional<FinishReason> end = s.accept(token);
  ++progress_.tokens;
  if (events_.on_token) events_.on_token(s.request(), s.sample(), token);
  if (end) ended_.emplace(&s, *end);
  return !end;
}

void DecodeLoop::let_ended_go() {
  if (ended_.empty()) return;
  std::vector<std::unique_ptr<Sequence>> going_on;
  for (auto& s : active_) {
    const auto end = ended_.find(s.get());
    if (end == ended_.end())
      going_on.push_back(std::move(s));
    else
      leave(std::move(s), end->second);
  }
  active_ = std::move(going_on);
  ended_.clear();
}

// A sequence whose turn has ended leaves the batch, to ask or for good.
void DecodeLoop::leave(std::unique_ptr<Sequence> s, FinishReason reason) {
  const PolicyTurn turn = s->end_turn(reason);
  if (options_.respondent == nullptr) {
    finish(*s);
    return;
  }
  options_.respondent->ended(s->request(), s->sample(), turn);
  asking_.push_back({std::move(s), steps_ + options_.respondent->patience()});
}

void DecodeLoop::finish(Sequence& s) {
  const size_t request = s.request();
  if (speculator_ != nullptr) speculator_->ended(s);
  std::optional<Conversation> conversation;
  if (options_.respondent != nullptr) conversation = options_.respondent->conversation(request, s.sample());
  std::vector<int16_t> routes = s.routes(static_cast<int64_t>(model_.virtual_ids().size()));
  Completion completion = s.finished(std::move(conversation));
  completion.routes = std::move(routes);
  if (--entry(request).open == 0) entries_.erase(request);
  if (events_.on_completion) events_.on_completion(request, s.sample(), std::move(completion));
}

}  // namespace temper
