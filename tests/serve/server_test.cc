// The server over real sockets: its routes, and clients that do what none should.
#include "serve/server.h"

#include <sys/resource.h>

#include <thread>

#include "raw_client.h"
#include "served_fake.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

struct Running {
  explicit Running(ServerOptions options = {}, const LiveRun* run = nullptr) {
    options.port = 0;
    server.emplace(options, &fake.model, run);
    server->start();
    const std::string url = server->url();
    port = std::stoi(url.substr(url.rfind(':') + 1));
  }
  ~Running() { server->stop(0); }
  HttpAnswered get(const std::string& path, const std::string& headers = "") const {
    return ask(port, "GET", path, "", headers);
  }
  HttpAnswered post(const std::string& path, const Json& body, const std::string& headers = "") const {
    return ask(port, "POST", path, dump_line(body), headers);
  }
  // Waits until it is so.
  static bool comes(const std::function<bool()>& so) {
    for (int i = 0; i < 2000 && !so(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return so();
  }
  ServedFake fake;
  std::optional<ApiServer> server;
  int port = 0;
};

Json chat(bool stream = false) {
  return {{"messages", user_says("hi")}, {"stream", stream}};
}

}  // namespace

TEST_CASE("server: its routes") {
  Running r;
  CHECK(r.get("/health").json()["status"] == "ok");
  CHECK(r.get("/").status == 200);
  CHECK(r.get("/").head.find("default-src 'none'") != std::string::npos);
  CHECK(r.get("/live").status == 200);
  CHECK(r.get("/pages/none.js").status == 404);
  CHECK(r.get("/pages/../server.h").status == 404);
  CHECK(r.get("/v1/models").json()["data"][0]["id"] == "base");
  CHECK(r.get("/v1/models/base").json()["id"] == "base");
  CHECK(r.get("/v1/models/other").status == 404);
  CHECK(r.get("/metrics").body.find("temper_requests_total 0") != std::string::npos);
  const HttpAnswered answer = r.post("/v1/chat/completions", chat());
  CHECK(answer.status == 200);
  CHECK(answer.json()["choices"][0]["message"]["content"] == "answer 0");
  CHECK(r.post("/v1/completions", {{"prompt", "a"}}).json()["choices"][0]["text"] == "answer 0");
  const std::string streamed = r.post("/v1/chat/completions", chat(true)).body;
  CHECK(streamed.find("data: [DONE]\n\n") != std::string::npos);
  CHECK(r.get("/nowhere").status == 404);
  CHECK(r.get("/v1/chat/completions").status == 405);
  CHECK(ask(r.port, "DELETE", "/v1/models").status == 405);
  CHECK(ask(r.port, "HEAD", "/health").body.empty());
  CHECK(r.get("/run/state").status == 404);
}

TEST_CASE("server: adapters come and go") {
  Running r;
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "a"}, {"lora_path", "folder"}}).status == 200);
  CHECK(r.get("/v1/models").json()["data"][1]["id"] == "a");
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "a"}, {"lora_path", "folder"}}).status == 400);
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "base"}, {"lora_path", "folder"}}).status == 400);
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "b"}, {"lora_path", "broken"}}).status == 400);
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "b"}}).status == 400);
  CHECK(r.post("/v1/unload_lora_adapter", {{"lora_name", "a"}}).status == 200);
  CHECK(r.post("/v1/unload_lora_adapter", {{"lora_name", "a"}}).status == 404);
}

