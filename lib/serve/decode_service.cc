#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "adapter/adapter_set.h"
#include "adapter/peft_files.h"
#include "base/error.h"
#include "base/failure.h"
#include "rollout/constrained.h"
#include "rollout/decode_loop.h"
#include "rollout/requests.h"
#include "serve/job.h"
#include "serve/service.h"

namespace temper {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = ServiceRefusal::Kind;

class JobAnswer : public Answering {
 public:
  JobAnswer(std::shared_ptr<Job> job) : job_(std::move(job)) {}
  ~JobAnswer() override { job_->given_up = true; }
  std::optional<ServiceEvent> next(std::chrono::milliseconds patience) override {
    return job_->next(patience);
  }
  int64_t cached_tokens() const override { return job_->known; }

 private:
  std::shared_ptr<Job> job_;
};

class Service : public DecodeService {
 public:
  Service(std::unique_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer,
          std::vector<int64_t> end_ids, const ServiceLimits& limits,
          const std::vector<AdapterEntry>& adapters)
      : limits_(limits),
        model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        end_ids_(std::move(end_ids)),
        context_(limits.context == 0 ? model_->config().max_positions : limits.context),
        adapters_(*model_, {}) {
    if (context_ < 2 || context_ > model_->config().max_positions)
      user_error("--context {}: expected 2 to {}, the positions that the model has", context_,
                 model_->config().max_positions);
    // Rotary angles that depend on the length are one for all requests.
    if (!model_->expected_length()) model_->expect_length(context_);
    names_[""] = "";
    for (const AdapterEntry& adapter : adapters) {
      adapters_.add(adapter.name, adapter.folder);
      lanes_.try_emplace(adapter.name);
      names_[adapter.name] = adapter.folder;
    }
    constraints_.emplace(SamplingOptions{}, *tokenizer_, model_->config().vocab, end_ids_);
    thread_ = std::thread([this] { work(); });
  }

  ~Service() override {
    stop(std::chrono::milliseconds(0));
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  std::unique_ptr<Answering> ask(ServiceRequest asked) override {
    try {
      std::shared_ptr<Job> job = checked(std::move(asked));
      {
        std::lock_guard lock(mutex_);
        admit(*job);
        incoming_.push_back(job);
        open_ += job->asked.samples;
        ++figures_.requests;
      }
      wake_.notify_one();
      return std::make_unique<JobAnswer>(std::move(job));
    } catch (const ServiceRefusal&) {
      std::lock_guard lock(mutex_);
      ++figures_.refused;
      throw;
    }
  }

  void load_adapter(const std::string& name, const std::string& folder) override {
    if (name.empty()) user_error("an adapter needs a name");
    on_thread([&] {
      if (lanes_.count(name) > 0)
        user_error("there is an adapter \"{}\" already, or it is still answering; unload it first", name);
      keep_vocabulary(folder);
      adapters_.add(name, folder);
      lanes_.try_emplace(name);
      std::lock_guard lock(mutex_);
      names_[name] = folder;
    });
  }

  bool unload_adapter(const std::string& name) override {
    if (name.empty()) return false;
    bool there = false;
    on_thread([&] {
      std::lock_guard lock(mutex_);
      there = names_.erase(name) > 0;
    });
    return there;
  }

  std::map<std::string, std::string> adapters() const override {
    std::lock_guard lock(mutex_);
    auto out = names_;
    out.erase("");
    return out;
  }

  ServiceFigures figures() const override {
    std::lock_guard lock(mutex_);
    ServiceFigures out = figures_;
    out.active = std::min(out.active, open_);
    out.waiting = open_ - out.active;
    return out;
  }

  int64_t context() const override { return context_; }

  void stop(std::chrono::milliseconds patience) override {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    idle_.wait_for(lock, patience, [&] { return open_ == 0; });
    refusing_ = true;
    wake_.notify_one();
    idle_.wait(lock, [&] { return open_ == 0; });
  }

 private:
  // The requests of one adapter: what shares a step shares its weights.
  struct Lane {
    EngineOptions options;
    std::unique_ptr<DecodeLoop> loop;  // made when it is first asked
  };

  std::shared_ptr<Job> checked(ServiceRequest asked) {
    const auto refuse = [](const std::string& why) { throw ServiceRefusal(Kind::kRequest, why); };
    const auto length = static_cast<int64_t>(asked.prompt.size());
    if (asked.samples < 1 || asked.samples > limits_.max_samples)
      refuse(fmt::format("n: expected 1 to {}, found {}", limits_.max_samples, asked.samples));
    if (length + asked.sampling.max_new_tokens > context_)
      refuse(
          fmt::format("the prompt has {} tokens and the answer may have {}, but this model's context is {}; "
                      "shorten the prompt or lower max_tokens",
                      length, asked.sampling.max_new_tokens, context_));
    // A string would name a file of this machine.
    if (asked.sampling.json_schema.is_string()) refuse("a JSON schema must be an object");
    std::shared_ptr<const Constraint> constraint;
    try {
      if (const auto said = text_constraint(asked.sampling, "")) {
        std::lock_guard lock(constraints_mutex_);
        constraint = constraints_->of(&*said);
      }
    } catch (const UserError& e) {
      refuse(e.what());
    }
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                          std::chrono::duration<double>(limits_.request_s));
    return std::make_shared<Job>(std::move(asked), *tokenizer_, end_ids_, model_->config().vocab,
                                 std::move(constraint), until);
  }

