// HTTP over TLS, with certificates made here.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/http.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"
#include "wire_server.h"

using namespace temper;

namespace {

// A key and a certificate that it signed itself, in `<name>.pem` and `<name>.key`.
void make_certificate(const TempFolder& folder, const std::string& name, const char* alternative_name,
                      long days = 1) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -2 * 86400);
  X509_gmtime_adj(X509_getm_notAfter(x), days * 86400);
  X509_set_pubkey(x, key);
  X509_NAME* subject = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1,
                             -1, 0);
  X509_set_issuer_name(x, subject);
  for (const auto& [kind, value] : {std::pair(NID_basic_constraints, "critical,CA:TRUE"),
                                    std::pair(NID_subject_alt_name, alternative_name)}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(x, key, EVP_sha256());
  std::FILE* out = std::fopen(folder.text(name + ".pem").c_str(), "w");
  PEM_write_X509(out, x);
  std::fclose(out);
  out = std::fopen(folder.text(name + ".key").c_str(), "w");
  PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  X509_free(x);
  EVP_PKEY_free(key);
}

// Answers every request over TLS with "secret".
class TlsServer {
 public:
  TlsServer(const TempFolder& folder, const std::string& name)
      : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free),
        server_([this](int socket) { serve(socket); }) {
    SSL_CTX_use_certificate_file(context_.get(), folder.text(name + ".pem").c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context_.get(), folder.text(name + ".key").c_str(), SSL_FILETYPE_PEM);
  }
  int port() const { return server_.port(); }
  std::atomic<int> answered = 0;

 private:
  void serve(int socket) {
    SSL* ssl = SSL_new(context_.get());
    SSL_set_fd(ssl, socket);
    std::string got;
    if (SSL_accept(ssl) == 1) {
      char buffer[4096];
      for (int n;
           got.find("\r\n\r\n") == std::string::npos && (n = SSL_read(ssl, buffer, sizeof buffer)) > 0;)
        got.append(buffer, static_cast<size_t>(n));
      const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
      if (has(got, "\r\n\r\n") && SSL_write(ssl, text.data(), static_cast<int>(text.size())) > 0) ++answered;
      SSL_shutdown(ssl);
    }
    SSL_free(ssl);
  }

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  WireServer server_;
};

HttpAnswer tls_post(const std::string& host, const TlsServer& server, const std::string& ca_file) {
  HttpOptions o;
  o.url = "https://" + host + ":" + std::to_string(server.port()) + "/x";
  o.ca_file = ca_file;
  o.timeout_s = 10;
  o.retries = 2;
  o.backoff_s = 0.01;
  return HttpClient(o, "test").post("");
}

}  // namespace

TEST_CASE("http: certificates are checked") {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL's server side here
  const TempFolder folder;
  make_certificate(folder, "own", "IP:127.0.0.1,DNS:localhost");
  make_certificate(folder, "other", "IP:127.0.0.1,DNS:localhost");
  make_certificate(folder, "elsewhere", "DNS:example.org");
  make_certificate(folder, "old", "IP:127.0.0.1", -1);
  const TlsServer server(folder, "own");

  const HttpAnswer refused = tls_post("127.0.0.1", server, "");
  CHECK(refused.cause == HttpAnswer::Cause::kCertificate);
  CHECK(
      has(refused.why, "not one that the system vouches for under this host name; name your own authority"));
  CHECK(refused.attempts == 1);
  CHECK(tls_post("127.0.0.1", server, folder.text("other.pem")).cause == HttpAnswer::Cause::kCertificate);
  CHECK(server.answered == 0);

  for (const char* host : {"127.0.0.1", "localhost"}) {
    const HttpAnswer accepted = tls_post(host, server, folder.text("own.pem"));
    CAPTURE(accepted.why);
    CHECK(accepted.ok());
    CHECK(accepted.body == "secret");
  }
  CHECK(server.answered == 2);

  // Trusted, but another host's; trusted, but no longer valid.
  const TlsServer elsewhere(folder, "elsewhere");
  CHECK(tls_post("127.0.0.1", elsewhere, folder.text("elsewhere.pem")).cause ==
        HttpAnswer::Cause::kCertificate);
  const TlsServer old(folder, "old");
  CHECK(tls_post("127.0.0.1", old, folder.text("old.pem")).cause == HttpAnswer::Cause::kCertificate);
  CHECK(elsewhere.answered + old.answered == 0);
}

TEST_CASE("http: a port that speaks no TLS") {
  const WireServer plain([](const WireServer::Peer& peer) { peer.answer(200, "plain"); });
  HttpOptions o;
  o.url = "https://127.0.0.1:" + std::to_string(plain.port()) + "/x";
  o.timeout_s = 2;
  o.retries = 0;
  const HttpAnswer answer = HttpClient(o, "test").post("");
  CHECK(answer.cause != HttpAnswer::Cause::kAnswered);
}