TEST_CASE("server: what is wrong is answered in OpenAI's form") {
  Running r;
  const auto post = [&](const std::string& body) {
    return ask(r.port, "POST", "/v1/chat/completions", body);
  };
  for (const char* body :
       {"", "{", "[1]", "{\"messages\": []}", "nonsense", "{\"a\": 1, \"a\": 2}", "\xff\xfe"}) {
    CAPTURE(body);
    const HttpAnswered answer = post(body);
    CHECK(answer.status == 400);
    CHECK(answer.json()["error"]["type"] == "invalid_request_error");
  }
  CHECK(post(std::string(5000, '[')).status == 400);  // nested too deeply
  Json unknown = chat();
  unknown["model"] = "other";
  CHECK(r.post("/v1/chat/completions", unknown).json()["error"]["code"] == "model_not_found");
  r.fake.service.busy = true;
  const HttpAnswered busy = r.post("/v1/chat/completions", chat());
  CHECK(busy.status == 429);
  CHECK(busy.head.find("Retry-After: 1") != std::string::npos);
  r.fake.service.busy = false;
  r.fake.service.broken = true;
  const HttpAnswered broken = r.post("/v1/chat/completions", chat());
  CHECK(broken.status == 500);
  CHECK(broken.body.find("secret") == std::string::npos);
  r.fake.service.broken = false;
  CHECK(r.post("/v1/chat/completions", chat()).status == 200);
}

TEST_CASE("server: keys") {
  ServerOptions options;
  options.key = "the-key";
  Running r(options);
  CHECK(r.get("/").status == 200);
  CHECK(r.get("/live").status == 200);
  CHECK(r.get("/health").status == 200);
  for (const char* path : {"/v1/models", "/metrics", "/run/state", "/v1/none"}) {
    CAPTURE(path);
    CHECK(r.get(path).status == 401);
    CHECK(r.get(path, "Authorization: Bearer the-ke\r\n").status == 401);
    CHECK(r.get(path, "Authorization: Bearer the-key2\r\n").status == 401);
    CHECK(r.get(path, "Authorization: Basic the-key\r\n").status == 401);
    CHECK(r.get(path, "Authorization: Bearer the-key\r\n").status != 401);
  }
  CHECK(r.post("/v1/load_lora_adapter", {{"lora_name", "a"}, {"lora_path", "folder"}}).status == 401);
  // With a key a page of another place may ask: it has to know the key.
  CHECK(r.get("/v1/models", "Authorization: Bearer the-key\r\nOrigin: http://other.org\r\n").status == 200);
  ServerOptions open;
  open.host = "0.0.0.0";
  ServedFake fake;
  CHECK(has(problem([&] { ApiServer(open, &fake.model, nullptr); }), "--api-key-file"));
}

TEST_CASE("server: without a key, pages of other places are not let in") {
  Running r;
  const auto host = [&](const std::string& name, const std::string& more = "") {
    RawClient client(r.port);
    client.send("GET /v1/models HTTP/1.1\r\nHost: " + name + "\r\nConnection: close\r\n" + more + "\r\n");
    return parsed(client.receive()).status;
  };
  for (const char* name :
       {"127.0.0.1", "127.0.0.1:8080", "localhost", "LocalHost:80", "[::1]:8080", "10.0.0.1"})
    CHECK(host(name) == 200);
  for (const char* name :
       {"evil.org", "evil.org:8080", "127.0.0.1.evil.org", "localhost.evil.org", "[", ""}) {
    CAPTURE(name);
    CHECK(host(name) == (*name == '\0' ? 200 : 403));
  }
  CHECK(host("127.0.0.1:5", "Origin: http://127.0.0.1:5\r\n") == 200);
  CHECK(host("127.0.0.1:5", "Origin: http://127.0.0.1:6\r\n") == 403);
  CHECK(host("127.0.0.1:5", "Origin: http://evil.org\r\n") == 403);
  CHECK(host("127.0.0.1:5", "Origin: null\r\n") == 403);
  CHECK(r.get("/v1/models").head.find("Access-Control") == std::string::npos);
}