  void admit(const Job& job) const {
    if (stopping_) throw ServiceRefusal(Kind::kStopping, "the server is shutting down");
    if (names_.count(job.asked.adapter) == 0)
      throw ServiceRefusal(Kind::kNoModel, fmt::format("there is no adapter \"{}\"", job.asked.adapter));
    if (open_ + job.asked.samples > limits_.max_batch + limits_.queue)
      throw ServiceRefusal(
          Kind::kBusy, fmt::format("{} answers are being written or wait already; try again later", open_));
  }

  // Runs on the thread that decodes, between two steps.
  void on_thread(const std::function<void()>& task) {
    std::packaged_task<void()> packaged(task);
    std::future<void> done = packaged.get_future();
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(packaged));
    }
    wake_.notify_one();
    done.get();
  }

  // All other adapters are for the vocabulary of now.
  void keep_vocabulary(const std::string& folder) const {
    const SafetensorsFile file = open_adapter_tensors(folder);
    for (const TensorInfo& info : file.tensors()) {
      const bool whole = info.name.find("lora_") == std::string::npos &&
                         (info.name.find("embed_tokens") != std::string::npos ||
                          info.name.find("lm_head") != std::string::npos);
      if (whole && info.shape[0] != model_->config().vocab)
        user_error(
            "{}: \"{}\" is for a vocabulary of {} tokens, and the server has one of {}; name the "
            "adapter when the server starts",
            file.path(), info.name, info.shape[0], model_->config().vocab);
    }
  }

  void work() {
    while (true) {
      std::deque<std::packaged_task<void()>> tasks;
      std::deque<std::shared_ptr<Job>> incoming;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] {
          return ending_ || refusing_ || !tasks_.empty() || !incoming_.empty() || !jobs_.empty();
        });
        tasks.swap(tasks_);
        incoming.swap(incoming_);
        if (ending_ && tasks.empty() && incoming.empty() && jobs_.empty()) return;
        refusing_ = refusing_ && !(incoming.empty() && jobs_.empty());
      }
      for (auto& task : tasks) task();
      for (auto& job : incoming) begin(std::move(job));
      let_go();
      int64_t active = 0;
      for (auto& [name, lane] : lanes_) {
        step(name, lane);
        if (lane.loop != nullptr) active += lane.loop->decoding();
      }
      forget_unloaded();
      std::lock_guard lock(mutex_);
      figures_.active = active;
    }
  }

  void begin(std::shared_ptr<Job> job) {
    Lane& lane = lanes_[job->asked.adapter];
    const size_t number = ++last_number_;
    const Job& of = *job;
    jobs_.emplace(number, std::move(job));
    try {
      adapters_.use(of.asked.adapter);
      const std::string problem =
          prompt_problem(*model_, of.asked.prompt, of.asked.sampling.max_new_tokens, "");
      if (!problem.empty()) throw ServiceRefusal(Kind::kRequest, problem);
      if (lane.loop == nullptr) make_loop(lane);
      lane.loop->add(number, of.request, of.draws, of.constraint);
    } catch (const ServiceRefusal& why) {
      leave(number, why);
    } catch (const std::exception& e) {
      leave(number, failure(e));
    }
  }

  void make_loop(Lane& lane) {
    lane.options.max_batch = limits_.max_batch;
    DecodeEvents events;
    events.on_prompt = [this](size_t number, int64_t known) {
      Job& job = *jobs_.at(number);
      job.known = known;
      std::lock_guard lock(mutex_);
      figures_.prompt_tokens += static_cast<int64_t>(job.asked.prompt.size());
    };
    events.on_token = [this](size_t number, int64_t sample, const SampledToken& token) {
      std::unique_lock lock(mutex_);
      ++figures_.tokens;
      lock.unlock();
      if (std::find(end_ids_.begin(), end_ids_.end(), token.id) != end_ids_.end()) return;
      ServiceEvent event{sample, token.id};
      if (!token.ranked.empty()) {
        event.logprob = token.ranked.front();
        event.top.assign(token.ranked.begin() + 1, token.ranked.end());
      }
      jobs_.at(number)->tell(std::move(event));
    };
    events.on_completion = [this](size_t number, int64_t place, Completion&& completion) {
      const std::shared_ptr<Job> job = jobs_.at(number);
      ServiceEvent event{place};
      event.completion = std::move(completion);
      {
        std::lock_guard lock(mutex_);
        --open_;
        if (++ended_[number] == job->asked.samples) {
          ended_.erase(number);
          jobs_.erase(number);
        }
        if (open_ == 0) idle_.notify_all();
      }
      job->tell(std::move(event));
    };
    events.on_failure = [this](size_t number, std::exception_ptr why) {
      try {
        std::rethrow_exception(why);
      } catch (const std::exception& e) {
        leave(number, failure(e));
      }
    };
    lane.loop = std::make_unique<DecodeLoop>(*model_, *tokenizer_, lane.options, std::move(events));
    lane.loop->keep_prompts(limits_.kept_prompt_bytes / token_bytes());
  }

  // Of a token's keys and values.
  int64_t token_bytes() const {
    const KvShape shape = kv_shape(*model_);
    int64_t numbers = 0;
    for (const KvHeads& layer : shape.layers) numbers += layer.heads * layer.run() / kBlockTokens;
    return std::max<int64_t>(1, numbers * static_cast<int64_t>(shape.options.dtype().itemsize()));
  }

  static ServiceRefusal failure(const std::exception& e) {
    const std::string machine = machine_failure(e);
    return {Kind::kFailed, machine.empty() ? e.what() : machine};
  }

  // Requests that nobody waits for, that take too long, or that the service's end has caught.
  void let_go() {
    bool refusing = false;
    {
      std::lock_guard lock(mutex_);
      refusing = refusing_;
    }
    std::vector<size_t> numbers;
    for (const auto& [number, job] : jobs_) numbers.push_back(number);
    const auto now = Clock::now();
    for (const size_t number : numbers) {
      const Job& job = *jobs_.at(number);
      DecodeLoop& loop = *lanes_.at(job.asked.adapter).loop;
      if (job.given_up || refusing) {
        loop.drop(number);
        leave(number, {Kind::kStopping, "the server is shutting down"});
      } else if (now >= job.until) {
        loop.end(number);
      }
    }
  }

  void step(const std::string& name, Lane& lane) {
    if (lane.loop == nullptr || lane.loop->idle()) return;
    try {
      adapters_.use(name);
      lane.loop->step();
      return;
    } catch (const std::exception& e) {
      // All that shared the step.
      std::vector<size_t> numbers;
      for (const auto& [number, job] : jobs_) {
        if (job->asked.adapter == name) numbers.push_back(number);
      }
      lane.loop = nullptr;
      for (const size_t number : numbers) leave(number, failure(e));
    }
  }

  // The request is over without an answer.
  void leave(size_t number, const ServiceRefusal& why) {
    const std::shared_ptr<Job> job = jobs_.at(number);
    const bool given_up = job->given_up;
    {
      std::lock_guard lock(mutex_);
      ++(given_up ? figures_.cancelled : figures_.refused);
      open_ -= job->asked.samples - ended_[number];
      ended_.erase(number);
      jobs_.erase(number);
      if (open_ == 0) idle_.notify_all();
    }
    job->refuse(why);
  }

  // Adapters that were unloaded, once they have answered.
  void forget_unloaded() {
    std::vector<std::string> gone;
    {
      std::lock_guard lock(mutex_);
      std::set<std::string> asked;
      for (const auto& job : incoming_) asked.insert(job->asked.adapter);
      for (const auto& [name, lane] : lanes_) {
        const bool busy = asked.count(name) > 0 || (lane.loop != nullptr && !lane.loop->idle());
        if (!busy && names_.count(name) == 0) gone.push_back(name);
      }
    }
    for (const std::string& name : gone) {
      lanes_.erase(name);
      adapters_.use("");
      adapters_.remove(name);
    }
  }

  const ServiceLimits limits_;
  const std::unique_ptr<Model> model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::vector<int64_t> end_ids_;
  const int64_t context_;
  AdapterSet adapters_;

  std::mutex constraints_mutex_;
  std::optional<Constraints> constraints_;

  // Of the thread that decodes.
  std::map<std::string, Lane> lanes_;  // by adapter
  std::map<size_t, int64_t> ended_;    // samples of a request
  size_t last_number_ = 0;

  mutable std::mutex mutex_;  // of all below
  std::condition_variable wake_, idle_;
  std::map<size_t, std::shared_ptr<Job>> jobs_;  // changed and read by the thread that decodes alone
  std::deque<std::packaged_task<void()>> tasks_;
  std::deque<std::shared_ptr<Job>> incoming_;
  std::map<std::string, std::string> names_;  // adapters that may be asked, with their folders
  int64_t open_ = 0;                          // samples that have not ended
  ServiceFigures figures_;
  bool stopping_ = false, refusing_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<DecodeService> make_decode_service(std::unique_ptr<Model> model,
                                                   std::shared_ptr<const Tokenizer> tokenizer,
                                                   std::vector<int64_t> end_ids, const ServiceLimits& limits,
                                                   const std::vector<AdapterEntry>& adapters) {
  return std::make_unique<Service>(std::move(model), std::move(tokenizer), std::move(end_ids), limits,
                                   adapters);
}

}  // namespace temper
