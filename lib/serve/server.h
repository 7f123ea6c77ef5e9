// The server's routes: OpenAI's, adapters that come and go, figures, pages, and a run to watch.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serve/answer.h"
#include "serve/http_server.h"
#include "serve/live_run.h"

namespace temper {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;  // 0: any that is free
  std::string key;  // of the API; "": none, on loopback alone
  HttpLimits limits;
  bool log_requests = false;
};

class ApiServer {
 public:
  // model, run: null: there is none. Both outlive this. Throws UserError: it cannot listen there, or it would
  // be open to other machines without a key.
  ApiServer(const ServerOptions& options, const ServedModel* model, const LiveRun* run);
  // Listens from here on.
  void start();
  // No new requests; those under way are answered for so long, then refused.
  void stop(double grace_s);
  std::string url() const;  // "http://127.0.0.1:8080/"
  // What is served, for the line that says so: "base, a, b".
  std::string models() const;

 private:
  void add_model_routes();
  void add_run_routes();
  HttpReply answered(std::unique_ptr<Reply> reply, const HttpRequest& request) const;
  HttpReply load_adapter(const HttpRequest& request) const;
  HttpReply unload_adapter(const HttpRequest& request) const;
  void demand_trust(const HttpRequest& request) const;

  ServerOptions options_;
  const ServedModel* model_;
  const LiveRun* run_;
  int64_t created_s_;
  std::unique_ptr<Answerer> answerer_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace temper