TEST_CASE("server: bodies have a bound, however they come") {
  ServerOptions options;
  options.limits.max_body = 10000;
  Running r(options);
  const std::string large(20000, 'x');
  CHECK(ask(r.port, "POST", "/v1/completions", large).status == 413);
  {
    RawClient client(r.port);  // it says so and sends nothing
    client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n");
    CHECK(parsed(client.receive()).status == 413);
    CHECK(client.closed());
  }
  {
    RawClient client(r.port);
    client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 30 && client.send("400\r\n" + std::string(1024, 'x') + "\r\n"); ++i) {
    }
    CHECK(parsed(client.receive()).status == 413);
  }
  {
    RawClient client(r.port);  // in chunks, and small
    const std::string body = R"({"prompt": "a"})";
    client.send(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: "
        "chunked\r\n\r\n");
    client.send(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body));
    CHECK(parsed(client.receive()).status == 200);
  }
  {
    RawClient client(r.port);  // two ways to say how long it is
    client.send(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n");
    CHECK(parsed(client.receive()).status == 400);
  }
  {
    RawClient client(r.port);  // a head without an end
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 200 && client.send("X-" + std::to_string(i) + ": " + std::string(1000, 'a') + "\r\n");
         ++i) {
    }
    const int status = parsed(client.receive()).status;
    CHECK((status == 400 || status == 0));
    CHECK(client.closed());
  }
  {
    RawClient client(r.port);
    client.send("nonsense\r\n\r\n");
    CHECK(parsed(client.receive()).status == 400);
  }
  CHECK(r.get("/health").status == 200);
}

TEST_CASE("server: half a request is not waited for") {
  ServerOptions options;
  options.limits.read_s = 0.3;
  Running r(options);
  RawClient head(r.port), body(r.port), nothing(r.port), drops(r.port);
  head.send("POST /v1/comp");
  body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"prompt\"");
  const auto dripping = [&] {  // a byte at a time does not make it longer
    for (int i = 0; i < 100 && drops.send("G"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  dripping();
  head.receive(), nothing.receive(), drops.receive();
  CHECK(head.closed());
  CHECK(nothing.closed());
  CHECK(parsed(body.receive()).status == 408);
  CHECK(r.get("/health").status == 200);
}

TEST_CASE("server: a client that goes away cancels, streamed or not") {
  Running r;
  r.fake.service.pace = std::chrono::milliseconds(20);
  r.fake.service.says = [](const ServiceRequest&, int64_t) { return std::string(1000, 'x'); };
  for (const bool stream : {true, false}) {
    CAPTURE(stream);
    const int64_t before = r.fake.service.cancelled;
    {
      RawClient client(r.port);
      client.send(http_request("POST", "/v1/chat/completions", dump_line(chat(stream))));
      if (stream) CHECK(client.receive("\"x\"").find("\"x\"") != std::string::npos);
      REQUIRE(Running::comes([&] { return r.fake.service.under_way == 1; }));
    }
    CHECK(Running::comes(
        [&] { return r.fake.service.cancelled == before + 1 && r.fake.service.under_way == 0; }));
  }
}

TEST_CASE("server: who does not read is not waited for") {
  ServerOptions options;
  options.limits.write_s = 0.3;
  Running r(options);
  r.fake.service.says = [](const ServiceRequest&, int64_t) { return std::string(60000, 'x'); };
  r.fake.service.tokens_context = 100000;
  RawClient client(r.port, 4096);
  client.send(http_request("POST", "/v1/chat/completions", dump_line(chat(true))));
  CHECK(Running::comes([&] { return r.fake.service.cancelled == 1; }));
  CHECK(r.get("/health").status == 200);
}

TEST_CASE("server: a connection is kept for the next request") {
  Running r;
  RawClient client(r.port);
  const std::string request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (int i = 0; i < 20; ++i) client.send(request);
  client.send(http_request("GET", "/health"));
  const std::string all = client.receive();
  size_t answers = 0;
  for (size_t at = all.find("HTTP/1.1 200"); at != std::string::npos; at = all.find("HTTP/1.1 200", at + 1))
    ++answers;
  CHECK(answers == 21);
}

TEST_CASE("server: HTTP/1.0 knows no chunks") {
  Running r;
  RawClient client(r.port);
  const std::string body = dump_line(chat(true));
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  const HttpAnswered answer = parsed(client.receive());
  CHECK(client.closed());
  CHECK(answer.body.starts_with("data: {"));
  CHECK(answer.body.ends_with("}\n\ndata: [DONE]\n\n"));
}

TEST_CASE("server: who waits to be told to send a body is told, unless it is refused") {
  ServerOptions options;
  options.limits.max_body = 10000;
  Running r(options);
  const std::string body = dump_line(chat());
  RawClient client(r.port);
  const std::string head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
      "Expect: 100-continue\r\nContent-Length: ";
  client.send(head + std::to_string(body.size()) + "\r\n\r\n");
  CHECK(parsed(client.receive("\r\n\r\n")).status == 100);
  client.send(body);
  CHECK(client.receive().find("HTTP/1.1 200") != std::string::npos);
  RawClient large(r.port);
  large.send(head + "20000\r\n\r\n");
  CHECK(parsed(large.receive()).status == 413);
}

TEST_CASE("server: a thousand connections at a time") {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &files);
  ServerOptions options;
  options.limits.connections = 64;
  Running r(options);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<RawClient>(r.port));
  // The first that say nothing make room for those that do.
  for (size_t i = 200; i < clients.size(); ++i)
    clients[i]->send(http_request("POST", "/v1/chat/completions", dump_line(chat())));
  size_t answered = 0;
  for (size_t i = 200; i < clients.size(); ++i) answered += parsed(clients[i]->receive("", 60)).status == 200;
  CHECK(answered == 800);
  CHECK(r.fake.service.asked_for == 800);
}

