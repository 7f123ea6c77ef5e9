// temper-serve: a model and its adapters over HTTP, as OpenAI's API has it, and a page that shows a run.
#include <CLI/CLI.hpp>
#include <chrono>
#include <thread>

#include "base/signals.h"
#include "common.h"
#include "serve/guards.h"
#include "serve/server.h"
#include "served.h"

using namespace temper;

namespace {

struct Arguments {
  ServeSettings served;
  ServerOptions server;
  std::string key_file;
  double grace_s = 10;
};

int serve(Arguments& a) {
  ServeSettings& s = a.served;
  if (s.model.path.empty() && s.run.empty()) user_error("give --model DIR, or RUN, the folder of a run");
  a.server.key = read_api_key(a.key_file);
  std::optional<LiveRun> run;
  if (!s.run.empty()) run.emplace(s.run);
  const bool any = !s.model.path.empty() || use_final(s);
  if (!any && !s.adapters.empty()) user_error("--adapter: goes with --model DIR");
  const StopSignal stop;
  const auto served = any ? open_served(s) : nullptr;
  ApiServer server(a.server, served ? &served->model : nullptr, run ? &*run : nullptr);
  server.start();
  print_text(fmt::format("temper-serve: listening on {} (models: {})\n", server.url(), server.models()));
  flush_stdout();
  while (stop.pending() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.stop(a.grace_s);
  throw Interrupted(stop.pending());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Serves a model over HTTP, as OpenAI's API has it, and shows a run while it trains.",
               "temper-serve"};
  Arguments a;
  ServeSettings& s = a.served;
  int64_t prompt_cache_mb = 512;
  app.add_option("RUN", s.run, "a run's folder: shown at /live while it trains; its final/ is served");
  add_model_options(app, s.model);
  app.add_option("--adapter", s.adapters, "an adapter folder of PEFT or Temper: [NAME=]DIR, each a model")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--template", s.choice,
                 "chat template: auto (the model's), chatml, or a .jinja file [auto]");
  app.add_option("--name", s.name, "what the model is called in requests [its folder's name]");
  app.add_option("--host", a.server.host, "the address to listen at [127.0.0.1, for this machine alone]");
  app.add_option("--port", a.server.port, "0: any that is free [8080]")->check(CLI::Range(0, 65535));
  app.add_option("--api-key-file", a.key_file,
                 "the key that requests must have, Authorization: Bearer KEY [TEMPER_API_KEY, or none]");
  app.add_option("--max-batch", s.limits.max_batch, "sequences decoded together [32]")
      ->check(CLI::Range(1, 4096));
  app.add_option("--queue", s.limits.queue, "samples that wait for a place; more are refused [256]")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--prompt-cache", prompt_cache_mb,
                 "MB of prompts' keys and values, of each model, kept for prompts that begin alike [512]")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--context", s.limits.context,
                 "tokens of prompt and completion; 0: what the model has positions for [0]")
      ->check(CLI::Range(0, 1 << 24));
  app.add_option("--max-samples", s.limits.max_samples, "the largest \"n\" of a request [16]")
      ->check(CLI::Range(1, 4096));
  app.add_option("--timeout", s.limits.request_s, "seconds after which an answer ends as it is [600]")
      ->check(CLI::Range(0.1, 1e6));
  app.add_option("--max-body", a.server.limits.max_body, "bytes of a request [8388608]")
      ->check(CLI::Range(size_t(1), size_t(1) << 32));
  app.add_option("--connections", a.server.limits.connections, "open at a time; more wait [256]")
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--grace", a.grace_s, "seconds for answers under way when the server is stopped [10]")
      ->check(CLI::Range(0.0, 1e5));
  app.add_option("--threads", s.threads, "0: all cores [0]")->check(CLI::Range(0, 4096));
  app.add_flag("--log-requests", a.server.log_requests, "a line a request: never its contents");
  return run_app(app, argc, argv, [&] {
    s.limits.kept_prompt_bytes = prompt_cache_mb << 20;
    return serve(a);
  });
}
