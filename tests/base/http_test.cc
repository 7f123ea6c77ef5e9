#include "base/http.h"

#include <fcntl.h>
#include <signal.h>

#include <future>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"
#include "wire_server.h"

using namespace temper;

namespace {

using Cause = HttpAnswer::Cause;
using Peer = WireServer::Peer;

HttpOptions options(const std::string& url, int64_t retries = 0) {
  HttpOptions o;
  o.url = url;
  o.timeout_s = 10;
  o.retries = retries;
  o.backoff_s = 0.02;
  return o;
}

HttpAnswer post(const HttpOptions& o, const std::string& body = "{}") {
  return HttpClient(o, "test").post(body);
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

auto now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

TEST_CASE("http: a request and its answer") {
  std::string head, body;
  const WireServer server([&](const Peer& peer) {
    head = peer.head, body = peer.body;
    peer.answer(200, "{\"a\": 1}");
  });
  ::setenv("WIRE_TEST_KEY", "s3cret value", 1);
  HttpOptions o = options(server.url("/a%20b?c=d#e"));
  o.headers = {{"Authorization", "Bearer ${WIRE_TEST_KEY}"}, {"X-Two", "${WIRE_TEST_KEY}-${WIRE_TEST_KEY}"}};
  const std::string large(3 << 20, 'x');
  const HttpAnswer answer = post(o, large);
  CHECK(answer.ok());
  CHECK(answer.status == 200);
  CHECK(answer.body == "{\"a\": 1}");
  CHECK(answer.attempts == 1);
  CHECK(answer.why == "");
  CHECK(body == large);
  CHECK(head.starts_with("POST /a%20b?c=d HTTP/1.1\r\n"));
  CHECK(has(head, "\r\nContent-Type: application/json\r\n"));
  CHECK(has(head, "\r\nAuthorization: Bearer s3cret value\r\n"));
  CHECK(has(head, "\r\nX-Two: s3cret value-s3cret value\r\n"));
  CHECK(has(head, "\r\nHost: 127.0.0.1:" + std::to_string(server.port()) + "\r\n"));
  // Chunks, no length, and a status that is one of success.
  for (const char* text :
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n3\r\na\":\r\n3\r\n 1}"
        "\r\n0\r\n\r\n",
        "HTTP/1.0 201 OK\r\n\r\n{\"a\": 1}"}) {
    const WireServer other([&](const Peer& peer) { peer.write(text); });
    const HttpAnswer same = post(options(other.url()));
    CHECK(same.ok());
    CHECK(same.body == "{\"a\": 1}");
  }
}

TEST_CASE("http: values from the environment are told to nobody") {
  ::setenv("WIRE_TEST_KEY", "s3cret", 1);
  const WireServer server(
      [](const Peer& peer) { peer.answer(400, "bad key: " + peer.header("Authorization")); });
  HttpOptions o = options(server.url("/p?key=inquery"));
  o.headers = {{"Authorization", "Bearer ${WIRE_TEST_KEY}"}};
  const HttpAnswer answer = post(o);
  CHECK(answer.why == server.url("/p") + ": answered with status 400: bad key: Bearer ${WIRE_TEST_KEY}");
  CHECK(dump_line(dump_fields(o)).find("s3cret") == std::string::npos);

  const auto refused = [](const std::string& value) {
    HttpOptions bad = options("http://h/");
    bad.headers = {{"X-Key", value}};
    return problem([&] { HttpClient(bad, "rewards.0"); });
  };
  ::unsetenv("WIRE_TEST_NONE");
  CHECK(refused("a ${WIRE_TEST_NONE}") ==
        "rewards.0.headers.X-Key: the environment has no WIRE_TEST_NONE; set it before the start: export "
        "WIRE_TEST_NONE=...");
  CHECK(has(refused("${WIRE_TEST_KEY"), "\"${\" is not closed"));
  CHECK(has(refused("${}"), "variable without a name"));
  ::setenv("WIRE_TEST_KEY", "s3cret\r\nX-Other: 1", 1);
  const std::string lines = refused("${WIRE_TEST_KEY}");
  CHECK(has(lines, "WIRE_TEST_KEY in the environment holds a line end"));
  CHECK_FALSE(has(lines, "s3cret"));
}

TEST_CASE("http: what is wrong with the options") {
  const auto told = [](const HttpOptions& o) {
    std::vector<std::string> problems;
    o.check(problems, "rewards.0");
    return problems.empty() ? std::string() : problems.front();
  };
  CHECK(told(options("http://h:80/x")) == "");
  CHECK(has(told(options("ftp://h/")), "rewards.0.url: expected http://host:port/path"));
  CHECK(has(told(options("http://")), "no host"));
  CHECK(has(told(options("http://h:0/")), "a port from 1 to 65535"));
  CHECK(has(told(options("http://h:80x/")), "a port from 1 to 65535"));
  CHECK(has(told(options("http://[::1/")), "bracket"));
  CHECK(has(told(options("http://u:p@h/")), "holds a name and password"));
  CHECK_FALSE(has(told(options("http://u:p@h/")), "u:p"));
  CHECK(has(told(options("http://h/a b")), "no spaces"));
  const auto header = [&](const std::string& name, const Json& value) {
    HttpOptions o = options("http://h/");
    o.headers = {{name, value}};
    return told(o);
  };
  CHECK(header("X-A", "plain") == "");
  CHECK(has(header("X A", "x"), "no header can have this name"));
  CHECK(has(header("Content-Length", "1"), "written by Temper"));
  CHECK(has(header("X-A", 1), "expected a text"));
  CHECK(has(header("authorization", "Bearer sk-123"), "write ${NAME} here"));
  CHECK_FALSE(has(header("authorization", "Bearer sk-123"), "sk-123"));
  HttpOptions o = options("https://h/");
  o.ca_file = "/no/such.pem";
  CHECK(problem([&] { HttpClient(o, "r"); }) == "r.ca_file: /no/such.pem: there is no such file");
  TempFolder folder;
  o.ca_file = folder.write("ca.pem", "nothing");
  CHECK(has(problem([&] { HttpClient(o, "r"); }), "holds no certificates in PEM"));

  const HttpUrl six = parse_http_url("https://[2001:db8::1]:8443?q", "u");
  CHECK(six.host == "2001:db8::1");
  CHECK(six.port == 8443);
  CHECK(six.tls);
  CHECK(six.target == "/?q");
  CHECK(six.shown() == "https://[2001:db8::1]:8443/");
  CHECK(parse_http_url("https://h", "u").port == 443);
}

TEST_CASE("http: nothing that a server does holds a call for longer than its time") {
  const auto check = [](const WireServer& server, Cause cause, const std::string& why) {
    HttpOptions o = options(server.url());
    o.timeout_s = 0.4;
    const auto start = now();
    const HttpAnswer answer = post(o, std::string(1 << 20, 'x'));
    CAPTURE(answer.why);
    CHECK(answer.cause == cause);
    CHECK(has(answer.why, why));
    CHECK(since(start) < 20);
  };
  SUBCASE("it says nothing") {
    check(WireServer([](const Peer& peer) { peer.sleep(60); }), Cause::kTimeout, "no whole answer in 0.4 s");
  }
  SUBCASE("it reads nothing") {
    check(WireServer([](int) { std::this_thread::sleep_for(std::chrono::milliseconds(1500)); }),
          Cause::kTimeout, "no whole answer in 0.4 s");
  }
  SUBCASE("its body comes byte by byte") {
    check(WireServer([](const Peer& peer) {
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while (peer.write("x") && peer.sleep(0.03)) {
            }
          }),
          Cause::kTimeout, "no whole answer in 0.4 s");
  }
  SUBCASE("its headers come byte by byte") {
    check(WireServer([](const Peer& peer) {
            peer.write("HTTP/1.1 200 OK\r\nX: ");
            while (peer.write("x") && peer.sleep(0.03)) {
            }
          }),
          Cause::kTimeout, "no whole answer in 0.4 s");
  }
  SUBCASE("nothing for a while, with a time-out for that") {
    const WireServer server([](const Peer& peer) {
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
      peer.sleep(60);
    });
    HttpOptions o = options(server.url());
    o.timeout_s = 120;
    o.read_timeout_s = 0.2;
    const auto start = now();
    const HttpAnswer answer = post(o);
    CHECK(answer.cause == Cause::kTimeout);
    CHECK(has(answer.why, "nothing came for 0.2 s (read_timeout_s)"));
    CHECK(since(start) < 20);
  }
}

TEST_CASE("http: an answer that is too long is none") {
  const std::string block(1 << 16, 'x');
  const auto flood = [&](const std::string& head) {
    return [&block, head](const Peer& peer) {
      peer.write(head);
      while (peer.write(block)) {
      }
    };
  };
  for (const char* head : {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nX-Endless: ",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000000000\r\n"}) {
    const WireServer server(flood(head));
    HttpOptions o = options(server.url());
    o.max_answer_bytes = 1 << 20;
    o.timeout_s = 60;
    const HttpAnswer answer = post(o);
    CAPTURE(head);
    CHECK(answer.cause == Cause::kTooLong);
    CHECK(has(answer.why, "more than 1048576 bytes (max_answer_bytes)"));
    CHECK(answer.body.size() <= 1 << 20);
  }
  // Just as long as it may be.
  const WireServer exact([](const Peer& peer) { peer.answer(200, std::string(1 << 20, 'y')); });
  HttpOptions o = options(exact.url());
  o.max_answer_bytes = 1 << 20;
  CHECK(post(o).body == std::string(1 << 20, 'y'));
  o.max_answer_bytes -= 1;
  CHECK(post(o).cause == Cause::kTooLong);
}

TEST_CASE("http: connections that fail or break are tried again") {
  int port = 0;
  {
    const WireServer gone([](const Peer&) {});
    port = gone.port();
  }
  const std::string url = "http://127.0.0.1:" + std::to_string(port) + "/x";
  const HttpAnswer none = post(options(url, 2));
  CHECK(none.cause == Cause::kConnection);
  CHECK(none.attempts == 3);
  CHECK(has(none.why, url + ": no connection; is the server running"));

  for (const char* part : {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
                           "\x80\xff\n\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const WireServer server([&](const Peer& peer) { peer.write(part); });
    const HttpAnswer answer = post(options(server.url(), 1));
    CAPTURE(part);
    CHECK(answer.cause == Cause::kConnection);
    CHECK(has(answer.why, "the connection ended before the answer was whole"));
    CHECK(answer.attempts == 2);
    CHECK(server.requests() == 2);
  }
  // It comes up meanwhile.
  auto later = std::async(std::launch::async, [&] {
    HttpOptions o = options(url, 8);
    o.backoff_s = 0.1;
    return post(o);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const WireServer back([](const Peer& peer) { peer.answer(200, "here"); }, port);
  const HttpAnswer answer = later.get();
  CHECK(answer.body == "here");
  CHECK(answer.attempts > 1);
}

TEST_CASE("http: which answers are tried again") {
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    std::atomic<int> count = 0;
    const WireServer server([&](const Peer& peer) { peer.answer(++count <= 2 ? status : 200, "text"); });
    const HttpAnswer answer = post(options(server.url(), 2));
    CHECK(answer.ok());
    CHECK(answer.attempts == 3);
    count = 0;
    const HttpAnswer less = post(options(server.url(), 1));
    CHECK(less.cause == Cause::kAnswered);
    CHECK(less.status == status);
    CHECK(less.why == fmt::format("{}: answered with status {}: text", server.url(), status));
  }
  for (const int status : {400, 401, 403, 404, 405, 409, 413, 422, 501}) {
    const WireServer server([&](const Peer& peer) { peer.answer(status, ""); });
    const HttpAnswer answer = post(options(server.url(), 5));
    CHECK(answer.status == status);
    CHECK(answer.attempts == 1);
  }
}

TEST_CASE("http: no redirect is followed") {
  std::atomic<int> followed = 0;
  const WireServer other([&](const Peer& peer) {
    ++followed;
    peer.answer(200, "{}");
  });
  for (const int status : {301, 302, 303, 307, 308}) {
    const WireServer server(
        [&](const Peer& peer) { peer.answer(status, "", "Location: " + other.url() + "\r\n"); });
    const HttpAnswer answer = post(options(server.url(), 3));
    CHECK(answer.status == status);
    CHECK(answer.attempts == 1);
    CHECK(answer.why ==
          fmt::format("{}: answered with status {}, a redirect to {}, which is not followed: put that "
                      "into url",
                      server.url(), status, other.url()));
  }
  CHECK(followed == 0);
}

TEST_CASE("http: waits between attempts") {
  std::vector<std::chrono::steady_clock::time_point> times;
  std::string headers;
  const WireServer server([&](const Peer& peer) {
    times.push_back(now());
    peer.answer(503, "", headers);
  });
  const auto waits = [&](HttpOptions o) {
    times.clear();
    post(o);
    std::vector<double> out;
    for (size_t i = 1; i < times.size(); ++i)
      out.push_back(std::chrono::duration<double>(times[i] - times[i - 1]).count());
    return out;
  };
  HttpOptions o = options(server.url(), 3);
  o.backoff_s = 0.2;
  const std::vector<double> doubled = waits(o);
  REQUIRE(doubled.size() == 3);
  for (size_t i = 0; i < 3; ++i) CHECK(doubled[i] >= 0.1 * static_cast<double>(1 << i));
  o.backoff_s = 8;
  o.max_wait_s = 0.05;  // 0.05 three times, not 28 to 56 s in all
  const auto start = now();
  CHECK(waits(o).size() == 3);
  CHECK(since(start) < 14);
  headers = "Retry-After: 1\r\n";
  o.retries = 1;
  o.backoff_s = 0.01;
  o.max_wait_s = 60;
  CHECK(waits(o).at(0) >= 1);
  headers = "Retry-After: 3600\r\n";
  o.max_wait_s = 0.2;
  CHECK(waits(o).at(0) < 5);

  const std::time_t at = 784111777;  // the moment of RFC 9110's examples
  for (const char* date :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    CAPTURE(date);
    CHECK(retry_after_s(date, at - 90) == 90.0);
    CHECK(retry_after_s(date, at + 90) == 0.0);
  }
  CHECK(retry_after_s("120", at) == 120.0);
  CHECK(retry_after_s("99999999999999999999999", at) == 1e9);
  for (const char* bad : {"", "soon", "-1", "1.5", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 GMT x"})
    CHECK_FALSE(retry_after_s(bad, at).has_value());
}

TEST_CASE("http: whoever waits can leave, whatever the call is doing") {
  const auto check = [](HttpOptions o) {
    o.timeout_s = o.connect_timeout_s = 120;
    std::stop_source stop;
    auto call = std::async(std::launch::async, [&] {
      return HttpClient(o, "test").post(std::string(1 << 20, 'x'), stop.get_token());
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const auto start = now();
    stop.request_stop();
    const HttpAnswer answer = call.get();
    CHECK(answer.cause == Cause::kInterrupted);
    CHECK(has(answer.why, "interrupted"));
    MESSAGE("left after " << since(start) << " s");
    CHECK(since(start) < 20);
  };
  SUBCASE("waiting for an answer") {
    const WireServer server([](const Peer& peer) { peer.sleep(60); });
    check(options(server.url()));
  }
  SUBCASE("waiting for another attempt") {
    const WireServer server([](const Peer& peer) { peer.answer(503, ""); });
    HttpOptions o = options(server.url(), 10);
    o.backoff_s = 60;
    check(o);
  }
  SUBCASE("shaking hands") {
    const WireServer server([](int socket) {
      char byte;
      while (::recv(socket, &byte, 1, 0) > 0) {
      }
    });
    check(options("https://127.0.0.1:" + std::to_string(server.port())));
  }
  SUBCASE("connecting") {
    // A queue that is full: nothing answers, and nothing refuses.
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    auto* address = reinterpret_cast<sockaddr*>(&place);
    REQUIRE(::bind(listener, address, size) == 0);
    REQUIRE(::listen(listener, 0) == 0);
    REQUIRE(::getsockname(listener, address, &size) == 0);
    std::vector<int> full;
    for (int i = 0; i < 8; ++i) {
      full.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ::connect(full.back(), address, size);
    }
    check(options("http://127.0.0.1:" + std::to_string(ntohs(place.sin_port))));
    for (const int socket : full) ::close(socket);
    ::close(listener);
  }
}

TEST_CASE("http: a server that goes away while it is written to raises no signal") {
  // Its end of the connection, and then a reset, as of a process that was killed: what comes after is EPIPE.
  const WireServer server([](int socket) {
    char byte;
    ::recv(socket, &byte, 1, 0);
    ::shutdown(socket, SHUT_WR);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const int none = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(none, socket);
    ::close(none);
  });
  struct sigaction old, fatal{};
  fatal.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &fatal, &old);
  HttpOptions o = options(server.url());
  o.timeout_s = 120;
  const HttpAnswer answer = post(o, std::string(32 << 20, 'x'));
  ::sigaction(SIGPIPE, &old, nullptr);
  CHECK(answer.cause == Cause::kConnection);
}

TEST_CASE("http: many calls of one client at a time") {
  std::atomic<int> running = 0;
  const WireServer server([&](const Peer& peer) {
    ++running;
    while (running < 8 && peer.sleep(0.01)) {  // none is answered before eight have come
    }
    peer.answer(200, peer.body);
  });
  HttpOptions o = options(server.url());
  o.timeout_s = 120;
  const HttpClient client(o, "test");
  std::vector<std::future<HttpAnswer>> calls;
  for (int i = 0; i < 32; ++i)
    calls.push_back(std::async(std::launch::async, [&client, i] { return client.post(std::to_string(i)); }));
  for (int i = 0; i < 32; ++i) CHECK(calls[static_cast<size_t>(i)].get().body == std::to_string(i));
}

TEST_CASE("http: hosts have addresses") {
  CHECK(host_addresses("127.0.0.1", 1, {}) == std::vector<std::string>{"127.0.0.1"});
  CHECK(host_addresses("::1", 1, {}) == std::vector<std::string>{"::1"});
  CHECK_FALSE(host_addresses("localhost", 10, {}).empty());
  // localhost may be ::1 first, where nothing listens: the next address is tried.
  const WireServer server([](const Peer& peer) { peer.answer(200, "here"); });
  CHECK(post(options("http://localhost:" + std::to_string(server.port()))).body == "here");
  const HttpAnswer none = post(options("http://no-such-host.invalid/"));
  CHECK(none.cause == Cause::kConnection);
  CHECK(has(none.why, "no address is known for the host"));
}