TEST_CASE("server: when it is stopped, what is under way is answered and nothing new") {
  ServedFake fake;
  fake.service.pace = std::chrono::milliseconds(25);
  fake.service.says = [](const ServiceRequest&, int64_t) { return std::string(40, 'x'); };
  ServerOptions options;
  options.port = 0;
  std::optional<ApiServer> server(std::in_place, options, &fake.model, nullptr);
  server->start();
  const int port = std::stoi(server->url().substr(server->url().rfind(':') + 1));
  RawClient whole(port), streamed(port), idle(port), late(port);
  whole.send(http_request("POST", "/v1/chat/completions", dump_line(chat())));
  streamed.send(http_request("POST", "/v1/chat/completions", dump_line(chat(true))));
  REQUIRE(Running::comes([&] { return fake.service.under_way == 2; }));
  std::thread stopping([&] { server->stop(10); });
  REQUIRE(Running::comes([&] {
    try {
      return ask(port, "GET", "/health").status == 503;
    } catch (const std::runtime_error&) {  // nobody listens any more
      return true;
    }
  }));
  late.send(http_request("POST", "/v1/chat/completions", dump_line(chat())));
  CHECK(parsed(whole.receive()).json()["choices"][0]["message"]["content"] == std::string(40, 'x'));
  CHECK(streamed.receive().find("[DONE]") != std::string::npos);
  const int refused = parsed(late.receive()).status;
  CHECK((refused == 503 || refused == 0));
  stopping.join();
  CHECK_THROWS(RawClient(port));

  // What does not end in time is refused.
  ServedFake slow;
  slow.service.pace = std::chrono::milliseconds(50);
  slow.service.says = [](const ServiceRequest&, int64_t) { return std::string(4000, 'x'); };
  server.emplace(options, &slow.model, nullptr);
  server->start();
  const int other = std::stoi(server->url().substr(server->url().rfind(':') + 1));
  RawClient client(other);
  client.send(http_request("POST", "/v1/chat/completions", dump_line(chat())));
  REQUIRE(Running::comes([&] { return slow.service.under_way == 1; }));
  server->stop(0.2);
  CHECK(parsed(client.receive()).status == 503);
}

TEST_CASE("server: a port is one server's") {
  Running r;
  ServerOptions options;
  options.port = r.port;
  ServedFake fake;
  CHECK(has(problem([&] { ApiServer(options, &fake.model, nullptr); }), "another program"));
  options.host = "no.such.host.invalid";
  CHECK(has(problem([&] { ApiServer(options, &fake.model, nullptr); }), "--host no.such.host.invalid"));
}
