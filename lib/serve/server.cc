#include "serve/server.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "serve/api_error.h"
#include "serve/guards.h"
#include "serve/pages.h"
#include "serve/request_reader.h"

namespace temper {
namespace {

constexpr const char* kHtml = "text/html; charset=utf-8";

Json parse_body(const HttpRequest& request) {
  try {
    return parse_json(request.body, "the request");
  } catch (const UserError& e) {
    throw bad_request("", e.what());
  }
}

HttpReply json_reply(const Json& json) {
  HttpReply out;
  out.body = dump_line(json) + "\n";
  return out;
}

// Nothing from elsewhere is loaded or run, and nobody frames it.
HttpReply page(const std::string& name) {
  const std::string_view bytes = page_file(name);
  if (bytes.empty()) throw not_found("there is no such page");
  const char* type = name.ends_with(".js")    ? "text/javascript; charset=utf-8"
                     : name.ends_with(".css") ? "text/css; charset=utf-8"
                                              : kHtml;
  return {200,
          type,
          std::string(bytes),
          {{"Content-Security-Policy",
            "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
           {"Cache-Control", "no-cache"}}};
}

HttpReply text_reply(std::string text) {
  return {200, "text/plain; charset=utf-8", std::move(text)};
}

uint64_t whole_number(const std::string& text, const char* param) {
  if (text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos)
    throw bad_request(param, "expected a whole number");
  return text.empty() ? 0 : std::stoull(text);
}

}  // namespace

ApiServer::ApiServer(const ServerOptions& options, const ServedModel* model, const LiveRun* run)
    : options_(options), model_(model), run_(run) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  created_s_ = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  HttpServer::Hooks hooks;
  hooks.admit = [this](const HttpRequest& request) {
    const std::string& path = request.path;
    const bool open = path == "/" || path == "/live" || path == "/health" || path.starts_with("/pages/");
    admit({options_.key, http_->loopback()}, request, open);
  };
  if (options_.log_requests) {
    hooks.log = [](const HttpRequest& request, int status, int64_t tokens, double seconds) {
      log_info("{} {} {} {} tokens {:.3f} s", request.method, printable(request.path), status, tokens,
               seconds);
    };
  }
  http_ = std::make_unique<HttpServer>(options_.host, options_.port, options_.limits, std::move(hooks));
  if (!http_->loopback() && options_.key.empty())
    user_error(
        "--host {}: other machines could use the model; give a key for them to know, --api-key-file FILE or "
        "the environment's TEMPER_API_KEY, or leave --host out",
        options_.host);
  http_->on("GET", "/", [this](const HttpRequest&) { return page(model_ ? "chat.html" : "live.html"); });
  http_->on("GET", "/live", [](const HttpRequest&) { return page("live.html"); });
  http_->on("GET", "/pages/*", [](const HttpRequest& request) {
    return page(request.path.substr(std::string("/pages/").size()));
  });
  http_->on("GET", "/health", [](const HttpRequest&) { return json_reply({{"status", "ok"}}); });
  add_model_routes();
  add_run_routes();
}

void ApiServer::add_model_routes() {
  if (model_ == nullptr) {
    const auto none = [](const HttpRequest&) -> HttpReply {
      throw unavailable("no model: the run has no final/ yet, and temper-serve was started without --model",
                        "no_model");
    };
    for (const char* method : {"GET", "POST"}) http_->on(method, "/v1/*", none);
    return;
  }
  answerer_ = std::make_unique<Answerer>(*model_);
  http_->on("POST", "/v1/chat/completions", [this](const HttpRequest& request) {
    return answered(answerer_->chat(parse_body(request)), request);
  });
  http_->on("POST", "/v1/completions", [this](const HttpRequest& request) {
    return answered(answerer_->completion(parse_body(request)), request);
  });
  http_->on("GET", "/v1/models",
            [this](const HttpRequest&) { return json_reply(models_json(answerer_->models(), created_s_)); });
  http_->on("GET", "/v1/models/*", [this](const HttpRequest& request) {
    const std::string name = request.path.substr(std::string("/v1/models/").size());
    for (const ModelEntry& model : answerer_->models())
      if (model.name == name) return json_reply(model_json(model, created_s_));
    throw not_found("there is no such model; there are: " + models(), "model_not_found");
  });
  http_->on("POST", "/v1/load_lora_adapter", [this](const HttpRequest& r) { return load_adapter(r); });
  http_->on("POST", "/v1/unload_lora_adapter", [this](const HttpRequest& r) { return unload_adapter(r); });
  http_->on("GET", "/metrics", [this](const HttpRequest&) {
    HttpReply out = text_reply(metrics_text(model_->service->figures()));
    out.type = "text/plain; version=0.0.4; charset=utf-8";
    return out;
  });
}

void ApiServer::add_run_routes() {
  if (run_ == nullptr) {
    const auto none = [](const HttpRequest&) -> HttpReply {
      throw not_found("no run: temper-serve was started without a run's folder", "no_run");
    };
    for (const char* method : {"GET", "POST"}) http_->on(method, "/run/*", none);
    return;
  }
  http_->on("GET", "/run/state", [this](const HttpRequest&) { return json_reply(run_->state()); });
  http_->on("GET", "/run/metrics", [this](const HttpRequest& request) {
    const auto from = request.params.find("from");
    HttpReply out =
        text_reply(run_->metrics(from == request.params.end() ? 0 : whole_number(from->second, "from")));
    out.type = "application/x-ndjson";
    return out;
  });
  http_->on("GET", "/run/samples", [this](const HttpRequest& request) {
    const auto last = request.params.find("last");
    const uint64_t count = last == request.params.end() ? 20 : whole_number(last->second, "last");
    return json_reply({{"samples", run_->samples(std::min<uint64_t>(count, 200))}});
  });
  http_->on("GET", "/run/report", [this](const HttpRequest&) {
    return HttpReply{200, kHtml, run_->report()};
  });
  http_->on("GET", "/run/events", [this](const HttpRequest& request) {
    HttpReply out{200, "text/event-stream"};
    out.stream = [this, last = request.header("last-event-id"), gone = request.gone](const auto& write) {
      run_->events(
          last, [&] { return http_->stopping() || gone(); }, write);
    };
    return out;
  });
  http_->on("POST", "/run/stop", [this](const HttpRequest& request) {
    demand_trust(request);
    run_->ask_to_stop();
    return json_reply(run_->state());
  });
}

HttpReply ApiServer::answered(std::unique_ptr<Reply> reply, const HttpRequest& request) const {
  const std::shared_ptr<Reply> shared = std::move(reply);
  HttpReply out;
  out.tokens = [shared] { return shared->tokens(); };
  if (shared->streams()) {
    out.type = "text/event-stream";
    out.stream = [shared, gone = request.gone](const HttpReply::Write& write) {
      shared->stream(gone, write);
    };
    return out;
  }
  const Json whole = shared->whole(request.gone);
  out.body = whole.is_null() ? "" : dump_line(whole) + "\n";  // null: nobody reads it
  if (whole.is_null()) out.status = 499;
  return out;
}

// Adapters name this machine's folders, and a stopped run does not start again by itself.
void ApiServer::demand_trust(const HttpRequest& request) const {
  if (options_.key.empty() && !is_loopback(request.remote))
    throw forbidden("this is asked for with an API key, or from this machine");
}

HttpReply ApiServer::load_adapter(const HttpRequest& request) const {
  demand_trust(request);
  const Json body = parse_body(request);
  RequestReader reader(body, "");
  reader.demand("lora_name", "a name");
  reader.demand("lora_path", "a folder");
  const std::string name = *reader.text("lora_name"), folder = *reader.text("lora_path");
  reader.demand_value("load_inplace", false, "an adapter is unloaded before another takes its name");
  reader.finish();
  if (name.empty() || name == model_->name)
    throw bad_request("lora_name", name.empty() ? "expected a name" : "the base model is called so");
  model_->service->load_adapter(name, folder);
  log_info("adapter {} loaded", printable(name));
  return text_reply(fmt::format("Success: LoRA adapter '{}' added successfully.\n", name));
}

HttpReply ApiServer::unload_adapter(const HttpRequest& request) const {
  demand_trust(request);
  const Json body = parse_body(request);
  RequestReader reader(body, "");
  reader.demand("lora_name", "a name");
  const std::string name = *reader.text("lora_name");
  reader.ignore("lora_int_id");
  reader.finish();
  if (!model_->service->unload_adapter(name))
    throw not_found(fmt::format("lora_name: there is no adapter called {}; there are: {}",
                                shown_value(Json(name)), models()),
                    "model_not_found");
  log_info("adapter {} unloaded", printable(name));
  return text_reply(fmt::format("Success: LoRA adapter '{}' removed successfully.\n", name));
}

void ApiServer::start() {
  http_->start();
}

void ApiServer::stop(double grace_s) {
  http_->refuse();
  if (model_ != nullptr)
    model_->service->stop(std::chrono::milliseconds(static_cast<int64_t>(1000 * grace_s)));
  // What has been answered or refused is still to be read.
  http_->stop(2);
}

std::string ApiServer::url() const {
  const bool v6 = options_.host.find(':') != std::string::npos;
  return fmt::format("http://{}:{}/", v6 ? "[" + options_.host + "]" : options_.host, http_->port());
}

std::string ApiServer::models() const {
  if (answerer_ == nullptr) return "none";
  std::vector<std::string> names;
  for (const ModelEntry& model : answerer_->models()) names.push_back(model.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace temper
